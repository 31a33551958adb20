"""Attacks on what a key carries: other people's keys, races, and hostile text."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.extensions import db
from app.keyformat.license_keys import sign_temporary_key
from app.licenses.keyring import private_key
from app.licenses.option_rules import KeyOptions
from app.licenses.services import inspect_key
from app.models import AgentSession, AuditEvent, FeedEvent, TemporaryLicense
from tests.agents.api_stage import RealAgent, over_http, serving
from tests.agents.stage import HOUR, issue, text_of, try_to_sign_in
from tests.conftest import NOW, Cast, Clock, Visitor, signing_keys

SECOND = timedelta(seconds=1)


def made(app: Flask, cast: Cast, **carried: object) -> str:
    with app.app_context():
        return text_of(issue(db.session(), cast, options=KeyOptions(HOUR, **carried)), app)


def at_once(work: Callable[[int], object], number: int) -> None:
    gate = threading.Barrier(number)

    def run(which: int) -> None:
        gate.wait()
        work(which)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_found_key_of_somebody_else_opens_nothing_and_names_nobody(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """A developer finds a partner's key in a chat; neither the answer nor the Feed tells whose."""
    key = made(app, cast, recipient=cast.pat, reason="Secret of Acme's", ticket="T-1")
    with serving(app) as port:
        agent = RealAgent(over_http(port))
        answer = agent.sign_in(cast.dev, key)
        inspected = agent.ask("POST", "/keys/inspect", {"registration_key": key})
    assert (answer.status, answer.code) == (403, "key_not_for_you")
    for told in (answer.body.decode(), inspected.body.decode()):
        for secret in (cast.pat, "Secret of Acme", "T-1"):
            assert secret not in told
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(AgentSession)) == 0
        assert db.session.scalar(select(func.count()).select_from(FeedEvent)) == 0


@pytest.mark.databases("sqlite", "postgres")
@pytest.mark.parametrize(
    ("carried", "code"),
    [({"sign_ins": 1}, "key_used_up"), ({"first_machine": True}, "key_bound_elsewhere")],
)
def test_a_key_for_one_is_not_used_twice_by_being_quick(
    app: Flask, cast: Cast, carried: dict[str, object], code: str
) -> None:
    """A partner gives the key to friends, and all press Enter at the same moment."""
    from app.core.clock import utcnow

    with app.app_context():
        options = KeyOptions(HOUR, **carried)
        key = text_of(issue(db.session(), cast, now=utcnow(), options=options), app)
    answers = []
    with serving(app) as port:

        def sign_in(which: int) -> None:
            agent = RealAgent(over_http(port), f"00:1A:2B:00:00:{which:02X}")
            answers.append(agent.sign_in(cast.pat, key))

        at_once(sign_in, 5)
    codes = sorted(answer.code or "in" for answer in answers)
    assert codes == sorted(["in", *[code] * 4])


def test_a_key_is_not_lengthened_by_whoever_holds_it(
    app: Flask, session: Session, cast: Cast
) -> None:
    """Even the portal's own signature over another start or end does not: the record decides."""
    license = issue(session, cast, options=KeyOptions(HOUR, starts_at=NOW + timedelta(hours=1)))
    says = {
        "jti": license.key_id,
        "organisation_id": cast.acme,
        "ttl": HOUR,
        "issued_at": license.issued_at,
        "starts_at": license.starts_at,
    }
    private = private_key(signing_keys(app), license.kid)
    for change in ({"starts_at": NOW}, {"ttl": 2 * HOUR}, {"ttl": HOUR - 1}, {"starts_at": None}):
        forged = sign_temporary_key(private, **(says | change))
        for hours in (0, 1, 2, 3):
            found = inspect_key(session, text=forged, now=NOW + timedelta(hours=hours))
            assert found.state == "invalid"
    honest = inspect_key(session, text=sign_temporary_key(private, **says), now=NOW)
    assert honest.state == "scheduled"


