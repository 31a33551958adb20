"""The JSON interface, call by call: signing in, the session, the configuration."""

import base64
from datetime import timedelta
from time import monotonic

import pytest
from flask import Flask
from sqlalchemy import select

from app.agents.live_sessions import end_session
from app.agents.machines import dissociate
from app.core.tokens import hash_token
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import AgentSession, AuditEvent, FeedEvent
from tests.agents.api_stage import (
    OTHER_MAC,
    RealAgent,
    detach_machine,
    end_subscription,
    permanent_licenses,
    registered,
    revoke_permanent,
    to_the_app,
    wait,
)
from tests.agents.stage import HOUR, IDLE, LIMITS, issue, public_keys, text_of
from tests.conftest import NOW, Cast, Clock
from tests.permanent_license import read_permanent_license


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every test finds the cast, and the clock standing at NOW."""


@pytest.fixture
def agent(app: Flask) -> RealAgent:
    return RealAgent(to_the_app(app.test_client()))


@pytest.fixture
def key(app: Flask, cast: Cast) -> str:
    """A key of Acme's, active for an hour."""
    with app.app_context():
        return text_of(issue(db.session(), cast))


class TestASignIn:
    def test_under_a_key_is_answered_as_agreed(self, agent: RealAgent, key: str) -> None:
        answer = agent.sign_in("Pat@Example.com ", key, hostname="erp-1", agent_version="4.2")
        assert answer.status == 201
        said = answer.json
        assert list(said) == [
            "organisation",
            "user",
            "license",
            "expires_in",
            "heartbeat_seconds",
            "can_save_configuration",
            "session_token",
        ]
        assert said["organisation"] == {"organisation_id": "ORG-000123", "name": "Acme"}
        assert said["user"] == {"login_id": "pat@example.com", "role": "partner"}
        assert said["license"]["kind"] == "temporary"
        assert said["license"]["expires_at"] == "2026-11-24T16:40:00Z"
        assert said["expires_in"] == 3600.0
        assert said["heartbeat_seconds"] == 5
        assert said["can_save_configuration"] is False
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"

    def test_a_token_has_128_random_bits_at_least_and_is_stored_hashed(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        agent.sign_in(Cast.pat, key)
        raw = base64.urlsafe_b64decode(agent.token + "=" * (-len(agent.token) % 4))
        assert len(raw) >= 16
        with app.app_context():
            [stored] = db.session.scalars(select(AgentSession.token_hash))
        assert stored == hash_token(agent.token)
        assert agent.token not in stored

    def test_a_first_registration_is_given_the_machines_license_once(
        self, app: Flask, agent: RealAgent
    ) -> None:
        first = agent.sign_in(Cast.carl, machine_id="4c4c4544-0042")
        again = agent.sign_in(Cast.carl, machine_id="4c4c4544-0042")
        assert "license_key" not in again.json
        with app.app_context():
            signed = read_permanent_license(first.json["license_key"], public_keys(db.session()))
            [license] = permanent_licenses(db.session())
        assert signed["jti"] == license.key_id == first.json["license"]["key_id"]
        assert (signed["org"], signed["mac"]) == (Cast.acme, agent.mac_id)
        assert signed["machine"] == "4c4c4544-0042"
        for said in (first.json, again.json):
            assert said["license"]["kind"] == "permanent"
            assert said["license"]["expires_at"] is None
            assert said["expires_in"] is None
            assert said["can_save_configuration"] is True

    def test_under_a_key_an_unregistered_machine_stays_unregistered(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        agent.sign_in(Cast.pat, key)
        with app.app_context():
            assert registered(db.session()) == []
            assert db.session.scalars(select(FeedEvent)).all() == []

    def test_to_save_configuration_is_ignored_with_a_key(self, agent: RealAgent, key: str) -> None:
        answer = agent.sign_in(Cast.pat, key, save_configuration=True)
        assert answer.json["can_save_configuration"] is False

    def test_a_key_as_chat_programs_send_it(self, agent: RealAgent, key: str) -> None:
        wrapped = f"\u201c{key[:70]}\r\n {key[70:]}\u00a0\u201d"
        assert agent.sign_in(Cast.pat, wrapped).status == 201

    def test_fields_may_be_null(self, agent: RealAgent) -> None:
        nulls = dict.fromkeys(
            ("registration_key", "hostname", "agent_version", "save_configuration", "machine_id")
        )
        assert agent.sign_in(Cast.carl, **nulls).status == 201


class TestTimeLeft:
    @pytest.mark.parametrize(
        ("left", "status"), [(0.051, 200), (0.05, 401), (0.000001, 401), (0, 401), (-1, 401)]
    )
    def test_an_answer_that_would_arrive_after_the_end_waits_for_the_refusal(
        self, agent: RealAgent, key: str, clock: Clock, left: float, status: int
    ) -> None:
        """On a busy machine an answer is on its way for some milliseconds."""
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, 3600 - left)
        began = monotonic()
        answer = agent.heartbeat()
        assert answer.status == status
        if status == 401:
            assert answer.json["code"] == "key_expired"
            assert monotonic() - began >= left

    @pytest.mark.parametrize(
        ("seconds", "left"),
        [(0, 3600.0), (0.25, 3599.75), (0.000001, 3599.999), (3599.9491, 0.05), (3599.5, 0.5)],
    )
    def test_has_a_fraction_and_is_never_rounded_up(
        self, agent: RealAgent, key: str, clock: Clock, seconds: float, left: float
    ) -> None:
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, seconds)
        assert agent.heartbeat().json["expires_in"] == left

    @pytest.mark.parametrize(("seconds", "status"), [(3599, 200), (3600, 401), (3601, 401)])
    def test_a_session_ends_with_its_key_to_the_second(
        self, agent: RealAgent, key: str, clock: Clock, seconds: int, status: int
    ) -> None:
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, seconds)
        answer = agent.heartbeat()
        assert answer.status == status
        if status == 401:
            assert answer.code == "key_expired"
            assert answer.json["expired_at"] == "2026-11-24T16:40:00Z"
            assert answer.headers["WWW-Authenticate"] == "Bearer"


