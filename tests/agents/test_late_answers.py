"""What ended while somebody waited, for a lock or for the commit, is told as ended."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app import throttle
from app.accounts.authentication import Authentication, lock_user
from app.accounts.users import disable_user
from app.agents.live_sessions import end_session
from app.agents.machines import detach, revoke_permanent_license
from app.agents.registration import SignInRequest
from app.agents.sign_in import SignedIn, sign_in
from app.core.durations import Rate
from app.extensions import db
from app.licenses.services import lock_license
from app.models import Agent, AgentSession, Configuration, KeyInspection, TemporaryLicense
from app.models.engine import writing
from tests.agents.api_stage import RealAgent, end_subscription, to_the_app
from tests.agents.stage import HOUR, LIMITS, MAC, issue, machine_of, signed_in, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor, signing_keys

pytestmark = pytest.mark.databases("sqlite", "postgres")

T = TypeVar("T")
ADDRESS = "198.51.100.9"
END = NOW + timedelta(seconds=HOUR)


@pytest.fixture
def key(app: Flask, cast: Cast, clock: Clock) -> str:
    """A key that ends at END; the clock stands one second before that."""
    with app.app_context():
        text = text_of(issue(db.session(), cast), app)
        db.session.remove()
    clock.instant = END - timedelta(seconds=1)
    return text


@pytest.fixture
def agent(app: Flask) -> RealAgent:
    return RealAgent(to_the_app(app.test_client(), ADDRESS))


@contextmanager
def turning_at(what: str, clock: Clock, app: Flask) -> Iterator[None]:
    """The request's transaction takes until END to end."""

    def turn(_session: Session) -> None:
        clock.instant = END

    with app.app_context():
        event.listen(db.session, what, turn)
        try:
            yield
        finally:
            event.remove(db.session, what, turn)