def test_another_machine_does_not_become_the_first_by_leaving_its_machine_id_out(
    session: Session, cast: Cast
) -> None:
    """The MAC ID can be made up; the machine ID of the first sign-in is then asked for."""
    license = issue(session, cast, options=KeyOptions(HOUR, first_machine=True))
    key = text_of(license)
    now = NOW + SECOND
    try_to_sign_in(session, cast.pat, key, now=now, machine_id="the first")
    for machine_id in ("", "another", "THE FIRST", "the first\u200b"):
        answer = try_to_sign_in(session, cast.dev, key, now=now, machine_id=machine_id)
        assert answer.code == "key_bound_elsewhere"
    assert license.sign_ins_used == 1


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE users; --",
    "{{ 7 * 7 }}",
    "{local:2026-11-24T15:40:00Z}",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_a_key_carries_is_text_everywhere(
    app: Flask, cast: Cast, ada: Visitor, text: str
) -> None:
    tab = f"/projects/{cast.acme_project}/license"
    page = ada.get(tab).text
    token = page.partition('name="form_token"')[2].partition('value="')[2].partition('"')[0]
    fields = {"ttl": "1h", "form_token": token, "reason": text, "ticket": text}
    assert ada.post(tab, fields).status_code == 303
    for path in (tab, f"{tab}/all", "/audit", "/", f"{tab}?like=x"):
        page = ada.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert 'href="javascript' not in page
        assert "49" not in page.partition("Reason")[2][:200]
    with app.app_context():
        license = db.session.scalars(select(TemporaryLicense)).one()
        assert (license.reason, license.ticket) == (text, text)


@pytest.mark.parametrize(
    "text", ["\u202egnirts", "a\u2066b", "a\x00b", "a\x1b[2J", "a\u202ab", "\ue000", "a\u2028b"]
)
@pytest.mark.parametrize("field", ["reason", "ticket"])
def test_text_that_hides_or_turns_what_stands_beside_it_is_refused_or_undone(
    app: Flask, cast: Cast, ada: Visitor, field: str, text: str
) -> None:
    """What looks harmless in the audit log must be what was written."""
    tab = f"/projects/{cast.acme_project}/license"
    answer = ada.post(tab, {"ttl": "1h", field: text})
    assert answer.status_code in (303, 422)
    with app.app_context():
        stored = db.session.scalars(select(TemporaryLicense)).all()
        assert all(getattr(license, field).isprintable() for license in stored)
        assert answer.status_code == 303 or stored == []


@pytest.mark.parametrize(
    "fields",
    [
        {"zone": "../../../etc/passwd", "starts": "2026-11-26T09:00"},
        {"zone": "\x00", "ends": "2026-11-26T09:00"},
        {"starts": "9" * 5000},
        {"starts": "9999-12-31T23:59", "zone": "America/New_York"},
        {"ends": "0001-01-01T00:00", "zone": "Asia/Tokyo"},
        {"sign_ins": "9" * 5000},
        {"sign_ins": "-1"},
        {"sign_ins": "١"},
        {"use_within": "99999999999d"},
        {"for": "x" * 100_000},
        {"for": "%"},
        {"reason": "x" * 60_000},
    ],
)
def test_nonsense_is_answered_with_a_sentence(
    app: Flask, cast: Cast, ada: Visitor, fields: dict[str, str]
) -> None:
    tab = f"/projects/{cast.acme_project}/license"
    assert ada.post(tab, {"ttl": "1h"} | fields).status_code == 422
    assert ada.post(f"{tab}/preview", {"ttl": "1h"} | fields, htmx=True).status_code == 200
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(TemporaryLicense)) == 0
        assert not db.session.scalars(select(AuditEvent).filter_by(tag="license.issued")).all()


def test_a_key_of_another_organisation_is_neither_copied_nor_extended(
    app: Flask, cast: Cast, ada: Visitor
) -> None:
    with app.app_context():
        license = issue(
            db.session(), cast, Cast.bolt, options=KeyOptions(HOUR, reason="Bolt's own")
        )
        key_id, end = license.key_id, license.expires_at
    tab = f"/projects/{cast.acme_project}/license"
    assert "Bolt&#39;s own" not in ada.get(f"{tab}?like={key_id}").text
    assert ada.get(f"{tab}/{key_id}/extend").status_code == 404
    answer = ada.post(f"{tab}/{key_id}/extend", {"ends": "2027-01-01T00:00"})
    assert answer.status_code == 404
    with app.app_context():
        assert db.session.scalars(select(TemporaryLicense)).one().expires_at == end
