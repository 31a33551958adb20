"""Every refusal and failure: as a page in the product's look, as a fragment, as a problem."""

from collections.abc import Iterator

import pytest
from flask import Flask, abort, request
from werkzeug.exceptions import TooManyRequests
from werkzeug.test import TestResponse

from app import create_app
from app.core.errors import (
    Busy,
    Conflict,
    InvalidInput,
    KeyInvalid,
    NotAllowed,
    NotFound,
    PortalError,
    SigningKeyMissing,
)
from app.core.permissions import Role
from app.extensions import db
from app.models import User
from app.web.access import public
from tests.conftest import NOW, Cast, Visitor

CODES = {
    400: "invalid_request",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    418: "invalid_request",
    422: "invalid_request",
    429: "throttled",
    500: "internal_error",
}
DOMAIN: dict[str, tuple[PortalError, int, str]] = {
    "InvalidInput": (InvalidInput("name", "It is taken."), 422, "invalid_request"),
    "NotFound": (NotFound("It is gone."), 404, "not_found"),
    "NotAllowed": (NotAllowed("Not you."), 403, "not_allowed"),
    "Conflict": (Conflict("Too late."), 409, "conflict"),
    "Busy": (Busy("Later."), 503, "unavailable"),
    "SigningKeyMissing": (SigningKeyMissing("Lost."), 503, "signing_key_missing"),
    "KeyInvalid": (KeyInvalid("Not ours."), 403, "key_invalid"),
}


@public
def fail(status: int) -> str:
    if status == 429:
        raise TooManyRequests(retry_after=7)
    abort(status)


@public
def crash() -> str:
    raise RuntimeError("what only the log may tell")


@public
def domain(name: str) -> str:
    raise DOMAIN[name][0]


@public
def echo() -> str:
    return str(len(request.get_data()))


@public
def misjudge() -> str:
    """A mistake of ours: a user of an organisation that is not there."""
    db.session.add(
        User(
            email="new@client.example",
            role=Role.CLIENT,
            password_hash="$argon2id$of a password",
            organisation_id="ORG-NOBODY",
            created_at=NOW,
        )
    )
    db.session.flush()
    return ""


@pytest.fixture
def breakable(app: Flask) -> Iterator[Flask]:
    """The portal with addresses that fail as they are told."""
    portal = create_app(app.extensions["config"])
    methods = ["GET", "POST"]
    portal.add_url_rule("/fail/<int:status>", view_func=fail, methods=methods)
    portal.add_url_rule("/crash", view_func=crash, methods=methods)
    portal.add_url_rule("/domain/<name>", view_func=domain, methods=methods)
    portal.add_url_rule("/echo", view_func=echo, methods=methods)
    portal.add_url_rule("/misjudge", view_func=misjudge, methods=methods)
    yield portal
    with portal.app_context():
        db.engine.dispose()


@pytest.fixture
def anybody(breakable: Flask) -> Visitor:
    return Visitor(breakable.test_client())


@pytest.fixture
def admin(breakable: Flask, cast: Cast) -> Visitor:
    admin = Visitor(breakable.test_client())
    admin.sign_in(cast.ada)
    return admin


HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
JSON = {"Accept": "application/json"}


def is_page(answer: TestResponse, status: int) -> bool:
    """Whether it is a whole page in the product's look."""
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    for part in ("<!DOCTYPE html>", "· Rolling Window</title>", 'skip-link"', "layout.css"):
        assert part in answer.text
    assert answer.text.count("<h1") == 1
    assert f'<p class="empty-header">{status}</p>' in answer.text
    return True


def is_fragment(answer: TestResponse, status: int) -> bool:
    """Whether htmx puts it among the page's notices, and it is nothing but a notice."""
    assert answer.status_code == status
    assert answer.headers["HX-Retarget"] == "#notices"
    assert answer.headers["HX-Reswap"] == "innerMorph"
    assert "<html" not in answer.text
    assert 'role="alert"' in answer.text
    return True


def is_problem(answer: TestResponse, status: int, code: str) -> bool:
    """Whether it is an RFC 9457 problem."""
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["code"] == code
    assert answer.json["title"]
    assert answer.json["detail"]
    return True


@pytest.mark.parametrize("status", CODES)
def test_each_status_as_a_page(anybody: Visitor, admin: Visitor, status: int) -> None:
    for person in (anybody, admin):
        assert is_page(person.get(f"/fail/{status}"), status)
        assert is_page(person.post(f"/fail/{status}"), status)


@pytest.mark.parametrize("status", CODES)
def test_each_status_as_a_fragment(anybody: Visitor, status: int) -> None:
    assert is_fragment(anybody.get(f"/fail/{status}", htmx=True), status)
    assert is_fragment(anybody.post(f"/fail/{status}", htmx=True), status)


@pytest.mark.parametrize("status", CODES)
def test_each_status_as_a_problem(anybody: Visitor, status: int) -> None:
    answer = anybody.client.get(f"/fail/{status}", headers=JSON)
    assert is_problem(answer, status, CODES[status])


