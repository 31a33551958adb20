"""Who may use a route. Deny by default: a view without a stamp is refused."""

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from flask_login import current_user
from htmx_flask import request
from werkzeug.exceptions import Forbidden, Unauthorized

from app.core.actor import Actor
from app.core.permissions import Permission
from app.web.proxies import path_prefix
from app.web.transaction import SAFE_METHODS

View = TypeVar("View", bound=Callable[..., object])


def requires(permission: Permission) -> Callable[[View], View]:
    """Stamp a view as open to signed-in portal users whose role has `permission`."""

    def stamp(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        return view

    return stamp


def public(view: View) -> View:
    """Stamp a view as open to everybody, signed in or not."""
    view.permission = None  # type: ignore[attr-defined]
    return view


def restore_fields(*names: str) -> Callable[[View], View]:
    """Stamp a view that takes a form: these fields survive having to sign in first.

    They are added to the query of the address that the person returns to, the page with the form,
    which must read them from there.
    """

    def stamp(view: View) -> View:
        view.restored_fields = names  # type: ignore[attr-defined]
        return view

    return stamp


def needs_proof(view: View) -> View:
    """Stamp a view whose form asks that one has proved a short while ago who one is."""
    view.needs_proof = True  # type: ignore[attr-defined]
    return view


class ProofNeeded(Forbidden):
    """Somebody must prove again who they are. `next_address` is the page with the form."""

    def __init__(self, next_address: str) -> None:
        super().__init__()
        self.next_address = next_address


class SignInNeeded(Unauthorized):
    """Nobody is signed in. `next_address` is the page to return to, `reason` why, if known."""

    def __init__(self, next_address: str, reason: str = "") -> None:
        super().__init__()
        self.next_address = next_address
        self.reason = reason


def current_actor() -> Actor:
    """The signed-in portal user of this request, for services."""
    return Actor(
        user_id=current_user.id,
        email=current_user.email,
        role=current_user.role,
        address=client_address(),
    )


def client_address() -> str:
    """The network address of this request, as reported by the trusted proxies, if any."""
    return str(request.remote_addr or "")[:45]


def safe_next(address: str | None) -> str | None:
    """`address` if it is a path on this site, else None: an open redirect helps phishing.

    Behind a path prefix only what is below it is this site.
    """
    if not address or len(address) > 2000 or not address.startswith("/"):
        return None
    if address.startswith("//") or "\\" in address:
        return None
    if any(ord(character) < 33 or ord(character) == 127 for character in address):
        return None
    return address if _is_below(address, path_prefix()) else None


def _is_below(address: str, prefix: str) -> bool:
    """Whether `address`, as browsers read it, is `prefix` or below it."""
    path = unquote(re.split(r"[?#]", address)[0])
    return not prefix or (path.startswith(f"{prefix}/") and ".." not in path.split("/"))


def sign_in_address(next_address: str | None) -> str:
    """The address of the sign-in page, which leads on to `next_address`."""
    page = f"{path_prefix()}/login"
    return f"{page}?next={quote(next_address, safe='')}" if next_address else page


def proof_address(next_address: str) -> str:
    """The address of the page on which one proves again who one is, which leads on."""
    return f"{path_prefix()}/prove?next={quote(next_address, safe='')}"


def address_to_return_to(restored_fields: tuple[str, ...]) -> str:
    """The address of this page; of a form or fragment, that of the page which contains it."""
    if request.method in SAFE_METHODS and not request.htmx:
        return path_prefix() + str(request.full_path).removesuffix("?")
    home = f"{path_prefix()}/"
    try:
        page = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "")
    except ValueError:
        return home
    same_site = page.netloc == request.host
    searches = request.method in SAFE_METHODS and request.args and "X-Timer" not in request.headers
    here = path_prefix() + request.path
    if same_site and searches and page.path == here:
        return safe_next(path_prefix() + str(request.full_path).removesuffix("?")) or home
    kept = {name: request.form[name] for name in restored_fields if request.form.get(name)}
    query = urlencode(dict(parse_qsl(page.query)) | kept) if kept else page.query
    address = page.path + (f"?{query}" if query else "")
    return (safe_next(address) if same_site else None) or home
