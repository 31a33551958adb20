"""Visits, the sessions under temporary keys: noting each, and ends that nobody was there for."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, contains_eager

from app.agents.codes import EndCause
from app.agents.session_rules import session_end
from app.agents.sessions import actor_of, facts_of, store_end
from app.audit.feed import FeedKind, add_entry
from app.core.durations import SessionLimits
from app.core.text import fold
from app.core.tokens import new_token
from app.models import Agent, AgentSession, Organisation, TemporaryLicense, User, Visit

STEP = 500
"""How many ends one transaction stores at most."""
MARGIN = timedelta(minutes=1)
"""A heartbeat that came before an end may still be on its way to being noted."""


def note_visit(
    session: Session,
    agent_session: AgentSession,
    *,
    user: User,
    license: TemporaryLicense,
    now: datetime,
) -> None:
    """Note a session under a key as a visit; in the Feed too if its clients are to see visits."""
    issuer = license.issued_by
    visit = Visit(
        session_id=agent_session.id,
        record_id=new_token(),
        email=user.email,
        name=user.name,
        role=user.role.value,
        issued_by=issuer.email,
        search_text=visit_search_text(
            (
                *(user.email, user.name, issuer.email, license.reason, license.ticket),
                *(license.key_id, agent_session.hostname, agent_session.mac_id),
                agent_session.address,
            )
        ),
    )
    session.add(visit)
    session.flush()
    seen = select(Organisation.clients_see_visits).where(
        Organisation.id == agent_session.organisation_id
    )
    if session.scalar(seen):
        add_entry(
            session,
            FeedKind.VISIT,
            organisation_id=agent_session.organisation_id,
            subject=f"{user.name} ({user.email})" if user.name else user.email,
            now=now,
            visit=(visit.session_id, license.reason),
        )


def visit_search_text(texts: Iterable[str]) -> str:
    """The text of a visit that searches look through."""
    return fold("\n".join(texts))


def store_visits_ends(session: Session, *, now: datetime, limits: SessionLimits) -> int:
    """Store some ends of visits that came by themselves a while ago; returns how many.

    So that a record does not change with a setting, nor wait for an agent that never comes back.
    """
    until = now - MARGIN
    query = (
        # Outer joins, so that the database begins with the sessions, by the index of open ones.
        select(AgentSession)
        .outerjoin(AgentSession.user)
        .outerjoin(AgentSession.temporary_license)
        .outerjoin(AgentSession.agent)
        .options(
            contains_eager(AgentSession.user),
            contains_eager(AgentSession.temporary_license),
            contains_eager(AgentSession.agent),
        )
        .where(
            AgentSession.ended_at.is_(None),
            AgentSession.temporary_license_id.is_not(None),
            or_(
                AgentSession.last_heard_at <= until - limits.idle,
                TemporaryLicense.ends_at <= until,
                TemporaryLicense.revoked_at <= until,
                User.disabled_at <= until,
                Agent.detached_at <= until,
                Agent.dissociated_at <= until,
            ),
        )
        .order_by(AgentSession.id)
        .limit(STEP)
    )
    stored = 0
    for agent_session in session.scalars(query).all():
        end = session_end(facts_of(agent_session, None), now=until, limits=limits)
        if end is not None and end.cause is not EndCause.CLOCK_SET_BACK:
            actor = actor_of(agent_session)
            stored += store_end(session, agent_session, end, actor=actor, now=now)
    return stored
