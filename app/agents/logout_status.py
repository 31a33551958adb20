"""Sessions that have ended, each with what is known of its agent's log-out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import Session

from app.agents.codes import EndCause
from app.agents.session_rules import LogoutStatus, SessionEnd, logout_status, session_end
from app.agents.sessions import NEVER_SHOWN, SESSIONS, facts_of
from app.core.durations import SessionLimits
from app.models import AgentSession, TemporaryLicense

LATELY = timedelta(hours=24)
MOST = 50
"""How many sessions the list shows."""
LOOKED_AT = 200
"""Among how many of the latest started sessions it looks for them."""


@dataclass(frozen=True)
class Ended:
    """A session that has ended: why, when, and how far its agent is known to be."""

    agent_session: AgentSession
    end: SessionEnd
    proof: LogoutStatus


def ended_lately(
    session: Session,
    organisation_id: str,
    *,
    now: datetime,
    limits: SessionLimits,
) -> list[Ended]:
    """An organisation's sessions that ended within the last day, the latest ended first."""
    since = now - LATELY
    # A session ends at the latest when it has not been heard from for too long.
    heard = AgentSession.last_heard_at > since - limits.idle
    own = AgentSession.organisation_id == organisation_id
    ended = _ended(session, own & heard, now=now, limits=limits, limit=LOOKED_AT)
    return [found for found in ended if found.end.at > since][:MOST]


def ended_by_revocation(
    session: Session,
    license: TemporaryLicense,
    *,
    now: datetime,
    limits: SessionLimits,
) -> list[Ended]:
    """The sessions that ended because their key was revoked."""
    if license.revoked_at is None:
        return []
    under = AgentSession.temporary_license_id == license.id
    ended = or_(AgentSession.ended_at.is_(None), AgentSession.ended_at >= license.revoked_at)
    sessions = _ended(session, under & ended, now=now, limits=limits)
    return [found for found in sessions if found.end.cause is EndCause.KEY_REVOKED]


def _ended(
    session: Session,
    which: ColumnElement[bool],
    *,
    now: datetime,
    limits: SessionLimits,
    limit: int | None = None,
) -> list[Ended]:
    ended = []
    query = (
        SESSIONS.where(which).order_by(AgentSession.id.desc()).limit(limit).options(*NEVER_SHOWN)
    )
    for found, ends_on in session.execute(query):
        facts = facts_of(found, ends_on)
        end = session_end(facts, now=now, limits=limits)
        if end is None:
            continue
        proven = logout_status(
            end,
            facts=facts,
            told_at=found.told_at,
            confirmed_at=found.confirmed_at,
            now=now,
            limits=limits,
        )
        ended.append(Ended(found, end, proven))
    return sorted(ended, key=lambda found: found.end.at, reverse=True)