class TestAHeartbeat:
    def test_says_the_same_as_the_sign_in_less_the_token(self, agent: RealAgent, key: str) -> None:
        said = agent.sign_in(Cast.pat, key).json
        del said["session_token"]
        answer = agent.heartbeat()
        assert (answer.status, answer.json) == (200, said)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_after_the_key_was_revoked(
        self, app: Flask, cast: Cast, agent: RealAgent, key: str
    ) -> None:
        key_id = agent.sign_in(Cast.pat, key).json["license"]["key_id"]
        with app.app_context():
            revoke_license(db.session(), actor=cast.actor(cast.ada), key_id=key_id, now=NOW)
            db.session.commit()
        assert agent.heartbeat().code == "key_revoked"

    def test_after_the_machine_was_detached(self, app: Flask, cast: Cast, agent: RealAgent) -> None:
        agent.sign_in(Cast.carl)
        with app.app_context():
            detach_machine(db.session(), cast)
        answer = agent.heartbeat()
        assert answer.code == "agent_blocked"
        assert answer.json["detail"].startswith("Agent is Blocked.")

    def test_after_the_machines_license_was_revoked(
        self, app: Flask, cast: Cast, agent: RealAgent
    ) -> None:
        agent.sign_in(Cast.carl)
        with app.app_context():
            revoke_permanent(db.session(), cast)
        assert agent.heartbeat().code == "license_revoked"

    def test_after_the_machine_was_dissociated(
        self, app: Flask, cast: Cast, agent: RealAgent
    ) -> None:
        agent.sign_in(Cast.carl)
        with app.app_context():
            [machine] = registered(db.session())
            dissociate(
                db.session(),
                actor=cast.actor(cast.ada),
                agent_id=machine.id,
                now=NOW,
                limits=LIMITS,
            )
            db.session.commit()
        answer = agent.heartbeat()
        assert answer.code == "session_ended"
        assert "dissociated" in answer.json["detail"]

    def test_after_the_subscription_has_ended(
        self, app: Flask, cast: Cast, agent: RealAgent, clock: Clock
    ) -> None:
        with app.app_context():
            end_subscription(db.session(), cast.acme, NOW.date())
        clock.instant = NOW.replace(hour=23, minute=59, second=59)
        agent.sign_in(Cast.carl)
        assert agent.heartbeat().status == 200
        clock.advance(seconds=1)
        assert agent.heartbeat().code == "subscription_expired"

    def test_after_an_admin_ended_the_session(
        self, app: Flask, cast: Cast, agent: RealAgent, key: str
    ) -> None:
        agent.sign_in(Cast.pat, key)
        with app.app_context():
            [found] = db.session.scalars(select(AgentSession.id))
            end_session(
                db.session(),
                actor=cast.actor(cast.ada),
                session_id=found,
                now=NOW,
                limits=LIMITS,
            )
            db.session.commit()
        assert agent.heartbeat().code == "session_ended"

    def test_that_was_not_sent_for_too_long(self, agent: RealAgent, clock: Clock) -> None:
        agent.sign_in(Cast.carl)
        clock.advance(seconds=IDLE - 1)
        assert agent.heartbeat().status == 200
        clock.advance(seconds=IDLE)
        assert agent.heartbeat().code == "session_ended"


