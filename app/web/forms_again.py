"""Forms that come back with what was entered: out of date, or sent after a sign-in had ended.

A view that shows a form reads `entered()`; nothing else is needed for its form to come back.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Response, current_app, g, make_response, render_template, request, session
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from app.models.engine import set_reading
from app.web.htmx import is_partial

View = TypeVar("View", bound=Callable[..., object])
Page = Callable[..., Any]
"""A view that shows a form, or that has nothing to show (None)."""

KEPT = "kept_form"
MOST_KEPT = 2500
"""Characters of a form that are kept: it travels in a cookie, and those end at 4,096 bytes."""
NOT_KEPT = ("csrf_token", "password", "previewed")
"""What never comes back, by the parts of names of fields: a preview is made anew."""
OUT_OF_DATE = (
    "This form was out of date (somebody signed in or out in another window, or the browser's "
    "cookies were cleared), so nothing was done. Check it and send it again."
)
SIGNED_IN_AGAIN = "You are signed in again. Nothing was done yet: check the form and send it."
PROVEN_AGAIN = "You have proved who you are. Nothing was done yet: check the form and send it."


def shown_again_by(page: Page) -> Callable[[View], View]:
    """Stamp a form's view with what shows it again, where a GET of its own address does not."""

    def stamp(view: View) -> View:
        view.page = page  # type: ignore[attr-defined]
        return view

    return stamp


def undone(words: str) -> Callable[[View], View]:
    """Stamp a form's view with how it is said that it did nothing: "nothing was generated"."""

    def stamp(view: View) -> View:
        view.undone = words  # type: ignore[attr-defined]
        return view

    return stamp


def page_of_form() -> Page | None:
    """What shows the form of this request; None for one that was never ours, without any token."""
    if not any((request.form.get("csrf_token"), request.headers.get("X-CSRFToken"))):
        return None
    stamped: Page | None = getattr(_view(), "page", None)
    if stamped is not None:
        return stamped
    endpoint = _endpoint_of_get()
    return current_app.view_functions.get(endpoint) if endpoint else None


def _endpoint_of_get() -> str | None:
    adapter = current_app.create_url_adapter(request)
    try:
        endpoint, _ = adapter.match(method="GET") if adapter else (None, {})
    except HTTPException:
        return None
    return endpoint


def show_again(page: Page) -> Response | None:
    """The form of this request with what was entered, but for passwords; nothing is done (422).

    Where the page leads on instead (somebody is signed in already), so does this. None if `page`
    has nothing to show.
    """
    set_reading(True)
    g.notice = OUT_OF_DATE
    shown = page(**(request.view_args or {}))
    if shown is None:
        return None
    response = make_response(shown)
    if is_partial():
        response.data += render_template("_notice.html").encode()
    if response.status_code == 200 and "HX-Redirect" not in response.headers:
        response.status_code = 422
    return response


def has_page_of_its_own() -> bool:
    """Whether a GET of this form's address shows it."""
    return _endpoint_of_get() is not None


def entered() -> MultiDict[str, str] | None:
    """What was entered in the form that comes back, or None."""
    kept: MultiDict[str, str] | None = g.get("entered")
    return request.form if request.method == "POST" else kept


def keep_form(page_address: str, user_id: int | None, notice: str = SIGNED_IN_AGAIN) -> str:
    """Keep the form of this request until `user_id` is signed in again: what to say of it.

    It comes back, with `notice`, at `page_address`. "" if there is no form, or it does not come
    from this site.
    """
    session.pop(KEPT, None)
    if request.method != "POST" or page_address == "/":
        return ""
    words: str = getattr(_view(), "undone", "nothing was done")
    fields = [
        (name, value)
        for name, value in request.form.items(multi=True)
        if not any(part in name for part in NOT_KEPT)
    ]
    if sum(len(ascii(name + value)) for name, value in fields) > MOST_KEPT:
        return f"{words}, and what you typed is too long to be kept here"
    path = urlsplit(page_address).path
    kept = {"path": path, "fields": fields, "user": user_id, "undone": words, "notice": notice}
    session[KEPT] = kept
    return words


def undone_by_kept_form() -> str:
    """How it is said that the form that waits did nothing; "" if none waits."""
    return str(session.get(KEPT, {}).get("undone", ""))


def bring_form_back(user_id: int) -> None:
    """On the first page after signing in: a form that was kept comes back to whoever had sent it.

    It is forgotten if that page is another one, or its reader is somebody else.
    """
    if KEPT not in session or request.method != "GET" or is_partial():
        return
    kept = session.pop(KEPT)
    if kept["path"] == request.path and kept["user"] in (None, user_id):
        g.entered = MultiDict(kept["fields"])
        g.notice = kept["notice"]


def _view() -> Callable[..., object]:
    return current_app.view_functions[request.endpoint or ""]