def test_a_key_that_ends_during_the_commit_of_a_sign_in_admits_nobody(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    with turning_at("after_commit", clock, app):
        answer = agent.sign_in(Cast.pat, key)
    assert (answer.status, answer.code) == (403, "key_expired")
    assert answer.json["expired_at"] == "2026-11-24T16:40:00Z"
    assert "session_token" not in answer.json


def test_a_key_that_ends_during_a_heartbeat_is_told_as_ended(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    assert agent.sign_in(Cast.pat, key).status == 201
    assert agent.heartbeat().status == 200
    with turning_at("after_rollback", clock, app):
        answer = agent.heartbeat()
    assert (answer.status, answer.code) == (401, "key_expired")


def test_a_key_that_ends_during_an_inspection_is_told_as_expired(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    with turning_at("after_rollback", clock, app):
        answer = agent.ask("POST", "/keys/inspect", {"registration_key": key})
    assert (answer.status, answer.json["state"]) == (200, "expired")


def test_a_key_that_ends_while_a_sign_in_waits_for_it_admits_nobody(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    def hold_key(session: Session) -> None:
        lock_license(session, session.scalars(select(TemporaryLicense)).one())

    answer = answer_after_wait(app, clock, hold_key, lambda: agent.sign_in(Cast.pat, key))
    assert (answer.status, answer.code) == (403, "key_expired")
    with app.app_context():
        assert db.session.scalar(select(AgentSession.id)) is None


def test_an_inspection_that_waits_for_its_turn_looks_at_the_clock_afterwards(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    answer = answer_after_wait(
        app,
        clock,
        lambda session: throttle.wait_for_turn(session, address=ADDRESS),
        lambda: agent.ask("POST", "/keys/inspect", {"registration_key": key}),
    )
    assert (answer.status, answer.json["state"]) == (200, "expired")
    with app.app_context():
        assert db.session.scalars(select(KeyInspection.inspected_at)).all() == [END]


def by_program(app: Flask) -> Callable[[], int]:
    """Carl's agent, signed in; saves its configuration."""
    agent = RealAgent(to_the_app(app.test_client(), ADDRESS))
    assert agent.sign_in(Cast.carl).status == 201
    return lambda: agent.ask("PUT", "/configuration", {"interval": 15}).status


def in_browser(app: Flask) -> Callable[[], int]:
    visitor = Visitor(app.test_client())
    visitor.get("/agent")
    fields = {"login_id": Cast.carl, "password": PASSWORD}
    assert visitor.post("/agent", fields).status_code == 303
    visitor.get("/agent")
    return lambda: visitor.post("/agent/configuration").status_code


@pytest.mark.parametrize("face", [by_program, in_browser])
def test_a_save_that_waits_for_the_end_of_its_session_saves_nothing(
    app: Flask, cast: Cast, clock: Clock, face: Callable[[Flask], Callable[[], int]]
) -> None:
    save = face(app)

    def end(session: Session) -> None:
        session_id = session.scalars(select(AgentSession.id)).one()
        actor = cast.actor(cast.ada)
        end_session(session, actor=actor, session_id=session_id, now=NOW, limits=LIMITS)

    assert answer_after_wait(app, clock, end, save) == 401
    with app.app_context():
        assert db.session.scalar(select(Configuration.organisation_id)) is None


def test_a_machine_whose_license_is_revoked_while_a_sign_in_waits_admits_nobody(
    app: Flask, cast: Cast, clock: Clock, agent: RealAgent
) -> None:
    """PostgreSQL looks again, after the wait, only at the rows that were waited for."""
    assert agent.sign_in(Cast.carl).status == 201

    again = RealAgent(agent.send)
    answer = answer_after_wait(
        app, clock, lambda session: by_license(session, cast), lambda: again.sign_in(Cast.carl)
    )
    assert (answer.status, answer.code) == (403, "license_revoked")


def by_license(session: Session, cast: Cast) -> None:
    [agent_id] = session.scalars(select(Agent.id))
    actor = cast.actor(cast.ada)
    revoke_permanent_license(session, actor=actor, agent_id=agent_id, now=NOW, limits=LIMITS)


def by_machine(session: Session, cast: Cast) -> None:
    [agent_id] = session.scalars(select(Agent.id))
    detach(session, actor=cast.actor(cast.ada), agent_id=agent_id, now=NOW, limits=LIMITS)


def by_user(session: Session, cast: Cast) -> None:
    disable_user(session, email=cast.carl, actor=cast.actor(cast.ada), now=NOW)


@pytest.mark.parametrize("end", [by_license, by_machine, by_user])
def test_a_save_waits_for_whatever_ends_its_session(
    app: Flask, cast: Cast, clock: Clock, end: Callable[[Session, Cast], None]
) -> None:
    save = by_program(app)
    assert answer_after_wait(app, clock, lambda session: end(session, cast), save) == 401
    with app.app_context():
        assert db.session.scalar(select(Configuration.organisation_id)) is None


def test_a_save_under_a_key_that_ends_meanwhile_is_told_of_the_end(
    app: Flask, clock: Clock, key: str, agent: RealAgent
) -> None:
    """Not that it may not save: the agent must log out."""
    assert agent.sign_in(Cast.pat, key).status == 201

    def hold_key(session: Session) -> None:
        lock_license(session, session.scalars(select(TemporaryLicense)).one())

    answer = answer_after_wait(
        app, clock, hold_key, lambda: agent.ask("PUT", "/configuration", {"interval": 15})
    )
    assert (answer.status, answer.code) == (401, "key_expired")


def test_a_save_that_waits_until_the_subscription_has_ended_saves_nothing(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """The clock is read after the wait."""
    midnight = datetime(2026, 11, 25, tzinfo=UTC)
    clock.instant = midnight - timedelta(seconds=1)
    save = by_program(app)
    with app.app_context():
        end_subscription(db.session(), cast.acme, NOW.date())

    def hold_user(session: Session) -> None:
        lock_user(session, cast.actor(cast.carl).user_id)

    assert answer_after_wait(app, clock, hold_user, save, until=midnight) == 401
    with app.app_context():
        assert db.session.scalar(select(Configuration.organisation_id)) is None


def test_who_signs_in_while_their_machine_is_being_detached_is_out(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor
) -> None:
    """Pat's session is on no registered agent, since she brings a machine ID and Carl did not; it
    is one of those that the detachment ends, so it must not be written beside it."""
    with app.app_context():
        session = db.session()
        text = text_of(issue(session, cast), app)
        agent_id = machine_of(signed_in(session, cast.carl)).id
        session.commit()
    tokens = []

    def sign_in_pat(session: Session) -> None:
        pat = lock_user(session, cast.actor(cast.pat).user_id)
        outcome = sign_in(
            session,
            who=Authentication(cast.pat, ADDRESS, pat),
            request=SignInRequest(text, MAC, machine_id="hers"),
            signing_keys=signing_keys(app),
            registrations=Rate(20, 3600),
            clock=lambda: NOW,
        )
        assert isinstance(outcome, SignedIn)
        tokens.append(outcome.token)

    address = f"/projects/{cast.acme_project}/agents/machines/{agent_id}/detach"
    with app.app_context(), writing(), Session(db.engine) as other, other.begin():
        sign_in_pat(other)
        answers: list[int] = []
        detaching = threading.Thread(target=lambda: answers.append(ada.post(address).status_code))
        detaching.start()
        detaching.join(0.5)
        assert detaching.is_alive()
    detaching.join(60)
    assert answers == [303]
    pat = RealAgent(to_the_app(app.test_client(), ADDRESS))
    pat.token = tokens[0]
    answer = pat.heartbeat()
    assert (answer.status, answer.code) == (401, "agent_blocked")


def answer_after_wait(
    app: Flask,
    clock: Clock,
    hold: Callable[[Session], object],
    ask: Callable[[], T],
    until: datetime = END,
) -> T:
    """What is answered to whoever asks before `until` and waits till then for what `hold` does."""
    answers: list[T] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    with app.app_context(), writing(), Session(db.engine) as other, other.begin():
        hold(other)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        clock.instant = until
    thread.join(60)
    [answer] = answers
    return answer
