"""Signing in at an OpenID provider: a real one, which runs beside the tests, and its mistakes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.accounts.oidc_provider import Provider
from app.accounts.users import PROVIDER_ONLY, disable_user
from app.config import load_config
from app.core.clock import utcnow
from app.core.permissions import Role
from app.extensions import db
from app.models import AuditEvent, Identity, User, WebSession
from tests.conftest import PASSWORD, Cast, Visitor
from tests.provider_process import Running, running_provider
from tests.web.pages import words

pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture(scope="session")
def started_provider() -> Iterator[Running]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(
    app: Flask, cast: Cast, started_provider: Running, monkeypatch: pytest.MonkeyPatch
) -> Running:
    """The provider, straight again, which `app` trusts; Ada is one of its admins."""
    trust(app, started_provider, monkeypatch)
    started_provider.bend()
    started_provider.person(cast.ada, roles=["admins", "staff"])
    return started_provider


def trust(
    app: Flask, provider: Running, monkeypatch: pytest.MonkeyPatch, **settings: object
) -> None:
    given = load_config({**provider.settings(), "PORTAL_SECRET_KEY": "s" * 32})
    own = {name: getattr(given, name) for name in vars(given) if name.startswith("oidc_")}
    config = replace(app.extensions["config"], **own, **settings)
    monkeypatch.setitem(app.extensions, "config", config)
    monkeypatch.setitem(app.extensions, "identity_provider", Provider.of(config))


@dataclass
class Flow:
    """A sign-in at the provider, step by step."""

    visitor: Visitor
    provider: Running
    next: str = "/audit"

    def begin(self) -> str:
        """The address at the provider that the browser is sent to."""
        for page in ("/login", "/prove"):  # whichever shows a form to whom it is
            self.visitor.get(page)
        answer = self.visitor.post("/login/oidc", {"next": self.next})
        assert answer.status_code == 200, words(answer)
        found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.text)
        assert found
        return unescape(found[1])

    def answer(self, subject: str, **options: str) -> str:
        """The path here that the provider sends the browser back to."""
        back = urlsplit(self.provider.agree(self.begin(), subject, **options))
        return f"{back.path}?{back.query}"

    def sign_in(self, subject: str) -> TestResponse:
        return self.visitor.get(self.answer(subject))


@pytest.fixture
def flow(visitor: Visitor, provider: Running) -> Flow:
    return Flow(visitor, provider)


def is_signed_in(visitor: Visitor) -> bool:
    return visitor.get("/account").status_code == 200


def events(app: Flask, tag: str) -> list[AuditEvent]:
    with app.app_context():
        return [*db.session.scalars(select(AuditEvent).where(AuditEvent.tag == tag))]


def user(app: Flask, email: str) -> User:
    with app.app_context():
        return db.session.scalars(select(User).where(User.email == email)).one()


# Signing in


def test_somebody_known_by_e_mail_signs_in_and_is_the_same_ever_after(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    answer = flow.sign_in(cast.ada)
    assert (answer.status_code, answer.location) == (303, "/audit")
    assert is_signed_in(flow.visitor)
    signed_in = events(app, "portal.signed_in")
    assert [(event.actor, event.data["way"]) for event in signed_in] == [(cast.ada, "provider")]
    flow.provider.person(cast.ada, email="ada.byron@example.com", roles=["admins"])
    flow.visitor.post("/logout")
    assert flow.sign_in(cast.ada).status_code == 303
    assert "ada@example.com" in words(flow.visitor.get("/account"))


def test_somebody_new_becomes_a_user_with_the_role_of_the_claim(app: Flask, flow: Flow) -> None:
    flow.provider.person("nia@example.com", roles="audit")
    assert flow.sign_in("nia@example.com").status_code == 303
    nia = user(app, "nia@example.com")
    assert (nia.role, nia.password_hash) == (Role.AUDITOR, PROVIDER_ONLY)
    assert "You have no password here" in words(flow.visitor.get("/account"))
    assert [event.subject for event in events(app, "user.identity_tied")] == ["nia@example.com"]


def test_nobody_signs_in_by_the_password_of_somebody_who_has_none(app: Flask, flow: Flow) -> None:
    """Mallory tries what stands in the database in the place of a hash."""
    flow.provider.person("nia@example.com", roles="audit")
    flow.sign_in("nia@example.com")
    other = Visitor(app.test_client())
    assert other.sign_in("nia@example.com", PROVIDER_ONLY).status_code == 401


def test_the_role_is_taken_from_the_claim_at_every_sign_in(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    flow.sign_in(cast.ada)
    flow.visitor.post("/logout")
    flow.provider.person(cast.ada, roles=["staff", "audit", "partners"])
    assert flow.sign_in(cast.ada).status_code == 303
    assert user(app, cast.ada).role is Role.AUDITOR
    changed = events(app, "user.role_changed")[0]
    assert (changed.actor, changed.data["role"]) == ("Example Login", "auditor")


def test_the_last_super_admin_stays_one_whatever_the_provider_says(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    flow.sign_in(cast.ada)
    with app.app_context():
        disable_user(db.session(), email=cast.grace, actor=cast.actor(cast.ada), now=utcnow())
        db.session.commit()
    flow.visitor.post("/logout")
    flow.provider.person(cast.ada, roles="audit")
    answer = flow.sign_in(cast.ada)
    assert answer.status_code == 403
    assert "is the last super admin who can sign in, and stays one" in words(answer)
    assert user(app, cast.ada).role is Role.SUPER_ADMIN


def test_what_the_id_token_does_not_say_is_asked_for(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.provider.bend(claims={"email": None, "roles": None})
    assert flow.sign_in(cast.ada).status_code == 303
    assert "/userinfo" in flow.provider.asked()


def test_an_invited_user_needs_the_invitation_no_more(app: Flask, ada: Visitor, flow: Flow) -> None:
    ada.get("/users/invite")
    made = ada.post("/users/invite", {"email": "ivy@example.com", "role": "auditor", "name": ""})
    link = re.search(r"/password/[\w-]+", made.text)
    assert link
    flow.provider.person("ivy@example.com", roles="audit")
    assert flow.sign_in("ivy@example.com").status_code == 303
    assert user(app, "ivy@example.com").state == "active"
    assert ada.get(link[0]).status_code == 410


def test_a_partner_is_led_to_their_own_page(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.provider.person(cast.pat, roles="partners")
    answer = flow.sign_in(cast.pat)
    assert (answer.status_code, answer.location) == (303, "/access")
    assert flow.visitor.get("/access").status_code == 200


def test_what_the_browser_is_told_holds_no_secret(app: Flask, cast: Cast, flow: Flow) -> None:
    """Whoever reads the address (a log, the provider) has neither verifier nor client secret, and
    whoever reads the cookie has neither verifier nor nonce."""
    address = flow.begin()
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["code_challenge_method"] == "S256"
    assert "client_secret" not in asked
    assert "code_verifier" not in asked
    cookie = flow.visitor.client.get_cookie("rolling_window")
    with flow.visitor.client.session_transaction() as kept:
        assert asked["nonce"] not in str(dict(kept))
        assert set(kept["provider"]) == {"state", "at", "next", "proves"}
    assert asked["nonce"] not in str(cookie)


# What the provider, or somebody on the way, gets wrong


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"nonce": "another"}, "answers another sign-in"),
        ({"nonce": None}, "answers another sign-in"),
        ({"aud": "another"}, "meant for another application"),
        ({"aud": ["portal", "another"]}, "made for another application"),
        ({"azp": "another"}, "made for another application"),
        ({"iss": "https://login.example"}, "comes from another provider"),
        ({"iat": 120}, "the clocks of the provider and of this portal differ"),
        ({"iat": -120, "exp": -60}, "the clocks of the provider and of this portal differ"),
        ({"exp": -61}, "It has expired"),
        ({"exp": None}, "lacks a time that it must have (exp)"),
        ({"sub": None}, "does not say who you are"),
    ],
)
@pytest.mark.databases("sqlite")
def test_a_wrong_token_signs_nobody_in(
    app: Flask, cast: Cast, flow: Flow, claims: dict[str, object], said: str
) -> None:
    flow.provider.bend(claims=claims)
    answer = flow.sign_in(cast.ada)
    assert answer.status_code == 401
    assert "The answer of Example Login was not accepted." in words(answer)
    assert said in words(answer)
    assert not is_signed_in(flow.visitor)
    assert [event.data for event in events(app, "portal.sign_in_refused")] == [{"reason": "answer"}]


@pytest.mark.parametrize("seconds", [-50, 50])
@pytest.mark.databases("sqlite")
def test_clocks_may_differ_by_less_than_a_minute(cast: Cast, flow: Flow, seconds: int) -> None:
    flow.provider.bend(claims={"iat": seconds, "exp": seconds + 300})
    assert flow.sign_in(cast.ada).status_code == 303


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"roles": ["staff"]}, "Example Login gives you no role on this portal."),
        ({"roles": 7}, "Example Login gives you no role on this portal."),
        ({"roles": "admins", "email_verified": False}, "vouches for no e-mail address of yours"),
        ({"roles": "admins", "email_verified": "true"}, "vouches for no e-mail address of yours"),
        ({"roles": "admins", "email": None}, "vouches for no e-mail address of yours"),
        ({"roles": "admins", "email": "no-address"}, "vouches for no e-mail address of yours"),
    ],
)
@pytest.mark.databases("sqlite")
def test_whoever_has_no_role_or_no_verified_e_mail_is_refused_with_a_sentence(
    app: Flask, flow: Flow, known: dict[str, object], said: str
) -> None:
    flow.provider.person("eve@example.com", **known)
    answer = flow.sign_in("eve@example.com")
    assert answer.status_code == 403
    assert said in words(answer)
    assert not is_signed_in(flow.visitor)
    with app.app_context():
        assert db.session.scalar(select(User).where(User.email == "eve@example.com")) is None


def test_the_e_mail_of_somebody_who_is_tied_lets_nobody_else_in(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    """Mallory has an account at the same provider, and gets Ada's address verified there: it was
    given to a mailbox of his after Ada had left."""
    flow.sign_in(cast.ada)
    flow.provider.person("mallory", email=cast.ada, roles="admins")
    mallory = Flow(Visitor(app.test_client()), flow.provider)
    answer = mallory.sign_in("mallory")
    assert answer.status_code == 403
    assert "belongs to somebody else at Example Login" in words(answer)
    refused = events(app, "portal.sign_in_refused")
    assert [(event.actor, event.data["reason"]) for event in refused] == [(cast.ada, "taken")]


def test_an_account_made_anew_at_the_provider_is_tied_after_it_was_untied(
    app: Flask, cast: Cast, grace: Visitor, flow: Flow
) -> None:
    flow.sign_in(cast.ada)
    flow.provider.person("ada-2", email=cast.ada, roles="admins")
    address = f"/users/{user(app, cast.ada).id}"
    assert "Signs in with" in words(grace.get(address))
    assert grace.post(f"{address}/untie").status_code == 303
    assert not is_signed_in(flow.visitor)
    assert flow.sign_in("ada-2").status_code == 303
    with app.app_context():
        assert db.session.scalars(select(Identity.subject)).all() == ["ada-2"]


def test_a_disabled_user_stays_out(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.sign_in(cast.ada)
    with app.app_context():
        disable_user(db.session(), email=cast.ada, actor=cast.actor(cast.grace), now=utcnow())
        db.session.commit()
    answer = flow.sign_in(cast.ada)
    assert answer.status_code == 403
    assert "Your account on this portal is disabled." in words(answer)


def test_an_answer_counts_once(app: Flask, cast: Cast, flow: Flow) -> None:
    """Mallory has read the whole answer and Ada's cookie of before it, and sends both again."""
    path = flow.answer(cast.ada)
    before = flow.visitor.client.get_cookie("rolling_window")
    assert flow.visitor.get(path).status_code == 303
    again = flow.visitor.get(path)
    assert (again.status_code, again.location) == (303, "/")
    mallory = Visitor(app.test_client())
    mallory.client.set_cookie("rolling_window", before.value)
    answer = mallory.get(path)
    assert answer.status_code == 401
    assert not is_signed_in(mallory)


