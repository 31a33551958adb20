"""Users: the list, a user's page, invitations and one-time links."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.users import create_user, disable_user, find_user
from app.agents.people import enable_user
from app.core.actor import SYSTEM
from app.core.permissions import Role
from app.extensions import db
from app.models import AuditEvent, User
from app.web.forms_again import OUT_OF_DATE
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import issued, words
from tests.web.test_forms_again import values

GOOD = "velvet harbour 42"


def user(app: Flask, email: str) -> User | None:
    with app.app_context():
        found = find_user(db.session(), email)
        db.session.remove()
    return found


def link_on(page: TestResponse) -> str:
    """The path of the one-time link that a page shows."""
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert '<label class="form-label" for="one-time-link">One-time link</label>' in page.text
    return re.search(r'value="http://127.0.0.1:8000(/password/[\w-]+)"', page.text)[1]


class TestList:
    def test_it_shows_everybody_with_role_state_and_last_sign_in(
        self, clock: Clock, ada: Visitor, cast: Cast
    ) -> None:
        page = ada.get("/users")
        assert "<h1" in page.text
        said = words(page)
        for email in (cast.ada, cast.audrey, cast.pat, cast.dev, cast.carl, cast.grace):
            assert email in said
        assert "Tue 24 Nov 2026, 15:40 UTC" in said
        assert "Never" in said

    def test_it_is_searched_and_filtered_with_an_address_to_keep(
        self, ada: Visitor, cast: Cast
    ) -> None:
        found = ada.get("/users?q=PAT&role=partner&state=active", htmx=True)
        assert cast.pat in found.text
        assert cast.dev not in found.text
        assert found.headers["HX-Push-Url"] == "/users?q=PAT&role=partner&state=active"
        assert "No users match" in ada.get("/users?q=nobody").text

    def test_names_are_text_and_nothing_else(self, app: Flask, ada: Visitor, cast: Cast) -> None:
        """Mallory has got a name with a script into the list that super admins read."""
        name = "<script>alert(1)</script>\"'><b>"
        path = f"/users/{cast.actor(cast.pat).user_id}"
        form = {"name": name, "email": cast.pat, "role": "partner", "organisation": ""}
        assert ada.post(path, form).status_code == 303
        for address in ("/users", path, f"{path}/disable", "/audit"):
            page = ada.get(address)
            assert page.status_code == 200
            assert "<script>alert" not in page.text
            assert "'><b>" not in page.text
        assert user(app, cast.pat).name == name

    def test_an_auditor_reads_and_changes_nothing(
        self, app: Flask, audrey: Visitor, cast: Cast
    ) -> None:
        pat = f"/users/{cast.actor(cast.pat).user_id}"
        listed = audrey.get("/users")
        assert cast.pat in listed.text
        assert "New user" not in listed.text
        page = audrey.get(pat)
        assert page.status_code == 200
        assert "Save" not in page.text
        for asked in ("/users/new", "/users/invite", f"{pat}/disable", f"{pat}/reset-password"):
            assert audrey.get(asked).status_code == 403
        form = {"email": cast.pat, "role": "super_admin"}
        for sent in ("/users/new", "/users/invite", pat, f"{pat}/disable", f"{pat}/enable"):
            assert audrey.post(sent, form).status_code == 403
        for sent in (f"{pat}/reset-password", f"{pat}/sign-out"):
            assert audrey.post(sent).status_code == 403
        assert user(app, cast.pat).role is Role.PARTNER

    def test_whoever_works_on_the_op_agent_is_refused_exactly(
        self, app: Flask, audrey: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """Audrey becomes a partner while she reads, by a hand that ends no session."""
        assert visitor.get("/users").location == "/login?next=%2Fusers"
        assert visitor.post("/users/new").status_code == 401
        with app.app_context():
            find_user(db.session(), cast.audrey).role = Role.PARTNER
            db.session.commit()
        assert audrey.get("/users").status_code == 403
        assert audrey.get(f"/users/{cast.actor(cast.pat).user_id}").status_code == 403
        assert audrey.get("/access").status_code == 200

    def test_an_unknown_user_is_not_found(self, ada: Visitor) -> None:
        for path in ("/users/0", "/users/999999", "/users/" + "9" * 40, "/users/1x"):
            assert ada.get(path).status_code == 404
        assert ada.post("/users/999999/disable").status_code == 404


class TestUserPage:
    @pytest.fixture
    def path(self, cast: Cast) -> str:
        return f"/users/{cast.actor(cast.pat).user_id}"

    def form(self, page: TestResponse, **new: str) -> dict[str, str]:
        role = re.search(r'<option selected value="([^"]*)"', page.text)[1]
        return values(page.text) | {"role": role} | new

    def test_it_is_changed(self, app: Flask, ada: Visitor, path: str, cast: Cast) -> None:
        form = self.form(ada.get(path), name="Pat", role="client", organisation=cast.acme)
        assert ada.post(path, form).location == path
        changed = user(app, cast.pat)
        assert (changed.name, changed.role, changed.organisation_id) == (
            "Pat",
            Role.CLIENT,
            cast.acme,
        )
        assert f"It is {'Acme'}." in ada.get(path).text

    @pytest.mark.parametrize(
        ("new", "sentence"),
        [
            ({"email": "no e-mail"}, "is not an e-mail address"),
            ({"email": Cast.ada}, "There is already a user ada@example.com."),
            ({"role": "boss"}, "Choose a role."),
            ({"role": "client"}, "A client user belongs to an organisation"),
            ({"organisation": "ORG-9", "role": "client"}, "There is no organisation"),
            ({"name": "x" * 101}, "A name has at most 100 characters"),
        ],
    )
    def test_what_is_wrong_is_said_beside_its_field_and_the_rest_kept(
        self, ada: Visitor, path: str, new: dict[str, str], sentence: str
    ) -> None:
        page = ada.post(path, self.form(ada.get(path), **{"name": "Pat N", **new}))
        assert page.status_code == 422
        assert sentence in words(page)
        assert 'aria-invalid="true"' in page.text
        assert new.get("name", "Pat N") in page.text

    def test_a_form_opened_before_somebody_elses_change_undoes_nothing(
        self, app: Flask, ada: Visitor, grace: Visitor, path: str, cast: Cast
    ) -> None:
        """Ada corrects a name in a form on which Pat is still a super admin."""
        grace.post(path, self.form(grace.get(path), role="super_admin"))
        old = self.form(ada.get(path), name="Pat")
        grace.post(path, self.form(grace.get(path), role="partner"))
        answer = ada.post(path, old)
        assert answer.status_code == 409
        assert "Somebody else has changed this user" in answer.text
        assert user(app, cast.pat).role is Role.PARTNER
        again = self.form(answer, role="partner", name="Pat")
        assert ada.post(path, again).status_code == 303

    def test_nobody_changes_their_own_role(self, app: Flask, ada: Visitor, cast: Cast) -> None:
        path = f"/users/{cast.actor(cast.ada).user_id}"
        answer = ada.post(path, self.form(ada.get(path), role="auditor"))
        assert answer.status_code == 422
        assert "Nobody changes their own role" in answer.text
        assert user(app, cast.ada).role is Role.SUPER_ADMIN
        assert ada.post(path, self.form(ada.get(path), name="Ada")).status_code == 303

    def test_a_new_role_holds_at_once(self, ada: Visitor, audrey: Visitor, cast: Cast) -> None:
        path = f"/users/{cast.actor(cast.audrey).user_id}"
        ada.post(path, self.form(ada.get(path), role="super_admin"))
        assert audrey.get("/users/new").status_code == 200
        ada.post(path, self.form(ada.get(path), role="auditor"))
        assert audrey.get("/users/new").status_code == 403
        ada.post(path, self.form(ada.get(path), role="developer"))
        assert audrey.get("/users").status_code == 303

    def test_disabling_asks_first_and_holds_at_once(
        self, app: Flask, ada: Visitor, audrey: Visitor, cast: Cast
    ) -> None:
        path = f"/users/{cast.actor(cast.audrey).user_id}"
        asked = ada.get(f"{path}/disable", htmx=True)
        assert "Disable audrey@example.com?" in words(asked)
        assert "Revoke what they issued" not in asked.text
        assert ada.post(f"{path}/disable").location == path
        assert audrey.get("/users").status_code == 303
        assert "They are disabled already." in ada.get(f"{path}/disable").text
        assert ada.post(f"{path}/reset-password").status_code == 409
        assert ada.post(f"{path}/enable").location == path
        assert audrey.get("/users").status_code == 303
        assert user(app, cast.audrey).state == "active"

    @pytest.mark.parametrize(("choice", "ended"), [({}, False), ({"revoke": "yes"}, True)])
    def test_with_a_super_admin_what_they_issued_is_revoked_if_chosen(
        self, app: Flask, grace: Visitor, cast: Cast, choice: dict[str, str], ended: bool
    ) -> None:
        key_id = issued(app, cast, cast.acme, ttl=86400, now=_now())
        path = f"/users/{cast.actor(cast.ada).user_id}"
        asked = grace.get(f"{path}/disable")
        assert "Revoke what they issued" in asked.text
        assert "checked" not in re.search(r'<input[^>]*name="revoke"[^>]*>', asked.text)[0]
        assert "1 key that is active now" in asked.text
        assert grace.post(f"{path}/disable", choice).status_code == 303
        page = grace.get(f"/projects/{cast.acme_project}/license?key={key_id}")
        assert ("Revoked" in words(page)) is ended

    def test_the_last_super_admin_is_neither_disabled_nor_demoted(
        self, app: Flask, ada: Visitor, cast: Cast
    ) -> None:
        ada.post(f"/users/{cast.actor(cast.grace).user_id}/disable")
        path = f"/users/{cast.actor(cast.ada).user_id}"
        assert "is the last super admin who can sign in" in ada.get(f"{path}/disable").text
        answer = ada.post(f"{path}/disable")
        assert answer.status_code == 409
        assert "is the last super admin who can sign in" in answer.text
        assert user(app, cast.ada).state == "active"

    def test_signed_out_everywhere_is_out_at_once(
        self, ada: Visitor, audrey: Visitor, cast: Cast
    ) -> None:
        path = f"/users/{cast.actor(cast.audrey).user_id}/sign-out"
        assert "Sign audrey@example.com out everywhere?" in words(ada.get(path))
        assert ada.post(path).status_code == 303
        assert audrey.get("/users").status_code == 303

    def test_without_its_token_nothing_is_done(
        self, app: Flask, ada: Visitor, path: str, cast: Cast
    ) -> None:
        """Another site has Ada's browser send a form that makes Pat a super admin."""
        form = {"email": cast.pat, "role": "super_admin", "csrf_token": "forged"}
        assert ada.client.post(path, data=form).status_code == 422
        for action in ("disable", "enable", "reset-password", "sign-out"):
            assert ada.client.post(f"{path}/{action}").status_code == 400
        found = user(app, cast.pat)
        assert (found.role, found.state) == (Role.PARTNER, "active")


