"""The browsers that somebody is signed in with, and ending their sessions."""

import re
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import NotFound
from app.models import WebSession

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""By what a User-Agent holds; the first that fits, since most call themselves by several names."""
SYSTEMS = (
    ("Android", "Android"),
    (r"iPhone|iPad", "iOS"),
    ("Windows", "Windows"),
    (r"Macintosh|Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(user_agent: str) -> str:
    """What a browser says it is, in words: "Firefox on Linux"; "" if that cannot be told."""
    browser = _first(BROWSERS, user_agent)
    system = _first(SYSTEMS, user_agent)
    return f"{browser} on {system}" if browser and system else browser or system


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for sign, name in names if re.search(sign, user_agent)), "")


def browsers_of(
    session: Session, *, user_id: int, now: datetime, idle_seconds: int, max_seconds: int
) -> list[WebSession]:
    """The live sessions of a user on the portal, the latest used first."""
    query = (
        select(WebSession)
        .where(
            WebSession.user_id == user_id,
            WebSession.ended_at.is_(None),
            WebSession.last_active_at > now - timedelta(seconds=idle_seconds),
            WebSession.started_at > now - timedelta(seconds=max_seconds),
        )
        .order_by(WebSession.last_active_at.desc(), WebSession.id.desc())
    )
    return list(session.scalars(query))


def sign_out_browser(session: Session, *, session_id: int, actor: Actor, now: datetime) -> None:
    """End one session on the portal of the actor's own; nothing is done if it has ended already.

    Raises NotFound if there is none, or it is somebody else's.
    """
    own = WebSession.id == session_id, WebSession.user_id == actor.user_id
    if session.scalar(select(func.count()).select_from(WebSession).where(*own)) == 0:
        raise NotFound("There is no such browser of yours.")
    _log_signed_out(session, _end(session, *own, now=now), actor=actor, now=now)


def sign_out_other_browsers(
    session: Session, *, kept_session_id: int, actor: Actor, now: datetime
) -> int:
    """End every session of the actor on the portal but one; returns how many there were."""
    ended = end_web_sessions(session, user_id=actor.user_id, now=now, but=kept_session_id)
    _log_signed_out(session, ended, actor=actor, now=now)
    return ended


def end_web_sessions(
    session: Session, *, user_id: int | None, now: datetime, but: int | None = None
) -> int:
    """End all sessions of a user on the portal, or all `but` one; returns how many there were."""
    kept = [WebSession.id != but] if but is not None else []
    return _end(session, WebSession.user_id == user_id, *kept, now=now)


def end_web_sessions_of_provider(
    session: Session, *, provider_session: str, user_id: int | None, now: datetime
) -> int:
    """End the sessions that came from one sign-in at the identity provider, of one user if given.

    Returns how many there were.
    """
    own = [WebSession.user_id == user_id] if user_id is not None else []
    return _end(session, WebSession.provider_session == provider_session, *own, now=now)


def _end(session: Session, *which: ColumnElement[bool], now: datetime) -> int:
    """End the sessions that are `which`, and let the journal know of each; says how many."""
    query = update(WebSession).where(*which, WebSession.ended_at.is_(None))
    ended = session.scalars(query.values(ended_at=now).returning(WebSession.id)).all()
    for session_id in ended:
        note_withdrawal(session, Withdrawal.SIGN_IN_ENDED, session_id, now)
    return len(ended)


def _log_signed_out(session: Session, browsers: int, *, actor: Actor, now: datetime) -> None:
    if browsers:
        tag = AuditTag.BROWSERS_SIGNED_OUT
        log_event(session, tag, actor=actor, now=now, subject=actor.email, browsers=browsers)
