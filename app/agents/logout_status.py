"""Sessions that have ended, and whether their agents are known to have logged out."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from app.agents.codes import EndCause
from app.agents.session_rules import LogoutStatus, SessionEnd, logout_status, session_end
from app.agents.sessions import NOT_LOADED, SESSIONS, facts_of
from app.core.durations import SessionLimits
from app.licenses.key_records import AnyKey
from app.models import AgentSession, TemporaryLicense

LISTED_FOR = timedelta(hours=24)
MOST_LISTED = 50
"""The greatest number of sessions that the list shows."""
MOST_SEARCHED = 200
"""How many of the latest started sessions are searched for them."""


@dataclass(frozen=True)
class EndedSession:
    """A session that has ended, why and when, and the state of its agent's log-out."""

    agent_session: AgentSession
    end: SessionEnd
    status: LogoutStatus


def ended_lately(
    session: Session,
    organisation_id: str,
    *,
    now: datetime,
    limits: SessionLimits,
) -> list[EndedSession]:
    """An organisation's sessions that ended in the last 24 hours, the latest ended first."""
    since = now - LISTED_FOR
    # A session last heard from before this ended, if only by silence, before `since`.
    heard = AgentSession.last_heard_at > since - limits.idle
    own = AgentSession.organisation_id == organisation_id
    sessions = _ended_sessions(session, own & heard, now=now, limits=limits, limit=MOST_SEARCHED)
    return [ended for ended in sessions if ended.end.at > since][:MOST_LISTED]


def ended_by_revocation(
    session: Session,
    license: AnyKey,
    *,
    now: datetime,
    limits: SessionLimits,
) -> list[EndedSession]:
    """The sessions that ended because their key was revoked."""
    if license.revoked_at is None:
        return []
    under = AgentSession.temporary_license_id == license.id
    return _revoked(session, under, license.revoked_at, now=now, limits=limits)


def ended_by_revocations(
    session: Session,
    key_ids: Collection[str],
    *,
    revoked_at: datetime,
    now: datetime,
    limits: SessionLimits,
) -> list[EndedSession]:
    """The same of many keys that were revoked at one instant."""
    keys = select(TemporaryLicense.id).where(TemporaryLicense.key_id.in_(key_ids))
    under = AgentSession.temporary_license_id.in_(keys)
    return _revoked(session, under, revoked_at, now=now, limits=limits)


def _revoked(
    session: Session,
    under: ColumnElement[bool],
    revoked_at: datetime,
    *,
    now: datetime,
    limits: SessionLimits,
) -> list[EndedSession]:
    since = or_(AgentSession.ended_at.is_(None), AgentSession.ended_at >= revoked_at)
    sessions = _ended_sessions(session, under & since, now=now, limits=limits)
    return [ended for ended in sessions if ended.end.cause is EndCause.KEY_REVOKED]


def _ended_sessions(
    session: Session,
    which: ColumnElement[bool],
    *,
    now: datetime,
    limits: SessionLimits,
    limit: int | None = None,
) -> list[EndedSession]:
    ended = []
    query = SESSIONS.where(which).order_by(AgentSession.id.desc()).limit(limit).options(*NOT_LOADED)
    for agent_session, ends_on in session.execute(query):
        facts = facts_of(agent_session, ends_on)
        end = session_end(facts, now=now, limits=limits)
        if end is None:
            continue
        status = logout_status(
            end,
            facts=facts,
            told_at=agent_session.told_at,
            confirmed_at=agent_session.confirmed_at,
            now=now,
            limits=limits,
        )
        ended.append(EndedSession(agent_session, end, status))
    return sorted(ended, key=lambda ended: ended.end.at, reverse=True)
