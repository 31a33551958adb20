"""Attacks on the portal's sign-in, sessions and pages. Each docstring tells the attack."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select

from app import create_app, throttle
from app.accounts import passwords
from app.extensions import db
from app.models import AuditEvent, SignInFailure, WebSession
from app.web.access import safe_next
from app.web.assets import asset_address
from tests.conftest import PASSWORD, Cast, Clock, Visitor

SITE = "http://localhost"
COOKIE = "rolling_window"


def cookie_of(visitor: Visitor) -> str:
    return visitor.client.get_cookie(COOKIE).value


def thief_with(app: Flask, cookie: str) -> Visitor:
    thief = Visitor(app.test_client())
    thief.client.set_cookie(COOKIE, cookie)
    return thief


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/audit").status_code == 200


OUTSIDE = (
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "\\\\evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "\\/evil.example",
    "https://evil.example",
    "http:evil.example",
    "HTTPS:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nLocation: https://evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "?next=//evil.example",
    "/" + "x" * 5000,
    "",
)
INSIDE = (
    "/",
    "/audit?page=2",
    "/projects?q=%D0%91",
    "/%2f%2fevil.example",
    "/%0d%0aSet-Cookie:x=y",
    "/.//evil.example",
    "/x?next=https://evil.example",
    "/проекты",
    "/login/../audit",
)


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_link_that_signs_in_here_and_ends_up_there(
    cast: Cast, visitor: Visitor, address: str
) -> None:
    """A phisher sends a link to the real sign-in page that leads on to a copy of the portal, which
    asks for the password again."""
    assert safe_next(address) is None
    page = visitor.client.get("/login", query_string={"next": address})
    assert "evil" not in page.text
    answer = visitor.sign_in(cast.ada, next=address)
    assert answer.location == "/"


@pytest.mark.parametrize("address", INSIDE)
def test_a_way_back_stays_on_this_site_as_browsers_read_it(
    cast: Cast, visitor: Visitor, address: str
) -> None:
    """The same, with an address that looks harmless and is read otherwise by a browser."""
    answer = visitor.sign_in(cast.ada, next=address)
    assert answer.status_code == 303
    assert urlsplit(urljoin(f"{SITE}/login", answer.location)).netloc == "localhost"
    assert all(
        value.startswith(("rolling_window=", "rolling_window_browser="))
        for value in answer.headers.getlist("Set-Cookie")
    )


@given(st.text(alphabet="/\\:@?#.%\t\r\n \x00aehlmnpstvx0152", max_size=12))
def test_no_address_that_is_let_through_leads_elsewhere(address: str) -> None:
    """The same, by trying everything. A browser drops tabs and line ends, and reads \\ as /."""
    kept = safe_next(address)
    if kept is not None:
        as_browsers_read_it = re.sub(r"[\t\r\n]", "", kept.strip()).replace("\\", "/")
        assert urlsplit(urljoin(f"{SITE}/login", as_browsers_read_it)).netloc == "localhost"


def test_a_session_that_was_planted_before_the_sign_in(
    app: Flask, cast: Cast, visitor: Visitor
) -> None:
    """The attacker plants a cookie of the portal's in the victim's browser, waits for the victim
    to sign in with it, and then uses the same cookie."""
    attacker = Visitor(app.test_client())
    attacker.get("/login")
    planted = cookie_of(attacker)
    visitor.client.set_cookie(COOKIE, planted)
    visitor.get("/login")
    assert visitor.sign_in(cast.ada).status_code == 303
    assert cookie_of(visitor) != planted
    assert not is_in(attacker)


def test_the_form_token_from_before_the_sign_in(app: Flask, cast: Cast, visitor: Visitor) -> None:
    """The attacker, who planted the cookie, knows the form token that was in it, and has the
    victim's browser send a form with it after the sign-in."""
    visitor.get("/login")
    known = visitor.csrf_token
    visitor.sign_in(cast.ada)
    visitor.csrf_token = known
    assert visitor.post("/logout").status_code == 400
    assert is_in(visitor)


