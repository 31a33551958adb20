"""Forms that are out of date, and forms sent after a sign-in had ended: nobody types twice."""

import re
from datetime import datetime, timedelta
from html import unescape
from io import BytesIO

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import AuditEvent, Project, TemporaryLicense
from app.web.forms_again import MOST_KEPT, page_of_form
from tests.conftest import PASSWORD, Cast, Clock, Visitor

OUT_OF_DATE = "This form was out of date"
NEW = {
    "name": "Harbour",
    "organisation_name": "Harbour & Co",
    "organisation_id": "ORG-7",
    "contact_email": "ada@harbour.example",
    "plan": "Growth",
    "plan_expires_on": "2027-01-31",
    "status": "Active",
}
HERE = "http://localhost"


def values(page: str) -> dict[str, str]:
    """What stands in a page's inputs, by name."""
    inputs = re.findall(r"<input[^>]*>", page)
    named = [(re.search(r' name="([^"]*)"', i), re.search(r' value="([^"]*)"', i)) for i in inputs]
    return {name[1]: unescape(value[1]) for name, value in named if name and value}


def tags(app: Flask) -> list[tuple[str, str, str]]:
    with app.app_context():
        events = db.session.query(AuditEvent).order_by(AuditEvent.id)
        return [(event.tag, event.actor, event.subject) for event in events]


def count(app: Flask, table: type) -> int:
    with app.app_context():
        return db.session.query(table).count()


