"""Listing and ending live sessions on OP Agents."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select, update
from sqlalchemy.orm import Session, contains_eager

from app.agents.codes import EndCause
from app.agents.session_rules import SessionEnd, session_end
from app.agents.sessions import facts_of, store_end
from app.audit.journal import Withdrawal, note_withdrawal
from app.core.actor import Actor
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotFound
from app.core.permissions import TEMPORARY_KEY_ROLES, Permission
from app.models import Agent, AgentSession, PermanentLicense, TemporaryLicense, User
from app.projects.subscriptions import last_day, subscription_has_ended


def end_session(
    session: Session, *, actor: Actor, session_id: int, now: datetime, limits: SessionLimits
) -> AgentSession:
    """End one session; its agent is told at the next heartbeat.

    Raises NotAllowed, NotFound, and Conflict if the session has ended already.
    """
    actor.must(Permission.END_SESSIONS)
    agent_session = get_session(session, session_id)
    ended = session_has_ended(session, agent_session, now=now, limits=limits)
    if ended or not store_end(
        session, agent_session, SessionEnd(EndCause.ENDED_BY_ADMIN, now), actor=actor, now=now
    ):
        raise Conflict(f"The session of {agent_session.user.email} has ended already.")
    return agent_session


def end_sessions_on(
    session: Session,
    *,
    agent_id: int,
    cause: EndCause,
    actor: Actor,
    now: datetime,
    limits: SessionLimits,
    permanent_only: bool = False,
) -> list[AgentSession]:
    """End the live sessions on an agent: all, or only those under its permanent license."""
    ended = live_sessions_on(session, agent_id, now, limits)
    if permanent_only:
        ended = [each for each in ended if each.temporary_license is None]
    for agent_session in ended:
        store_end(session, agent_session, SessionEnd(cause, now), actor=actor, now=now)
    return ended


def end_blocked_sessions(
    session: Session, *, agent: Agent, actor: Actor, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """End the live sessions on the machine of an agent that is being detached."""
    ended = live_sessions_blocked_by(session, agent, now, limits)
    for agent_session in ended:
        end = SessionEnd(EndCause.AGENT_BLOCKED, now)
        store_end(session, agent_session, end, actor=actor, now=now)
    return ended


def end_temporary_sessions(
    session: Session, *, actor: Actor, organisation_id: str, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """End all of an organisation's sessions under temporary licenses. Raises NotAllowed."""
    actor.must(Permission.END_SESSIONS)
    under_keys = AgentSession.temporary_license_id.is_not(None)
    of_organisation = AgentSession.organisation_id == organisation_id
    ended = _live_sessions(session, and_(of_organisation, under_keys), now, limits)
    for agent_session in ended:
        end = SessionEnd(EndCause.ENDED_BY_ADMIN, now)
        store_end(session, agent_session, end, actor=actor, now=now)
    return ended


def end_sessions_of(session: Session, *, user: User, now: datetime) -> None:
    """End all sessions of a user; each agent is told at its next heartbeat."""
    note_withdrawal(session, Withdrawal.SESSIONS_OF_USER_ENDED, user.id, now)
    session.execute(
        update(AgentSession)
        .where(AgentSession.user_id == user.id, AgentSession.ended_at.is_(None))
        .values(ended_at=now, end_code=EndCause.OTHER.value)
    )


def get_session(session: Session, session_id: int) -> AgentSession:
    """The session with this id, live or ended. Raises NotFound."""
    agent_session = session.get(AgentSession, session_id)
    if agent_session is None:
        raise NotFound("There is no such session.")
    return agent_session


def session_has_ended(
    session: Session, agent_session: AgentSession, *, now: datetime, limits: SessionLimits
) -> bool:
    """Whether a session has ended, even if its end has not been stored yet."""
    days = select(last_day(agent_session.organisation_id))
    facts = facts_of(agent_session, session.scalar(days))
    return session_end(facts, now=now, limits=limits) is not None


