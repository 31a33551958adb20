"""The portal below a path of somebody else's site: a proxy strips the path and names it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from app import create_app
from app.extensions import db
from app.web.assets import asset_address
from app.web.proxies import plain_prefix
from tests.agents.console.stage import cookie_of, log_in
from tests.agents.stage import issue, text_of
from tests.conftest import Cast, Clock, Visitor

PREFIX = "/tools/portal"
ADDRESSES = re.compile(r'\s(?:href|src|action|hx-get|hx-post)="([^"]*)"')


class Proxy:
    """Takes the prefix off, and says so; what is not below it belongs to another program."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(f"{PREFIX}/"):
            start_response("418 I'm another program", [("Content-Type", "text/plain")])
            return [b"another program"]
        environ["PATH_INFO"] = path.removeprefix(PREFIX)
        environ["HTTP_X_FORWARDED_PREFIX"] = PREFIX
        return self.app(environ, start_response)


class VisitorBelow(Visitor):
    """Gives paths as the portal knows them."""

    def get(self, path: str, **options: Any) -> TestResponse:
        return super().get(PREFIX + path, **options)

    def post(self, path: str, *data: Any, **options: Any) -> TestResponse:
        if not self.csrf_token:
            self.get("/login")
        return super().post(PREFIX + path, *data, **options)


@pytest.fixture
def below(app: Flask, clock: Clock) -> Iterator[Flask]:
    portal = create_app(replace(app.extensions["config"], trusted_proxies=1))
    yield portal
    with portal.app_context():
        db.engine.dispose()


@pytest.fixture
def visitor(below: Flask) -> VisitorBelow:
    return VisitorBelow(Client(Proxy(below)))


@pytest.fixture
def ada(visitor: VisitorBelow, cast: Cast) -> VisitorBelow:
    answer = visitor.sign_in(cast.ada)
    assert (answer.status_code, answer.location) == (303, f"{PREFIX}/")
    return visitor


def pages(app: Flask, cast: Cast, key_id: str) -> list[str]:
    """The address of every page, with ids that exist where there are any."""
    adapter = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint not in ("assets.asset", "health.healthz"):
            values = {"project_id": cast.acme_project, "key_id": key_id}
            values = {name: values.get(name, 1) for name in rule.arguments}
            found.append(adapter.build(rule.endpoint, values))
    return found


def test_every_address_on_every_page_is_below_the_prefix(
    below: Flask, cast: Cast, ada: VisitorBelow
) -> None:
    with below.app_context():
        key_id = issue(db.session(), cast).key_id
    seen = 0
    for path in pages(below, cast, key_id):
        for htmx in (False, True):
            answer = ada.get(path, htmx=htmx)
            assert answer.status_code < 500, path
            if answer.status_code == 303:
                assert answer.location.startswith(f"{PREFIX}/"), path
            for address in ADDRESSES.findall(answer.text):
                seen += 1
                assert address.startswith((f"{PREFIX}/", "#", "?", "mailto:", "data:")), (
                    path,
                    address,
                )
    assert seen > 300


def test_assets_are_found_below_the_prefix(below: Flask, visitor: VisitorBelow) -> None:
    page = visitor.get("/login").text
    scripts = [address for address in ADDRESSES.findall(page) if "/static/" in address]
    assert len(scripts) > 10
    for address in scripts:
        assert visitor.client.get(address).status_code == 200, address
    with below.test_request_context():
        assert visitor.client.get(asset_address("js/theme.js")).status_code == 418


def test_cookies_stay_below_the_prefix(below: Flask, cast: Cast, visitor: VisitorBelow) -> None:
    """Other programs on the same name must not be sent them."""
    with below.app_context():
        key = text_of(issue(db.session(), cast), below)
    assert f"Path={PREFIX}" in cookie_of(visitor.get("/login"), "rolling_window").split("; ")
    assert f'data-cookie-path="{PREFIX}"' in visitor.get("/login").text
    visitor.get("/agent")
    answer = log_in(visitor, key)
    assert answer.location == f"{PREFIX}/agent"
    for name in ("op_agent", "op_agent_mac"):
        assert f"Path={PREFIX}/agent" in cookie_of(answer, name).split("; ")
    assert "Signed in to the environment of" in visitor.get("/agent").text
    answer = visitor.post("/agent/logout")
    assert f"Path={PREFIX}/agent" in cookie_of(answer, "op_agent").split("; ")
    assert "Registration Key" in visitor.get("/agent").text