def test_a_cookie_that_was_copied_before_the_sign_out(app: Flask, ada: Visitor) -> None:
    """The attacker copies the cookie from a shared computer and uses it after the victim has
    signed out."""
    copied = cookie_of(ada)
    assert is_in(thief_with(app, copied))
    ada.post("/logout")
    assert not is_in(thief_with(app, copied))
    assert thief_with(app, copied).post("/logout").status_code in (303, 400)


def test_a_copied_cookie_kept_alive_for_days(app: Flask, clock: Clock, ada: Visitor) -> None:
    """The attacker keeps a copied cookie alive with a request every few minutes."""
    thief = thief_with(app, cookie_of(ada))
    for _ in range(12 * 6 - 1):
        clock.advance(minutes=10)
        assert is_in(thief)
    clock.advance(minutes=10)
    assert not is_in(thief)


def test_a_copied_cookie_kept_alive_unseen(app: Flask, clock: Clock, ada: Visitor) -> None:
    """The same with static files and with what a page's timers ask for: they are no activity."""
    with app.test_request_context():
        asset = asset_address("css/theme.css")
    for _ in range(3):
        clock.advance(minutes=10)
        assert ada.get(asset).status_code == 200
        ada.client.get("/audit", headers={"X-Timer": "1"})
    assert not is_in(ada)


def test_a_cookie_with_another_token(app: Flask, cast: Cast, ada: Visitor) -> None:
    """The attacker changes the cookie letter by letter."""
    real = cookie_of(ada)
    # Not the last letter: some of its bits do not count.
    other = "A" if real[-9] != "A" else "B"
    changed = [real[:-9] + other + real[-8:], real[1:], real + "x"]
    changed.append(real[::-1])
    changed += [real.replace(".", "..", 1), ".", "..", "", "x" * 4000, "\x00", "eyJ9.x.y"]
    head, moment, signature = real.rsplit(".", 2)
    changed += [f".{head}.{moment}.{signature}", f"{head}.{moment}.", f"{head}..{signature}"]
    for cookie in changed:
        assert not is_in(thief_with(app, cookie)), cookie


def test_a_cookie_signed_with_a_guessed_key(app: Flask, ada: Visitor) -> None:
    """The attacker knows how Flask signs cookies, and hopes for a key from a tutorial."""
    with app.app_context():
        token_hash = db.session.query(WebSession).first().token_hash
        db.session.remove()
    for key in ("", "dev", "secret", "changeme", "for tests only, "):
        signer = URLSafeTimedSerializer(
            key or "x",
            salt="cookie-session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
        )
        cookie = signer.dumps({"_user_id": token_hash, "_fresh": True})
        assert not is_in(thief_with(app, cookie))


def test_whoever_reads_the_database_holds_no_cookie(app: Flask, ada: Visitor) -> None:
    """The attacker has a copy of the database (and even the key that signs cookies) and puts what
    is stored there into a cookie: it is the hash of what the cookie must hold."""
    with app.app_context():
        stored = db.session.query(WebSession).order_by(WebSession.id.desc()).first().token_hash
        db.session.remove()
    thief = Visitor(app.test_client())
    with thief.client.session_transaction() as session:
        session["_user_id"] = stored
    assert not is_in(thief)


@pytest.mark.parametrize("path", ["/logout", "/login"])
def test_a_form_on_another_site(app: Flask, ada: Visitor, cast: Cast, path: str) -> None:
    """The attacker's page sends a form to the portal from the victim's browser, with the victim's
    cookie and without a token, or with one of the attacker's own."""
    attacker = Visitor(app.test_client())
    attacker.get("/login")
    data = {"email": cast.grace, "password": PASSWORD}
    for token in ({}, {"csrf_token": ""}):
        assert ada.client.post(path, data={**data, **token}).status_code == 400
    stays = {"/logout": (400, None), "/login": (303, "/")}[path]
    for form in (
        {"data": {**data, "csrf_token": attacker.csrf_token}},
        {"data": data, "headers": {"X-CSRFToken": "x"}},
    ):
        answer = ada.client.post(path, **form)
        assert (answer.status_code, answer.location) == stays
    assert is_in(ada)