def live_sessions_of(
    session: Session, organisation_id: str, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """An organisation's sessions that are live at `now`, the latest started first."""
    return _live_sessions(session, AgentSession.organisation_id == organisation_id, now, limits)


def live_sessions_on(
    session: Session, agent_id: int, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """The sessions on a registered agent that are live at `now`, the latest started first."""
    return _live_sessions(session, AgentSession.agent_id == agent_id, now, limits)


def live_sessions_blocked_by(
    session: Session, agent: Agent, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """The live sessions that detaching an agent ends, the latest started first.

    Besides those on the agent, those with its machine ID, and, where that is unknown on either
    side, those with its MAC ID that are on no registered agent.
    """
    fits = and_(AgentSession.agent_id.is_(None), AgentSession.mac_id.in_(agent.mac_ids))
    if agent.machine_id_hash:
        fits = or_(
            and_(fits, AgentSession.machine_id_hash == ""),
            AgentSession.machine_id_hash == agent.machine_id_hash,
        )
    return _live_sessions(session, or_(AgentSession.agent_id == agent.id, fits), now, limits)


def live_sessions_under(
    session: Session, license_id: int, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """The sessions under a temporary license live at `now`, the latest started first."""
    return _live_sessions(session, AgentSession.temporary_license_id == license_id, now, limits)


def live_sessions_under_any(
    session: Session, key_ids: Collection[str], now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """The same under any of the temporary licenses with these Key IDs."""
    return _live_sessions(session, TemporaryLicense.key_id.in_(key_ids), now, limits)


def count_live(session: Session, now: datetime, limits: SessionLimits) -> int:
    """How many sessions are live at `now`."""
    live = _only_live(select(AgentSession.id), now, limits).subquery()
    return session.scalar(select(func.count()).select_from(live)) or 0


def partners_signed_in(
    session: Session, now: datetime, limits: SessionLimits, limit: int
) -> tuple[int, list[AgentSession]]:
    """Who of the partners and developers is signed in at `now`, anywhere.

    (How many people, their `limit` live sessions that were started last, the latest first.)
    """
    under_keys = AgentSession.temporary_license_id.is_not(None)
    partners = and_(User.role.in_(TEMPORARY_KEY_ROLES), under_keys)
    columns = select(AgentSession.started_at, AgentSession.id, AgentSession.user_id)
    live = session.execute(_only_live(columns, now, limits).where(partners)).all()
    latest = [row.id for row in sorted(live, reverse=True)[:limit]]
    sessions = _live_sessions(session, AgentSession.id.in_(latest), now, limits) if latest else []
    return len({row.user_id for row in live}), sessions


def _live_sessions(
    session: Session,
    which: ColumnElement[bool],
    now: datetime,
    limits: SessionLimits,
) -> list[AgentSession]:
    query = (
        _only_live(select(AgentSession), now, limits)
        .where(which)
        .options(
            contains_eager(AgentSession.user),
            contains_eager(AgentSession.temporary_license),
            contains_eager(AgentSession.agent).contains_eager(Agent.license),
        )
        .order_by(AgentSession.started_at.desc(), AgentSession.id.desc())
    )
    return list(session.scalars(query))


def _only_live(
    query: Select[*tuple[Any, ...]], now: datetime, limits: SessionLimits
) -> Select[*tuple[Any, ...]]:
    """`query` limited to sessions live at `now`: `session_rules.session_end` in SQL."""
    license_is_valid = and_(
        AgentSession.temporary_license_id.is_(None),
        PermanentLicense.revoked_at.is_(None),
        not_(subscription_has_ended(AgentSession.organisation_id, now)),
    )
    return (
        query.join(AgentSession.user)
        .outerjoin(AgentSession.temporary_license)
        .outerjoin(AgentSession.agent)
        .outerjoin(Agent.license)
        .where(
            AgentSession.ended_at.is_(None),
            AgentSession.last_heard_at > now - limits.idle,
            User.disabled_at.is_(None),
            Agent.detached_at.is_(None),
            Agent.dissociated_at.is_(None),
            or_(TemporaryLicense.is_active(now), license_is_valid),
        )
    )