def test_an_answer_that_another_browser_has_asked_for_is_not_taken(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    """Mallory signs in there as himself and has Ada open the answer, to make her work as him."""
    path = flow.answer(cast.ada)
    other = Visitor(app.test_client())
    answer = other.get(path)
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "begun in another browser, or too long ago" in words(other.get("/login"))
    flow.begin()
    assert flow.visitor.get(path).location == "/login"


def test_an_answer_that_comes_too_late_is_not_taken(
    cast: Cast, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, late = flow.answer(cast.ada), utcnow() + timedelta(minutes=10)
    monkeypatch.setattr("app.portal.oidc.utcnow", lambda: late)
    assert flow.visitor.get(path).location == "/login"


@pytest.mark.databases("sqlite")
def test_a_code_of_somebody_else_is_worth_nothing_without_the_verifier(
    app: Flask, cast: Cast, flow: Flow
) -> None:
    """Mallory has read Ada's code, and puts it into the answer to a sign-in of his own."""
    stolen = parse_qs(urlsplit(flow.answer(cast.ada)).query)["code"][0]
    mallory = Flow(Visitor(app.test_client()), flow.provider)
    own = dict(parse_qsl(urlsplit(mallory.answer("mallory")).query))
    answer = mallory.visitor.get(
        f"/login/oidc/callback?{urlencode({'code': stolen, 'state': own['state']})}"
    )
    assert answer.status_code == 401
    assert "no longer knows of this sign-in" in words(answer)


@pytest.mark.databases("sqlite")
def test_the_answer_of_another_provider_is_not_taken(cast: Cast, flow: Flow) -> None:
    """RFC 9207: a malicious provider has the portal's answer sent to the honest one."""
    answer = flow.visitor.get(f"{flow.answer(cast.ada)}&iss=https%3A%2F%2Fevil.example")
    assert answer.status_code == 401
    assert "It comes from another provider." in words(answer)


@pytest.mark.databases("sqlite")
def test_who_breaks_the_sign_in_off_is_told_so(cast: Cast, flow: Flow) -> None:
    state = dict(parse_qsl(urlsplit(flow.begin()).query))["state"]
    asked = urlencode({"state": state, "error": "access_denied"})
    answer = flow.visitor.get(f"/login/oidc/callback?{asked}")
    assert answer.status_code == 401
    assert "The sign-in was broken off there." in words(answer)


@pytest.mark.databases("sqlite")
def test_a_provider_that_does_not_say_whose_sign_in_it_refuses_is_understood(
    cast: Cast, flow: Flow
) -> None:
    assert flow.visitor.get(flow.answer(cast.ada, action="deny")).location == "/login"
    assert "Example Login did not sign you in." in words(flow.visitor.get("/login"))


@pytest.mark.databases("sqlite")
def test_what_an_error_says_is_shown_as_text(cast: Cast, flow: Flow) -> None:
    state = dict(parse_qsl(urlsplit(flow.begin()).query))["state"]
    answer = flow.visitor.get(
        f"/login/oidc/callback?{urlencode({'state': state, 'error': '<b>x</b>'})}"
    )
    assert answer.status_code == 401
    assert "<b>x</b>" not in answer.text


@pytest.mark.databases("sqlite")
def test_a_rotated_key_is_asked_for_once(cast: Cast, flow: Flow) -> None:
    flow.sign_in(cast.ada)
    flow.visitor.post("/logout")
    flow.provider.bend(rotate=True)
    assert flow.sign_in(cast.ada).status_code == 303
    flow.visitor.post("/logout")
    flow.provider.asked()
    for _ in range(3):
        flow.visitor.client.post("/login/oidc/back-channel-logout", data={"logout_token": FORGED})
    assert flow.provider.asked().count("/jwks") == 0


FORGED = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        FORGED,
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
        "." * 10_000,
    ],
)
@pytest.mark.databases("sqlite")
def test_what_the_provider_has_not_signed_signs_nobody_out(flow: Flow, token: str) -> None:
    answer = flow.visitor.client.post(
        "/login/oidc/back-channel-logout", data={"logout_token": token}
    )
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_request"


