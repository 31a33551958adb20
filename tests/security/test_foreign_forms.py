"""Forms that another site has somebody's browser send. Each docstring tells the attack."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.extensions import db
from tests.conftest import Cast, Visitor

SITE = "https://portal.example"
Send = Callable[..., TestResponse]


@pytest.fixture
def portal(app: Flask, cast: Cast) -> Iterator[Callable[..., Flask]]:
    portals = []

    def make(**settings: Any) -> Flask:
        portals.append(create_app(replace(app.extensions["config"], **settings)))
        return portals[-1]

    yield make
    for made in portals:
        with made.app_context():
            db.engine.dispose()


@pytest.fixture
def send(portal: Callable[..., Flask]) -> Send:
    """Send a form with the right token and these headers; settings are for the portal."""

    def post(site: str = SITE, settings: Any = None, **headers: str) -> TestResponse:
        visitor = Visitor(portal(**(settings or {})).test_client())
        assert visitor.get(f"{site}/login").status_code == 200
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = {"csrf_token": visitor.csrf_token}
        return visitor.client.post(f"{site}/logout", data=data, headers=named)

    return post


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": SITE},
        {"Origin": f"{SITE}:443"},
        {"Origin": SITE.upper()},
        {"Origin": SITE, "Sec_Fetch_Site": "same-origin", "Referer": f"{SITE}/login"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
        {"Referer": f"{SITE}/login?next=%2F"},
    ],
)
def test_a_form_of_our_own_is_taken_over_tls(send: Send, headers: dict[str, str]) -> None:
    """Privacy settings and some proxies take the Referer away; Flask-WTF refuses what is left."""
    assert send(**headers).status_code == 303


def test_a_program_that_sends_no_form_need_not_say_where_it_is_from(
    portal: Callable[..., Flask],
) -> None:
    """OP Agents are no browsers; they bring a token of their own, or none."""
    client = portal().test_client()
    answer = client.delete(f"{SITE}/api/agent/v1/session")
    assert (answer.status_code, answer.json["code"]) == (401, "session_ended")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Referer": f"{SITE}/login"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "http://portal.example"},
        {"Origin": f"{SITE}:8443"},
        {"Origin": "https://portal.example.evil.example"},
        {"Origin": "https://portal.example@evil.example"},
        {"Origin": "https://evil.example#portal.example"},
        {"Origin": "https://sub.portal.example"},
        {"Origin": "https://[evil"},
        {"Origin": "https://"},
        {"Origin": "https://portal.example:x"},
        {"Origin": "file://portal.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Referer": f"{SITE}/login"},
        {"Sec_Fetch_Site": "rubbish"},
        {"Referer": "https://evil.example/login"},
        {"Referer": "https://evil.example/https://portal.example/"},
        {"Referer": "http://portal.example/login"},
        {},
    ],
)
def test_a_form_with_a_token_that_was_planted(send: Send, headers: dict[str, str]) -> None:
    """The attacker has a page under a name nearby, or sits between the victim and http://. They
    plant a cookie of the portal's together with the token that belongs to it, and have the
    victim's browser send a form with both: the token is right, only the sender is not."""
    answer = send(**headers)
    assert answer.status_code == 400
    assert "Nothing was done." in answer.text


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_over_plain_http_too(send: Send, header: str) -> None:
    """The same where nothing is encrypted, as in an office's own network."""
    here = "http://portal.lan:8000"
    assert send(here, **{header: "http://evil.example"}).status_code == 400
    assert send(here, **{header: "http://portal.lan"}).status_code == 400
    assert send(here, **{header: here}).status_code == 303
    assert send(here).status_code == 303


def test_a_null_origin_is_no_excuse_over_plain_http(send: Send) -> None:
    """The attacker sends the form out of a sandboxed frame, which has no origin of its own."""
    assert send("http://portal.lan", Origin="null").status_code == 400


def test_a_form_without_the_token_is_refused_whatever_it_says(portal: Callable[..., Flask]) -> None:
    """An old browser, or a program, can be made to send any header; the token it does not know."""
    headers = {"Origin": SITE, "Sec-Fetch-Site": "same-origin", "Referer": f"{SITE}/login"}
    client = portal().test_client()
    client.get(f"{SITE}/login")
    assert client.post(f"{SITE}/logout", headers=headers).status_code == 400


def test_a_proxy_that_says_nothing_of_https_is_no_obstacle(send: Send) -> None:
    assert send("http://portal.example", Origin=SITE).status_code == 303


def test_a_proxy_that_hides_the_host_is_named_in_the_log(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """nginx passes on the name of its upstream unless told otherwise: every form is refused."""
    answer = send("http://127.0.0.1:8000", Origin=SITE)
    assert answer.status_code == 400
    assert "its log says which setting is missing" in answer.text
    [line] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    for said in ("PORTAL_PUBLIC_URL", "PORTAL_TRUSTED_PROXIES", SITE, "http://127.0.0.1:8000"):
        assert said in line.getMessage()


def test_what_is_sent_does_not_forge_lines_of_the_log(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """The attacker writes a line of their own into the log, or fills it."""
    send(Origin="https://evil.example/\u0085forged" + "x" * 5000)
    assert len(caplog.text) < 1500
    assert "\u0085" not in caplog.text


def test_the_address_that_is_set_is_the_portals_own(send: Send) -> None:
    """Behind such a proxy, PORTAL_PUBLIC_URL mends it."""
    mended = {"public_url": f"{SITE}/x"}
    here = "http://127.0.0.1:8000"
    assert send(here, mended, Origin=SITE).status_code == 303
    assert send(here, mended, Referer=f"{SITE}/x/login").status_code == 303
    assert send(here, mended, Origin="http://portal.example").status_code == 400
    assert send(here, mended, Origin="https://evil.example").status_code == 400


def test_a_cookie_from_a_name_nearby_is_not_taken_for_ours(portal: Callable[..., Flask]) -> None:
    """The attacker's page at other.portal.example sets a cookie for all of portal.example."""
    app = portal(https=True)
    cookie = app.test_client().get(f"{SITE}/login").headers["Set-Cookie"]
    assert cookie.startswith("__Host-rolling_window=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    planted = cookie.partition("=")[2].partition(";")[0]
    client = app.test_client()
    client.set_cookie("rolling_window", planted, domain="portal.example")
    assert client.get(f"{SITE}/login").headers["Set-Cookie"] != cookie
    below = portal(https=True, trusted_proxies=1).test_client()
    cookie = below.get("/login", headers={"X-Forwarded-Prefix": "/x"}).headers["Set-Cookie"]
    assert cookie.startswith("rolling_window=")
