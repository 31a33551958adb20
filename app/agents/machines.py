"""What a super admin does with registered agents.

Pages and commands call them machines: an agent is the registration of one machine.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, selectinload

from app.agents.codes import EndCause
from app.agents.live_sessions import end_blocked_sessions, end_sessions_on
from app.agents.registration import locked_with_license, log_agent_change
from app.audit.feed import FeedKind
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotFound
from app.core.permissions import Permission
from app.licenses.option_rules import checked_reason
from app.models import Agent, AgentSession, FurtherMacId, PermanentLicense


def machines_of(
    session: Session, organisation_id: str, *, offset: int = 0, limit: int | None = None
) -> Sequence[Agent]:
    """An organisation's registered agents, or a part of them, the latest registered first."""
    return session.scalars(
        select(Agent)
        .where(_registered_to(organisation_id))
        .order_by(Agent.registered_at.desc(), Agent.id.desc())
        .options(selectinload(Agent.further_mac_ids))
        .offset(offset)
        .limit(limit)
    ).all()


def count_machines(session: Session, organisation_id: str) -> int:
    """How many agents are registered to an organisation."""
    query = select(func.count()).select_from(Agent).where(_registered_to(organisation_id))
    return session.scalar(query) or 0


def _registered_to(organisation_id: str) -> ColumnElement[bool]:
    return and_(Agent.organisation_id == organisation_id, Agent.dissociated_at.is_(None))


def machines_with(
    session: Session, *, mac_id: str | None = None, agent_id: int | None = None
) -> Sequence[Agent]:
    """The registered agents with this MAC ID (as it is stored) among theirs, or with this ID."""
    query = select(Agent).where(Agent.dissociated_at.is_(None)).order_by(Agent.id)
    if mac_id is not None:
        by_card = Agent.further_mac_ids.any(FurtherMacId.mac_id == mac_id)
        query = query.where(or_(Agent.mac_id == mac_id, by_card))
    if agent_id is not None:
        query = query.where(Agent.id == agent_id)
    return session.scalars(query).all()


def get_agent(session: Session, agent_id: int, *, lock: bool = False) -> Agent:
    """The registered agent with this ID, locked with its license if `lock`. Raises NotFound.

    Signing in on the agent's machine takes the same lock.
    """
    query = select(Agent).where(Agent.id == agent_id, Agent.dissociated_at.is_(None))
    if lock:
        query = locked_with_license(query)
    agent = session.scalar(query)
    if agent is None:
        raise NotFound("There is no such machine; it may have been dissociated.")
    return agent


def detach(
    session: Session, *, actor: Actor, agent_id: int, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """Block an agent: nobody can sign in on its machine, and those signed in are logged out.

    Returns the sessions that this ended. Raises NotAllowed, NotFound, and Conflict if the agent
    is detached already.
    """
    agent = _locked_agent(session, actor, agent_id)
    if agent.detached_at is not None:
        raise Conflict(f"The machine {agent.mac_id} is detached already.")
    ended = end_blocked_sessions(session, agent=agent, actor=actor, now=now, limits=limits)
    agent.detached_at = now
    note_withdrawal(session, Withdrawal.MACHINE_DETACHED, agent.id, now)
    log_agent_change(session, _DETACHED, agent=agent, actor=actor, now=now)
    return ended


def attach(session: Session, *, actor: Actor, agent_id: int, now: datetime) -> None:
    """Undo `detach`: people can sign in again. Sessions that were ended stay ended.

    Raises NotAllowed, NotFound, and Conflict if the agent is not detached.
    """
    agent = _locked_agent(session, actor, agent_id)
    if agent.detached_at is None:
        raise Conflict(f"The machine {agent.mac_id} is attached already.")
    agent.detached_at = None
    log_agent_change(session, _ATTACHED, agent=agent, actor=actor, now=now)


def dissociate(
    session: Session, *, actor: Actor, agent_id: int, now: datetime, limits: SessionLimits
) -> list[AgentSession]:
    """End an agent's registration and revoke its license, so that its machine is free again.

    Everyone signed in on the machine is logged out. The next client user to sign in on it, of any
    organisation, registers it again. Returns the sessions that this ended. Raises NotAllowed,
    NotFound.
    """
    agent = _locked_agent(session, actor, agent_id)
    ended = end_sessions_on(
        session,
        agent_id=agent_id,
        cause=EndCause.DISSOCIATED,
        actor=actor,
        now=now,
        limits=limits,
    )
    agent.dissociated_at = now
    note_withdrawal(session, Withdrawal.MACHINE_DISSOCIATED, agent.id, now)
    _revoke_license(agent.license, actor, now)
    log_agent_change(session, _DISSOCIATED, agent=agent, actor=actor, now=now)
    return ended


def revoke_permanent_license(
    session: Session,
    *,
    actor: Actor,
    agent_id: int,
    now: datetime,
    limits: SessionLimits,
    reason: str = "",
) -> list[AgentSession]:
    """Revoke an agent's permanent license: its client users are logged out and stay out.

    To let them in again, dissociate the agent; the next sign-in registers its machine again.
    Returns the sessions that this ended. Raises NotAllowed, NotFound, InvalidInput (field
    "reason"), and Conflict if the license is revoked already.
    """
    actor.must(Permission.REVOKE_LICENSES)
    reason = checked_reason(reason)
    agent = get_agent(session, agent_id, lock=True)
    if agent.license.revoked_at is not None:
        raise Conflict(f"The license of {agent.mac_id} is revoked already.")
    ended = end_sessions_on(
        session,
        agent_id=agent_id,
        cause=EndCause.LICENSE_REVOKED,
        actor=actor,
        now=now,
        limits=limits,
        permanent_only=True,
    )
    _revoke_license(agent.license, actor, now)
    note_withdrawal(session, Withdrawal.LICENSE_REVOKED, agent.id, now)
    log_agent_change(session, _LICENSE_REVOKED, agent=agent, actor=actor, now=now, reason=reason)
    return ended


def _locked_agent(session: Session, actor: Actor, agent_id: int) -> Agent:
    actor.must(Permission.MANAGE_AGENTS)
    return get_agent(session, agent_id, lock=True)


def _revoke_license(license: PermanentLicense, actor: Actor, now: datetime) -> None:
    if license.revoked_at is None:
        license.revoked_at = now
        license.revoked_by_id = actor.user_id


_DETACHED = (AuditTag.MACHINE_DETACHED, FeedKind.MACHINE_DETACHED)
_ATTACHED = (AuditTag.MACHINE_ATTACHED, FeedKind.MACHINE_ATTACHED)
_DISSOCIATED = (AuditTag.MACHINE_DISSOCIATED, FeedKind.MACHINE_DISSOCIATED)
_LICENSE_REVOKED = (AuditTag.PERMANENT_LICENSE_REVOKED, FeedKind.LICENSE_REVOKED)
