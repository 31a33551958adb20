"""The second factor on the pages: at the sign-in, set up, before what cannot be undone."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.users import find_user
from app.core.durations import Rate
from app.core.permissions import Role, SecondFactorPolicy
from app.extensions import db
from app.models import AuditEvent, Authenticator, RecoveryCode
from tests.conftest import PASSWORD, Cast, Clock, Visitor
from tests.web.pages import words


@pytest.fixture
def required(app: Flask) -> Iterator[None]:
    """A portal for real use: super admins need a second factor."""
    before = app.extensions["config"]
    app.extensions["config"] = replace(before, second_factor=SecondFactorPolicy.SUPER_ADMIN)
    yield
    app.extensions["config"] = before


class Phone:
    """An authenticator app, whose codes follow the portal's clock."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self.secret, self.clock = secret, clock

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(self.clock.now())


def secret_on(page: str) -> str:
    found = re.search(r'id="secret"\s+value="([A-Z2-7]{32})"', page)
    assert found, page
    return found[1]


def set_up(visitor: Visitor, clock: Clock) -> tuple[Phone, list[str]]:
    page = visitor.get("/second-factor/set-up").text
    phone = Phone(secret_on(page), clock)
    answer = visitor.post("/second-factor/set-up", {"code": phone.code()})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return phone, re.findall(r"<li>([2-9A-Z-]{19})</li>", answer.text)


def heading(page: str) -> str:
    found = re.search(r"<h1[^>]*>([^<]+)</h1>", page)
    assert found
    return found[1]


def events(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(select(AuditEvent.tag).order_by(AuditEvent.id)))


def sign_in(visitor: Visitor, email: str, **fields: object) -> str:
    """Where the right password leads."""
    visitor.get("/login")
    answer = visitor.post("/login", {"email": email, "password": PASSWORD, **fields})
    assert answer.status_code == 303
    return answer.location


@pytest.mark.usefixtures("required")
class TestSettingUp:
    def test_at_the_first_sign_in_then_recovery_codes_then_on(
        self, app: Flask, cast: Cast, clock: Clock, visitor: Visitor
    ) -> None:
        assert sign_in(visitor, cast.ada, next="/audit") == "/login/second-factor"
        assert visitor.get("/login/second-factor").location == "/second-factor/set-up"
        assert visitor.get("/audit").status_code == 303  # not signed in yet
        page = visitor.get("/second-factor/set-up")
        assert heading(page.text) == "Second factor"
        assert re.search(r'<img class="qr-code"\s+src="data:image/svg\+xml', page.text)
        assert page.headers["Cache-Control"] == "no-store"
        phone = Phone(secret_on(page.text), clock)
        wrong = visitor.post("/second-factor/set-up", {"code": "000000"})
        assert (wrong.status_code, secret_on(wrong.text)) == (422, phone.secret)
        assert "That is not the code that the app shows now." in wrong.text
        codes = visitor.post("/second-factor/set-up", {"code": phone.code()})
        assert heading(codes.text) == "Recovery codes"
        assert len(re.findall(r"<li>[2-9A-Z-]{19}</li>", codes.text)) == 10
        assert 'href="/audit"' in codes.text
        assert visitor.get("/audit").status_code == 200
        assert events(app)[-2:] == ["user.authenticator_set_up", "portal.signed_in"]

    def test_the_secret_is_another_one_for_the_next_who_asks(
        self, cast: Cast, clock: Clock, visitor: Visitor
    ) -> None:
        sign_in(visitor, cast.ada)
        first = secret_on(visitor.get("/second-factor/set-up").text)
        assert secret_on(visitor.get("/second-factor/set-up").text) == first
        visitor.post("/logout")
        sign_in(visitor, cast.grace)
        assert secret_on(visitor.get("/second-factor/set-up").text) != first

    def test_who_knows_the_password_alone_sets_no_factor_of_their_own_up(
        self, app: Flask, cast: Cast, clock: Clock, visitor: Visitor
    ) -> None:
        """Mallory has Ada's password, and goes to the set-up instead of entering a code."""
        sign_in(visitor, cast.ada)
        set_up(visitor, clock)
        mallory = Visitor(app.test_client())
        assert sign_in(mallory, cast.ada) == "/login/second-factor"
        assert mallory.get("/second-factor/set-up").location == "/login"
        sign_in(mallory, cast.ada)
        answer = mallory.post("/second-factor/set-up", {"code": "000000"})
        assert (answer.status_code, answer.location) == (303, "/login")

    def test_an_auditor_needs_none_and_may_have_one(
        self, cast: Cast, clock: Clock, visitor: Visitor
    ) -> None:
        assert sign_in(visitor, cast.audrey) == "/"
        set_up(visitor, clock)
        assert "Set up" in visitor.get("/account").text
        visitor.post("/logout")
        assert sign_in(visitor, cast.audrey) == "/login/second-factor"

    def test_an_op_agent_never_asks(self, app: Flask, cast: Cast, clock: Clock) -> None:
        body = {"login_id": cast.carl, "password": PASSWORD, "mac_id": "00:1A:2B:00:00:01"}
        answer = app.test_client().post("/api/agent/v1/sessions", json=body)
        assert answer.status_code == 201


