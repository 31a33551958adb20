"""How Flask-Login finds the user of a session cookie, and when a session was last active."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from flask import Response, current_app, g, request, session
from flask_login import UserMixin
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.users import lock_before_own
from app.accounts.web_sessions import (
    EndedSession,
    WebSessionEnd,
    find_ended_web_session,
    find_web_session,
    touch_web_session,
)
from app.config import current_config
from app.core.clock import utcnow
from app.core.durations import format_ttl
from app.core.permissions import ROLE_LABELS, Permission, Role, allows
from app.extensions import db, login_manager
from app.models.engine import is_reading, writing

log = logging.getLogger(__name__)
TOUCH_EVERY = timedelta(seconds=30)
IDLE_ENDS = "X-Idle-Ends"
"""The header that tells a page when its sign-in will end for want of activity."""


@dataclass(frozen=True)
class PortalUser(UserMixin):
    """The signed-in user, for Flask-Login and templates."""

    id: int
    email: str
    role: Role
    session_id: int
    signed_in_at: datetime
    last_active_at: datetime
    proven_at: datetime
    idle_ends_at: datetime
    """When the sign-in ends unless something is done after this request."""
    token: str = field(repr=False)
    more_options: bool = False
    """Whether they left "More options" of the License tab open."""
    last_ttl: int | None = None
    """The TTL that they chose last, in seconds."""
    projects_as_rows: bool = False

    @property
    def role_label(self) -> str:
        return ROLE_LABELS[self.role]

    def may(self, permission: str) -> bool:
        """Whether the user's role has `permission` (given by its value, for templates)."""
        return allows(self.role, Permission(permission))

    def get_id(self) -> str:
        return self.token


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(token: str) -> PortalUser | None:
    config, now = current_config(), utcnow()
    find = partial(
        find_web_session,
        db.session(),
        token=token,
        now=now,
        idle_seconds=config.session_idle_seconds,
        max_seconds=config.session_max_seconds,
    )
    user_id = None if is_reading() else _user_changed()
    if user_id is not None and (found := find()) and allows(found.role, Permission.MANAGE_USERS):
        lock_before_own(db.session(), user_id)
    web_session = find(lock=not is_reading())
    if web_session is None:
        return None
    active_at = now if _counts(web_session.last_active_at, now) else web_session.last_active_at
    return PortalUser(
        id=web_session.user_id,
        email=web_session.email,
        role=web_session.role,
        session_id=web_session.id,
        signed_in_at=web_session.started_at,
        last_active_at=web_session.last_active_at,
        proven_at=web_session.proven_at,
        more_options=web_session.more_options,
        last_ttl=web_session.last_ttl,
        projects_as_rows=web_session.projects_as_rows,
        idle_ends_at=active_at + timedelta(seconds=config.session_idle_seconds),
        token=token,
    )


def _user_changed() -> int | None:
    """Whose account this request is about, if it changes users."""
    view = current_app.view_functions.get(request.endpoint or "")
    changes = getattr(view, "permission", None) is Permission.MANAGE_USERS
    return (request.view_args or {}).get("user_id") if changes else None


def _counts(last_active_at: datetime, now: datetime) -> bool:
    """Whether this request is stored as activity."""
    return "X-Timer" not in request.headers and now - last_active_at >= TOUCH_EVERY


def sign_in_that_ended() -> EndedSession | None:
    """Whose sign-in this browser's cookie was, and why it is over; None if it says nothing."""
    config = current_config()
    token = session.get("_user_id")
    if not isinstance(token, str):
        return None
    return find_ended_web_session(
        db.session(),
        token=token,
        now=utcnow(),
        idle_seconds=config.session_idle_seconds,
        max_seconds=config.session_max_seconds,
    )


def reason_to_sign_in(ended: EndedSession | None, undone: str) -> str:
    """Why somebody has to sign in, and what was not done; "" if there is nothing to say."""
    config = current_config()
    idle, longest = format_ttl(config.session_idle_seconds), format_ttl(config.session_max_seconds)
    reasons = {
        WebSessionEnd.IDLE: f"You were signed out because there was no activity for {idle}. ",
        WebSessionEnd.TOO_OLD: f"You were signed out because a sign-in lasts {longest} at most. ",
        WebSessionEnd.ENDED: "You were signed out. ",
    }
    reason = reasons[ended.end] if ended else ""
    if undone:
        return f"{reason}Sign in to go on; {undone}."
    return f"{reason}Sign in to go on." if reason else ""


def note_activity(response: Response) -> Response:
    """After a request: store that the user was active, at most every 30 seconds.

    Requests that a page's timer makes carry the header `X-Timer` and do not count. Skipped if the
    database is busy, so that the response is not delayed.
    """
    user = g.get("_login_user")
    now = utcnow()
    if not isinstance(user, PortalUser):
        return response
    response.headers[IDLE_ENDS] = user.idle_ends_at.isoformat(timespec="milliseconds")
    if not _counts(user.last_active_at, now):
        return response
    try:
        with writing(wait_ms=100), Session(db.engine) as session, session.begin():
            touch_web_session(session, session_id=user.session_id, now=now)
    except DBAPIError as error:
        log.warning("activity was not noted: %s", error.orig)
    return response
