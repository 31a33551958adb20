"""What OP Agents do with their sessions: going on, signing out, confirming the end."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import case, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, lazyload

from app.agents.codes import CAUSES, EndCause
from app.agents.mac import machine_name
from app.agents.session_rules import SessionEnd, SessionFacts, session_end
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import SessionLimits
from app.core.tokens import hash_token
from app.models import Agent, AgentSession, Base, PermanentLicense, TemporaryLicense, User
from app.projects.subscriptions import end_of_subscription, last_day


def session_behind(session: Session, token: str) -> AgentSession | None:
    """The session behind a token, live or ended; None if there is none."""
    return _find_session(session, token)[0]


def lock_session(
    session: Session, *, token: str, clock: Callable[[], datetime], limits: SessionLimits
) -> AgentSession | SessionEnd:
    """The live session with this token, or why and when it ended, in a writing transaction.

    Whatever could end it is locked until the commit: the user, the key or the machine and its
    license, then the session itself, in the order in which everybody locks them. The `clock` is
    read afterwards. For how long it was silent was judged when the request came.
    """
    agent_session, _ = _find_session(session, token)
    if agent_session is not None:
        _lock(session, User, agent_session.user_id)
        _lock(session, TemporaryLicense, agent_session.temporary_license_id)
        _lock(session, Agent, agent_session.agent_id)
        if agent_session.agent is not None:
            _lock(session, PermanentLicense, agent_session.agent.license.id)
        _lock(session, AgentSession, agent_session.id)
    agent_session, facts = _find_session(session, token)
    now = clock()
    if agent_session is None or facts is None:
        return SessionEnd(EndCause.UNKNOWN, now)
    end = session_end(replace(facts, last_heard_at=now), now=now, limits=limits)
    return end or agent_session


def _lock(session: Session, table: type[Base], row_id: int | None) -> None:
    if row_id is not None:
        how = {"key_share": True, "of": table}
        session.get(table, row_id, with_for_update=how, populate_existing=True)


def sign_out(session: Session, *, token: str, now: datetime, limits: SessionLimits) -> bool:
    """End the session with this token; if it has ended already, store the agent's confirmation.

    Returns False if there is no session with this token.
    """
    agent_session, facts = _find_session(session, token)
    if agent_session is None or facts is None:
        return False
    end = session_end(facts, now=now, limits=limits)
    if end is not None:
        _confirm(session, agent_session, end, now)
    else:
        end = SessionEnd(EndCause.SIGNED_OUT, now)
        store_end(session, agent_session, end, actor=actor_of(agent_session), now=now)
    return True


def confirm_end(session: Session, *, token: str, now: datetime, limits: SessionLimits) -> None:
    """Store that an agent has logged out after its session's end; does not end a live session."""
    agent_session, facts = _find_session(session, token)
    end = session_end(facts, now=now, limits=limits) if facts else None
    if agent_session is not None and end is not None:
        _confirm(session, agent_session, end, now)


def _confirm(session: Session, agent_session: AgentSession, end: SessionEnd, now: datetime) -> None:
    store_end(session, agent_session, end, actor=actor_of(agent_session), now=now)
    note_once(session, agent_session, AgentSession.confirmed_at, now)


SESSIONS = select(
    AgentSession,
    case((AgentSession.temporary_license_id.is_(None), last_day(AgentSession.organisation_id))),
)
"""Selects sessions, each with the second argument of `facts_of`."""


def facts_of(agent_session: AgentSession, ends_on: date | None) -> SessionFacts:
    """What a session's end depends on; `ends_on` is the last day of the subscription, or None."""
    key, agent, code = agent_session.temporary_license, agent_session.agent, agent_session.end_code
    return SessionFacts(
        last_heard_at=agent_session.last_heard_at,
        ended_at=agent_session.ended_at,
        ended_by=CAUSES[code] if code else None,
        user_disabled_at=agent_session.user.disabled_at,
        key_starts_at=key.starts_at if key else None,
        key_expires_at=key.expires_at if key else None,
        key_revoked_at=key.revoked_at if key else None,
        agent_detached_at=agent.detached_at if agent else None,
        agent_dissociated_at=agent.dissociated_at if agent else None,
        license_revoked_at=agent.license.revoked_at if agent and not key else None,
        subscription_ends_at=None if key else end_of_subscription(ends_on),
    )


def _find_session(
    session: Session, token: str
) -> tuple[AgentSession, SessionFacts] | tuple[None, None]:
    query = SESSIONS.where(AgentSession.token_hash == hash_token(token)).options(*NOT_LOADED)
    row = session.execute(query).one_or_none()
    return (row[0], facts_of(*row)) if row else (None, None)


def note_once(
    session: Session,
    agent_session: AgentSession,
    column: InstrumentedAttribute[datetime | None],
    now: datetime,
) -> None:
    """Write `now` into a column of a session, unless the column has a value already."""
    session.execute(
        update(AgentSession)
        .where(AgentSession.id == agent_session.id, column.is_(None))
        .values({column: now})
    )


ENDED_BY_THEMSELVES = frozenset(
    {
        EndCause.KEY_EXPIRED,
        EndCause.SUBSCRIPTION_EXPIRED,
        EndCause.NOT_HEARD_FROM,
        EndCause.KEY_REVOKED,
        EndCause.USER_DISABLED,
    }
)
"""Ends that come from the clock, or from what the journal has a line of: it needs none of them."""


def store_end(
    session: Session, agent_session: AgentSession, end: SessionEnd, *, actor: Actor, now: datetime
) -> bool:
    """Store and log a session's end; False if one is stored already, which then stays."""
    stored = session.scalar(
        update(AgentSession)
        .where(AgentSession.id == agent_session.id, AgentSession.ended_at.is_(None))
        .values(ended_at=end.at, end_code=end.cause.value)
        .returning(AgentSession.id)
    )
    if stored is None:
        return False
    if end.cause not in ENDED_BY_THEMSELVES:
        note_withdrawal(session, Withdrawal.SESSION_ENDED, agent_session.id, now)
    log_event(
        session,
        AuditTag.AGENT_SESSION_ENDED,
        actor=actor,
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=f"{agent_session.user.email} on {machine_name(agent_session)}",
        code=end.code.value,
        cause=end.cause.value,
        user=agent_session.user.email,
        mac_id=agent_session.mac_id,
        key_id=agent_session.license_key_id,
        ended_at=end.at.isoformat(),
    )
    return True


def actor_of(agent_session: AgentSession) -> Actor:
    user = agent_session.user
    return Actor(user.id, user.email, user.role, agent_session.address)


NOT_LOADED = (
    lazyload(AgentSession.temporary_license, TemporaryLicense.organisation),
    lazyload(AgentSession.temporary_license, TemporaryLicense.issued_by),
    lazyload(AgentSession.agent, Agent.organisation),
    lazyload(AgentSession.agent, Agent.registered_by),
)
"""Relations that neither lists nor heartbeats need, so they are not loaded with a session."""
