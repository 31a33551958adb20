"""How Flask-Login finds the person behind a cookie, and how long a sign-in lasts."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import Response, current_app, g, request
from flask_login import UserMixin
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.services import find_web_session, touch_web_session
from app.clock import utcnow
from app.extensions import db, login_manager
from app.models.engine import writing
from app.permissions import Permission, Role, allows

log = logging.getLogger(__name__)
TOUCH_EVERY = timedelta(seconds=30)
ROLE_LABELS = {
    Role.SUPER_ADMIN: "Super admin",
    Role.AUDITOR: "Auditor",
    Role.PARTNER: "Partner",
    Role.DEVELOPER: "Developer",
    Role.CLIENT: "Client user",
}


@dataclass(frozen=True)
class PortalUser(UserMixin):  # type: ignore[misc]
    """The signed-in person, as pages know them."""

    id: int
    email: str
    role: Role
    session_id: int
    last_active_at: datetime
    token: str = field(repr=False)

    @property
    def role_label(self) -> str:
        return ROLE_LABELS[self.role]

    def may(self, permission: str) -> bool:
        """Whether a page shows this person what needs `permission` (its plain name)."""
        return allows(self.role, Permission(permission))

    def get_id(self) -> str:
        return self.token


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(token: str) -> PortalUser | None:
    config = current_app.extensions["config"]
    found = find_web_session(
        db.session(),
        token=token,
        now=utcnow(),
        idle_seconds=config.session_idle_seconds,
        max_seconds=config.session_max_seconds,
    )
    if found is None:
        return None
    return PortalUser(
        found.user.id, found.user.email, found.user.role, found.id, found.last_active_at, token
    )


def note_activity(response: Response) -> Response:
    """After a request: note that the person is at work, at most every half minute.

    A request that a timer made says so in `X-Timer` and does not count. If the database is
    busy the note is left out: nobody waits for it.
    """
    user = g.get("_login_user")
    now = utcnow()
    if not isinstance(user, PortalUser) or "X-Timer" in request.headers:
        return response
    if now - user.last_active_at < TOUCH_EVERY:
        return response
    try:
        with writing(wait_ms=100), Session(db.engine) as session, session.begin():
            touch_web_session(session, session_id=user.session_id, now=now)
    except DBAPIError as error:
        log.warning("activity was not noted: %s", error.orig)
    return response


def forget_user() -> None:
    """Treat this request as nobody's: for an error page when the database cannot be asked."""
    g._login_user = login_manager.anonymous_user()
