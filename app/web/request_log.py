"""One line in the log for each request, and the ID that it is found by.

It has the route, and not the address that was asked for: addresses have queries, Key IDs and names
in them.
"""

import time

import structlog
from flask import Flask, Response, g, request

from app.config import current_config
from app.core.request_ids import begin_request, current_request_id, end_request

REQUEST_ID = "X-Request-ID"
log = structlog.get_logger()


def init_app(app: Flask) -> None:
    """Register what is done first and last about every request."""
    app.before_request(_begin)
    app.after_request(_note)
    app.teardown_request(lambda _error: end_request())


def note_person(user_id: int) -> None:
    """The request was made by this user, who is not signed in at the portal."""
    g.person = user_id


def person() -> int | None:
    """Who has made the request, as far as it had to be found out."""
    user_id = g.get("person") or getattr(g.get("_login_user"), "id", None)
    return int(user_id) if user_id else None


def route() -> str:
    """The rule that the address fits, such as "/projects/<id:project_id>"; "" if none does."""
    return str(request.url_rule or "")


def _begin() -> None:
    g.began = time.perf_counter()
    trusted = current_config().trusted_proxies > 0
    begin_request(request.headers.get(REQUEST_ID) if trusted else None)


def _note(response: Response) -> Response:
    response.headers[REQUEST_ID] = current_request_id()
    # Nothing has set it up: a command, or a test.
    if structlog.is_configured():
        log.info(
            "request",
            method=request.method[:20],
            route=route(),
            status=response.status_code,
            ms=round((time.perf_counter() - g.get("began", 0)) * 1000, 1),
            person=person(),
            request_id=current_request_id(),
        )
    return response