@pytest.fixture
def phone(required: None, cast: Cast, clock: Clock, visitor: Visitor) -> Phone:
    """Ada's, whose browser is signed out again; the clock is a minute on."""
    sign_in(visitor, cast.ada)
    phone, _ = set_up(visitor, clock)
    visitor.post("/logout")
    clock.advance(minutes=1)
    return phone


class TestSigningIn:
    def test_with_a_code(self, app: Flask, cast: Cast, visitor: Visitor, phone: Phone) -> None:
        sign_in(visitor, cast.ada, next="/projects?q=a")
        page = visitor.get("/login/second-factor")
        assert heading(page.text) == "Second factor"
        assert '<label class="form-label" for="code">Code</label>' in page.text
        assert "Use a recovery code" in page.text
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert (answer.status_code, answer.location) == (303, "/projects?q=a")
        assert visitor.get("/audit").status_code == 200

    def test_a_wrong_code_is_said_beside_it_and_logged(
        self, app: Flask, cast: Cast, visitor: Visitor, phone: Phone
    ) -> None:
        sign_in(visitor, cast.ada)
        answer = visitor.post("/login/second-factor", {"code": "000000"})
        assert answer.status_code == 401
        assert "That code is not right, or was used before." in answer.text
        assert events(app)[-1] == "portal.second_factor_refused"
        assert visitor.get("/audit").status_code == 303
        again = visitor.post("/login/second-factor", {"code": phone.code()})
        assert again.status_code == 303

    def test_a_code_does_not_sign_in_twice(
        self, app: Flask, cast: Cast, visitor: Visitor, phone: Phone
    ) -> None:
        """Mallory knows the password, and reads the code on Ada's screen a moment after her."""
        sign_in(visitor, cast.ada)
        assert visitor.post("/login/second-factor", {"code": phone.code()}).status_code == 303
        mallory = Visitor(app.test_client())
        sign_in(mallory, cast.ada)
        assert mallory.post("/login/second-factor", {"code": phone.code()}).status_code == 401

    def test_too_many_wrong_codes_from_wherever(
        self, cast: Cast, visitor: Visitor, phone: Phone
    ) -> None:
        """Mallory has Ada's password, and a botnet."""
        sign_in(visitor, cast.ada)
        for number in range(10):
            wrong = visitor.post(
                "/login/second-factor",
                {"code": "000000"},
                environ_overrides={"REMOTE_ADDR": f"198.51.100.{number}"},
            )
            assert wrong.status_code == 401
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")

    def test_too_many_wrong_codes_in_a_day(
        self, cast: Cast, visitor: Visitor, phone: Phone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.accounts.second_factor.CODES_A_DAY", Rate(1, 86_400))
        sign_in(visitor, cast.ada)
        assert visitor.post("/login/second-factor", {"code": "000000"}).status_code == 401
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert answer.status_code == 429
        assert "Codes of the app count again in 1 day; recovery codes" in words(answer)

    def test_with_a_recovery_code_once(
        self, app: Flask, cast: Cast, clock: Clock, required: None, visitor: Visitor
    ) -> None:
        sign_in(visitor, cast.ada)
        _, codes = set_up(visitor, clock)
        for status in (303, 401):
            browser = Visitor(app.test_client())
            sign_in(browser, cast.ada)
            page = browser.get("/login/second-factor?recovery=1")
            assert "Recovery code</label>" in page.text
            data = {"recovery": "1", "code": codes[0]}
            assert browser.post("/login/second-factor", data).status_code == status
        assert "user.recovery_code_used" in events(app)

    def test_half_way_ends_after_ten_minutes(
        self, cast: Cast, clock: Clock, visitor: Visitor, phone: Phone
    ) -> None:
        sign_in(visitor, cast.ada)
        clock.advance(minutes=10)
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert (answer.status_code, answer.location) == (303, "/login")
        assert "That took too long" in visitor.get("/login").text

    @pytest.mark.parametrize("change", ["disabled", "another password", "role"])
    def test_what_happens_half_way_counts(
        self, app: Flask, cast: Cast, visitor: Visitor, phone: Phone, change: str
    ) -> None:
        """Ada is disabled, or her password changed, while Mallory stands at the second factor."""
        sign_in(visitor, cast.ada)
        with app.app_context():
            user = find_user(db.session(), cast.ada)
            assert user is not None
            if change == "disabled":
                user.disabled_at = phone.clock.now()
            elif change == "role":
                user.role, user.organisation_id = Role.CLIENT, cast.acme
            else:
                user.password_hash = "another"
            db.session.commit()
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert (answer.status_code, answer.location) == (303, "/login")
        assert visitor.get("/audit").status_code == 303

    def test_a_sign_in_half_way_is_none(self, cast: Cast, visitor: Visitor, phone: Phone) -> None:
        sign_in(visitor, cast.ada)
        for path in ("/", "/audit", "/account", "/users", "/prove"):
            assert visitor.get(path).location.startswith("/login?next="), path
        assert visitor.post("/users/new", {}).status_code == 401

    def test_without_a_password_there_is_no_second_factor_to_enter(
        self, visitor: Visitor, cast: Cast, phone: Phone
    ) -> None:
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert (answer.status_code, answer.location) == (303, "/login")

    def test_where_it_leads_is_this_site(self, cast: Cast, visitor: Visitor, phone: Phone) -> None:
        sign_in(visitor, cast.ada, next="https://evil.example/")
        answer = visitor.post("/login/second-factor", {"code": phone.code()})
        assert answer.location == "/"

    def test_a_form_out_of_date_comes_back(
        self, cast: Cast, visitor: Visitor, phone: Phone
    ) -> None:
        sign_in(visitor, cast.ada)
        data = {"csrf_token": "old", "code": phone.code()}
        answer = visitor.post("/login/second-factor", data)
        assert answer.status_code == 422
        assert "out of date" in answer.text


class TestProvingAgain:
    """Ada, who has no second factor, has signed in a while ago."""

    def test_by_the_password_then_the_form_comes_back_filled_in(
        self, app: Flask, cast: Cast, clock: Clock, ada: Visitor
    ) -> None:
        clock.advance(minutes=10)
        new = {"email": "new@example.com", "name": "Nina", "role": "partner"}
        answer = ada.post("/users/invite", new)
        assert (answer.status_code, answer.location) == (303, "/prove?next=%2Fusers%2Finvite")
        page = ada.get(answer.location)
        assert heading(page.text) == "Second factor"
        assert 'for="password">Password</label>' in page.text
        wrong = ada.post("/prove", {"password": "wrong", "next": "/users/invite"})
        assert wrong.status_code == 401
        assert "That is not your password." in wrong.text
        proven = ada.post("/prove", {"password": PASSWORD, "next": "/users/invite"})
        assert (proven.status_code, proven.location) == (303, "/users/invite")
        form = ada.get("/users/invite").text
        assert 'value="new@example.com"' in form
        assert "You have proved who you are. Nothing was done yet" in form
        assert "user.created" not in events(app)
        assert ada.post("/users/invite", new).status_code == 200
        assert events(app).count("portal.proven_again") == 1

    def test_a_sign_in_counts_for_ten_minutes(self, clock: Clock, ada: Visitor) -> None:
        clock.advance(minutes=10, seconds=-1)
        assert ada.post("/users/invite", {}).status_code == 422
        clock.advance(seconds=1)
        assert ada.post("/users/invite", {}).status_code == 303

    def test_by_a_code_where_there_is_an_app(self, cast: Cast, clock: Clock, ada: Visitor) -> None:
        phone, codes = set_up(ada, clock)
        clock.advance(minutes=11)
        assert ada.post("/account/authenticator/remove").location == "/prove?next=%2F"
        assert 'for="password"' not in ada.get("/prove").text
        assert ada.post("/prove", {"password": PASSWORD}).status_code == 401
        data = {"code": codes[0], "recovery": "1", "next": "/account"}
        assert ada.post("/prove", data).location == "/account"
        clock.advance(minutes=11)
        assert ada.post("/prove", {"code": phone.code(), "next": "/account"}).status_code == 303
        assert ada.post("/account/authenticator/remove").location == "/account"

    @pytest.mark.parametrize(
        "path",
        [
            *("/users/new", "/users/invite", "/users/{id}", "/users/{id}/reset-password"),
            *("/users/{id}/reset-second-factor", "/users/{id}/disable"),
            *("/audit/export.csv", "/audit/export.jsonl"),
            *("/projects/1/visits/export.csv", "/projects/1/visits/export.json"),
            *("/account/passkeys", "/account/recovery-codes", "/account/authenticator/remove"),
            "/account/passkeys/1/remove",
        ],
    )
    def test_before_what_cannot_be_undone(
        self, app: Flask, cast: Cast, clock: Clock, ada: Visitor, path: str
    ) -> None:
        """Somebody sits down at Ada's unlocked browser."""
        clock.advance(minutes=20)
        before = events(app)
        answer = ada.post(path.format(id=cast.actor(cast.pat).user_id))
        assert answer.status_code == 303
        assert answer.location.startswith("/prove?next=")
        assert events(app) == before
        dialog = ada.post(path.format(id=cast.actor(cast.pat).user_id), htmx=True)
        assert dialog.status_code == 403
        assert dialog.headers["HX-Redirect"].startswith("/prove?next=")

    def test_a_stranger_at_the_browser_sets_nothing_up(self, clock: Clock, ada: Visitor) -> None:
        clock.advance(minutes=20)
        for answer in (ada.get("/second-factor/set-up"), ada.post("/second-factor/set-up")):
            assert answer.location == "/prove?next=%2Fsecond-factor%2Fset-up"

    def test_it_leads_to_this_site_alone(self, ada: Visitor) -> None:
        data = {"password": PASSWORD, "next": "https://evil.example/"}
        assert ada.post("/prove", data).location == "/"


def test_a_super_admin_resets_what_somebody_has_lost(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor, audrey: Visitor
) -> None:
    set_up(audrey, clock)
    path = f"/users/{cast.actor(cast.audrey).user_id}/reset-second-factor"
    assert "work no more" in ada.get(path).text
    assert ada.post(path).status_code == 303
    with app.app_context():
        assert db.session.scalars(select(Authenticator.user_id)).all() == []
        assert db.session.scalars(select(RecoveryCode.user_id)).all() == []
    assert "They have no second factor." in ada.get(path).text


def test_removing_the_last_one_takes_the_recovery_codes_along(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor
) -> None:
    set_up(ada, clock)
    page = ada.get("/account").text
    assert "10 left" in page
    renewed = ada.post("/account/recovery-codes").text
    assert heading(renewed) == "Recovery codes"
    ada.post("/account/authenticator/remove")
    assert "Not set up" in ada.get("/account").text
    with app.app_context():
        assert db.session.scalars(select(RecoveryCode.user_id)).all() == []


class TestPasskeysOnPages:
    def test_on_an_ip_address_the_buttons_say_why_not(self, app: Flask, visitor: Visitor) -> None:
        page = visitor.client.get("/login", headers={"Host": "127.0.0.1:8000"}).text
        button = re.search(r"<button[^>]*>\s*<svg.*?Sign in with a passkey", page, re.DOTALL)
        assert button
        assert "disabled" in button[0]
        assert "an IP address has none" in page
        page = visitor.get("/login").text
        assert 'data-passkey="/passkeys/options/sign-in"' in page

    @pytest.mark.parametrize("purpose", ["prove", "second-factor", "add", "x"])
    def test_nobody_is_asked_who_is_not_there(self, visitor: Visitor, purpose: str) -> None:
        assert visitor.post(f"/passkeys/options/{purpose}").status_code == 404

    @pytest.mark.parametrize(
        "answer", ["", "x", "{}", "[]", "null", '{"response": {}}', "[" * 5000]
    )
    def test_an_answer_that_is_none_lets_nobody_in(
        self, app: Flask, cast: Cast, visitor: Visitor, answer: str
    ) -> None:
        sent = visitor.post("/login/passkey", {"passkey": answer})
        assert (sent.status_code, sent.location) == (303, "/login")
        assert "The passkey was not accepted." in visitor.get("/login").text
        assert events(app)[-1] == "portal.second_factor_refused"


def test_home_says_that_nobody_is_asked_while_trying_out(
    app: Flask, ada: Visitor, clock: Clock
) -> None:
    assert "Sample data is on" not in ada.get("/").text
    config = app.extensions["config"]
    app.extensions["config"] = replace(config, sample_data=True)
    try:
        assert "Sample data is on, so nobody is asked for a second factor." in ada.get("/").text
    finally:
        app.extensions["config"] = config


def test_the_clock_set_back_asks_again(cast: Cast, clock: Clock, ada: Visitor) -> None:
    """A proof from the future is none."""
    clock.advance(seconds=-timedelta(hours=1).total_seconds())
    assert ada.post("/users/invite", {}).status_code == 303
