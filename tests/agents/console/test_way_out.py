"""The OP Agent in the browser: every way out, and what it confirms."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.users import disable_user
from app.agents.live_sessions import end_session
from app.audit.tags import AuditTag
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import AgentSession, TemporaryLicense
from tests.agents.console.stage import beside, cookie_of, log_in, stored, told
from tests.agents.stage import LIMITS, events, issue, text_of
from tests.conftest import NOW, Cast, Clock, Visitor

EXPIRED = "Your temporary license expired at 16:40 UTC. You have been logged out."
A_MINUTE_LATER = NOW + timedelta(minutes=1)
TAG_ENDED = AuditTag.AGENT_SESSION_ENDED


@pytest.mark.parametrize("seconds", [-1, -0.001])
def test_until_the_expiry_the_partner_works(
    partner: Visitor, key: str, license: TemporaryLicense, clock: Clock, seconds: float
) -> None:
    clock.instant = license.expires_at - timedelta(minutes=10)
    log_in(partner, key)
    clock.instant = license.expires_at + timedelta(seconds=seconds)
    assert partner.get("/agent").status_code == 200


@pytest.mark.parametrize("seconds", [0, 0.001, 1, 59])
@pytest.mark.parametrize("htmx", [False, True], ids=["page", "heartbeat"])
def test_the_first_request_at_the_expiry_is_refused_saying_why(
    partner: Visitor, key: str, clock: Clock, seconds: float, htmx: bool
) -> None:
    clock.advance(minutes=50)
    log_in(partner, key)
    clock.advance(minutes=10, seconds=seconds)
    answer = partner.get("/agent", htmx=htmx)
    assert answer.status_code == 401
    assert told(answer) == EXPIRED
    assert 'datetime="2026-11-24T16:40:00Z"' in answer.text
    assert "Login ID" in answer.text


def test_every_window_of_a_browser_is_told_and_a_new_page_begins_afresh(
    partner: Visitor, key: str, clock: Clock
) -> None:
    clock.advance(minutes=50)
    log_in(partner, key)
    clock.advance(minutes=10)
    for _ in range(2):
        assert told(partner.get("/agent", htmx=True)) == EXPIRED
    assert told(partner.get("/agent")) == EXPIRED
    afresh = partner.get("/agent")
    assert afresh.status_code == 200
    assert told(afresh) == ""


def test_a_heartbeat_gets_the_window_alone(partner: Visitor, key: str, clock: Clock) -> None:
    log_in(partner, key)
    clock.advance(seconds=5)
    answer = partner.get("/agent", htmx=True)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "<title>Acme · Rolling Window</title>" in answer.text
    assert 'hx-trigger="every 5s, check"' in answer.text
    assert "X-Server-Now" in answer.headers


def test_a_window_left_open_for_a_day_is_told_the_day(
    partner: Visitor, key: str, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(days=2)
    assert "Tue 24 Nov 2026" in told(partner.get("/agent"))


def revoking(session: Session, cast: Cast) -> None:
    (license,) = session.scalars(select(TemporaryLicense))
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=A_MINUTE_LATER)


def disabling(session: Session, cast: Cast) -> None:
    disable_user(session, email=cast.pat, actor=cast.actor(cast.ada), now=A_MINUTE_LATER)


def ending(session: Session, cast: Cast) -> None:
    (found,) = session.scalars(select(AgentSession))
    end_session(
        session,
        actor=cast.actor(cast.ada),
        session_id=found.id,
        now=A_MINUTE_LATER,
        limits=LIMITS,
    )


@pytest.mark.parametrize(
    "case",
    [
        (revoking, "Your temporary license was revoked at 15:41 UTC. You have been logged out."),
        (disabling, "Your account was disabled. You have been logged out."),
        (ending, "A super admin ended your session at 15:41 UTC. You have been logged out."),
    ],
)
def test_the_next_heartbeat_tells_what_somebody_did(
    partner: Visitor,
    cast: Cast,
    key: str,
    clock: Clock,
    case: tuple[Callable[[Session, Cast], None], str],
) -> None:
    end, sentence = case
    log_in(partner, key)
    clock.instant = A_MINUTE_LATER
    with partner.client.application.app_context():
        end(db.session(), cast)
        db.session.commit()
    answer = partner.get("/agent", htmx=True)
    assert answer.status_code == 401
    assert told(answer) == sentence
    assert cast.ada not in answer.text


def test_a_browser_that_slept_is_told_that_it_was_not_heard_from(
    app: Flask, partner: Visitor, cast: Cast, clock: Clock
) -> None:
    with app.app_context():
        key = text_of(issue(db.session(), cast))
    log_in(partner, key)
    clock.advance(seconds=900)
    answer = partner.get("/agent")
    assert answer.status_code == 401
    assert "not heard from for too long, so your session ended at 15:55 UTC" in told(answer)


def test_a_clock_set_back_by_an_hour_lets_nobody_work(
    partner: Visitor, key: str, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(hours=-1)
    answer = partner.get("/agent")
    assert answer.status_code == 401
    assert "not valid yet" in told(answer)
    refusal = beside(log_in(partner, key), "registration_key")
    assert "is not valid yet by this portal&#39;s clock" in refusal
    assert "Copy the whole key again" not in refusal


def test_logging_out_kills_the_cookie_and_says_so(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    token = partner.client.get_cookie("op_agent", path="/agent").value
    answer = partner.post("/agent/logout")
    assert (answer.status_code, answer.location) == (303, "/agent")
    page = partner.get("/agent")
    assert "You are logged out." in page.text
    assert "Login ID" in page.text
    partner.client.set_cookie("op_agent", token, path="/agent")
    assert partner.get("/agent").status_code == 401
    with app.app_context():
        (event,) = events(db.session(), TAG_ENDED)
        assert event.data["cause"] == "signed_out"


def test_logging_out_twice_or_without_having_been_in_is_no_error(partner: Visitor) -> None:
    for _ in range(2):
        assert partner.post("/agent/logout").status_code == 303


def test_signing_in_again_in_the_same_browser_ends_the_earlier_session(
    app: Flask, partner: Visitor, key: str
) -> None:
    log_in(partner, key)
    log_in(partner, key, login_id=Cast.dev)
    first, second = stored(app)
    assert first.end_code == "signed_out"
    assert second.ended_at is None


def proofs(app: Flask) -> tuple[object, object]:
    """When the latest session's agent was told of its end, and when it confirmed."""
    found = stored(app)[-1]
    return found.told_at, found.confirmed_at


