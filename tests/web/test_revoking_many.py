"""Revoking many keys: what the preview says is what is revoked, and the proof of the log-outs."""

import re
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.agents.heartbeats import heartbeat
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import find_license
from app.models import AuditEvent, TemporaryLicense
from app.models.engine import reading_only
from tests.agents.stage import LIMITS, issue, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import words

pytestmark = [pytest.mark.databases("sqlite", "postgres"), pytest.mark.usefixtures("clock")]


@pytest.fixture
def keys(app: Flask, cast: Cast) -> dict[str, str]:
    """One key of each kind, by what it is."""
    with app.app_context():
        session = db.session()
        made = {
            "acme": issue(session, cast),
            "bolt": issue(session, cast, cast.bolt),
            "pat's": issue(session, cast, options=KeyOptions(3600, recipient=cast.pat)),
        }
        return {name: license.key_id for name, license in made.items()}


def fields_of(page: str) -> dict[str, str]:
    found = {}
    for field in re.findall(r'<input[^>]*type="hidden"[^>]*>', page[page.index('method="post"') :]):
        name, value = (re.search(rf'{what}="([^"]*)"', field) for what in ("name", "value"))
        if name and value:
            found[name[1]] = unescape(value[1])
    return found


def preview(visitor: Visitor, query: str) -> dict[str, str]:
    page = visitor.get(f"/revoke?{query}")
    assert page.status_code == 200
    shown = page.text
    start = shown.index('aria-labelledby="log-outs-title"')
    return fields_of(shown[start:])


def active(app: Flask) -> set[str]:
    with app.app_context():
        query = select(TemporaryLicense.key_id).where(TemporaryLicense.is_open(NOW))
        return set(db.session.scalars(query))


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("organisation=ORG-000123", {"acme", "pat's"}),
        ("organisation=ORG-000123&for=pat@example.com", {"pat's"}),
        ("for=PAT@example.com", {"pat's"}),
        ("issued_by=ada@example.com", {"acme", "bolt", "pat's"}),
        ("organisation=Acme+(ORG-000123)", {"acme", "pat's"}),
        ("all=1", {"acme", "bolt", "pat's"}),
    ],
)
@pytest.mark.databases("sqlite")
def test_exactly_the_keys_of_the_preview_are_revoked(
    app: Flask, ada: Visitor, keys: dict[str, str], query: str, meant: set[str]
) -> None:
    form = preview(ada, query)
    assert set(form["previewed"].split()) == {keys[name] for name in meant}
    answer = ada.post("/revoke", form | {"reason": "Laptop stolen"})
    assert answer.status_code == 303
    assert active(app) == {keys[name] for name in keys.keys() - meant}
    page = words(ada.get(answer.location))
    assert "Laptop stolen" in page
    assert "Nobody was signed in." in page
    with app.app_context():
        told = db.session.scalars(select(AuditEvent).where(AuditEvent.tag == "license.revoked"))
        assert {event.subject for event in told} == {keys[name] for name in meant}


def test_keys_made_since_are_named_and_left(
    app: Flask, ada: Visitor, cast: Cast, keys: dict[str, str]
) -> None:
    form = preview(ada, "organisation=ORG-000123")
    with app.app_context():
        late = issue(db.session(), cast).key_id
    answer = ada.post("/revoke", form | {"reason": "Stolen"})
    assert active(app) == {keys["bolt"], late}
    assert f"Made since the preview, and left: {late}." in words(ada.get(answer.location))


@pytest.mark.databases("sqlite")
def test_a_key_that_is_not_of_the_selection_is_not_revoked(
    app: Flask, ada: Visitor, keys: dict[str, str]
) -> None:
    """Mallory has Ada's browser send Bolt's Key ID with a preview of Acme."""
    form = preview(ada, "organisation=ORG-000123")
    ada.post("/revoke", form | {"previewed": keys["bolt"], "reason": "x"})
    assert keys["bolt"] in active(app)


