"""The one place where exceptions become a page, a fragment or problem+json."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, make_response, redirect, render_template
from flask_wtf.csrf import CSRFError
from htmx_flask import request
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from app.errors import Busy, KeyExpired, PortalError
from app.extensions import db
from app.web.access import SignInNeeded, sign_in_address
from app.web.htmx import is_partial
from app.web.transaction import SAFE_METHODS

log = logging.getLogger(__name__)

SENTENCES = {
    400: "The request could not be understood. Go back, load the page again and try once more.",
    401: "You are not signed in, or your sign-in has ended. Sign in to go on.",
    403: "Your role does not allow this.",
    404: "There is nothing at this address. It may have been deleted, or the link is incomplete.",
    405: "This address cannot be used in that way. Go back and use the buttons of the page.",
    413: "What was sent is too large. Send less at once.",
    422: "Something in what was sent is not right.",
    429: "That was tried too often. Wait a little, then try again.",
    500: "Something went wrong on our side. Nothing was saved. Try again; if it happens again, "
    "tell the person who runs this portal.",
}
CODES = {
    401: "not_signed_in",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "throttled",
    500: "internal_error",
}


def init_app(app: Flask) -> None:
    """Register the handlers; the last one catches whatever the others do not."""
    app.register_error_handler(SignInNeeded, sign_in_needed)
    app.register_error_handler(CSRFError, form_out_of_date)
    app.register_error_handler(PortalError, domain_error)
    app.register_error_handler(DBAPIError, database_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unforeseen_error)


def wants_problem() -> bool:
    """Whether the answer is for a program: the agents' interface, or who asks for JSON."""
    if request.path.startswith(("/api/", "/.well-known/")):
        return True
    best = request.accept_mimetypes.best_match(
        ("text/html", "application/problem+json", "application/json"), default="text/html"
    )
    return best != "text/html"


def problem(status: int, code: str, title: str, detail: str, **more: Any) -> Response:
    """An RFC 9457 problem."""
    body = {"type": "about:blank", "status": status, "code": code, "title": title}
    response = jsonify(body | {"detail": detail} | more)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def answer(status: int, code: str, title: str, detail: str, **more: Any) -> Response:
    """The error as whoever asked can use it: problem+json, a fragment, or a page."""
    if wants_problem():
        return problem(status, code, title, detail, **more)
    # Who is signed in is part of the page: after a failure the session must be usable again.
    db.session.rollback()
    if is_partial():
        response = make_response(
            render_template("_error.html", status=status, title=title, detail=detail), status
        )
        response.headers["HX-Retarget"] = "#notices"
        response.headers["HX-Reswap"] = "innerHTML"
        return response
    return make_response(
        render_template("error.html", status=status, title=title, detail=detail, **more), status
    )


def sign_in_needed(error: SignInNeeded) -> WerkzeugResponse:
    address = sign_in_address(error.next_address)
    if request.method in SAFE_METHODS and not request.htmx and not wants_problem():
        return redirect(address, 303)
    response = answer(
        401, "not_signed_in", "Please sign in", SENTENCES[401], sign_in_address=address
    )
    if request.htmx:
        response.headers["HX-Redirect"] = address
    return response


def form_out_of_date(error: CSRFError) -> Response:
    return answer(
        400,
        "form_out_of_date",
        "This form is out of date",
        "The form could not be matched to your sign-in, so nothing was done. "
        "Go back, load the page again and send it once more.",
    )


def domain_error(error: PortalError) -> Response:
    more = {"expired_at": _rfc3339(error)} if isinstance(error, KeyExpired) else {}
    return answer(error.status, error.code, error.title, error.detail, **more)


def database_error(error: DBAPIError) -> Response:
    log.error("the database refused: %s", error.orig)
    sentence = explain_database_error(error)
    if sentence is None:
        return unforeseen_error(error)
    return domain_error(Busy(sentence))


def explain_database_error(error: DBAPIError) -> str | None:
    """A sentence for what can be wrong with a database from outside; None for our own mistakes."""
    text = str(error.orig).lower()
    known = {
        "locked": "Another change has been holding the database for too long. "
        "Nothing was saved; try again in a minute.",
        "readonly": "The database can be read but not written. Nothing was saved. "
        "The person who runs this portal must make its file and folder writable.",
        "full": "The disk is full. Nothing was saved. "
        "The person who runs this portal must make room on it.",
        "unable to open": "The database file is missing or cannot be opened. "
        "The person who runs this portal must put it back, or start the portal again.",
        "disk i/o": "The disk refused to read or write. Nothing was saved. "
        "The person who runs this portal must look at it.",
        "no such table": "The database has not been set up. "
        "The person who runs this portal must start it with `make run`.",
        "not a database": "The database file is damaged. "
        "The person who runs this portal must put a copy back.",
        "connection": "The database server cannot be reached. Nothing was saved; "
        "try again in a minute.",
    }
    return next((sentence for sign, sentence in known.items() if sign in text), None)


def http_error(error: HTTPException) -> WerkzeugResponse:
    if error.code is None or error.code < 400:
        return error.get_response()
    status = error.code
    title = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    detail = SENTENCES.get(status) or error.description or title
    response = answer(status, CODES.get(status, "invalid_request"), title, detail)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def unforeseen_error(error: Exception) -> Response:
    log.error("unforeseen error at %s %s", request.method, request.path, exc_info=error)
    return answer(500, "internal_error", "Something went wrong", SENTENCES[500])


def _rfc3339(error: KeyExpired) -> str:
    return error.expired_at.isoformat().replace("+00:00", "Z")