def test_a_program_without_a_token_is_refused_too(ada: Visitor) -> None:
    """The same with JSON, which some sites let through without a token."""
    answer = ada.client.post("/logout", json={}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (400, "form_out_of_date")


def test_guessing_from_one_address_locks_only_that_address_out(app: Flask, cast: Cast) -> None:
    """The attacker guesses wrong on purpose, to keep the super admin out of the portal."""
    attacker = Visitor(app.test_client())
    for _ in range(30):
        attacker.post(
            "/login",
            {"email": cast.ada, "password": "x"},
            environ_overrides={"REMOTE_ADDR": "198.51.100.66"},
        )
    owner = Visitor(app.test_client())
    assert owner.sign_in(cast.ada).status_code == 303


def test_an_address_of_ones_own_choice(app: Flask, cast: Cast, visitor: Visitor) -> None:
    """The attacker sends another X-Forwarded-For with every guess, so as never to be throttled."""
    statuses = []
    visitor.get("/login")
    for number in range(12):
        answer = visitor.client.post(
            "/login",
            data={"csrf_token": visitor.csrf_token, "email": cast.ada, "password": "x"},
            headers={
                "X-Forwarded-For": f"198.51.100.{number}",
                "Forwarded": f"for=10.0.0.{number}",
            },
        )
        statuses.append(answer.status_code)
    assert statuses[-2:] == [429, 429]


@pytest.fixture
def behind_a_proxy(app: Flask) -> Iterator[Flask]:
    portal = create_app(replace(app.extensions["config"], trusted_proxies=1))
    yield portal
    with portal.app_context():
        db.engine.dispose()


def test_an_address_of_ones_own_choice_behind_a_proxy(behind_a_proxy: Flask, cast: Cast) -> None:
    """The same where a proxy is trusted: what counts is what the proxy itself has added."""
    visitor = Visitor(behind_a_proxy.test_client())
    visitor.get("/login")
    statuses = []
    for number in range(12):
        forwarded = f"198.51.100.{number}, 203.0.113.7"
        answer = visitor.client.post(
            "/login",
            data={"csrf_token": visitor.csrf_token, "email": cast.ada, "password": "x"},
            headers={"X-Forwarded-For": forwarded},
        )
        statuses.append(answer.status_code)
    assert statuses[-2:] == [429, 429]
    with behind_a_proxy.app_context():
        assert {row.address for row in db.session.query(SignInFailure)} == {"203.0.113.7"}
        db.session.remove()


def test_one_password_for_many_accounts(app: Flask, cast: Cast, visitor: Visitor) -> None:
    """The attacker tries one common password with every account, ten times six and then some."""
    statuses = [
        visitor.post("/login", {"email": f"u{n}@example.com", "password": "x"}).status_code
        for n in range(throttle.ADDRESS_FACTOR * 10 + 2)
    ]
    assert statuses[-3:] == [401, 429, 429]


def test_a_very_long_password_is_not_hashed(
    cast: Cast, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker sends passwords of a megabyte, to keep the processor hashing."""
    monkeypatch.setattr(passwords, "hasher", None)
    answer = visitor.post("/login", {"email": cast.ada, "password": "x" * 1_000_000})
    assert answer.status_code == 422


def test_whoever_waits_is_not_hashed_for(
    cast: Cast, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker goes on guessing while throttled, for the same reason."""
    for _ in range(10):
        visitor.sign_in(cast.ada, "wrong")
    monkeypatch.setattr(passwords, "hasher", None)
    assert visitor.sign_in(cast.ada, "wrong").status_code == 429


TRAVERSAL = (
    "../app/config.py",
    "..%2fapp/config.py",
    "%2e%2e/app/config.py",
    "css/../../app/config.py",
    "css/..%2f..%2f..%2fetc/passwd",
    "%2fetc/passwd",
    "/etc/passwd",
    "..\\app\\config.py",
    "%00",
    "css/theme.css%00.js",
    "css",
    "css/",
    ".",
    "vendor/../../instance/secret-key",
    "x" * 5000,
)


@pytest.mark.parametrize("name", TRAVERSAL)
def test_files_that_are_not_static(app: Flask, visitor: Visitor, name: str) -> None:
    """The attacker asks for the source, the secret key and the system's files among the static
    files, with a fingerprint that fits any of them."""
    answer = visitor.client.get(f"/static/000000000000/{name}", follow_redirects=True)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "def load_config" not in answer.text


def test_a_host_name_of_ones_own_choice(visitor: Visitor) -> None:
    """The attacker sends another Host, hoping that the portal makes links out of it."""
    evil = "http://evil.example"
    for path in ("/login", "/nowhere", "/audit", "/agent"):
        answer = visitor.client.get(
            path, base_url=evil, headers={"X-Forwarded-Host": "evil.example"}
        )
        assert "evil.example" not in answer.text
        assert not answer.headers.get("Location", "").startswith("http")


def test_another_sites_page_cannot_frame_read_or_embed_the_portal(ada: Visitor) -> None:
    """The attacker puts the portal into an invisible frame, or reads it from a script."""
    answer = ada.client.get("/audit", headers={"Origin": "https://evil.example"})
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


SHOWN = st.text(alphabet="<>\"'&`{}%$=/;:xon\x00\u202e\u2028", max_size=20).filter(str.strip)


@settings(max_examples=50)
@given(SHOWN)
def test_markup_typed_as_an_e_mail_stays_text(visitor: Visitor, text: str) -> None:
    """The attacker types markup where it is shown again: in the form and in the audit log."""
    typed = f'"><img src=x onerror=alert(1)>{text}'
    answer = visitor.post("/login", {"email": typed, "password": ""})
    assert answer.status_code == 422
    assert "<img" not in answer.text
    assert "onerror=alert(1)>" not in answer.text


def test_a_template_typed_as_an_e_mail_is_not_run(visitor: Visitor, cast: Cast) -> None:
    """The attacker types what a template engine would compute."""
    answer = visitor.post("/login", {"email": "{{7*7}}{% set x = 1 %}${7*7}", "password": "x"})
    assert answer.status_code == 401
    assert "{{7*7}}{% set x = 1 %}${7*7}" in answer.text


def test_methods_nobody_uses(app: Flask, ada: Visitor) -> None:
    """The attacker tries TRACE, made-up methods, and a method hidden in a header or a field."""
    for method in ("TRACE", "CONNECT", "PROPFIND", "MADEUP"):
        assert ada.client.open("/audit", method=method).status_code == 405
    headers = {"X-HTTP-Method-Override": "POST"}
    assert ada.client.get("/logout", headers=headers).status_code == 405
    assert ada.client.get("/logout?_method=POST").status_code == 405
    assert is_in(ada)


def test_what_an_auditor_tries_is_on_the_record(audrey: Visitor, cast: Cast, app: Flask) -> None:
    """An auditor, or who has stolen their session, tries to make a project."""
    answer = audrey.post("/projects/new", {"name": "Mine"})
    assert answer.status_code == 403
    with app.app_context():
        event = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.tag, event.actor) == ("portal.not_allowed", cast.audrey)
        assert event.subject == "/projects/new"


def test_a_password_typed_as_an_e_mail_is_not_written_down(visitor: Visitor, app: Flask) -> None:
    """Somebody in a hurry types their password into the wrong field; auditors read the log."""
    visitor.post("/login", {"email": "My$ecretPassw0rd!", "password": "x"})
    with app.app_context():
        events = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert events[-1].actor == "(not an e-mail)"
        assert not [event for event in events if "ecret" in repr(vars(event))]


def test_a_form_of_very_many_fields_is_refused_before_it_is_read(visitor: Visitor) -> None:
    """The attacker keeps the portal busy with forms of a million empty fields."""
    answer = visitor.client.post(
        "/login", data="a&" * 501, content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 413
