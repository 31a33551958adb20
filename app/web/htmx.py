"""Rendering for htmx: pages and fragments, redirects and addresses."""

import hashlib

from flask import Response, make_response, render_template
from htmx_flask import request
from werkzeug.urls import iri_to_uri


def is_partial(target: str = "") -> bool:
    """Whether htmx asks for a fragment, not for a whole page as when it restores history.

    With a `target`, such as "div#hits": whether it is for this element.
    """
    asked = bool(request.htmx) and request.headers.get("HX-Request-Type", "partial") == "partial"
    return asked and (not target or request.headers.get("HX-Target") == target)


def render(page: str, partial: str, /, status: int = 200, **context: object) -> Response:
    """Render the template `page`, or, for htmx's partial requests, the `partial` it includes."""
    template = partial if is_partial() else page
    return make_response(render_template(template, **context), status)


def fingerprint(shown: object) -> str:
    """Of what a list shows, as plain values: it changes when they do."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def is_seen(shown: str) -> bool:
    """Whether a list that refreshes itself shows already what has this fingerprint (then: 204)."""
    return is_partial() and request.args.get("seen") == shown


def keep_address_in_step(response: Response, address: str) -> None:
    """Tell htmx the page's new address: a new history entry, except while the user types."""
    typing = request.headers.get("HX-Source") == "input#search-text"
    same = request.headers.get("HX-Current-URL", "").endswith(address)
    response.headers["HX-Replace-Url" if typing or same else "HX-Push-Url"] = address


def redirect_see_other(address: str) -> Response:
    """Redirect the browser to `address` (303); htmx loads it as a whole new page."""
    response = make_response("", 200 if request.htmx else 303)
    response.headers["HX-Redirect" if request.htmx else "Location"] = iri_to_uri(address)
    return response
