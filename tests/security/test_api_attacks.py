"""Attacks on the JSON interface, each told as a story."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import create_app
from app.accounts import passwords
from app.accounts.users import disable_user
from app.agents.registration import ensure_machine_salt
from app.cli.setup import upgrade_database
from app.config import load_config
from app.extensions import db
from app.licenses.keyring import ensure_signing_key
from app.models import AgentSession, AuditEvent, Base, WebSession
from tests.agents.api_stage import BASE, OTHER_MAC, RealAgent, to_the_app, wait
from tests.agents.console.stage import log_in
from tests.agents.stage import HOUR, MAC, issue, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor

HERE, THERE = "198.51.100.9", "203.0.113.50"


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every story begins with the cast, and the clock standing at NOW."""


@pytest.fixture
def agent(app: Flask) -> RealAgent:
    return RealAgent(to_the_app(app.test_client()))


@pytest.fixture
def key(app: Flask, cast: Cast) -> str:
    with app.app_context():
        return text_of(issue(db.session(), cast))


def stored(app: Flask) -> str:
    """All that the database holds, as text."""
    with app.app_context():
        rows = [
            tuple(row)
            for table in Base.metadata.sorted_tables
            for row in db.session.execute(select(table))
        ]
    return repr(rows)


class TestAStolenDatabase:
    def test_holds_no_token_that_opens_a_session(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        """Mallory steals last night's copy of the database and tries every value in it as a
        bearer token."""
        agent.sign_in(Cast.pat, key)
        assert agent.token not in stored(app)
        mallory = RealAgent(to_the_app(app.test_client()))
        with app.app_context():
            values = {
                str(value)
                for table in Base.metadata.sorted_tables
                for row in db.session.execute(select(table))
                for value in row
                if value is not None
            }
        for mallory.token in values:
            if mallory.token.isascii() and mallory.token.isprintable():
                assert mallory.heartbeat().status == 401

    def test_holds_no_machines_license_and_no_machine_id(
        self, app: Flask, agent: RealAgent
    ) -> None:
        """Mallory looks for the license that she could show elsewhere as this machine's."""
        said = agent.sign_in(Cast.carl, machine_id="4c4c4544-0042-secret").json
        held = stored(app)
        assert said["license_key"].split(".")[3] not in held
        assert "4c4c4544-0042-secret" not in held

    def test_holds_no_password_and_no_key_that_anybody_sent(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        """Pat pastes her password into the wrong fields; so does whoever types in a hurry."""
        agent.sign_in(Cast.pat, key)
        agent.sign_in(Cast.pat, "rw1.what.was.pasted", password="what was typed")
        agent.sign_in(Cast.pat, "my secret password")
        held = stored(app)
        for secret in (key, "what.was.pasted", "what was typed", "my secret password", PASSWORD):
            assert secret not in held


class TestTokens:
    @pytest.fixture
    def elsewhere(self, tmp_path: object) -> Iterator[Flask]:
        """Another installation, with people of the same names."""
        config = load_config(
            {"PORTAL_INSTANCE": str(tmp_path), "PORTAL_SECRET_KEY": "another secret, " * 3}
        )
        other = create_app(config)
        with other.app_context():
            upgrade_database(config, NOW)
            ensure_signing_key(db.session(), signing_keys=config.signing_keys, now=NOW)
            ensure_machine_salt(db.session())
            Cast(db.session())
            yield other
            db.session.remove()
            db.engine.dispose()

    def test_of_another_installation_open_nothing(self, elsewhere: Flask, agent: RealAgent) -> None:
        """Mallory runs a portal of her own, signs in there, and comes with what she got."""
        mine = RealAgent(to_the_app(elsewhere.test_client()))
        said = mine.sign_in(Cast.carl).json
        assert mine.heartbeat().status == 200
        agent.token = mine.token
        assert agent.heartbeat().code == "session_ended"
        agent.token = ""
        for text in (said["license_key"], mine.token):
            assert agent.sign_in(Cast.pat, text).code == "key_invalid"

    def test_are_new_at_every_sign_in_and_never_told_again(
        self, agent: RealAgent, key: str
    ) -> None:
        """Mallory reads the answers of Pat's agent after the sign-in."""
        tokens = {agent.sign_in(Cast.pat, key).json["session_token"] for _ in range(20)}
        assert len(tokens) == 20
        for method, path in (
            ("GET", "/session"),
            ("GET", "/configuration"),
            ("DELETE", "/session"),
        ):
            answer = agent.ask(method, path)
            assert agent.token not in answer.body.decode() + str(answer.headers)

    def test_of_one_organisation_say_nothing_of_another(
        self, app: Flask, cast: Cast, agent: RealAgent
    ) -> None:
        """Carl of Acme would like to read Bolt's configuration: no field names an organisation."""
        agent.sign_in(Cast.carl)
        agent.ask("PUT", "/configuration", {"organisation_id": cast.bolt, "secret": 1})
        with app.app_context():
            bolt_key = text_of(issue(db.session(), cast, cast.bolt))
        partner = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        partner.sign_in(Cast.pat, bolt_key)
        for query in ("", "?organisation_id=ORG-000123"):
            assert partner.ask("GET", f"/configuration{query}").json == {}


class TestTheBrowsersCookies:
    @pytest.mark.parametrize("who", [Cast.ada, Cast.audrey])
    def test_open_nothing_here(self, app: Flask, cast: Cast, who: str) -> None:
        """Mallory's page lets Ada's browser, which is signed in to the portal, ask this interface:
        without a bearer token it is nobody. So no CSRF token is needed here."""
        ada = Visitor(app.test_client())
        assert ada.sign_in(who).status_code == 303
        with app.app_context():
            before = db.session.scalars(select(WebSession.last_active_at)).one()
        for method, path in (
            ("GET", "/session"),
            ("DELETE", "/session"),
            ("GET", "/configuration"),
            ("PUT", "/configuration"),
        ):
            answer = ada.client.open(
                BASE + path, method=method, json={} if method == "PUT" else None
            )
            assert answer.status_code == 401, path
            assert answer.json["code"] == "session_ended"
            assert "Set-Cookie" not in answer.headers
        with app.app_context():
            assert db.session.scalars(select(WebSession.last_active_at)).one() == before

    def test_of_the_agent_in_the_browser_are_no_bearer(self, app: Flask, key: str) -> None:
        """The cookie of the OP Agent's window is not sent here, and is not looked at if it is."""
        pat = Visitor(app.test_client())
        pat.get("/agent")
        assert log_in(pat, key).status_code == 303
        cookie = pat.client.get_cookie("op_agent", path="/agent")
        assert cookie is not None
        pat.client.set_cookie("op_agent", cookie.value, path="/")
        assert pat.client.get(f"{BASE}/session").status_code == 401

    def test_a_form_on_another_site_cannot_sign_anybody_in(self, app: Flask) -> None:
        """Mallory's page posts a form with JSON in it: a form cannot send application/json."""
        body = json.dumps({"login_id": Cast.carl, "password": PASSWORD, "mac_id": MAC})
        for content_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ):
            answer = app.test_client().post(
                f"{BASE}/sessions", data=body, content_type=content_type
            )
            assert answer.status_code == 415


class TestGuessing:
    def wrong(self, send_from: RealAgent, who: str = Cast.pat) -> int:
        return send_from.sign_in(who, "rw1.x", password="a guess").status

    def test_over_the_portal_and_the_interface_is_counted_together(
        self, app: Flask, agent: RealAgent, clock: Clock
    ) -> None:
        """Mallory guesses Ada's password five times at the portal and five times here; the
        eleventh guess is refused at both, and the right password with it."""
        client = app.test_client()
        portal = Visitor(client)
        portal.get("/login")
        client.environ_base["REMOTE_ADDR"] = HERE
        guess = {"email": Cast.ada, "password": "a guess"}
        assert [portal.post("/login", guess).status_code for _ in range(5)] == [401] * 5
        assert [self.wrong(agent, Cast.ada) for _ in range(5)] == [401] * 5
        assert portal.post("/login", guess).status_code == 429
        answer = agent.sign_in(Cast.ada)
        assert (answer.status, answer.code) == (429, "throttled")
        assert answer.headers["Retry-After"] == "60"
        clock.advance(seconds=59)
        assert agent.sign_in(Cast.ada).headers["Retry-After"] == "1"
        clock.advance(seconds=1)
        assert agent.sign_in(Cast.ada).code == "role_not_allowed"

    def test_locks_out_the_guesser_and_not_the_owner(
        self, app: Flask, agent: RealAgent, key: str
    ) -> None:
        """Mallory guesses Pat's password until she is refused; Pat, elsewhere, signs in."""
        assert [self.wrong(agent) for _ in range(11)] == [401] * 10 + [429]
        pat = RealAgent(to_the_app(app.test_client(), THERE))
        assert pat.sign_in(Cast.pat, key).status == 201

    def test_one_password_on_many_accounts_is_counted_too(self, agent: RealAgent) -> None:
        """Mallory tries one password on a hundred accounts."""
        answers = [self.wrong(agent, f"user{number}@example.com") for number in range(61)]
        assert answers == [401] * 60 + [429]

    def test_over_two_workers_is_counted_together(self, app: Flask, agent: RealAgent) -> None:
        other = create_app(app.extensions["config"])
        second = RealAgent(to_the_app(other.test_client()))
        answers = [self.wrong(one) for _ in range(6) for one in (agent, second)]
        with other.app_context():
            db.engine.dispose()
        assert answers == [401] * 10 + [429] * 2

    def test_a_good_password_with_a_bad_key_is_no_wrong_password(self, agent: RealAgent) -> None:
        answers = [agent.sign_in(Cast.pat, "rw1.x").code for _ in range(20)]
        assert answers == ["key_invalid"] * 20

    def test_of_keys_is_limited_where_keys_are_looked_at(self, agent: RealAgent) -> None:
        answers = [
            agent.ask("POST", "/keys/inspect", {"registration_key": f"rw1.{number}"}).status
            for number in range(121)
        ]
        assert answers == [200] * 120 + [429]


class TestWhatARefusalTells:
    def test_a_wrong_password_an_unknown_and_a_disabled_account_look_the_same(
        self, app: Flask, cast: Cast, agent: RealAgent, key: str
    ) -> None:
        """Mallory wants to know who has an account, and whose key it is that she found."""
        with app.app_context():
            disable_user(db.session(), email=Cast.dev, actor=cast.actor(cast.ada), now=NOW)
            db.session.commit()
        agent.sign_in(Cast.carl)
        agent.token = ""
        answers = [
            agent.sign_in(Cast.pat, key, password="a guess"),
            agent.sign_in("nobody@example.com", key),
            agent.sign_in(Cast.dev, key),
            agent.sign_in(Cast.dev, "rw1.x", mac_id=OTHER_MAC),
        ]
        assert len({answer.body for answer in answers}) == 1
        assert set(answers[0].json) == {"type", "status", "code", "title", "detail"}
        names = [{name for name, _ in answer.headers.items()} for answer in answers]
        assert all(name == names[0] for name in names)

    def test_an_unknown_account_costs_as_much_work_as_a_wrong_password(
        self, agent: RealAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Mallory takes the time of the answers: each is one comparison of a hash."""
        compared: list[str] = []
        verify = passwords.hasher.verify

        class Counting:
            hash = staticmethod(passwords.hasher.hash)

            @staticmethod
            def verify(password_hash: str, password: str) -> bool:
                compared.append(password_hash)
                return bool(verify(password_hash, password))

        monkeypatch.setattr(passwords, "hasher", Counting)
        for number, who in enumerate((Cast.pat, "nobody@example.com", "")):
            agent.sign_in(who or "x", password="a guess")
            assert len(compared) == number + 1

    def test_a_machine_of_another_organisation_is_told_after_the_password_only(
        self, agent: RealAgent
    ) -> None:
        """Mallory asks whose machine this is."""
        agent.sign_in(Cast.carl)
        agent.token = ""
        answer = agent.sign_in(Cast.pat, "rw1.x", password="a guess")
        assert "Acme" not in answer.body.decode()

    @settings(max_examples=60)
    @given(
        field=st.sampled_from(
            ["login_id", "password", "mac_id", "registration_key", "hostname", "agent_version",
             "machine_id", "save_configuration", "a field", "the body"]
        ),
        shape=st.sampled_from([lambda text: text, lambda text: [text], lambda text: {text: text},
                               lambda text: text * 40, lambda text: f"{text}\x00"]),
        path=st.sampled_from(["/sessions", "/keys/inspect", "/configuration"]),
    )  # fmt: skip
    def test_a_secret_in_the_wrong_field_comes_back_in_no_answer(
        self, agent: RealAgent, clock: Clock, field: str, shape: object, path: str
    ) -> None:
        """Pat's program mixes up its fields, and its log of answers is read by others."""
        clock.advance(minutes=1)
        secret = "S3cret-rw1.eyJraWQi-correct-horse"
        value = shape(secret)  # type: ignore[operator]
        body: object = {"login_id": "x", "password": "p", "mac_id": MAC, field: value}
        if field == "a field":
            body = {secret: 1}
        if field == "the body":
            body = value
        method = "PUT" if path == "/configuration" else "POST"
        answer = agent.ask(method, path, raw=json.dumps(body).encode())
        assert answer.status in (200, 401, 422)
        assert secret not in answer.body.decode()
        assert secret not in str(answer.headers)

    def test_no_password_key_or_token_is_in_the_log(
        self, agent: RealAgent, key: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            agent.sign_in(Cast.pat, key)
            agent.heartbeat()
            agent.sign_in(Cast.pat, "rw1.a.wrong.key", password="a wrong password")
        for secret in (PASSWORD, key, agent.token, "a.wrong.key", "a wrong password"):
            assert secret not in caplog.text


class TestTime:
    def test_the_agents_word_for_the_time_is_not_asked(
        self, app: Flask, agent: RealAgent, key: str, clock: Clock
    ) -> None:
        """Pat sets her machine's clock back, and sends headers that say so."""
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, HOUR)
        headers = {
            "Date": "Tue, 24 Nov 2026 15:41:00 GMT",
            "If-Modified-Since": "Tue, 24 Nov 2026 15:41:00 GMT",
            "X-Server-Now": "2026-11-24T15:41:00Z",
        }
        assert agent.ask("GET", "/session", headers=headers).code == "key_expired"

    def test_a_heartbeat_lengthens_no_key(
        self, app: Flask, agent: RealAgent, key: str, clock: Clock
    ) -> None:
        """Pat's program asks every second in the hope to stay for ever."""
        agent.sign_in(Cast.pat, key)
        ends: set[datetime] = set()
        for _ in range(6):
            clock.advance(minutes=9)
            assert agent.heartbeat().status == 200
            with app.app_context():
                [found] = db.session.scalars(select(AgentSession))
                assert found.temporary_license is not None
                ends.add(found.temporary_license.expires_at)
        assert len(ends) == 1
        clock.advance(minutes=6)
        assert agent.heartbeat().code == "key_expired"

    def test_a_session_cannot_be_brought_back(
        self, agent: RealAgent, key: str, clock: Clock
    ) -> None:
        """Pat confirms the end, asks again, and the portal's clock is set back by an hour."""
        agent.sign_in(Cast.pat, key)
        wait(agent, clock, HOUR)
        assert agent.heartbeat().code == "key_expired"
        agent.confirm()
        clock.advance(minutes=-30)
        assert agent.heartbeat().status == 401


def test_a_refused_save_is_in_the_audit_log(app: Flask, agent: RealAgent, key: str) -> None:
    """Pat writes her own program that saves configuration under a temporary key."""
    agent.sign_in(Cast.pat, key, save_configuration=True)
    for _ in range(3):
        assert agent.ask("PUT", "/configuration", {"mine": 1}).code == "configuration_read_only"
    with app.app_context():
        tags = db.session.scalars(select(AuditEvent.tag)).all()
    assert tags.count("agent.configuration_refused") == 3