def _now() -> object:
    from app.core.clock import utcnow

    return utcnow()


class TestNewUser:
    def test_one_is_created_with_a_password(
        self, app: Flask, ada: Visitor, cast: Cast, visitor: Visitor
    ) -> None:
        form = {"name": "New", "email": "New@Example.com", "role": "auditor", "password": GOOD}
        ada.get("/users/new")
        answer = ada.post("/users/new", form)
        assert answer.status_code == 303
        assert answer.location == f"/users/{user(app, 'new@example.com').id}"
        assert visitor.sign_in("new@example.com", GOOD).status_code == 303

    @pytest.mark.parametrize(
        ("new", "sentence"),
        [
            ({"password": "short"}, "A password has 10 to 1,000 characters."),
            ({"password": "new@example.com"}, "too easy to guess"),
            ({"role": ""}, "Choose a role."),
            ({"email": Cast.pat}, "There is already a user pat@example.com."),
            ({"email": "x"}, "is not an e-mail address"),
        ],
    )
    def test_what_is_wrong_is_said_and_the_password_not_repeated(
        self, ada: Visitor, new: dict[str, str], sentence: str
    ) -> None:
        form = {"email": "new@example.com", "role": "auditor", "password": GOOD} | new
        answer = ada.post("/users/new", form)
        assert answer.status_code == 422
        assert sentence in words(answer)
        assert GOOD not in answer.text

    def test_a_form_out_of_date_comes_back_but_for_the_password(
        self, ada: Visitor, cast: Cast
    ) -> None:
        form = {"name": "New", "email": "new@example.com", "password": GOOD, "csrf_token": "old"}
        answer = ada.client.post("/users/new", data=form)
        assert answer.status_code == 422
        assert OUT_OF_DATE.split("(")[0] in answer.text
        assert values(answer.text)["email"] == "new@example.com"
        assert GOOD not in answer.text


