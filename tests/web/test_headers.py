"""What every answer carries, cookies, and static files."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.extensions import db
from app.web.assets import STATIC, asset_address
from tests.conftest import Cast, Clock, Visitor


def policy(answer: TestResponse) -> dict[str, str]:
    directives = answer.headers["Content-Security-Policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


def check_security(answer: TestResponse) -> None:
    found = policy(answer)
    assert found["default-src"] == found["script-src"] == found["style-src"] == "'self'"
    assert found["img-src"] == "'self' data:"
    assert found["object-src"] == found["base-uri"] == found["frame-ancestors"] == "'none'"
    assert found["form-action"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_every_answer_carries_the_security_headers(
    app: Flask, visitor: Visitor, ada: Visitor
) -> None:
    with app.test_request_context():
        asset = asset_address("css/theme.css")
    answers = {
        200: [visitor.get("/login"), ada.get("/audit"), visitor.get(asset), visitor.get("/agent")],
        303: [visitor.get("/audit")],
        400: [visitor.client.post("/login")],
        401: [visitor.post("/login", {"email": "a@b", "password": "x"})],
        404: [visitor.get("/nowhere"), visitor.get("/api/nowhere"), visitor.get("/static/0/x.css")],
        405: [visitor.client.delete("/login")],
        413: [visitor.client.post("/login", data=b"x" * (2 * 1024 * 1024 + 1))],
        422: [visitor.post("/login", htmx=True)],
    }
    for status, list_ in answers.items():
        for answer in list_:
            assert answer.status_code == status
            check_security(answer)


def test_no_answer_but_a_static_file_is_kept_by_a_shared_cache(
    visitor: Visitor, ada: Visitor
) -> None:
    for answer in (visitor.get("/login"), ada.get("/audit"), visitor.get("/nowhere")):
        assert answer.headers["Cache-Control"] in ("private, no-cache", "no-store")
        assert {"Cookie", "HX-Request", "HX-Request-Type"} <= set(answer.vary)


def test_every_answer_tells_the_servers_time(visitor: Visitor, clock: Clock) -> None:
    assert visitor.get("/login").headers["X-Server-Now"] == "2026-11-24T15:40:00.000+00:00"
    assert 'data-server-now="2026-11-24T15:40:00.000+00:00"' in visitor.get("/login").text


def test_the_sessions_cookie_is_for_this_site_and_for_no_script(visitor: Visitor) -> None:
    cookie = visitor.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("rolling_window=")
    assert "; HttpOnly" in cookie
    assert "; SameSite=Lax" in cookie
    assert "; Path=/" in cookie
    assert "Secure" not in cookie
    assert "Domain" not in cookie
    assert "Expires" not in cookie


@pytest.fixture
def secure(app: Flask) -> Iterator[Flask]:
    """The portal behind one proxy, on HTTPS."""
    config = replace(app.extensions["config"], https=True, trusted_proxies=1)
    portal = create_app(config)
    yield portal
    with portal.app_context():
        db.engine.dispose()


def test_on_https_cookies_are_secure_and_browsers_told_to_stay(secure: Flask, cast: Cast) -> None:
    visitor = Visitor(secure.test_client())
    for path in ("/login", "/nowhere"):
        answer = visitor.get(path, base_url="https://portal.example")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "; Secure" in visitor.get("/login").headers.get("Set-Cookie", "; Secure")
    fresh = secure.test_client().get("/login", base_url="https://portal.example")
    assert "; Secure" in fresh.headers["Set-Cookie"]


def test_without_https_nothing_is_said_about_it(visitor: Visitor) -> None:
    assert "Strict-Transport-Security" not in visitor.get("/login").headers


def test_a_static_file_is_compressed_and_kept_for_a_year(app: Flask, visitor: Visitor) -> None:
    with app.test_request_context():
        address = asset_address("vendor/tabler/tabler.min.css")
    plain = visitor.client.get(address)
    zipped = visitor.client.get(address, headers={"Accept-Encoding": "br, gzip"})
    content = (STATIC / "vendor/tabler/tabler.min.css").read_bytes()
    assert plain.data == content
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == content
    assert len(zipped.data) < len(content) / 5
    for answer in (plain, zipped):
        assert answer.status_code == 200
        assert answer.mimetype == "text/css"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.vary.as_set() == {"accept-encoding"}
        assert "Set-Cookie" not in answer.headers
        assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_a_browser_that_cannot_unpack_is_not_sent_something_packed(
    app: Flask, visitor: Visitor
) -> None:
    with app.test_request_context():
        address = asset_address("css/theme.css")
    for wants in ("identity", "gzip;q=0", "br", ""):
        answer = visitor.client.get(address, headers={"Accept-Encoding": wants})
        assert "Content-Encoding" not in answer.headers


def test_the_address_of_a_static_file_changes_with_its_content(app: Flask) -> None:
    with app.test_request_context():
        one, other = asset_address("css/theme.css"), asset_address("js/page.js")
    assert re.fullmatch(r"/static/[0-9a-f]{12}/css/theme\.css", one)
    assert one.split("/")[2] != other.split("/")[2]


def test_every_static_file_has_the_type_that_browsers_insist_on(
    app: Flask, visitor: Visitor
) -> None:
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for file in STATIC.rglob("*"):
        if file.suffix in types:
            with app.test_request_context():
                address = asset_address(file.relative_to(STATIC).as_posix())
            assert visitor.get(address).mimetype == types[file.suffix], file


def test_a_fingerprint_of_another_content_is_404(app: Flask, visitor: Visitor) -> None:
    assert visitor.get("/static/000000000000/css/theme.css").status_code == 404
    with app.test_request_context():
        mixed = asset_address("css/theme.css").replace("css/theme.css", "js/page.js")
    assert visitor.get(mixed).status_code == 404


def test_a_missing_asset_is_found_when_the_page_is_made(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(FileNotFoundError):
        asset_address("css/no-such.css")


def test_only_the_looks_that_there_are_come_out_of_the_cookie(visitor: Visitor) -> None:
    for theme, shown in (("dark", "dark"), ("light", "light"), ('"><b>', "light"), ("", "light")):
        visitor.client.set_cookie("theme", theme)
        assert f'data-bs-theme="{shown}"' in visitor.get("/login").text
