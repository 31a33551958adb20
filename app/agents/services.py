"""Sessions on OP Agents: signing in, being heard from, ending. The browser and the JSON interface
use the same.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, contains_eager, lazyload

from app.accounts.actor import Actor
from app.accounts.services import PasswordCheck, Verdict, judge
from app.accounts.tokens import hash_token, new_token
from app.agents.rules import (
    CONFIGURATION_READ_ONLY,
    EndCause,
    Person,
    PresentedKey,
    Refusal,
    SessionEnd,
    SessionFacts,
    decide,
    session_end,
)
from app.audit.services import record
from app.audit.tags import AuditTag
from app.config import Rate
from app.errors import Conflict, NotFound
from app.licenses.services import Inspection, inspect_key
from app.licenses.signing import clean_key
from app.models import AgentSession, TemporaryLicense, User
from app.models.engine import writing
from app.permissions import TEMPORARY_KEY_ROLES, Permission

log = logging.getLogger(__name__)

NOTE_EVERY = timedelta(seconds=30)
"""How often "last heard" is written at most, however often an agent asks."""
NOTE_WAIT_MS = 100
HIGHEST_ID = 2**31 - 1
"""What the databases' integers hold: a higher number is no session's."""
THROTTLED = "throttled"


@dataclass(frozen=True)
class SignedIn:
    """A new session. Its token is told once and stored hashed."""

    agent_session: AgentSession
    token: str = field(repr=False)


@dataclass(frozen=True)
class Throttled:
    """Too many wrong passwords: not even looked at for another `wait_seconds`."""

    wait_seconds: int


def sign_in(
    session: Session,
    *,
    check: PasswordCheck,
    registration_key: str,
    mac_id: str,
    now: datetime,
    limit: Rate,
    hostname: str = "",
    agent_version: str = "",
) -> SignedIn | Refusal | Throttled:
    """Sign a person in on an OP Agent, or say why not; either is recorded.

    `check` comes from `accounts.services.check_password`, made before the writing transaction;
    `limit` is that of wrong passwords, counted together with the portal's. `registration_key` is
    what was pasted; blank is none. `mac_id` comes from `mac.normalise_mac`.
    """
    outcome = judge(session, check=check, now=now, limit=limit)
    user = outcome.user
    actor = Actor(user.id if user else None, check.who, user.role if user else None, check.address)
    if outcome.verdict is Verdict.THROTTLED:
        record(
            session,
            AuditTag.AGENT_SIGN_IN_REFUSED,
            actor=actor,
            now=now,
            code=THROTTLED,
            mac_id=mac_id,
        )
        return Throttled(outcome.wait_seconds)
    key = _inspect(session, registration_key, now)
    decision = decide(
        person=Person(user.role) if user else None,
        key=PresentedKey(key.state, key.organisation_id, key.expires_at) if key else None,
    )
    if isinstance(decision, Refusal):
        return _refused(session, decision, actor=actor, key=key, mac_id=mac_id, now=now)
    # Nobody is admitted without a key of record.
    license = cast(TemporaryLicense, cast(Inspection, key).license)
    license.last_used_at = now
    token = new_token()
    agent_session = AgentSession(
        token_hash=hash_token(token),
        user_id=actor.user_id,
        organisation_id=decision.organisation_id,
        temporary_license=license,
        mac_id=mac_id,
        hostname=hostname,
        agent_version=agent_version,
        address=check.address,
        started_at=now,
        last_heard_at=now,
    )
    session.add(agent_session)
    record(
        session,
        AuditTag.AGENT_SIGNED_IN,
        actor=actor,
        now=now,
        organisation_id=decision.organisation_id,
        subject=license.key_id,
        mac_id=mac_id,
    )
    session.flush()
    return SignedIn(agent_session, token)


def heartbeat(
    session: Session, *, token: str, now: datetime, idle_seconds: int
) -> AgentSession | SessionEnd:
    """The live session behind a token, noted as heard from; or why and when it ended.

    Reads with `session`. What it writes (last heard, at most every half minute or third of
    `idle_seconds`; an end, the first time that the agent is told) is a short transaction of its
    own, left out if the database is busy: an answer never waits for it.
    """
    found = _find(session, token)
    if found is None:
        return SessionEnd(EndCause.UNKNOWN, now)
    end = session_end(_facts(found), now=now, idle_seconds=idle_seconds)
    if end is not None:
        if found.ended_at is None:
            with _apart(session) as own:
                _store_end(own, found, end, actor=_its_user(found), now=now)
        return end
    if now - found.last_heard_at >= min(NOTE_EVERY, timedelta(seconds=idle_seconds) / 3):
        with _apart(session) as own:
            own.execute(
                update(AgentSession)
                .where(AgentSession.id == found.id, AgentSession.last_heard_at < now)
                .values(last_heard_at=now)
            )
    return found


def sign_out(session: Session, *, token: str, now: datetime, idle_seconds: int) -> None:
    """End the session behind a token. One that has ended, or never was, is left as it is."""
    found = _find(session, token)
    if found is None:
        return
    end = session_end(_facts(found), now=now, idle_seconds=idle_seconds)
    _store_end(
        session,
        found,
        end or SessionEnd(EndCause.SIGNED_OUT, now),
        actor=_its_user(found),
        now=now,
    )


def end_session(
    session: Session, *, actor: Actor, session_id: int, now: datetime, idle_seconds: int
) -> AgentSession:
    """End somebody's session; the agent is told at its next heartbeat.

    Raises NotAllowed, NotFound, and Conflict if it has ended already.
    """
    actor.must(Permission.END_SESSIONS)
    found = get_session(session, session_id)
    ended = session_end(_facts(found), now=now, idle_seconds=idle_seconds) is not None
    if ended or not _store_end(
        session, found, SessionEnd(EndCause.ENDED_BY_ADMIN, now), actor=actor, now=now
    ):
        raise Conflict(f"The session of {found.user.email} has ended already.")
    return found


def save_configuration(session: Session, *, agent_session: AgentSession, now: datetime) -> Refusal:
    """Refuse to save configuration data, and record that it was tried.

    Every session is under a temporary license so far, and those only read.
    """
    record(
        session,
        AuditTag.CONFIGURATION_REFUSED,
        actor=_its_user(agent_session),
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=_key_id(agent_session),
        code=CONFIGURATION_READ_ONLY.code.value,
    )
    return CONFIGURATION_READ_ONLY


def get_session(session: Session, session_id: int) -> AgentSession:
    """The session with this id, live or ended. Raises NotFound."""
    found = session.get(AgentSession, session_id) if session_id <= HIGHEST_ID else None
    if found is None:
        raise NotFound("There is no such session.")
    return found


def has_ended(agent_session: AgentSession, *, now: datetime, idle_seconds: int) -> bool:
    return session_end(_facts(agent_session), now=now, idle_seconds=idle_seconds) is not None


def live_sessions_of(
    session: Session, organisation_id: str, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """The organisation's sessions that live at `now`, the latest started first."""
    return _list(session, AgentSession.organisation_id == organisation_id, now, idle_seconds)


