"""Turning exceptions into a page, a fragment or problem+json; nothing else does this."""

import logging
from contextlib import suppress
from typing import Any, NamedTuple

from flask import Flask, Response, g, jsonify, make_response, redirect, render_template
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from htmx_flask import request
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from app.core.errors import Busy, NotAllowed, NotFound, PortalError
from app.core.request_ids import current_request_id
from app.extensions import db, login_manager
from app.models.database_errors import explain_database_error
from app.models.engine import set_reading
from app.web.access import ProofNeeded, SignInNeeded, proof_address, sign_in_address
from app.web.htmx import is_partial
from app.web.proxies import path_prefix
from app.web.transaction import SAFE_METHODS

log = logging.getLogger(__name__)


class ErrorText(NamedTuple):
    """An error for the client: HTTP status, stable code, title, and a sentence for people."""

    status: int
    code: str
    title: str
    detail: str


_KNOWN = (
    ErrorText(
        400,
        PortalError.code,
        PortalError.title,
        "The request could not be understood. Go back, load the page again and try once more.",
    ),
    ErrorText(
        401,
        "not_signed_in",
        "Please sign in",
        "You are not signed in, or your sign-in has ended. Sign in to go on.",
    ),
    ErrorText(403, NotAllowed.code, NotAllowed.title, "Your role does not allow this."),
    ErrorText(
        404,
        NotFound.code,
        NotFound.title,
        "There is nothing at this address. It may have been deleted, or the link is incomplete.",
    ),
    ErrorText(
        405,
        "method_not_allowed",
        "That does not work here",
        "This address cannot be used in that way.",
    ),
    ErrorText(
        413,
        "payload_too_large",
        "That is too much at once",
        "What was sent is too large. Send less at once.",
    ),
    ErrorText(
        415,
        "unsupported_media_type",
        "That kind of content is not understood",
        "What was sent is of a kind that is not accepted here.",
    ),
    ErrorText(
        422,
        PortalError.code,
        "Something needs another look",
        "Something in what was sent is not right.",
    ),
    ErrorText(
        429,
        "throttled",
        "Too many tries",
        "That was tried too often. Wait a little, then try again.",
    ),
    ErrorText(
        500,
        "internal_error",
        "Something went wrong",
        "Something went wrong on our side. Nothing was saved. Try again; if it happens again, "
        "tell the person who runs this portal.",
    ),
)
ERROR_TEXTS = {known.status: known for known in _KNOWN}
"""The text for each status, unless the exception has a more exact one."""
FORM_OUT_OF_DATE = ErrorText(
    400,
    "form_out_of_date",
    "This form is out of date",
    "The form could not be matched to your sign-in, so nothing was done. "
    "Go back, load the page again and send it once more.",
)
PROOF_NEEDED = ErrorText(
    403,
    "proof_needed",
    "Prove again who you are",
    "This asks that you have proved who you are within the last ten minutes. Nothing was done.",
)


def init_app(app: Flask) -> None:
    """Register the error handlers; the last one catches everything that the others do not."""
    app.register_error_handler(SignInNeeded, sign_in_needed)
    app.register_error_handler(ProofNeeded, proof_needed)
    app.register_error_handler(CSRFError, form_out_of_date)
    app.register_error_handler(PortalError, domain_error)
    app.register_error_handler(DBAPIError, database_error)
    app.register_error_handler(TimeoutError, no_connection_free)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unforeseen_error)


def wants_problem() -> bool:
    """Whether to answer with problem+json: in the JSON interface, or if JSON is asked for."""
    if request.path.startswith(("/api/", "/.well-known/")):
        return True
    best = request.accept_mimetypes.best_match(
        ("text/html", "application/problem+json", "application/json"), default="text/html"
    )
    return bool(best != "text/html")


def problem(status: int, code: str, title: str, detail: str, **more: Any) -> Response:
    """A response with problem details (RFC 9457)."""
    note_refusal(code)
    body = {
        "type": f"{path_prefix()}/api/docs#{code}",
        "status": status,
        "code": code,
        "title": title,
    }
    response = jsonify(body | {"detail": detail} | more)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def error_response(error: ErrorText, **more: Any) -> Response:
    """The error in the form that the client expects: problem+json, a fragment or a page."""
    _undo()
    if wants_problem():
        return problem(*error, **more)
    note_refusal(error.code)
    _load_user(error.status)
    more["request_id"] = current_request_id()
    if is_partial():
        fragment = render_template("_error.html", problem=error, **more)
        return make_response(
            fragment, error.status, {"HX-Retarget": "#notices", "HX-Reswap": "innerMorph"}
        )
    return make_response(render_template("error.html", problem=error, **more), error.status)


def note_refusal(code: str) -> None:
    """The request is refused for this reason; refusals are counted by it."""
    g.refused = code


def sign_in_needed(error: SignInNeeded) -> WerkzeugResponse:
    address = sign_in_address(error.next_address)
    if request.method in SAFE_METHODS and not request.htmx and not wants_problem():
        return redirect(address, 303)
    said = ERROR_TEXTS[401]
    if error.reason:
        said = said._replace(detail=error.reason)
    response = error_response(said, sign_in_address=address)
    if request.htmx:
        response.headers["HX-Redirect"] = address
    return response


def proof_needed(error: ProofNeeded) -> WerkzeugResponse:
    """The form waits while its sender proves who they are; nothing was done."""
    address = proof_address(error.next_address)
    if wants_problem():
        return error_response(PROOF_NEEDED)
    if not request.htmx:
        return redirect(address, 303)
    response = error_response(PROOF_NEEDED)
    response.headers["HX-Redirect"] = address
    return response


def form_out_of_date(_error: CSRFError) -> Response:
    return error_response(FORM_OUT_OF_DATE)


def domain_error(error: PortalError) -> Response:
    response = error_response(ErrorText(error.status, error.code, error.title, error.detail))
    if isinstance(error, Busy) and error.retry_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_seconds)
    return response


def database_error(error: DBAPIError) -> Response:
    sentence = explain_database_error(error)
    if sentence is None:
        return unforeseen_error(error)
    log.error("the database refused: %s", error.orig)
    return domain_error(Busy(sentence))


def no_connection_free(error: TimeoutError) -> Response:
    log.error("no connection to the database is free: %s", error)
    return domain_error(Busy("The portal has too much to do just now. Try again.", 5))


def http_error(error: HTTPException) -> WerkzeugResponse:
    if error.code is None or error.code < 400:
        return error.get_response()
    response = error_response(
        ERROR_TEXTS.get(error.code)
        or ErrorText(error.code, PortalError.code, error.name, error.description or error.name)
    )
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def unforeseen_error(error: Exception) -> Response:
    log.error("unforeseen error at %s %.200r", request.method, request.path, exc_info=error)
    return error_response(ERROR_TEXTS[500])


def _undo() -> None:
    """Undo what the request wrote; the error page itself only reads from the database."""
    with suppress(DBAPIError):
        db.session.rollback()
    set_reading(True)


def _load_user(status: int) -> None:
    """Load the user for the page; treat them as nobody if the database may be what fails."""
    try:
        if status >= 500:
            _forget_user()
        _ = current_user.is_authenticated
    except DBAPIError:
        _forget_user()


def _forget_user() -> None:
    """Treat the request as one by nobody, so that the page does not query the database."""
    g._login_user = login_manager.anonymous_user()