def test_without_a_prefix_they_are_for_the_whole_portal(visitor: Visitor, app: Flask) -> None:
    answer = app.test_client().get("/login")
    assert "Path=/" in cookie_of(answer, "rolling_window").split("; ")
    assert 'data-cookie-path="/"' in answer.text


def test_the_way_to_the_sign_in_and_back(cast: Cast, visitor: VisitorBelow) -> None:
    asked = visitor.get("/audit?page=2")
    assert asked.location == f"{PREFIX}/login?next=%2Ftools%2Fportal%2Faudit%3Fpage%3D2"
    here = {"HX-Request": "true", "HX-Current-URL": f"http://localhost{PREFIX}/audit"}
    answer = visitor.client.get(f"{PREFIX}/projects", headers=here)
    assert answer.headers["HX-Redirect"] == f"{PREFIX}/login?next=%2Ftools%2Fportal%2Faudit"
    answer = visitor.sign_in(cast.ada, next=f"{PREFIX}/audit?page=2")
    assert answer.location == f"{PREFIX}/audit?page=2"
    assert visitor.post("/logout").location == f"{PREFIX}/login"


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/audit",
        "/other/program",
        f"{PREFIX}-copy/audit",
        f"{PREFIX}/../other",
        f"{PREFIX}/%2e%2e/other",
        f"{PREFIX}/x/%2E./../../other",
        f"/{PREFIX}/audit",
    ],
)
def test_a_link_that_signs_in_here_and_ends_up_in_another_program(
    cast: Cast, visitor: VisitorBelow, address: str
) -> None:
    """Below the same name somebody has a page of their own, which looks like the portal's."""
    assert visitor.sign_in(cast.ada, next=address).location == f"{PREFIX}/"


def test_what_htmx_does_with_the_address_bar(cast: Cast, ada: VisitorBelow) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Source": "form#search"}
    answer = ada.client.get(f"{PREFIX}/projects?q=acme", headers=headers)
    assert answer.headers["HX-Push-Url"] == f"{PREFIX}/projects?q=acme"


def test_the_document_names_the_prefix(visitor: VisitorBelow) -> None:
    assert visitor.get("/api/openapi.json").json["servers"] == [{"url": PREFIX}]
    answer = visitor.client.post(f"{PREFIX}/api/agent/v1/sessions", json={})
    assert answer.json["type"] == f"{PREFIX}/api/docs#invalid_request"


def test_the_document_without_a_prefix(app: Flask) -> None:
    assert app.test_client().get("/api/openapi.json").json["servers"] == [{"url": "/"}]


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "evil.example",
        "/\\evil.example",
        "/a//evil.example",
        "/a/../b",
        "/./a",
        "/a b",
        '/a"><script>alert(1)</script>',
        "/a?b",
        "/a#b",
        "/a%2fb",
        "/a;b",
        "/ä",
        "/" + "a" * 300,
        "/",
        "",
    ],
)
def test_what_is_no_plain_path_is_ignored(below: Flask, prefix: str) -> None:
    """A proxy that passes on what the browser sent as `X-Forwarded-Prefix`, or a cache in front of
    it, would have the pages of others load scripts from the attacker's site."""
    assert plain_prefix(prefix) == ""
    headers = {"X-Forwarded-Prefix": prefix.encode().decode("latin-1")}
    answer = below.test_client().get("/login", headers=headers)
    assert answer.status_code == 200
    for address in ADDRESSES.findall(answer.text):
        assert address == "/" or address.startswith(("/static/", "/login", "/agent", "#")), address
    assert "evil" not in unescape(answer.text)


def test_plain_paths_are_taken() -> None:
    for prefix in ("/portal", "/tools/portal", "/a.b/c-d_e~f", "/..a"):
        assert plain_prefix(prefix) == plain_prefix(f"{prefix}/") == prefix


def test_nobody_is_believed_unless_proxies_are_trusted(app: Flask) -> None:
    """An attacker who reaches the portal itself."""
    answer = app.test_client().get("/audit", headers={"X-Forwarded-Prefix": "/portal"})
    assert answer.location.startswith("/login?")
