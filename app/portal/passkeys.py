"""What a browser needs to make a passkey, or to be asked for one."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.passkeys import Challenges, Site, options_to_add, options_to_prove
from app.accounts.users import get_user
from app.config import current_config
from app.core.errors import NotFound
from app.extensions import db
from app.portal.half_way import half_way_user
from app.web.access import public

blueprint = Blueprint("passkeys", __name__)


def own_site() -> Site | None:
    """The portal as passkeys know it; None where it is reached by a bare IP address."""
    root = urlsplit(current_config().public_url or request.host_url)
    host = root.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return Site(host, f"{root.scheme}://{root.netloc}")
    return None


def challenges() -> Challenges:
    return Challenges(current_config().secret_key)


@blueprint.post("/passkeys/options/<purpose>")
@public
def options(purpose: str) -> ResponseReturnValue:
    """The JSON for navigator.credentials: to sign in, at the second factor, to prove, to add."""
    site = own_site()
    if site is None:
        raise NotFound("Passkeys need a portal with a name: an IP address has none.")
    session = db.session()
    if purpose == "add" and current_user.is_authenticated:
        user = get_user(session, current_user.id)
        challenge = challenges().new(f"add/{user.id}")
        return _json(options_to_add(session, user=user, site=site, challenge=challenge))
    user_id = _user_asked(purpose)
    challenge = challenges().new(purpose_of(purpose, user_id))
    return _json(options_to_prove(session, user_id=user_id, site=site, challenge=challenge))


def _user_asked(purpose: str) -> int | None:
    """Whose passkey is asked for; None at the sign-in, where it says itself whose it is."""
    if purpose == "sign-in":
        return None
    half_way = half_way_user() if purpose == "second-factor" else None
    if half_way is not None:
        return half_way.id
    if purpose == "prove" and current_user.is_authenticated:
        return int(current_user.id)
    raise NotFound("Nobody is asked for a passkey here.")


def purpose_of(purpose: str, user_id: int | None) -> str:
    """What a challenge is made for: another user's answer, or one to another page, is none."""
    return purpose if user_id is None else f"{purpose}/{user_id}"


def _json(text: str) -> Response:
    return Response(text, content_type="application/json", headers={"Cache-Control": "no-store"})
