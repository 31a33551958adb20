"""The portal's own address: in links that leave it, and the names that it answers to."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.extensions import db
from app.settings.values import Bind
from tests.agents.stage import issue
from tests.conftest import PASSWORD, Cast, Clock, Visitor

LOOPBACK, OPEN = Bind("127.0.0.1", 8000), Bind("0.0.0.0", 8000)
EVIL = "https://evil.example"
SET_IT = "PORTAL_PUBLIC_URL"


@pytest.fixture
def portal_with(app: Flask, cast: Cast, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Another portal on the same database: `portal_with(bind=...)`."""
    portals = []

    def make(**settings: Any) -> Flask:
        portals.append(create_app(replace(app.extensions["config"], **settings)))
        return portals[-1]

    yield make
    for portal in portals:
        with portal.app_context():
            db.engine.dispose()


def instructions(app: Flask, cast: Cast, base_url: str) -> tuple[str, str]:
    """What is sent along with a key of Acme's, and the page itself, by way of `base_url`."""
    with app.app_context():
        issue(db.session(), cast)
    visitor = Visitor(app.test_client())
    tab = f"{base_url}/projects/{cast.acme_project}/license"
    visitor.get(f"{base_url}/login")
    fields = {"email": cast.ada, "password": PASSWORD, "csrf_token": visitor.csrf_token}
    visitor.client.post(f"{base_url}/login", data=fields, headers={"Origin": base_url})
    page = visitor.get(tab).text
    text = unescape(re.search(r'data-copy-text="([^"]+)"', page)[1])
    return re.search(r"the one in the browser: (.*)", text)[1], page


@pytest.mark.parametrize(
    ("settings", "base_url", "link"),
    [
        ({}, "http://localhost", "http://127.0.0.1:8000/agent"),
        ({"bind": Bind("[::1]", 81)}, "http://localhost", "http://[::1]:81/agent"),
        ({"public_url": "https://p.example/x"}, "http://localhost", "https://p.example/x/agent"),
        (
            {"public_url": "https://p.example", "bind": OPEN, "hosts": ("q.example",)},
            "http://q.example",
            "https://p.example/agent",
        ),
        ({"bind": OPEN, "hosts": ("p.example",)}, "http://p.example", "http://p.example/agent"),
        (
            {"bind": OPEN, "hosts": ("p.example",), "https": True},
            "https://P.example:8443",
            "https://p.example:8443/agent",
        ),
        (
            {"hosts": ("p.example",), "trusted_proxies": 1},
            "https://p.example",
            "https://p.example/agent",
        ),
    ],
)
def test_a_link_is_made_from_what_somebody_has_set(
    portal_with: Callable[..., Flask], cast: Cast, settings: Any, base_url: str, link: str
) -> None:
    found, page = instructions(portal_with(**settings), cast, base_url)
    assert found.lower() == link
    assert SET_IT not in page


@pytest.mark.parametrize("settings", [{"bind": OPEN}, {"trusted_proxies": 1}, {"https": True}])
def test_a_link_that_nobody_can_vouch_for_is_a_path(
    portal_with: Callable[..., Flask], cast: Cast, settings: Any
) -> None:
    """Bound to every address, or behind a proxy that says nothing: the page says what to set."""
    app = portal_with(**settings)
    found, page = instructions(app, cast, "https://p.example")
    assert found == "/agent"
    assert SET_IT in page
    docs = app.test_client().get("/api/docs", base_url="https://p.example").text
    assert "p.example" not in docs
    assert "curl -s /api/agent/v1/sessions" in unescape(docs)
    assert SET_IT in docs