class TestInvitation:
    def invite(self, ada: Visitor, role: str = "auditor", **more: str) -> str:
        ada.get("/users/invite")
        form = {"email": "new@example.com", "name": "New", "role": role, **more}
        return link_on(ada.post("/users/invite", form))

    def test_the_invited_person_chooses_a_password_and_signs_in(
        self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = self.invite(ada)
        assert user(app, "new@example.com").state == "invited"
        page = visitor.get(path)
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert 'value="new@example.com"' in page.text
        answer = visitor.post(path, {"new_password": GOOD})
        assert (answer.status_code, answer.location) == (303, "/login")
        assert "Your password is set. Sign in with it here." in visitor.get("/login").text
        assert visitor.sign_in("new@example.com", GOOD).status_code == 303
        with app.app_context():
            told = [event.tag for event in db.session.query(AuditEvent).order_by(AuditEvent.id)]
            text = " ".join(str(vars(event)) for event in db.session.query(AuditEvent))
        assert told[-4:] == [
            "user.invited",
            "user.password_link_made",
            "user.password_set",
            "portal.signed_in",
        ]
        assert path.rpartition("/")[2] not in text

    def test_a_client_user_is_sent_to_the_op_agent(
        self, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = self.invite(ada, "client", organisation=cast.acme)
        visitor.get(path)
        visitor.post(path, {"new_password": GOOD})
        assert "Sign in with it on the OP Agent." in visitor.get("/login").text

    def test_used_or_lapsed_it_is_gone_and_guessed_it_is_not_found(
        self, clock: Clock, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """Mallory finds an old invitation in a mailbox, and tries others."""
        path = self.invite(ada)
        clock.advance(hours=72, seconds=-1)
        assert visitor.get(path).status_code == 200
        clock.advance(seconds=1)
        assert visitor.get(path).status_code == 410
        assert visitor.post(path, {"new_password": GOOD}).status_code == 410
        for guess in ("/password/x", f"{path}x", path[:-1], "/password/" + "%00" * 9):
            assert visitor.get(guess).status_code == 404
            assert visitor.post(guess, {"new_password": GOOD}).status_code == 404
        assert visitor.get("/password/").status_code == 404

    def test_used_it_is_gone(self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast) -> None:
        path = self.invite(ada)
        visitor.get(path)
        assert visitor.post(path, {"new_password": GOOD}).status_code == 303
        assert visitor.get(path).status_code == 410
        before = user(app, "new@example.com").password_hash
        other = {"new_password": "another harbour 43"}
        visitor.get("/login")
        assert visitor.post(path, other).status_code == 410
        assert user(app, "new@example.com").password_hash == before
        gone = words(visitor.get(path))
        assert "Ask a super admin for a new one." in gone

    def test_of_a_user_disabled_meanwhile_it_is_gone_for_good(
        self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = self.invite(ada)
        visitor.get(path)
        who = {"email": "new@example.com", "actor": cast.actor(cast.ada), "now": NOW}
        with app.app_context():
            disable_user(db.session(), **who)
            db.session.commit()
        assert visitor.post(path, {"new_password": GOOD}).status_code == 410
        with app.app_context():
            enable_user(db.session(), **who)
            db.session.commit()
        assert visitor.get(path).status_code == 410

    def test_foreign_fields_make_nobody_more(
        self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """The invited person adds fields to the form: a better role, Ada's e-mail."""
        path = self.invite(ada)
        visitor.get(path)
        more = {"role": "super_admin", "email": cast.ada, "organisation": cast.acme, "next": "//x"}
        answer = visitor.post(path, {"new_password": GOOD, **more})
        assert answer.location == "/login"
        assert user(app, "new@example.com").role is Role.AUDITOR
        assert visitor.sign_in(cast.ada, GOOD).status_code == 401

    def test_a_weak_password_leaves_the_link_as_it_is(
        self, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = self.invite(ada)
        visitor.get(path)
        for weak in ("", "short", "newexample", "new@example.com"):
            answer = visitor.post(path, {"new_password": weak})
            assert answer.status_code == 422
            assert 'aria-invalid="true"' in answer.text
        assert visitor.post(path, {"new_password": GOOD}).status_code == 303

    def test_a_cookie_planted_before_is_not_signed_in_afterwards(
        self, app: Flask, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        """Mallory has planted her own cookie in the browser that opens the link (fixation)."""
        path = self.invite(ada)
        visitor.get(path)
        planted = visitor.client.get_cookie("rolling_window").value
        visitor.post(path, {"new_password": GOOD})
        visitor.sign_in("new@example.com", GOOD)
        mallory = Visitor(app.test_client())
        mallory.client.set_cookie("rolling_window", planted)
        assert mallory.get("/account").status_code == 303
        assert visitor.get("/account").status_code == 200

    def test_out_of_date_the_form_is_shown_again(
        self, ada: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = self.invite(ada)
        visitor.get(path)
        form = {"new_password": GOOD, "csrf_token": visitor.csrf_token}
        visitor.client.delete_cookie("rolling_window")
        answer = visitor.client.post(path, data=form)
        assert answer.status_code == 422
        assert GOOD not in answer.text
        again = {"new_password": GOOD, "csrf_token": values(answer.text)["csrf_token"]}
        assert visitor.client.post(path, data=again).status_code == 303

    def test_resetting_a_password_shows_a_link_and_changes_nothing_until_it_is_used(
        self, app: Flask, ada: Visitor, audrey: Visitor, visitor: Visitor, cast: Cast
    ) -> None:
        path = f"/users/{cast.actor(cast.audrey).user_id}/reset-password"
        assert "Reset the password of audrey@example.com?" in words(ada.get(path))
        link = link_on(ada.post(path))
        assert audrey.get("/audit").status_code == 200
        visitor.get(link)
        assert visitor.post(link, {"new_password": GOOD}).status_code == 303
        assert audrey.get("/audit").status_code == 303
        assert visitor.sign_in(cast.audrey, GOOD).status_code == 303

    def test_the_address_in_it_is_the_public_one(self, ada: Visitor, cast: Cast) -> None:
        """Whoever chose the Host would choose where the link leads."""
        with ada.client.application.app_context():
            create_user(
                db.session(),
                email="new@example.com",
                role=Role.PARTNER,
                password_hash="",
                actor=SYSTEM,
                now=NOW,
            )
            db.session.commit()
            new = find_user(db.session(), "new@example.com").id
        config = ada.client.application.extensions["config"]
        from dataclasses import replace

        ada.client.application.extensions["config"] = replace(
            config, public_url="https://portal.example"
        )
        try:
            page = ada.post(f"/users/{new}/reset-password")
        finally:
            ada.client.application.extensions["config"] = config
        assert 'value="https://portal.example/password/' in page.text


def test_works_until_is_said(clock: Clock, ada: Visitor, cast: Cast) -> None:
    page = ada.post(f"/users/{cast.actor(cast.pat).user_id}/reset-password")
    until = clock.now() + timedelta(hours=72)
    assert f"until {until:%a} {until.day} {until:%b %Y, %H:%M} UTC" in words(page)