def test_who_is_logged_out_is_said_and_the_proof_counts_down(
    app: Flask, ada: Visitor, cast: Cast, clock: Clock, keys: dict[str, str]
) -> None:
    with app.app_context():
        session = db.session()
        there = signed_in(session, cast.pat, find_license(session, keys["acme"]))
        token = there.token
    page = ada.get("/revoke?organisation=ORG-000123")
    assert "Signed in now; revoking logs them out" in words(page)
    assert cast.pat in words(page)
    clock.advance(seconds=1)
    proof = ada.post("/revoke", preview(ada, "organisation=ORG-000123") | {"reason": "x"}).location
    assert "1 of 1 still to be confirmed" in words(ada.get(proof))
    clock.advance(seconds=1)
    with app.app_context(), reading_only():
        ended = heartbeat(db.session(), token=token, now=clock.now(), limits=LIMITS)
        assert ended.cause == "key_revoked"
    assert "Told at" in words(ada.get(proof))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("organisation=ORG-000999", "There is no organisation with the ID ORG-000999."),
        ("for=nobody@example.com", "There is nobody with the e-mail nobody@example.com."),
        ("issued_by=%3Cb%3E", "There is nobody with the e-mail <b>."),
        ("all=1&organisation=ORG-000123", "leave one or the other out"),
    ],
)
@pytest.mark.databases("sqlite")
def test_a_selection_that_makes_no_sense_is_422_beside_its_field(
    ada: Visitor, keys: dict[str, str], query: str, said: str
) -> None:
    page = ada.get(f"/revoke?{query}")
    assert page.status_code == 422
    assert said in words(page)
    assert 'aria-invalid="true"' in page.text
    assert "Revoke 1 key" not in words(page)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\u202eb"])
@pytest.mark.databases("sqlite")
def test_without_a_good_reason_nothing_is_revoked(
    app: Flask, ada: Visitor, keys: dict[str, str], reason: str
) -> None:
    answer = ada.post("/revoke", preview(ada, "all=1") | {"reason": reason})
    assert answer.status_code == 422
    assert active(app) == set(keys.values())
    assert "Revoke 3 keys" in words(answer)
    assert answer.text.count("alert-danger") == 1  # the one that waits for the network


@pytest.mark.databases("sqlite")
def test_without_a_preview_nothing_is_revoked(
    app: Flask, ada: Visitor, keys: dict[str, str]
) -> None:
    """Mallory has Ada's browser revoke all, before she could see which they are."""
    form = preview(ada, "all=1") | {"previewed": "", "reason": "x"}
    answer = ada.post("/revoke", form)
    assert answer.status_code == 422
    assert "Preview the keys first" in words(answer)
    assert active(app) == set(keys.values())


@pytest.mark.databases("sqlite")
def test_an_auditor_sees_which_and_has_no_button(audrey: Visitor, keys: dict[str, str]) -> None:
    page = audrey.get("/revoke?all=1")
    assert keys["bolt"] in words(page)
    assert "Revoke 3 keys" not in words(page)
    assert audrey.post("/revoke", {"all": "1", "previewed": keys["bolt"]}).status_code == 403


@pytest.mark.databases("sqlite")
def test_it_asks_that_one_has_proved_a_short_while_ago_who_one_is(
    app: Flask, ada: Visitor, clock: Clock, keys: dict[str, str]
) -> None:
    form = preview(ada, "all=1")
    for _ in range(2):  # nobody is idle meanwhile
        clock.advance(minutes=5, seconds=30)
        ada.get("/revoke")
    answer = ada.post("/revoke", form | {"reason": "x"})
    assert answer.status_code == 303
    assert answer.location.startswith("/prove?next=")
    assert active(app) == set(keys.values())


@pytest.mark.databases("sqlite")
def test_more_than_a_thousand_are_revoked_a_thousand_at_a_time(
    app: Flask, ada: Visitor, cast: Cast, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]
) -> None:
    for where in ("app.licenses.revoking_many", "app.portal.revoking"):
        monkeypatch.setattr(f"{where}.MOST_AT_ONCE", 2)
    page = words(ada.get("/revoke?all=1"))
    assert "The 2 keys that end first" in page
    ada.post("/revoke", preview(ada, "all=1") | {"reason": "x"})
    assert len(active(app)) == 1


@pytest.mark.databases("sqlite")
def test_by_command(app: Flask, cast: Cast, keys: dict[str, str]) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        with app.app_context():
            done = app.test_cli_runner().invoke(args=["licenses", "revoke", *words])
        return done.exit_code, done.stdout, done.stderr

    as_ada = ("--as", cast.ada)
    assert run("--for", cast.pat, *as_ada)[0] == 2
    assert run(keys["acme"], "--all", "--reason", "x", *as_ada)[0] == 2
    assert run("--reason", "x", *as_ada)[0] == 2
    assert run("--organisation", "ORG-000999", "--reason", "x", *as_ada)[0] == 1
    assert run("--for", cast.pat, "--reason", "x", *as_ada) == (
        0,
        keys["pat's"] + "\n",
        "1 key revoked.\n",
    )
    status, out, _ = run("--all", "--reason", "Over", *as_ada)
    assert (status, set(out.split())) == (0, {keys["acme"], keys["bolt"]})
    assert active(app) == set()
    with app.app_context():
        count = select(func.count()).where(AuditEvent.tag == "license.many_revoked")
        assert db.session.scalar(count) == 2
