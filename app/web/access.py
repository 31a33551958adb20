"""Deny by default: every route says who may use it, and what says nothing is refused."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from flask import current_app
from flask_login import current_user
from htmx_flask import request
from werkzeug.exceptions import Unauthorized

from app.accounts.actor import Actor
from app.audit.services import record
from app.audit.tags import AuditTag
from app.clock import utcnow
from app.errors import NotAllowed
from app.extensions import csrf, db
from app.permissions import Permission, allows
from app.web.transaction import SAFE_METHODS, choose_kind, start_writing

View = TypeVar("View", bound=Callable[..., object])


def requires(permission: Permission) -> Callable[[View], View]:
    """Stamp a view as open to signed-in portal users whose role carries `permission`."""

    def stamp(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        return view

    return stamp


def public(view: View) -> View:
    """Stamp a view as open to everybody."""
    view.permission = None  # type: ignore[attr-defined]
    return view


def keeps_fields(*names: str) -> Callable[[View], View]:
    """Stamp a form's view: whoever has to sign in first comes back with these fields as they were.

    The page that the form stands on understands them in its address.
    """

    def stamp(view: View) -> View:
        view.kept_fields = names  # type: ignore[attr-defined]
        return view

    return stamp


class SignInNeeded(Unauthorized):
    """Nobody is signed in. `next_address` is where to come back to afterwards."""

    def __init__(self, next_address: str) -> None:
        super().__init__()
        self.next_address = next_address


def check_access() -> None:
    """Before every request: who asks, may they, and does the form come from this site?

    Raises SignInNeeded (303 or 401), NotAllowed (403) or CSRFError (400).
    """
    choose_kind()
    if request.endpoint is None:
        return
    view = current_app.view_functions[request.endpoint]
    if not hasattr(view, "permission"):
        raise NotAllowed("This address says nothing about who may use it, so nobody may.")
    permission: Permission | None = view.permission
    if permission is not None and not current_user.is_authenticated:
        raise SignInNeeded(_address_to_return_to(getattr(view, "kept_fields", ())))
    csrf.protect(apply_exemptions=True)
    if permission is not None and not allows(current_user.role, permission):
        if request.method not in SAFE_METHODS:
            _record_denial(permission)
        raise NotAllowed(
            "Your role does not allow this. Ask a super admin if you think that it should."
        )


def _record_denial(permission: Permission) -> None:
    start_writing()
    record(
        db.session(),
        AuditTag.NOT_ALLOWED,
        actor=current_actor(),
        now=utcnow(),
        subject=request.path,
        permission=permission.value,
    )
    db.session.commit()


def current_actor() -> Actor:
    """The signed-in portal user of this request, as services know people."""
    return Actor(
        user_id=current_user.id,
        email=current_user.email,
        role=current_user.role,
        address=client_address(),
    )


def client_address() -> str:
    """The address a request came from, as the proxies that are trusted say."""
    return str(request.remote_addr or "")[:45]


def safe_next(address: str | None) -> str | None:
    """`address` if it is a page of this site, else None (an open redirect helps phishing)."""
    if not address or len(address) > 2000 or not address.startswith("/"):
        return None
    if address.startswith("//") or "\\" in address:
        return None
    if any(ord(character) < 33 or ord(character) == 127 for character in address):
        return None
    return address


def sign_in_address(next_address: str | None) -> str:
    """The sign-in page that leads back to `next_address`."""
    return f"/login?next={quote(next_address, safe='')}" if next_address else "/login"


def _address_to_return_to(kept_fields: tuple[str, ...]) -> str:
    """This page, or for a form and for a fragment the page that it stands on."""
    if request.method in SAFE_METHODS and not request.htmx:
        return str(request.full_path).removesuffix("?")
    try:
        page = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "")
    except ValueError:
        return "/"
    kept = {name: request.form[name] for name in kept_fields if request.form.get(name)}
    query = urlencode(dict(parse_qsl(page.query)) | kept) if kept else page.query
    here = page.path + (f"?{query}" if query else "")
    return (safe_next(here) if page.netloc == request.host else None) or "/"
