"""Sessions of browsers on the portal."""

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from app.accounts.authentication import Authentication
from app.accounts.known_browsers import note_browser
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.permissions import Permission, Role, allows
from app.core.tokens import hash_token, new_token
from app.models import User, WebSession
from app.models.rows import read_rows


class WebSessionEnd(Enum):
    """Why a sign-in on the portal is over."""

    IDLE = auto()
    TOO_OLD = auto()
    ENDED = auto()
    """Signed out, or ended with every other one of its user."""


class SignedInSession(NamedTuple):
    """A session on the portal, live or ended, and whose it is."""

    id: int
    user_id: int
    email: str
    role: Role
    started_at: datetime
    last_active_at: datetime
    proven_at: datetime
    ended_at: datetime | None
    disabled_at: datetime | None
    """When the user was disabled."""
    more_options: bool
    last_ttl: int | None
    projects_as_rows: bool


class EndedSession(NamedTuple):
    """A sign-in that is over: whose it was, and why it ended."""

    user_id: int
    end: WebSessionEnd


def sign_in_to_portal(
    session: Session,
    *,
    who: Authentication,
    now: datetime,
    browser: str = "",
    browser_token: str | None = None,
    provider_session: str | None = None,
) -> str | None:
    """Sign a person in to the portal with a `browser` (in words), or refuse; both are logged.

    By `browser_token` the browser is known again: they are told of a sign-in from a new one.
    `provider_session` is what the identity provider calls its sign-in, None if it was not there.
    Returns the token of the new session, or None if the person is refused: because
    authentication failed, or because their role works on OP Agents alone.
    """
    user = who.user
    if user is None or not allows(user.role, Permission.OWN_ACCOUNT):
        reason = "role" if user else "throttled" if who.wait_seconds else "wrong"
        log_event(session, AuditTag.SIGN_IN_REFUSED, actor=who.actor, now=now, reason=reason)
        return None
    token = new_token()
    session.add(
        WebSession(
            token_hash=hash_token(token),
            user_id=user.id,
            started_at=now,
            last_active_at=now,
            proven_at=now,
            address=who.address,
            browser=browser,
            provider_session=provider_session,
        )
    )
    user.last_sign_in_at = now
    said: dict[str, Any] = {"way": "provider" if provider_session is not None else None}
    if browser_token and note_browser(session, user_id=user.id, token=browser_token, now=now):
        said["new_browser"] = browser or "unknown"
    log_event(session, AuditTag.SIGNED_IN, actor=who.actor, now=now, **said)
    return token


def find_web_session(
    session: Session,
    *,
    token: str,
    now: datetime,
    idle_seconds: int,
    max_seconds: int,
    lock: bool = False,
) -> SignedInSession | None:
    """The live session with a cookie's token, or None.

    A session ends at sign-out, after `idle_seconds` without activity, `max_seconds` after its
    start, or when its user is disabled. With `lock`, neither it nor its user is changed by
    anybody else until the commit: nothing is done in the name of somebody who was disabled.
    """
    found = _by_token(session, token, lock=lock)
    if found is None or _end_of(found, now, idle_seconds, max_seconds) is not None:
        return None
    return found


def find_ended_web_session(
    session: Session, *, token: str, now: datetime, idle_seconds: int, max_seconds: int
) -> EndedSession | None:
    """Whose sign-in the one behind a cookie's token was and why it is over; None if unknown."""
    found = _by_token(session, token)
    end = _end_of(found, now, idle_seconds, max_seconds) if found else None
    return EndedSession(found.user_id, end) if found and end else None


_BY_TOKEN = (
    select(
        WebSession.id,
        WebSession.user_id,
        User.email,
        User.role,
        WebSession.started_at,
        WebSession.last_active_at,
        WebSession.proven_at,
        WebSession.ended_at,
        User.disabled_at,
        User.more_options,
        User.last_ttl,
        User.projects_as_rows,
    )
    .join(WebSession.user)
    .where(WebSession.token_hash == bindparam("token_hash"))
)
# Not shared: requests that overlap could hold off for ever whoever disables their user.
_BY_TOKEN_LOCKED = _BY_TOKEN.with_for_update(key_share=True)


def _by_token(session: Session, token: str, *, lock: bool = False) -> SignedInSession | None:
    """What every request asks: columns, and no objects of which the session would keep track."""
    query = _BY_TOKEN_LOCKED if lock else _BY_TOKEN
    row = read_rows(session, query, {"token_hash": hash_token(token)}).one_or_none()
    return SignedInSession(*row) if row else None


def _end_of(
    found: SignedInSession, now: datetime, idle_seconds: int, max_seconds: int
) -> WebSessionEnd | None:
    if found.ended_at is not None or found.disabled_at is not None:
        return WebSessionEnd.ENDED
    idle_at = found.last_active_at + timedelta(seconds=idle_seconds)
    too_old_at = found.started_at + timedelta(seconds=max_seconds)
    if now < min(idle_at, too_old_at):
        return None
    return WebSessionEnd.IDLE if idle_at <= too_old_at else WebSessionEnd.TOO_OLD


def touch_web_session(session: Session, *, session_id: int, now: datetime) -> None:
    """Store that a live session was active at `now`."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(last_active_at=now)
    )


def note_proof(session: Session, *, session_id: int, actor: Actor, now: datetime) -> None:
    """Store that the person of a live session has proved again who they are."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(proven_at=now)
    )
    log_event(session, AuditTag.PROVEN_AGAIN, actor=actor, now=now)


def purge_web_sessions(
    session: Session, *, now: datetime, keep: timedelta, max_seconds: int, step: int = 500
) -> int:
    """Delete some of the sessions on the portal that ended `keep` ago; returns how many.

    One that nobody has ended was over `max_seconds` after its start.
    """
    until = now - keep
    too_old = WebSession.started_at <= until - timedelta(seconds=max_seconds)
    over = (WebSession.started_at <= until) & (too_old | (WebSession.ended_at <= until))
    some = select(WebSession.id).where(over).order_by(WebSession.started_at).limit(step)
    gone = session.execute(delete(WebSession).where(WebSession.id.in_(some.scalar_subquery())))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]


def sign_out_of_portal(session: Session, *, session_id: int, actor: Actor, now: datetime) -> None:
    """End a session on the portal, so that its cookie is no longer accepted."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    note_withdrawal(session, Withdrawal.SIGN_IN_ENDED, session_id, now)
    log_event(session, AuditTag.SIGNED_OUT, actor=actor, now=now)