@pytest.mark.parametrize(
    "settings", [{}, {"bind": OPEN}, {"trusted_proxies": 1}, {"public_url": "https://p.example"}]
)
def test_a_link_of_the_attackers_sent_along_with_a_key(
    portal_with: Callable[..., Flask], cast: Cast, settings: Any
) -> None:
    """The attacker has the portal opened by a name of theirs (a DNS record is enough), or puts a
    Host into a cache in front. The admin copies the instructions, and the partner pastes the key
    into the attacker's window."""
    app = portal_with(**settings)
    found, page = instructions(app, cast, EVIL)
    assert "evil" not in found + page
    headers = {"X-Forwarded-Host": "evil.example"}
    docs = app.test_client().get("/api/docs", headers=headers).text
    assert "evil" not in docs


def test_the_examples_name_the_address_that_is_set(portal_with: Callable[..., Flask]) -> None:
    docs = portal_with(public_url="https://p.example").test_client().get("/api/docs").text
    assert "curl -s https://p.example/api/agent/v1/sessions" in unescape(docs)
    assert SET_IT not in docs


HOSTS = ("portal.example", "other.example:8443")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("portal.example", 200),
        ("PORTAL.example", 200),
        ("portal.example:1234", 200),
        ("other.example:8443", 200),
        ("other.example", 421),
        ("evil.example", 421),
        ("portal.example.evil.example", 421),
        ("evil.example:portal.example", 421),
        ("portal.example@evil.example", 421),
        ("portal.example/", 421),
        ("127.0.0.1:8000", 421),
        ("", 421),
    ],
)
def test_it_answers_to_the_names_that_are_listed(
    portal_with: Callable[..., Flask], host: str, status: int
) -> None:
    client = portal_with(hosts=HOSTS).test_client()
    environ = {"HTTP_HOST": host}
    for path in ("/login", "/api/openapi.json", "/agent"):
        assert client.get(path, environ_overrides=environ).status_code == status, path
    answer = client.get("/healthz", environ_overrides=environ)
    assert (answer.status_code, answer.text) == (200, "ok")


def test_a_page_that_another_name_leads_to(portal_with: Callable[..., Flask]) -> None:
    """DNS rebinding: the attacker's name leads to the portal's address, so that the browser takes
    the portal's answers for the attacker's own."""
    client = portal_with(hosts=HOSTS).test_client()
    page = client.get("/login", base_url=EVIL)
    assert page.status_code == 421
    assert "PORTAL_HOSTS" in page.text
    assert "csrf_token" not in page.headers.get("Set-Cookie", "")
    answer = client.get("/api/openapi.json", base_url=EVIL)
    assert (answer.status_code, answer.json["code"]) == (421, "unknown_host")
    assert client.get("/nowhere", base_url=EVIL).status_code == 421
    assert client.post("/login", base_url=EVIL).status_code == 421


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({"bind": LOOPBACK}, "anything.example", 200),
        ({"bind": LOOPBACK, "public_url": "https://p.example"}, "anything.example", 200),
        ({"bind": OPEN}, "anything.example", 200),
        ({"bind": OPEN, "public_url": "https://p.example:8443/x"}, "anything.example", 421),
        ({"bind": OPEN, "public_url": "https://p.example:8443/x"}, "p.example:8443", 200),
        ({"bind": OPEN, "public_url": "https://p.example:8443/x"}, "127.0.0.1:8000", 200),
    ],
)
def test_unless_names_are_listed(
    portal_with: Callable[..., Flask], settings: Any, host: str, status: int
) -> None:
    client = portal_with(**settings).test_client()
    assert client.get("/login", environ_overrides={"HTTP_HOST": host}).status_code == status


def test_whoever_watches_is_answered_without_a_database(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be what is wrong. Nobody's cookie is read, and none is set."""
    with _no_database(monkeypatch):
        client = app.test_client()
        client.set_cookie("rolling_window", "rubbish")
        answer = client.get("/healthz")
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok", "text/plain")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


@contextmanager
def _no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_args: object, **_options: object) -> None:
        raise AssertionError("a connection was asked for")

    with monkeypatch.context() as patch:
        patch.setattr("sqlalchemy.engine.Engine.connect", fail)
        yield