class TestSigningIn:
    def stale(self, app: Flask, cast: Cast, **fields: str) -> tuple[Visitor, dict[str, str]]:
        """A browser, and the sign-in form of a tab opened before its cookies were cleared."""
        browser = Visitor(app.test_client())
        browser.get("/login")
        form = {"csrf_token": browser.csrf_token, "email": cast.ada, "password": PASSWORD}
        browser.client.delete_cookie("rolling_window")
        return browser, form | fields

    def test_with_cleared_cookies_the_form_comes_back_but_for_the_password(
        self, app: Flask, cast: Cast
    ) -> None:
        browser, form = self.stale(app, cast, next="/audit?page=2")
        answer = browser.client.post("/login", data=form)
        assert answer.status_code == 422
        assert OUT_OF_DATE in answer.text
        shown = values(answer.text)
        assert (shown["email"], shown["next"]) == (cast.ada, "/audit?page=2")
        assert PASSWORD not in answer.text
        again = form | {"csrf_token": shown["csrf_token"]}
        answer = browser.client.post("/login", data=again)
        assert (answer.status_code, answer.location) == (303, "/audit?page=2")

    def test_in_the_second_of_two_tabs_it_leads_where_one_wanted(
        self, app: Flask, cast: Cast
    ) -> None:
        browser = Visitor(app.test_client())
        browser.get("/login")
        form = {"csrf_token": browser.csrf_token, "email": cast.ada, "password": PASSWORD}
        assert browser.client.post("/login", data=form).location == "/"
        second = browser.client.post("/login", data=form | {"next": "/audit?page=2"})
        assert (second.status_code, second.location) == (303, "/audit?page=2")
        evil = browser.client.post("/login", data=form | {"next": "//evil.example"})
        assert (evil.status_code, evil.location) == (303, "/")
        assert OUT_OF_DATE not in browser.get("/audit").text

    def test_a_program_is_told_as_before(self, app: Flask, cast: Cast) -> None:
        browser, form = self.stale(app, cast)
        headers = {"Accept": "application/json"}
        answer = browser.client.post("/login", data=form, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (400, "form_out_of_date")


class TestSigningOut:
    def test_a_second_time_from_another_tab_is_a_success(self, ada: Visitor) -> None:
        ada.get("/audit")
        form = {"csrf_token": ada.csrf_token}
        for _ in range(3):
            answer = ada.client.post("/logout", data=form)
            assert (answer.status_code, answer.location) == (303, "/login")
        assert "You are signed out." in ada.get("/login").text

    def test_with_the_token_of_an_earlier_sign_in_nobody_is_signed_out(
        self, app: Flask, ada: Visitor, cast: Cast
    ) -> None:
        ada.get("/audit")
        form = {"csrf_token": ada.csrf_token}
        ada.post("/logout")
        ada.get("/login")
        assert ada.sign_in(cast.ada).status_code == 303
        assert ada.client.post("/logout", data=form).status_code == 400
        assert ada.get("/audit").status_code == 200


class TestOutOfDate:
    """Signed out and in again in another window: the token in this one is an old one."""

    @pytest.fixture
    def old(self, ada: Visitor, cast: Cast) -> dict[str, str]:
        ada.get("/projects")
        old = {"csrf_token": ada.csrf_token}
        ada.post("/logout")
        ada.get("/login")
        assert ada.sign_in(cast.ada).status_code == 303
        return old

    def test_a_new_project_comes_back_as_typed_and_can_be_sent(
        self, app: Flask, ada: Visitor, old: dict[str, str]
    ) -> None:
        answer = ada.client.post("/projects/new", data=NEW | old)
        assert answer.status_code == 422
        assert OUT_OF_DATE in answer.text
        shown = values(answer.text)
        assert {name: shown[name] for name in NEW} == NEW
        assert count(app, Project) == 2
        again = ada.client.post("/projects/new", data=NEW | {"csrf_token": shown["csrf_token"]})
        assert again.status_code == 303
        assert count(app, Project) == 3

    def test_an_edit_comes_back_with_its_version(
        self, ada: Visitor, cast: Cast, old: dict[str, str]
    ) -> None:
        edit = f"/projects/{cast.acme_project}/edit"
        typed = NEW | {"version": "an old one", "organisation_id": "ORG-666"}
        answer = ada.client.post(edit, data=typed | old)
        assert answer.status_code == 422
        shown = values(answer.text)
        assert (shown["name"], shown["version"]) == ("Harbour", "an old one")
        assert shown.get("organisation_id", cast.acme) == cast.acme

    def test_generating_by_htmx_gives_the_tab_and_a_notice(
        self, app: Flask, ada: Visitor, cast: Cast, old: dict[str, str]
    ) -> None:
        tab = f"/projects/{cast.acme_project}/license"
        headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#license"}
        answer = ada.client.post(tab, data={"ttl": "6h"} | old, headers=headers)
        assert answer.status_code == 422
        assert "<html" not in answer.text
        assert '<hx-partial hx-target="#notices"' in answer.text
        assert OUT_OF_DATE in answer.text
        assert re.search(r'<option[^>]* selected value="6h"', answer.text)
        assert count(app, TemporaryLicense) == 0

    def test_a_confirmation_asks_again(self, ada: Visitor, cast: Cast, old: dict[str, str]) -> None:
        answer = ada.client.post(f"/projects/{cast.acme_project}/archive", data=old)
        assert answer.status_code == 422
        assert "Archive this project?" in answer.text
        assert OUT_OF_DATE in answer.text

    def test_where_the_thing_itself_is_gone_that_is_said(
        self, ada: Visitor, old: dict[str, str]
    ) -> None:
        assert ada.client.post("/projects/4711/edit", data=NEW | old).status_code == 404

    def test_nobody_sees_what_their_role_does_not_show(self, app: Flask, audrey: Visitor) -> None:
        answer = audrey.client.post("/projects/new", data=NEW | {"csrf_token": "old"})
        assert answer.status_code == 403

    def test_it_is_in_the_audit_log(
        self, app: Flask, ada: Visitor, cast: Cast, old: dict[str, str]
    ) -> None:
        ada.client.post("/projects/new", data=NEW | old)
        assert tags(app)[-1] == ("portal.form_refused", cast.ada, "/projects/new")
        ada.client.post("/projects/new", data=NEW)
        assert tags(app).count(("portal.form_refused", cast.ada, "/projects/new")) == 2
        assert "Harbour" not in str(tags(app))

    def test_of_nobody_it_is_not(self, app: Flask, cast: Cast, visitor: Visitor) -> None:
        visitor.client.post("/login", data={"csrf_token": "old", "email": cast.ada})
        assert [tag for tag, _, _ in tags(app)] == ["signing_key.created"]


def test_every_form_has_a_page_to_come_back_on(app: Flask) -> None:
    """A view that takes forms at an address of its own says what shows them again."""
    data = {"csrf_token": "old"}
    lost = []
    for rule in app.url_map.iter_rules():
        if "POST" not in rule.methods or rule.rule.startswith("/api/"):
            continue
        path = re.sub(r"<[^>]*>", "1", rule.rule)
        with app.test_request_context(path, method="POST", data=data):
            if page_of_form() is None:
                lost.append(rule.rule)
    # What a script or the identity provider sends has no page: nobody fills it in.
    assert sorted(lost) == [
        "/access/<key_id>/copied",
        "/agent/inspect",
        "/login/oidc/back-channel-logout",
        "/passkeys/options/<purpose>",
        "/projects/<id:project_id>/license/<key_id>/copied",
        "/projects/<id:project_id>/license/options",
        "/projects/<id:project_id>/license/preview",
    ]


class TestTheAgent:
    def form(self, browser: Visitor, cast: Cast) -> dict[str, str]:
        browser.get("/agent")
        return {
            "csrf_token": browser.csrf_token,
            "login_id": cast.pat,
            "password": PASSWORD,
            "registration_key": "rw1.x.y",
        }

    def test_after_a_portal_sign_in_in_the_same_browser_the_form_comes_back(
        self, visitor: Visitor, cast: Cast
    ) -> None:
        form = self.form(visitor, cast)
        visitor.sign_in(cast.ada)
        for headers in ({}, {"HX-Request": "true", "HX-Request-Type": "partial"}):
            answer = visitor.client.post("/agent", data=form, headers=headers)
            assert answer.status_code == 422
            assert OUT_OF_DATE in answer.text
            assert values(answer.text)["login_id"] == cast.pat
            assert "rw1.x.y</textarea>" in answer.text
            assert PASSWORD not in answer.text

    def test_a_file_in_a_field_is_no_text(self, visitor: Visitor, cast: Cast) -> None:
        form = self.form(visitor, cast) | {"login_id": (BytesIO(b"x"), "x.txt")}
        visitor.sign_in(cast.ada)
        assert visitor.client.post("/agent", data=form).status_code == 422


IDLE = "You were signed out because there was no activity for 30 min. Sign in to go on"


class TestAfterTheSignInHasEnded:
    @pytest.fixture
    def away(self, clock: Clock, ada: Visitor) -> Visitor:
        """Ada, with the page of a new project open, half an hour later."""
        ada.get("/projects/new")
        clock.advance(minutes=31)
        return ada

    def send(self, visitor: Visitor, **fields: str) -> TestResponse:
        here = {"Referer": f"{HERE}/projects/new"}
        data = {"csrf_token": visitor.csrf_token, **NEW, **fields}
        return visitor.client.post("/projects/new", data=data, headers=here)

    def sign_in(self, visitor: Visitor, email: str) -> TestResponse:
        """By the form that is shown, and on to where it leads."""
        page = visitor.get("/login?next=/projects/new")
        answer = visitor.post(
            "/login", {"email": email, "password": PASSWORD, "next": values(page.text)["next"]}
        )
        assert (answer.status_code, answer.location) == (303, "/projects/new")
        return visitor.get(answer.location)

    def test_a_form_comes_back_filled_in_with_the_reason(
        self, app: Flask, away: Visitor, cast: Cast
    ) -> None:
        answer = self.send(away)
        assert answer.status_code == 401
        assert f"{IDLE}; nothing was done." in answer.text
        assert f"{IDLE}; nothing was done." in away.get("/login?next=/projects/new").text
        page = self.sign_in(away, cast.ada)
        assert page.status_code == 200
        shown = values(page.text)
        assert {name: shown[name] for name in NEW} == NEW
        assert "You are signed in again." in page.text
        assert count(app, Project) == 2
        assert values(away.get("/projects/new").text).get("name", "") == ""

    def test_a_wrong_password_on_the_way_loses_nothing(self, away: Visitor, cast: Cast) -> None:
        self.send(away)
        away.get("/login")
        assert away.post("/login", {"email": cast.ada, "password": "wrong"}).status_code == 401
        assert values(self.sign_in(away, cast.ada).text)["name"] == "Harbour"

    def test_it_comes_back_to_nobody_else(self, away: Visitor, cast: Cast) -> None:
        """The next at the same machine signs in, and does not see what somebody else typed."""
        self.send(away)
        page = self.sign_in(away, cast.grace)
        assert page.status_code == 200
        assert "Harbour" not in page.text

    def test_it_is_forgotten_on_another_page(self, away: Visitor, cast: Cast) -> None:
        self.send(away)
        away.sign_in(cast.ada)
        assert "Harbour" not in away.get("/projects/new").text

    def test_one_that_is_too_long_for_a_cookie_is_not_kept_and_that_is_said(
        self, away: Visitor, cast: Cast
    ) -> None:
        answer = self.send(away, name="x" * MOST_KEPT)
        assert "what you typed is too long to be kept here" in answer.text
        assert len(answer.headers.get("Set-Cookie", "")) < 4096
        assert "xxx" not in self.sign_in(away, cast.ada).text

    def test_the_longest_that_is_kept_fits_into_a_cookie(self, away: Visitor, cast: Cast) -> None:
        name = "".join(chr(0x4E00 + number * 37 % 20_000) for number in range(350))
        answer = self.send(away, name=name)
        assert "too long" not in answer.text
        assert 0 < len(answer.headers["Set-Cookie"]) < 4096

    def test_one_from_another_site_is_not_kept(self, away: Visitor, cast: Cast) -> None:
        """The attacker fills in a form that the victim shall send after the next sign-in."""
        for referrer in ("http://evil.example/projects/new", ""):
            away.client.post("/projects/new", data=NEW, headers={"Referer": referrer})
            assert "Harbour" not in self.sign_in(away, cast.ada).text
            away.post("/logout")

    def test_no_password_is_kept(self, away: Visitor, cast: Cast) -> None:
        self.send(away, new_password="a secret of mine", password="another secret")
        with away.client.session_transaction() as kept:
            assert "secret" not in str(dict(kept))
            assert "csrf" not in str(kept["kept_form"])

    def test_generating_says_that_nothing_was_generated(
        self, app: Flask, away: Visitor, cast: Cast
    ) -> None:
        tab = f"/projects/{cast.acme_project}/license"
        headers = {"HX-Request": "true", "HX-Current-URL": f"{HERE}{tab}"}
        data = {"ttl": "6h", "csrf_token": away.csrf_token}
        answer = away.client.post(tab, data=data, headers=headers)
        assert answer.status_code == 401
        page = away.get(answer.headers["HX-Redirect"])
        assert f"{IDLE}; nothing was generated." in page.text
        assert count(app, TemporaryLicense) == 0

    def test_a_search_is_come_back_to_as_it_was_typed(self, away: Visitor) -> None:
        headers = {"HX-Request": "true", "HX-Current-URL": f"{HERE}/projects"}
        answer = away.client.get("/projects?q=acme", headers=headers)
        assert answer.headers["HX-Redirect"] == "/login?next=%2Fprojects%3Fq%3Dacme"
        assert f"{IDLE}." in away.get(answer.headers["HX-Redirect"]).text


def test_the_longest_sign_in_ends_with_its_own_reason(clock: Clock, ada: Visitor) -> None:
    for _ in range(26):
        clock.advance(minutes=29)
        ada.get("/audit")
    page = ada.get("/login")
    assert "You were signed out because a sign-in lasts 12 hrs at most." in page.text


def test_whoever_has_signed_out_or_was_never_in_is_given_no_reason(
    ada: Visitor, visitor: Visitor
) -> None:
    ada.post("/logout")
    for person in (ada, visitor):
        assert "You were signed out" not in person.get("/login?next=/audit").text


class TestStayingSignedIn:
    def ends(self, answer: TestResponse) -> datetime:
        return datetime.fromisoformat(answer.headers["X-Idle-Ends"])

    def test_every_answer_says_when_the_sign_in_will_end(self, clock: Clock, ada: Visitor) -> None:
        clock.advance(minutes=10)
        page = ada.get("/audit")
        assert self.ends(page) == clock.now() + timedelta(minutes=30)
        assert f'data-idle-ends="{page.headers["X-Idle-Ends"]}"' in page.text
        clock.advance(minutes=10)
        poll = ada.client.get("/audit", headers={"X-Timer": "1"})
        assert self.ends(poll) == clock.now() + timedelta(minutes=20)

    def test_stay_signed_in_is_activity(self, clock: Clock, ada: Visitor) -> None:
        ada.get("/audit")
        clock.advance(minutes=29)
        answer = ada.post("/stay-signed-in")
        assert answer.status_code == 204
        assert self.ends(answer) == clock.now() + timedelta(minutes=30)
        clock.advance(minutes=29)
        assert ada.get("/audit").status_code == 200

    def test_it_takes_a_form_of_this_site_and_somebody_signed_in(
        self, clock: Clock, ada: Visitor, visitor: Visitor
    ) -> None:
        assert ada.client.post("/stay-signed-in").status_code == 400
        assert visitor.post("/stay-signed-in").status_code == 401
        assert "X-Idle-Ends" not in visitor.get("/login").headers