class TestTheEnd:
    def test_is_204_and_then_401(self, agent: RealAgent, key: str) -> None:
        agent.sign_in(Cast.pat, key)
        answer = agent.confirm()
        assert (answer.status, answer.body) == (204, b"")
        assert "Content-Type" not in answer.headers
        assert agent.heartbeat().code == "session_ended"

    def test_is_204_on_an_ended_session_too_and_confirms_it(
        self, app: Flask, agent: RealAgent, key: str, clock: Clock
    ) -> None:
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, HOUR)
        assert agent.heartbeat().code == "key_expired"
        clock.advance(seconds=2)
        assert [agent.confirm().status for _ in range(2)] == [204, 204]
        with app.app_context():
            [found] = db.session.scalars(select(AgentSession))
            assert found.end_code == "key_expired"
            assert found.told_at == NOW + timedelta(hours=1)
            assert found.confirmed_at == NOW + timedelta(hours=1, seconds=2)
        assert agent.heartbeat().code == "key_expired"

    def test_of_no_session_is_401(self, agent: RealAgent) -> None:
        agent.token = "made up"
        answer = agent.confirm()
        assert answer.code == "session_ended"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


class TestConfiguration:
    def test_is_empty_at_first(self, agent: RealAgent) -> None:
        agent.sign_in(Cast.carl)
        answer = agent.ask("GET", "/configuration")
        assert (answer.status, answer.json) == (200, {})

    def test_is_given_back_as_it_was_saved(self, agent: RealAgent) -> None:
        agent.sign_in(Cast.carl)
        for data in (
            {},
            {"a": [1, 1.5, True, None, {"b": "Ünï\u2028\u0000 \U0001f511"}], "": {}},
            {"big": 10**300, "small": 5e-324, "minus": -0.0, "text": "\\u0000"},
        ):
            assert agent.ask("PUT", "/configuration", data).status == 204
            assert agent.ask("GET", "/configuration").json == data

    def test_belongs_to_the_organisation(self, app: Flask, agent: RealAgent) -> None:
        agent.sign_in(Cast.carl)
        agent.ask("PUT", "/configuration", {"mine": 1})
        other = RealAgent(to_the_app(app.test_client()), mac_id=OTHER_MAC)
        other.sign_in(Cast.carl)
        assert other.ask("GET", "/configuration").json == {"mine": 1}

    def test_under_a_key_is_read_and_never_saved(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        agent.sign_in(Cast.carl)
        agent.ask("PUT", "/configuration", {"mine": 1})
        partner = RealAgent(to_the_app(app.test_client()))
        partner.sign_in(Cast.pat, key, save_configuration=True)
        refused = partner.ask("PUT", "/configuration", {"mine": 2})
        assert (refused.status, refused.code) == (403, "configuration_read_only")
        assert partner.ask("GET", "/configuration").json == {"mine": 1}
        with app.app_context():
            assert "agent.configuration_refused" in db.session.scalars(select(AuditEvent.tag)).all()

    def test_needs_a_session(self, agent: RealAgent) -> None:
        assert agent.ask("GET", "/configuration").code == "session_ended"
        assert agent.ask("PUT", "/configuration", {}).code == "session_ended"


class TestInspection:
    def test_tells_the_state_of_a_key(
        self, app: Flask, cast: Cast, agent: RealAgent, clock: Clock
    ) -> None:
        with app.app_context():
            license = issue(db.session(), cast)
            text, key_id = text_of(license), license.key_id
        active = agent.ask("POST", "/keys/inspect", {"registration_key": f" '{text}'\n"})
        assert (active.status, active.json) == (
            200,
            {
                "state": "active",
                "key_id": key_id,
                "organisation_id": cast.acme,
                "starts_at": "2026-11-24T15:40:00Z",
                "expires_at": "2026-11-24T16:40:00Z",
            },
        )
        clock.advance(hours=1)
        expired = agent.ask("POST", "/keys/inspect", {"registration_key": text})
        assert expired.json == active.json | {"state": "expired"}

    def test_tells_nothing_of_an_invalid_one(self, agent: RealAgent, key: str) -> None:
        for text in (key[:-1], key + key, "", "K7QF-3MXP", "\u0000", "x" * 60_000):
            answer = agent.ask("POST", "/keys/inspect", {"registration_key": text})
            assert answer.json == {
                "state": "invalid",
                "key_id": None,
                "organisation_id": None,
                "starts_at": None,
                "expires_at": None,
            }
