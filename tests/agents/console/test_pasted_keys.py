"""What the window says of a key as soon as it is pasted, before anybody logs in."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.core.durations import Rate
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import TemporaryLicense
from tests.agents.stage import HOUR, issue, text_of
from tests.conftest import NOW, Cast, Clock, Visitor

OTHERS = {
    "scheduled": KeyOptions(HOUR, starts_at=NOW + timedelta(hours=2)),
    "to be used soon": KeyOptions(HOUR, use_within=900),
}


def pasted(visitor: Visitor, key: str) -> TestResponse:
    return visitor.post("/agent/inspect", {"registration_key": key}, htmx=True)


def said(answer: TestResponse) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", answer.text).split())


def key_with(app: Flask, cast: Cast, options: KeyOptions) -> str:
    with app.app_context():
        return text_of(issue(db.session(), cast, options=options), app)


def test_what_it_is_stands_under_the_field(partner: Visitor, key: str) -> None:
    answer = pasted(partner, f"  {key}\n")
    assert said(answer) == "Acme, ends 16:40 UTC, 1 hr left"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (pasted(partner, " ").text, pasted(partner, "").text) == ("", "")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("scheduled", "Acme, starts Tue 24 Nov 2026, 17:40 UTC"),
        ("to be used soon", "Acme, ends 16:40 UTC, 1 hr left; log in by 15:55 UTC"),
    ],
)
def test_a_key_with_options(
    app: Flask, cast: Cast, *, clock: Clock, partner: Visitor, kind: str, sentence: str
) -> None:
    assert said(pasted(partner, key_with(app, cast, OTHERS[kind]))) == sentence


def test_one_that_does_not_work_is_refused_in_the_words_of_the_log_in(
    app: Flask, clock: Clock, partner: Visitor, key: str, license: TemporaryLicense
) -> None:
    wrong = "This registration key is not valid here. Copy the whole key again"
    assert said(pasted(partner, "rw1.nonsense")).startswith(wrong)
    clock.advance(hours=1)
    over = "This registration key expired at 16:40 UTC. Ask for a new one."
    assert said(pasted(partner, key)) == over
    with app.app_context():
        db.session.get_one(TemporaryLicense, license.id).revoked_at = NOW
        db.session.commit()
    assert said(pasted(partner, key)) == "This registration key was revoked. Ask for a new one."


def test_nobody_tries_keys_without_end(
    app: Flask, partner: Visitor, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of stolen texts is tried on the page, to learn whose they are. Whoever is behind the
    same address and looks at a key by the interface does not wait for that.
    """
    limited = replace(app.extensions["config"], inspect_limit=Rate(1, 60))
    monkeypatch.setitem(app.extensions, "config", limited)
    assert pasted(partner, key).status_code == 200
    answer = pasted(partner, key)
    assert answer.status_code == 429
    assert said(answer).startswith("Too many keys were looked at from your address.")
    assert "Acme" not in answer.text
    body = {"registration_key": key}
    assert partner.client.post("/api/agent/v1/keys/inspect", json=body).status_code == 200
