"""Sign-ins of browsers on the portal."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.authentication import Authentication
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.permissions import Permission, allows
from app.core.tokens import hash_token, new_token
from app.models import WebSession


def sign_in_to_portal(session: Session, *, who: Authentication, now: datetime) -> str | None:
    """Sign a person in to the portal, or refuse to; either is recorded.

    The token of the new session; None for nobody, and for somebody who works on OP Agents.
    """
    user = who.user
    if user is None or not allows(user.role, Permission.VIEW_PORTAL):
        reason = "role" if user else "throttled" if who.wait_seconds else "wrong"
        log_event(session, AuditTag.SIGN_IN_REFUSED, actor=who.actor, now=now, reason=reason)
        return None
    token = new_token()
    session.add(
        WebSession(
            token_hash=hash_token(token), user_id=user.id, started_at=now, last_active_at=now
        )
    )
    log_event(session, AuditTag.SIGNED_IN, actor=who.actor, now=now)
    return token


def find_web_session(
    session: Session, *, token: str, now: datetime, idle_seconds: int, max_seconds: int
) -> WebSession | None:
    """The live session behind a cookie's token, or None.

    It has ended when it was signed out, was idle for `idle_seconds`, is `max_seconds` old, or
    its user was disabled.
    """
    found = session.scalar(select(WebSession).where(WebSession.token_hash == hash_token(token)))
    if found is None or found.ended_at is not None or found.user.disabled_at is not None:
        return None
    if now >= found.last_active_at + timedelta(seconds=idle_seconds):
        return None
    if now >= found.started_at + timedelta(seconds=max_seconds):
        return None
    return found


def touch_web_session(session: Session, *, session_id: int, now: datetime) -> None:
    """Note that a session was active `now`."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(last_active_at=now)
    )


def sign_out_of_portal(session: Session, *, session_id: int, actor: Actor, now: datetime) -> None:
    """End a session on the portal: its cookie is worth nothing from now on."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    log_event(session, AuditTag.SIGNED_OUT, actor=actor, now=now)
