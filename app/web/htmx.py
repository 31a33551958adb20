"""What pages and fragments share."""

from flask import Response, make_response, render_template
from htmx_flask import request
from werkzeug.urls import iri_to_uri


def is_partial() -> bool:
    """Whether htmx asks for a fragment (and not for a whole page, as its history restore does)."""
    return bool(request.htmx) and request.headers.get("HX-Request-Type", "partial") == "partial"


def render(page: str, partial: str, /, status: int = 200, **context: object) -> Response:
    """The whole `page`, or for htmx's partial requests the `partial` that the page includes."""
    template = partial if is_partial() else page
    return make_response(render_template(template, **context), status)


def keep_address_in_step(response: Response, address: str) -> None:
    """Typing replaces the address; any other step is one that the browser's Back undoes."""
    typing = request.headers.get("HX-Source") == "input#search-text"
    same = request.headers.get("HX-Current-URL", "").endswith(address)
    response.headers["HX-Replace-Url" if typing or same else "HX-Push-Url"] = address


def redirect_see_other(address: str) -> Response:
    """Send the browser on to `address` (303), by htmx too, as a whole new page."""
    response = make_response("", 200 if request.htmx else 303)
    response.headers["HX-Redirect" if request.htmx else "Location"] = iri_to_uri(address)
    return response