def test_the_page_says_who_is_signed_in_unless_it_is_the_portals_own_fault(admin: Visitor) -> None:
    assert "ada@example.com" in admin.get("/fail/404").text
    assert "ada@example.com" not in admin.get("/fail/500").text


def test_an_address_that_does_not_exist(anybody: Visitor) -> None:
    assert is_page(anybody.get("/nowhere"), 404)
    assert is_fragment(anybody.get("/nowhere", htmx=True), 404)
    assert is_problem(anybody.client.get("/nowhere", headers=JSON), 404, "not_found")


def test_the_interface_for_agents_answers_with_problems_only(anybody: Visitor) -> None:
    for path in ("/api/agent/v1/nothing", "/.well-known/nothing"):
        assert is_problem(anybody.get(path), 404, "not_found")
        assert is_problem(anybody.client.post(path), 404, "not_found")


def test_a_wrong_method(anybody: Visitor) -> None:
    assert is_page(anybody.client.put("/login"), 405)
    assert is_fragment(anybody.client.put("/login", headers=HTMX), 405)
    assert is_problem(anybody.client.put("/login", headers=JSON), 405, "method_not_allowed")


def test_a_form_without_its_token(anybody: Visitor) -> None:
    answer = anybody.client.post("/login", data={"email": "a@b.example", "password": "x"})
    assert is_page(answer, 400)
    assert "This form is out of date" in answer.text
    answer = anybody.client.post("/login", headers=HTMX)
    assert is_fragment(answer, 400)
    assert is_problem(anybody.client.post("/login", headers=JSON), 400, "form_out_of_date")


BIG = 2 * 1024 * 1024


def test_a_body_of_two_megabytes_is_taken_and_one_byte_more_is_not(anybody: Visitor) -> None:
    anybody.get("/login")
    headers = {"X-CSRFToken": anybody.csrf_token, "Content-Type": "application/octet-stream"}
    taken = anybody.client.post("/echo", data=b"x" * BIG, headers=headers)
    assert (taken.status_code, taken.text) == (200, str(BIG))
    assert is_page(anybody.client.post("/echo", data=b"x" * (BIG + 1), headers=headers), 413)
    much = {"data": b"x" * (BIG + 1)}
    assert is_fragment(anybody.client.post("/login", headers=HTMX, **much), 413)
    assert is_problem(anybody.client.post("/login", headers=JSON, **much), 413, "payload_too_large")


def test_a_form_of_a_hundred_thousand_fields_is_refused_without_a_fuss(anybody: Visitor) -> None:
    data = "&".join(f"f{number}=" for number in range(100_000))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert anybody.client.post("/login", data=data, headers=headers).status_code in (400, 413)


def test_retry_after_is_kept(anybody: Visitor) -> None:
    for headers in ({}, HTMX, JSON):
        assert anybody.client.get("/fail/429", headers=headers).headers["Retry-After"] == "7"


@pytest.mark.parametrize("name", DOMAIN)
def test_each_exception_of_the_domain_says_its_own_sentence(anybody: Visitor, name: str) -> None:
    error, status, code = DOMAIN[name]
    page = anybody.get(f"/domain/{name}")
    assert is_page(page, status)
    assert error.detail in page.text
    fragment = anybody.get(f"/domain/{name}", htmx=True)
    assert is_fragment(fragment, status)
    assert error.detail in fragment.text
    problem = anybody.client.get(f"/domain/{name}", headers=JSON)
    assert is_problem(problem, status, code)
    assert problem.json["detail"] == error.detail


@pytest.mark.parametrize("headers", [{}, HTMX, JSON])
def test_a_crash_tells_nothing_of_its_cause_and_is_logged(
    anybody: Visitor, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = anybody.client.get("/crash", headers=headers)
    assert answer.status_code == 500
    assert "what only the log may tell" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "RuntimeError: what only the log may tell" in caplog.text


@pytest.mark.databases("sqlite", "postgres")
def test_what_the_database_was_told_is_in_no_log_and_no_answer(
    anybody: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    answer = anybody.post("/misjudge")
    assert answer.status_code == 500
    assert "INSERT INTO users" in caplog.text
    for secret in ("new@client.example", "argon2id"):
        assert secret not in caplog.text + answer.text


def test_accept_decides_between_page_and_problem(anybody: Visitor) -> None:
    def decide(accept: str) -> str:
        return anybody.client.get("/nowhere", headers={"Accept": accept}).mimetype

    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert decide(browser) == "text/html"
    assert decide("*/*") == "text/html"
    assert decide("") == "text/html"
    assert decide("image/png") == "text/html"
    assert decide("application/problem+json") == "application/problem+json"
    assert decide("application/json, text/html;q=0.5") == "application/problem+json"


def test_htmx_that_wants_a_whole_page_gets_one(anybody: Visitor) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "full"}
    assert is_page(anybody.client.get("/nowhere", headers=headers), 404)
