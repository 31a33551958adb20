"""Deleting sessions that ended long ago, in small steps. Visits stay, and the audit log."""

from datetime import datetime, timedelta

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from app.core.durations import SessionLimits
from app.models import AgentSession

STEP = 500
"""How many rows one transaction deletes, so that nobody waits for long."""


def purge_agent_sessions(
    session: Session, *, now: datetime, keep: timedelta, limits: SessionLimits
) -> int:
    """Delete some of the sessions on OP Agents that ended `keep` ago; returns how many.

    One whose end nobody has stored has ended when its agent fell silent. Those under temporary
    keys are visits, and stay.
    """
    until = now - keep
    over = and_(
        AgentSession.temporary_license_id.is_(None),
        # Who was heard from has not ended before: this one has an index.
        AgentSession.last_heard_at <= until,
        or_(
            AgentSession.ended_at <= until,
            and_(
                AgentSession.ended_at.is_(None),
                AgentSession.last_heard_at <= until - limits.idle,
            ),
        ),
    )
    some = select(AgentSession.id).where(over).order_by(AgentSession.last_heard_at).limit(STEP)
    gone = session.execute(delete(AgentSession).where(AgentSession.id.in_(some.scalar_subquery())))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]