@pytest.mark.databases("sqlite")
def test_a_provider_that_is_down_is_said_beside_the_other_ways_in(cast: Cast, flow: Flow) -> None:
    path = flow.answer(cast.ada)
    flow.provider.bend(down=True)
    answer = flow.visitor.get(path)
    assert answer.status_code == 503
    assert "Example Login cannot be asked just now." in words(answer)
    assert 'name="password"' in answer.text


@pytest.mark.databases("sqlite")
def test_a_provider_that_is_down_from_the_start_is_said_too(
    app: Flask, cast: Cast, visitor: Visitor, provider: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.bend(down=True)
    trust(app, provider, monkeypatch)
    answer = visitor.post("/login/oidc", {"next": "/audit"})
    assert answer.status_code == 503
    assert "Example Login cannot be asked just now." in words(answer)
    assert 'value="/audit"' in answer.text
    assert visitor.sign_in(cast.ada).status_code == 303


# Proving again, signing out, and where passwords open nothing


def _age_proofs(app: Flask) -> None:
    with app.app_context():
        for browser in db.session.scalars(select(WebSession)):
            browser.proven_at -= timedelta(minutes=11)
        db.session.commit()


def test_whoever_has_no_password_proves_again_at_the_provider(app: Flask, flow: Flow) -> None:
    flow.provider.person("nia@example.com", roles="admins")
    flow.sign_in("nia@example.com")
    _age_proofs(app)
    flow.visitor.get("/users/invite")
    asked = flow.visitor.post("/users/invite", {"email": "x@example.com", "role": "auditor"})
    assert asked.location == "/prove?next=%2Fusers%2Finvite"
    page = flow.visitor.get(asked.location)
    assert "Sign in with Example Login" in words(page)
    assert 'name="password"' not in page.text
    flow.next = "/users/invite"
    address = flow.begin()
    assert dict(parse_qsl(urlsplit(address).query))["max_age"] == "0"
    back = urlsplit(flow.provider.agree(address, "nia@example.com"))
    answer = flow.visitor.get(f"{back.path}?{back.query}")
    assert (answer.status_code, answer.location) == (303, "/users/invite")
    assert 'value="x@example.com"' in flow.visitor.get("/users/invite").text
    assert len(events(app, "portal.proven_again")) == 1


@pytest.mark.parametrize("auth_time", [-120, None])
@pytest.mark.databases("sqlite")
def test_a_sign_in_of_before_is_no_new_proof(
    app: Flask, cast: Cast, flow: Flow, auth_time: int | None
) -> None:
    """Mallory sits down at Ada's computer, where the provider still knows her."""
    flow.sign_in(cast.ada)
    _age_proofs(app)
    flow.provider.bend(claims={"auth_time": auth_time})
    assert flow.sign_in(cast.ada).status_code == 401
    assert events(app, "portal.proven_again") == []


@pytest.mark.databases("sqlite")
def test_somebody_else_at_the_provider_proves_nothing(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.provider.person(cast.grace, roles="admins")
    flow.sign_in(cast.ada)
    _age_proofs(app)
    answer = flow.sign_in(cast.grace)
    assert answer.status_code == 401
    assert "not of who is signed in here" in words(answer)
    assert events(app, "portal.proven_again") == []


def post_log_out(flow: Flow, token: str) -> TestResponse:
    other = flow.visitor.client.application.test_client()
    return other.post("/login/oidc/back-channel-logout", data={"logout_token": token})


def test_the_provider_signs_a_session_of_its_own_out(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.provider.bend(claims={"sid": "first"})
    flow.sign_in(cast.ada)
    second = Flow(Visitor(app.test_client()), flow.provider)
    flow.provider.bend(claims={"sid": "second"})
    second.sign_in(cast.ada)
    answer = post_log_out(flow, flow.provider.log_out_token(sid="first", sub=cast.ada))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert not is_signed_in(flow.visitor)
    assert is_signed_in(second.visitor)
    assert [event.data for event in events(app, "user.signed_out_by_provider")] == [{"browsers": 1}]


def test_the_provider_signs_somebody_out_everywhere(app: Flask, cast: Cast, flow: Flow) -> None:
    flow.sign_in(cast.ada)
    by_password = Visitor(app.test_client())
    by_password.sign_in(cast.ada)
    grace = Visitor(app.test_client())
    grace.sign_in(cast.grace)
    assert post_log_out(flow, flow.provider.log_out_token(sub=cast.ada)).status_code == 200
    assert not is_signed_in(flow.visitor)
    assert not is_signed_in(by_password)
    assert is_signed_in(grace)


@pytest.mark.databases("sqlite")
def test_a_log_out_counts_once(cast: Cast, flow: Flow) -> None:
    """Mallory has read a log-out, and sends it whenever Ada has signed in again."""
    flow.sign_in(cast.ada)
    token = flow.provider.log_out_token(sub=cast.ada)
    assert post_log_out(flow, token).status_code == 200
    flow.sign_in(cast.ada)
    assert post_log_out(flow, token).status_code == 400
    assert is_signed_in(flow.visitor)


@pytest.mark.parametrize(
    "bent",
    [
        {"typ": "id+jwt"},
        {"aud": "another"},
        {"iss": "https://login.example"},
        {"events": {}},
        {"events": None},
        {"nonce": "n"},
        {"sub": None},
        {"jti": None},
        {"exp": 1},
        {"iat": 1},
    ],
)
@pytest.mark.databases("sqlite")
def test_a_token_that_is_no_log_out_signs_nobody_out(
    cast: Cast, flow: Flow, bent: dict[str, object]
) -> None:
    """An ID token, say, which its own application holds, must not do as one."""
    flow.sign_in(cast.ada)
    token = flow.provider.log_out_token(**{"sub": cast.ada} | bent)
    assert post_log_out(flow, token).status_code == 400
    assert is_signed_in(flow.visitor)


def test_where_local_sign_in_is_off_the_provider_is_the_only_way(
    app: Flask, cast: Cast, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(app, flow.provider, monkeypatch, local_sign_in=False)
    page = flow.visitor.get("/login")
    assert "Sign in with Example Login" in words(page)
    assert 'name="password"' not in page.text
    assert "passkey" not in words(page)
    by_password = flow.visitor.post("/login", {"email": cast.ada, "password": PASSWORD})
    assert by_password.status_code == 403
    assert flow.visitor.post("/login/passkey", {"passkey": "{}"}).status_code == 403
    assert flow.sign_in(cast.ada).status_code == 303


def test_a_link_of_the_command_line_lets_in_where_local_sign_in_is_off(
    app: Flask, cast: Cast, visitor: Visitor, provider: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is down for good; somebody on the server makes a link."""
    trust(app, provider, monkeypatch, local_sign_in=False)
    with app.app_context():
        made = app.test_cli_runner().invoke(args=["users", "reset-password", cast.ada, "--link"])
    found = re.search(r"/password/\S+", made.output)
    assert found, (made.output, made.exception)
    visitor.get(found[0])
    answer = visitor.post(found[0], {"new_password": "four words of no use"})
    assert (answer.status_code, answer.location) == (303, "/")
    assert is_signed_in(visitor)


def test_a_link_of_the_portal_sets_a_password_and_lets_nobody_in(
    app: Flask, cast: Cast, ada: Visitor, provider: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(app, provider, monkeypatch, local_sign_in=False)
    made = ada.post(f"/users/{user(app, cast.grace).id}/reset-password")
    found = re.search(r"/password/[\w-]+", made.text)
    assert found
    grace = Visitor(app.test_client())
    grace.get(found[0])
    answer = grace.post(found[0], {"new_password": "four words of no use"})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert not is_signed_in(grace)