@pytest.fixture
def ended(app: Flask, partner: Visitor, key: str, cast: Cast, clock: Clock) -> Visitor:
    """A partner's browser whose session a super admin has ended a minute later."""
    log_in(partner, key)
    clock.instant = A_MINUTE_LATER
    with app.app_context():
        ending(db.session(), cast)
        db.session.commit()
    return partner


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "heartbeat"])
def test_the_page_confirms_that_it_has_logged_out(
    app: Flask, ended: Visitor, clock: Clock, htmx: bool
) -> None:
    answer = ended.get("/agent", htmx=htmx)
    assert answer.status_code == 401
    assert proofs(app) == (A_MINUTE_LATER, None)
    assert re.search(r'hx-post="/agent/confirm"\s+hx-trigger="load"', answer.text)
    confirmed_at = clock.advance(seconds=1)
    assert ended.post("/agent/confirm", htmx=True).status_code == 204
    assert proofs(app) == (A_MINUTE_LATER, confirmed_at)
    clock.advance(seconds=1)
    ended.post("/agent/confirm", htmx=True)
    assert proofs(app) == (A_MINUTE_LATER, confirmed_at)


def test_after_the_confirmation_nothing_of_the_session_is_kept(ended: Visitor) -> None:
    answer = ended.get("/agent")
    assert cookie_of(answer, "op_agent").startswith("op_agent=;")
    kept = cookie_of(answer, "op_agent_ended")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/agent", "Max-Age=300"):
        assert part in kept
    answer = ended.post("/agent/confirm")
    assert cookie_of(answer, "op_agent_ended").startswith("op_agent_ended=;")
    assert ended.get("/agent").status_code == 200


def test_confirming_ends_no_session_that_lives(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    assert partner.post("/agent/confirm").status_code == 204
    assert partner.get("/agent").status_code == 200
    assert stored(app)[-1].ended_at is None


def test_confirming_without_a_session_is_no_error(partner: Visitor) -> None:
    assert partner.post("/agent/confirm").status_code == 204


def test_a_window_told_late_does_not_end_the_session_begun_meanwhile(
    app: Flask, ended: Visitor, key: str
) -> None:
    ended.get("/agent", htmx=True)
    log_in(ended, key)
    ended.post("/agent/confirm", htmx=True)
    assert ended.get("/agent").status_code == 200
    earlier, later = stored(app)
    assert earlier.confirmed_at is not None
    assert later.ended_at is None
