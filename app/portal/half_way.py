"""A sign-in between the password and the second factor, and the end of either way in."""

from datetime import datetime

from flask import Response, after_this_request, request, session
from flask_login import current_user, login_user

from app.accounts.authentication import Authentication, lock_user
from app.accounts.browsers import browser_name
from app.accounts.known_browsers import KNOWN_FOR
from app.accounts.second_factor import factors_of
from app.accounts.second_factor_rules import is_half_way
from app.accounts.web_sessions import sign_in_to_portal, sign_out_of_portal
from app.config import current_config
from app.core.clock import utcnow
from app.core.permissions import Permission, allows, needs_second_factor
from app.core.tokens import hash_token, new_token
from app.extensions import db
from app.models import User
from app.portal.login import load_user
from app.web.access import client_address, current_actor
from app.web.forms_again import KEPT
from app.web.proxies import path_prefix

HALF_WAY = "half_way"
BROWSER_COOKIE = "rolling_window_browser"


def asks_second_factor(user: User) -> bool:
    """Whether the password alone does not let this user in: on the portal, never on an OP Agent."""
    if not allows(user.role, Permission.OWN_ACCOUNT):
        return False
    required = needs_second_factor(current_config().second_factor, user.role)
    return required or factors_of(db.session(), user.id).any


def begin_half_way(user: User, next_address: str) -> None:
    """Note in the browser's cookie that the password was right."""
    session[HALF_WAY] = {
        "user": user.id,
        "at": utcnow().isoformat(),
        "mark": _mark(user),
        "next": next_address,
    }


def half_way_user() -> User | None:
    """Whose password was right a short while ago in this browser, locked; None if nobody's.

    They have not been disabled since, nor been given another password.
    """
    kept = session.get(HALF_WAY)
    if not kept or not is_half_way(datetime.fromisoformat(kept["at"]), utcnow()):
        return None
    user = lock_user(db.session(), kept["user"])
    return user if user is not None and _mark(user) == kept["mark"] else None


def next_of_half_way() -> str:
    """Where a sign-in that is half way leads."""
    return str(session.get(HALF_WAY, {}).get("next", ""))


def _mark(user: User) -> str:
    """Changes with the password, and tells nothing of it."""
    return hash_token(user.password_hash)[:16]


def open_session(who: Authentication, provider_session: str | None = None) -> bool:
    """Sign somebody in to the portal in this browser; False, and logged, if they are refused.

    `provider_session` is what the identity provider calls its sign-in, None if it was not there.
    """
    browser = browser_name(request.user_agent.string)
    token = sign_in_to_portal(
        db.session(),
        who=who,
        now=utcnow(),
        browser=browser,
        browser_token=_browser_token(),
        provider_session=provider_session,
    )
    if token is None:
        return False
    form_kept = session.get(KEPT)
    end_session()
    if form_kept:
        session[KEPT] = form_kept
    db.session.flush()
    login_user(load_user(token))
    return True


def _browser_token() -> str:
    """What this browser is known by, in a cookie that outlasts sign-ins; a new one gets it now."""
    token = request.cookies.get(BROWSER_COOKIE) or new_token()

    def keep(response: Response) -> Response:
        response.set_cookie(
            BROWSER_COOKIE,
            token,
            max_age=KNOWN_FOR,
            path=path_prefix() or "/",
            secure=current_config().https,
            httponly=True,
            samesite="Lax",
        )
        return response

    after_this_request(keep)
    return token


def open_session_of(user: User) -> bool:
    """The same for a user who has proven who they are, and is locked."""
    return open_session(Authentication(user.email, client_address(), user))


def end_session() -> None:
    """End this browser's session, if any: both its record and its cookie."""
    if current_user.is_authenticated:
        sign_out_of_portal(
            db.session(), session_id=current_user.session_id, actor=current_actor(), now=utcnow()
        )
    session.clear()
