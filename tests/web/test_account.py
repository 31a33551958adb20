"""Your account: the password, the browsers signed in, and how pages look."""

import re

import pytest
from flask import Flask

from app.extensions import db
from app.models import AuditEvent, WebSession
from tests.conftest import PASSWORD, Cast, Clock, Visitor, _signed_in
from tests.web.pages import words

GOOD = "velvet harbour 42"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def tags(app: Flask) -> list[str]:
    with app.app_context():
        return [event.tag for event in db.session.query(AuditEvent).order_by(AuditEvent.id)]


def change(visitor: Visitor, current: str = PASSWORD, new: str = GOOD, **more: str) -> object:
    visitor.get("/account")
    form = {"current_password": current, "new_password": new, **more}
    return visitor.post("/account/password", form)


class TestPassword:
    def test_it_is_changed_and_ends_the_other_browsers(
        self, app: Flask, ada: Visitor, cast: Cast
    ) -> None:
        other = _signed_in(app, cast.ada)
        answer = change(ada)
        assert (answer.status_code, answer.location) == (303, "/account")
        assert "Your password is changed." in ada.get("/account").text
        assert other.get("/account").status_code == 303
        assert other.sign_in(cast.ada).status_code == 401
        assert other.sign_in(cast.ada, GOOD).status_code == 303
        assert "account.password_changed" in tags(app)

    def test_an_auditor_changes_theirs_too(self, audrey: Visitor) -> None:
        assert change(audrey).status_code == 303

    def test_a_wrong_present_one_changes_nothing_and_is_logged(
        self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """Mallory has found Ada's browser open and does not know her password."""
        for current in ("wrong", "", GOOD):
            answer = change(ada, current)
            assert answer.status_code == 422
            assert "That is not your present password." in answer.text
            assert GOOD not in answer.text
        assert tags(app)[-1] == "account.password_refused"
        assert visitor.sign_in(cast.ada).status_code == 303

    def test_guesses_are_throttled_together_with_sign_ins(
        self, ada: Visitor, visitor: Visitor, cast: Cast, clock: Clock
    ) -> None:
        assert [change(ada, "wrong").status_code for _ in range(11)] == [422] * 10 + [429]
        answer = change(ada)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert visitor.sign_in(cast.ada).status_code == 429

    @pytest.mark.parametrize("weak", ["", "short", "ada@example.com", "password123", "x" * 1001])
    def test_a_weak_new_one_is_refused_beside_its_field(self, ada: Visitor, weak: str) -> None:
        answer = change(ada, new=weak)
        assert answer.status_code == 422
        field = re.search(r'<input[^>]*name="new_password"[^>]*>', answer.text)[0]
        assert 'aria-invalid="true"' in field
        assert PASSWORD not in answer.text

    def test_foreign_fields_change_nobody_else(
        self, app: Flask, audrey: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """Audrey adds Ada's e-mail and a better role to the form for her own password."""
        assert change(audrey, email=cast.ada, role="super_admin", user_id="1").status_code == 303
        assert visitor.sign_in(cast.ada).status_code == 303
        assert audrey.get("/users/new").status_code == 403

    def test_a_form_out_of_date_comes_back_without_what_was_typed(self, ada: Visitor) -> None:
        form = {"current_password": PASSWORD, "new_password": GOOD, "csrf_token": "old"}
        answer = ada.client.post("/account/password", data=form)
        assert answer.status_code == 422
        assert PASSWORD not in answer.text
        assert GOOD not in answer.text


class TestBrowsers:
    def session_id(self, app: Flask, cast: Cast, email: str) -> int:
        with app.app_context():
            of_user = WebSession.user_id == cast.actor(email).user_id
            query = db.session.query(WebSession).filter(of_user)
            return query.order_by(WebSession.id.desc()).first().id

    def test_they_are_listed_with_since_when_and_from_where(
        self, app: Flask, ada: Visitor, cast: Cast, clock: Clock
    ) -> None:
        other = Visitor(app.test_client())
        other.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
        other.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
        other.sign_in(cast.ada)
        said = words(ada.get("/account"))
        assert "Firefox on Linux since Tue 24 Nov 2026, 15:40 UTC , from 203.0.113.9" in said
        assert said.count("This browser since") <= said.count("This browser")
        assert "Sign out everywhere else" in said
        assert "Firefox on Linux This browser" in words(other.get("/account"))

    def test_one_is_signed_out(self, app: Flask, ada: Visitor, cast: Cast) -> None:
        other = _signed_in(app, cast.ada)
        path = f"/account/browsers/{self.session_id(app, cast, cast.ada)}/sign-out"
        ada.get("/account")
        assert ada.post(path).location == "/account"
        assert other.get("/account").status_code == 303
        assert ada.post(path).status_code == 303
        assert "Sign out everywhere else" not in ada.get("/account").text

    def test_all_others_are_signed_out(self, app: Flask, ada: Visitor, cast: Cast) -> None:
        others = [_signed_in(app, cast.ada) for _ in range(2)]
        ada.get("/account")
        assert ada.post("/account/sign-out-others").status_code == 303
        assert "You are signed out in 2 other browsers." in ada.get("/account").text
        assert [other.get("/account").status_code for other in others] == [303, 303]

    def test_nobody_signs_somebody_else_out(
        self, app: Flask, ada: Visitor, audrey: Visitor, cast: Cast
    ) -> None:
        """Audrey counts up the numbers in the address."""
        audrey.get("/account")
        for session_id in (self.session_id(app, cast, cast.ada), 0, "9" * 40):
            assert audrey.post(f"/account/browsers/{session_id}/sign-out").status_code == 404
        assert ada.get("/account").status_code == 200

    def test_a_form_out_of_date_is_shown_again(self, ada: Visitor) -> None:
        data = {"csrf_token": "old"}
        for path in ("/account/browsers/1/sign-out", "/account/sign-out-others"):
            assert ada.client.post(path, data=data).status_code == 422


class TestDisplay:
    def test_time_zone_and_theme_are_kept_without_javascript(self, ada: Visitor) -> None:
        ada.get("/account")
        assert ada.post("/account/display", {"times": "utc", "theme": "dark"}).status_code == 303
        page = ada.get("/account")
        assert 'data-theme-choice="dark"' in page.text
        assert 'data-times="utc"' in page.text
        assert '<option selected value="utc">UTC</option>' in page.text
        ada.post("/account/display", {"times": "local", "theme": "system"})
        page = ada.get("/account")
        assert 'data-theme-choice="system"' in page.text
        assert 'data-times="local"' in page.text

    def test_what_is_not_offered_is_the_usual(self, ada: Visitor) -> None:
        ada.get("/account")
        answer = ada.post("/account/display", {"times": "x; Domain=evil", "theme": "<b>"})
        assert answer.status_code == 303
        assert "evil" not in str(answer.headers)
        assert 'data-theme-choice="system"' in ada.get("/account").text