def live_sessions_under(
    session: Session, license_id: int, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """The sessions that live at `now` under a temporary license, the latest started first."""
    return _list(session, AgentSession.temporary_license_id == license_id, now, idle_seconds)


def count_partners_signed_in(session: Session, now: datetime, idle_seconds: int) -> int:
    """How many partners and developers (people, not sessions) are signed in at `now`."""
    people = select(func.count(AgentSession.user_id.distinct()))
    return (
        session.scalar(_living(people, now, idle_seconds).where(User.role.in_(TEMPORARY_KEY_ROLES)))
        or 0
    )


def _inspect(session: Session, registration_key: str, now: datetime) -> Inspection | None:
    text = clean_key(registration_key)
    return inspect_key(session, text=text, now=now) if text else None


def _refused(
    session: Session,
    refusal: Refusal,
    *,
    actor: Actor,
    key: Inspection | None,
    mac_id: str,
    now: datetime,
) -> Refusal:
    record(
        session,
        AuditTag.AGENT_SIGN_IN_REFUSED,
        actor=actor,
        now=now,
        organisation_id=key.organisation_id if key else None,
        subject=(key.key_id or "") if key else "",
        code=refusal.code.value,
        mac_id=mac_id,
    )
    return refusal


def _find(session: Session, token: str) -> AgentSession | None:
    return session.scalar(
        select(AgentSession).where(AgentSession.token_hash == hash_token(token)).options(*_LIGHT)
    )


def _facts(agent_session: AgentSession) -> SessionFacts:
    key = agent_session.temporary_license
    code = agent_session.end_code
    return SessionFacts(
        last_heard_at=agent_session.last_heard_at,
        ended_at=agent_session.ended_at,
        ended_by=EndCause(code) if code else None,
        user_disabled_at=agent_session.user.disabled_at,
        key_issued_at=key.issued_at if key else None,
        key_expires_at=key.expires_at if key else None,
        key_revoked_at=key.revoked_at if key else None,
    )


def _store_end(
    session: Session, agent_session: AgentSession, end: SessionEnd, *, actor: Actor, now: datetime
) -> bool:
    """Write down an end, once: False if somebody else has done it."""
    stored = session.scalar(
        update(AgentSession)
        .where(AgentSession.id == agent_session.id, AgentSession.ended_at.is_(None))
        .values(ended_at=end.at, end_code=end.cause.value)
        .returning(AgentSession.id)
    )
    if stored is None:
        return False
    record(
        session,
        AuditTag.AGENT_SESSION_ENDED,
        actor=actor,
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=_key_id(agent_session),
        code=end.code.value,
        cause=end.cause.value,
        user=agent_session.user.email,
        mac_id=agent_session.mac_id,
        ended_at=end.at.isoformat(),
    )
    return True


@contextmanager
def _apart(session: Session) -> Iterator[Session]:
    """A short writing transaction of its own beside `session`, left out if it cannot be had."""
    engine = session.connection().engine
    try:
        with writing(wait_ms=NOTE_WAIT_MS), Session(engine) as own, own.begin():
            yield own
    except DBAPIError as error:
        log.warning("a heartbeat was not noted: %s", error.orig)


def _its_user(agent_session: AgentSession) -> Actor:
    user = agent_session.user
    return Actor(user.id, user.email, user.role, agent_session.address)


def _key_id(agent_session: AgentSession) -> str:
    key = agent_session.temporary_license
    return key.key_id if key else ""


_LIGHT = (
    lazyload(AgentSession.temporary_license, TemporaryLicense.organisation),
    lazyload(AgentSession.temporary_license, TemporaryLicense.issued_by),
)
"""What is never shown of a session's license is not fetched with it."""


def _list(
    session: Session, which: ColumnElement[bool], now: datetime, idle_seconds: int
) -> list[AgentSession]:
    query = (
        _living(select(AgentSession), now, idle_seconds)
        .where(which)
        .options(contains_eager(AgentSession.user), contains_eager(AgentSession.temporary_license))
        .order_by(AgentSession.started_at.desc(), AgentSession.id.desc())
    )
    return list(session.scalars(query))


def _living(query: Select[Any], now: datetime, idle_seconds: int) -> Select[Any]:
    """`query`, of sessions that live at `now`: what `rules.session_end` says, for the database."""
    permanent = AgentSession.temporary_license_id.is_(None)
    key_is_active = and_(
        TemporaryLicense.issued_at <= now,
        TemporaryLicense.expires_at > now,
        TemporaryLicense.revoked_at.is_(None),
    )
    return (
        query.join(AgentSession.user)
        .outerjoin(AgentSession.temporary_license)
        .where(
            AgentSession.ended_at.is_(None),
            AgentSession.last_heard_at > now - timedelta(seconds=idle_seconds),
            User.disabled_at.is_(None),
            or_(permanent, key_is_active),
        )
    )
