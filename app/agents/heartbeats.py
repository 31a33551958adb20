"""Heartbeats: what every OP Agent asks every few seconds, answered by one query of columns."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, case, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.agents.codes import CAUSES, EndCause
from app.agents.session_rules import SessionEnd, SessionFacts, note_interval, session_end
from app.agents.sessions import actor_of, note_once, store_end
from app.core.durations import SessionLimits
from app.core.errors import Busy
from app.core.permissions import Role
from app.core.tokens import hash_token
from app.models import (
    Agent,
    AgentSession,
    Organisation,
    PermanentLicense,
    TemporaryLicense,
    User,
)
from app.models.engine import writing
from app.models.rows import read_rows
from app.projects.subscriptions import end_of_subscription, last_day

log = logging.getLogger(__name__)

NOTE_WAIT_MS = 100
"""How long a heartbeat waits for the write lock before it gives up noting anything."""


@dataclass(frozen=True)
class LiveSession:
    """A live session, as its agent is told of it."""

    id: int
    organisation_id: str
    organisation_name: str
    login_id: str
    role: Role
    mac_id: str
    started_at: datetime
    key_id: str
    """Of its license, temporary or permanent."""
    key_expires_at: datetime | None
    """None under a permanent license."""
    user_id: int
    key_starts_at: datetime | None
    """None under a permanent license."""


_under_a_key = AgentSession.temporary_license_id.is_not(None)
HEARD: Select[*tuple[Any, ...]] = (
    select(
        AgentSession.id,
        AgentSession.organisation_id,
        Organisation.name.label("organisation_name"),
        User.email.label("login_id"),
        User.role,
        AgentSession.mac_id,
        AgentSession.started_at,
        func.coalesce(TemporaryLicense.key_id, PermanentLicense.key_id, "").label("key_id"),
        TemporaryLicense.expires_at.label("key_expires_at"),
        AgentSession.user_id,
        TemporaryLicense.starts_at.label("key_starts_at"),
        # What else decides whether it has ended
        AgentSession.agent_id,
        AgentSession.last_heard_at,
        AgentSession.told_at,
        AgentSession.ended_at,
        AgentSession.end_code,
        User.disabled_at,
        TemporaryLicense.revoked_at.label("key_revoked_at"),
        Agent.detached_at,
        Agent.dissociated_at,
        case((~_under_a_key, PermanentLicense.revoked_at)).label("license_revoked_at"),
        case((~_under_a_key, last_day(AgentSession.organisation_id))).label("subscription_day"),
    )
    .join(AgentSession.user)
    .join(AgentSession.organisation)
    .outerjoin(AgentSession.temporary_license)
    .outerjoin(AgentSession.agent)
    .outerjoin(Agent.license)
    .where(AgentSession.token_hash == bindparam("token_hash"))
)


def heartbeat(
    session: Session, *, token: str, now: datetime, limits: SessionLimits
) -> LiveSession | SessionEnd:
    """The live session with this token, noted as heard from; or why and when it ended.

    `session` is only read from. What is written (last heard, at most once in a `note_interval`; an
    end, when the agent is first told of it) goes into a short transaction of its own, which is
    skipped if the database is busy, so that the answer is not delayed.
    """
    row = read_rows(session, HEARD, {"token_hash": hash_token(token)}).one_or_none()
    if row is None:
        return SessionEnd(EndCause.UNKNOWN, now)
    end = session_end(facts_of_row(row), now=now, limits=limits)
    if end is not None:
        if row.ended_at is None or row.told_at is None:
            _note_end(session, row.id, end, now)
        return end
    if now - row.last_heard_at >= note_interval(limits):
        _note_heard(session, row, now)
    return LiveSession(*row[:11])


def live_session_of(agent_session: AgentSession) -> LiveSession:
    """What the agent of a session is told of it, while it is live."""
    key = agent_session.temporary_license
    return LiveSession(
        id=agent_session.id,
        organisation_id=agent_session.organisation_id,
        organisation_name=agent_session.organisation.name,
        login_id=agent_session.user.email,
        role=agent_session.user.role,
        mac_id=agent_session.mac_id,
        started_at=agent_session.started_at,
        key_id=agent_session.license_key_id,
        key_expires_at=key.expires_at if key else None,
        user_id=agent_session.user_id,
        key_starts_at=key.starts_at if key else None,
    )


def facts_of_row(row: Row[*tuple[Any, ...]]) -> SessionFacts:
    """What a session's end depends on, of columns named as in `HEARD`."""
    return SessionFacts(
        last_heard_at=row.last_heard_at,
        ended_at=row.ended_at,
        ended_by=CAUSES[row.end_code] if row.end_code else None,
        user_disabled_at=row.disabled_at,
        key_starts_at=row.key_starts_at,
        key_expires_at=row.key_expires_at,
        key_revoked_at=row.key_revoked_at,
        agent_detached_at=row.detached_at,
        agent_dissociated_at=row.dissociated_at,
        license_revoked_at=row.license_revoked_at,
        subscription_ends_at=end_of_subscription(row.subscription_day),
    )


def _note_end(session: Session, session_id: int, end: SessionEnd, now: datetime) -> None:
    with _own_transaction(session) as own:
        agent_session = own.get_one(AgentSession, session_id)
        store_end(own, agent_session, end, actor=actor_of(agent_session), now=now)
        note_once(own, agent_session, AgentSession.told_at, now)


def _note_heard(session: Session, row: Row[*tuple[Any, ...]], now: datetime) -> None:
    with _own_transaction(session) as own:
        own.execute(
            update(AgentSession)
            .where(AgentSession.id == row.id, AgentSession.last_heard_at < now)
            .values(last_heard_at=now)
        )
        if row.agent_id is not None:
            own.execute(
                update(Agent)
                .where(Agent.id == row.agent_id, Agent.last_seen_at < now)
                .values(last_seen_at=now)
            )


@contextmanager
def _own_transaction(session: Session) -> Iterator[Session]:
    """A short writing transaction besides that of `session`; errors are logged, not raised."""
    engine = session.connection().engine
    try:
        with writing(wait_ms=NOTE_WAIT_MS), Session(engine) as own, own.begin():
            yield own
    except DBAPIError as error:
        log.warning("a heartbeat was not noted: %s", error.orig)
    except Busy as error:
        log.warning("a heartbeat was not noted: %s", error.detail)
