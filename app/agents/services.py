"""Sessions on OP Agents: signing in, being heard from, ending. The browser and the JSON interface
use the same.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, not_, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute, Session, contains_eager, lazyload

from app.accounts.actor import Actor
from app.accounts.services import PasswordCheck, Verdict, judge
from app.accounts.tokens import hash_token, new_token
from app.agents.registration import (
    Presented,
    as_machine,
    hash_machine_id,
    machine_name,
    register,
    registrations,
)
from app.agents.rules import (
    CONFIGURATION_READ_ONLY,
    EndCause,
    Person,
    PresentedKey,
    Refusal,
    SessionEnd,
    SessionFacts,
    decide,
    note_interval,
    session_end,
)
from app.audit.feed import FeedKind, tell
from app.audit.services import record
from app.audit.tags import AuditTag
from app.config import Rate
from app.errors import Conflict, NotFound
from app.licenses.services import Inspection, inspect_key
from app.licenses.signing import clean_key
from app.models import (
    Agent,
    AgentSession,
    Configuration,
    Organisation,
    PermanentLicense,
    TemporaryLicense,
    User,
)
from app.models.engine import writing
from app.permissions import TEMPORARY_KEY_ROLES, Permission
from app.projects.subscriptions import (
    end_of_subscription,
    last_day,
    subscription_ends_at,
    subscription_has_ended,
)

log = logging.getLogger(__name__)

NOTE_WAIT_MS = 100
HIGHEST_ID = 2**31 - 1
"""What the databases' integers hold: a higher number is no session's."""
THROTTLED = "throttled"


@dataclass(frozen=True)
class SignedIn:
    """A new session. Its token is told once and stored hashed.

    `license_key` is the machine's permanent license, told once, when it was registered just now.
    """

    agent_session: AgentSession
    token: str = field(repr=False)
    license_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Throttled:
    """Too many wrong passwords: not even looked at for another `wait_seconds`."""

    wait_seconds: int


def sign_in(
    session: Session,
    *,
    check: PasswordCheck,
    presented: Presented,
    signing_keys: str,
    now: datetime,
    limit: Rate,
) -> SignedIn | Refusal | Throttled:
    """Sign a person in on an OP Agent, or say why not; either is recorded.

    `check` comes from `accounts.services.check_password`, made before the writing transaction;
    `limit` is that of wrong passwords, counted together with the portal's. The first client user
    on a machine registers it. Raises SigningKeyMissing if its license cannot be signed.
    """
    outcome = judge(session, check=check, now=now, limit=limit)
    user = outcome.user
    actor = Actor(user.id if user else None, check.who, user.role if user else None, check.address)
    if outcome.verdict is Verdict.THROTTLED:
        _record_refusal(session, THROTTLED, actor=actor, presented=presented, now=now)
        return Throttled(outcome.wait_seconds)
    key = _inspect(session, presented.registration_key, now)
    machines = {agent.id: agent for agent in _registrations(session, presented)} if user else {}
    decision = decide(
        person=_person(session, user, now) if user else None,
        key=PresentedKey(key.state, key.organisation_id, key.expires_at) if key else None,
        machines=[as_machine(agent) for agent in machines.values()],
    )
    if isinstance(decision, Refusal):
        _record_refusal(
            session,
            decision.code.value,
            actor=actor,
            presented=presented,
            now=now,
            key=key,
            organisation_id=user.organisation_id if user else None,
        )
        return decision
    agent, license_key = machines.get(decision.machine.agent_id if decision.machine else 0), None
    if decision.registers:
        agent, license_key = register(
            session,
            actor=actor,
            organisation_id=decision.organisation_id,
            presented=presented,
            signing_keys=signing_keys,
            now=now,
        )
    license = key.license if key else None
    agent_session, token = _open_session(
        session,
        actor=actor,
        organisation_id=decision.organisation_id,
        agent=agent,
        license=license,
        presented=presented,
        now=now,
    )
    return SignedIn(agent_session, token, license_key)


def _open_session(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    agent: Agent | None,
    license: TemporaryLicense | None,
    presented: Presented,
    now: datetime,
) -> tuple[AgentSession, str]:
    """A new session and its token. Under a permanent license the Feed is told of it."""
    token = new_token()
    agent_session = AgentSession(
        token_hash=hash_token(token),
        user_id=actor.user_id,
        organisation_id=organisation_id,
        temporary_license=license,
        agent=agent,
        mac_id=presented.mac_id,
        machine_id_hash=hash_machine_id(session, presented.machine_id),
        hostname=presented.hostname,
        agent_version=presented.agent_version,
        address=actor.address,
        started_at=now,
        last_heard_at=now,
    )
    session.add(agent_session)
    if license is not None:
        license.last_used_at = now
    if agent is not None:
        agent.last_seen_at = now
        if license is None:
            # Not under a key: the Feed names machines, and nothing that a partner does goes there.
            agent.hostname = presented.hostname or agent.hostname
            agent.agent_version = presented.agent_version or agent.agent_version
    session.flush()
    record(
        session,
        AuditTag.AGENT_SIGNED_IN,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=agent_session.license_key_id,
        mac_id=presented.mac_id,
    )
    if license is None and agent is not None:
        tell(
            session,
            FeedKind.CLIENT_SIGNED_IN,
            organisation_id=organisation_id,
            subject=machine_name(agent),
            now=now,
            client=actor.email,
        )
    return agent_session, token


def _person(session: Session, user: User, now: datetime) -> Person:
    if user.organisation_id is None:
        return Person(user.role)
    ends_at = subscription_ends_at(session, user.organisation_id)
    return Person(user.role, user.organisation_id, ends_at is not None and now >= ends_at)


def _registrations(session: Session, presented: Presented) -> Sequence[Agent]:
    return registrations(
        session,
        mac_id=presented.mac_id,
        machine_id_hash=hash_machine_id(session, presented.machine_id),
    )


def heartbeat(
    session: Session, *, token: str, now: datetime, idle_seconds: int
) -> AgentSession | SessionEnd:
    """The live session behind a token, noted as heard from; or why and when it ended.

    Reads with `session`. What it writes (last heard, at most every half minute or third of
    `idle_seconds`; an end, the first time that the agent is told) is a short transaction of its
    own, left out if the database is busy: an answer never waits for it.
    """
    found, facts = _find(session, token)
    if found is None or facts is None:
        return SessionEnd(EndCause.UNKNOWN, now)
    end = session_end(facts, now=now, idle_seconds=idle_seconds)
    if end is not None:
        if found.ended_at is None or found.told_at is None:
            with _apart(session) as own:
                _store_end(own, found, end, actor=_its_user(found), now=now)
                _note_once(own, found, AgentSession.told_at, now)
        return end
    if now - found.last_heard_at >= note_interval(idle_seconds):
        with _apart(session) as own:
            _note_heard(own, found, now)
    return found


def _note_heard(session: Session, agent_session: AgentSession, now: datetime) -> None:
    session.execute(
        update(AgentSession)
        .where(AgentSession.id == agent_session.id, AgentSession.last_heard_at < now)
        .values(last_heard_at=now)
    )
    if agent_session.agent_id is not None:
        session.execute(
            update(Agent)
            .where(Agent.id == agent_session.agent_id, Agent.last_seen_at < now)
            .values(last_seen_at=now)
        )


def sign_out(session: Session, *, token: str, now: datetime, idle_seconds: int) -> bool:
    """End the session behind a token; of one that has ended, note that the agent confirms it.

    False if the token is that of no session.
    """
    found, facts = _find(session, token)
    if found is None or facts is None:
        return False
    end = session_end(facts, now=now, idle_seconds=idle_seconds)
    if end is not None:
        _confirm(session, found, end, now)
    else:
        end = SessionEnd(EndCause.SIGNED_OUT, now)
        _store_end(session, found, end, actor=_its_user(found), now=now)
    return True


def confirm_end(session: Session, *, token: str, now: datetime, idle_seconds: int) -> None:
    """Note that an agent has logged out after its session's end; a live session goes on."""
    found, facts = _find(session, token)
    end = session_end(facts, now=now, idle_seconds=idle_seconds) if facts else None
    if found is not None and end is not None:
        _confirm(session, found, end, now)


def _confirm(session: Session, agent_session: AgentSession, end: SessionEnd, now: datetime) -> None:
    _store_end(session, agent_session, end, actor=_its_user(agent_session), now=now)
    _note_once(session, agent_session, AgentSession.confirmed_at, now)


def end_session(
    session: Session, *, actor: Actor, session_id: int, now: datetime, idle_seconds: int
) -> AgentSession:
    """End somebody's session; the agent is told at its next heartbeat.

    Raises NotAllowed, NotFound, and Conflict if it has ended already.
    """
    actor.must(Permission.END_SESSIONS)
    found = get_session(session, session_id)
    ended = has_ended(session, found, now=now, idle_seconds=idle_seconds)
    if ended or not _store_end(
        session, found, SessionEnd(EndCause.ENDED_BY_ADMIN, now), actor=actor, now=now
    ):
        raise Conflict(f"The session of {found.user.email} has ended already.")
    return found


def save_configuration(
    session: Session, *, agent_session: AgentSession, data: dict[str, Any], now: datetime
) -> Refusal | None:
    """Save the organisation's configuration data, or refuse to under a temporary license.

    Either is recorded.
    """
    refused = agent_session.temporary_license is not None
    record(
        session,
        AuditTag.CONFIGURATION_REFUSED if refused else AuditTag.CONFIGURATION_SAVED,
        actor=_its_user(agent_session),
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=agent_session.license_key_id,
    )
    if refused:
        return CONFIGURATION_READ_ONLY
    # One at a time: two first saves at once would both insert.
    own = Organisation.id == agent_session.organisation_id
    session.execute(select(Organisation.id).where(own).with_for_update(key_share=True))
    session.merge(
        Configuration(
            organisation_id=agent_session.organisation_id,
            data=data,
            saved_at=now,
            saved_by_id=agent_session.user_id,
        )
    )
    return None


def configuration_of(session: Session, organisation_id: str) -> dict[str, Any]:
    """The configuration data that an organisation's agents saved; {} if none."""
    saved = session.get(Configuration, organisation_id)
    return saved.data if saved else {}


def end_sessions_on(
    session: Session,
    *,
    agent_id: int,
    cause: EndCause,
    actor: Actor,
    now: datetime,
    idle_seconds: int,
    permanent_only: bool = False,
) -> list[AgentSession]:
    """End every session that lives on a machine, or those under its permanent license only."""
    ended = live_sessions_on(session, agent_id, now, idle_seconds)
    if permanent_only:
        ended = [found for found in ended if found.temporary_license is None]
    for found in ended:
        _store_end(session, found, SessionEnd(cause, now), actor=actor, now=now)
    return ended


def end_temporary_sessions(
    session: Session, *, actor: Actor, organisation_id: str, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """End every session under a temporary license in an organisation. Raises NotAllowed."""
    actor.must(Permission.END_SESSIONS)
    under_keys = AgentSession.temporary_license_id.is_not(None)
    of_organisation = AgentSession.organisation_id == organisation_id
    ended = _list(session, and_(of_organisation, under_keys), now, idle_seconds)
    for found in ended:
        end = SessionEnd(EndCause.ENDED_BY_ADMIN, now)
        _store_end(session, found, end, actor=actor, now=now)
    return ended


def get_session(session: Session, session_id: int) -> AgentSession:
    """The session with this id, live or ended. Raises NotFound."""
    found = session.get(AgentSession, session_id) if session_id <= HIGHEST_ID else None
    if found is None:
        raise NotFound("There is no such session.")
    return found


def has_ended(
    session: Session, agent_session: AgentSession, *, now: datetime, idle_seconds: int
) -> bool:
    days = select(last_day(agent_session.organisation_id))
    facts = facts_of(agent_session, session.scalar(days))
    return session_end(facts, now=now, idle_seconds=idle_seconds) is not None


def live_sessions_of(
    session: Session, organisation_id: str, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """The organisation's sessions that live at `now`, the latest started first."""
    return _list(session, AgentSession.organisation_id == organisation_id, now, idle_seconds)


def live_sessions_on(
    session: Session, agent_id: int, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """The sessions that live at `now` on a registered machine, the latest started first."""
    return _list(session, AgentSession.agent_id == agent_id, now, idle_seconds)


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


def _record_refusal(
    session: Session,
    code: str,
    *,
    actor: Actor,
    presented: Presented,
    now: datetime,
    key: Inspection | None = None,
    organisation_id: str | None = None,
) -> None:
    """Record a refusal, with the key's organisation, or else that of the client user."""
    record(
        session,
        AuditTag.AGENT_SIGN_IN_REFUSED,
        actor=actor,
        now=now,
        organisation_id=(key.organisation_id if key else None) or organisation_id,
        subject=(key.key_id or "") if key else "",
        code=code,
        mac_id=presented.mac_id,
    )


SESSIONS = select(
    AgentSession,
    case((AgentSession.temporary_license_id.is_(None), last_day(AgentSession.organisation_id))),
)
"""Each session, and what `facts_of` needs beside it."""


def facts_of(agent_session: AgentSession, ends_on: date | None) -> SessionFacts:
    """What a session's end depends on; `ends_on` is its organisation's `last_day`."""
    key, agent, code = agent_session.temporary_license, agent_session.agent, agent_session.end_code
    return SessionFacts(
        last_heard_at=agent_session.last_heard_at,
        ended_at=agent_session.ended_at,
        ended_by=EndCause(code) if code else None,
        user_disabled_at=agent_session.user.disabled_at,
        key_issued_at=key.issued_at if key else None,
        key_expires_at=key.expires_at if key else None,
        key_revoked_at=key.revoked_at if key else None,
        agent_detached_at=agent.detached_at if agent else None,
        agent_dissociated_at=agent.dissociated_at if agent else None,
        license_revoked_at=agent.license.revoked_at if agent and not key else None,
        subscription_ends_at=None if key else end_of_subscription(ends_on),
    )


def _find(session: Session, token: str) -> tuple[AgentSession, SessionFacts] | tuple[None, None]:
    query = SESSIONS.where(AgentSession.token_hash == hash_token(token)).options(*LIGHT)
    row = session.execute(query).one_or_none()
    return (row[0], facts_of(*row)) if row else (None, None)


def _note_once(
    session: Session,
    agent_session: AgentSession,
    column: InstrumentedAttribute[datetime | None],
    now: datetime,
) -> None:
    """Write `now` into a column of a session, unless something stands there."""
    session.execute(
        update(AgentSession)
        .where(AgentSession.id == agent_session.id, column.is_(None))
        .values({column: now})
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
        subject=agent_session.license_key_id,
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


LIGHT = (
    lazyload(AgentSession.temporary_license, TemporaryLicense.organisation),
    lazyload(AgentSession.temporary_license, TemporaryLicense.issued_by),
    lazyload(AgentSession.agent, Agent.organisation),
    lazyload(AgentSession.agent, Agent.registered_by),
)
"""What is never shown of a session's license is not fetched with it."""


def _list(
    session: Session, which: ColumnElement[bool], now: datetime, idle_seconds: int
) -> list[AgentSession]:
    query = (
        _living(select(AgentSession), now, idle_seconds)
        .where(which)
        .options(
            contains_eager(AgentSession.user),
            contains_eager(AgentSession.temporary_license),
            contains_eager(AgentSession.agent).contains_eager(Agent.license),
        )
        .order_by(AgentSession.started_at.desc(), AgentSession.id.desc())
    )
    return list(session.scalars(query))


def _living(query: Select[Any], now: datetime, idle_seconds: int) -> Select[Any]:
    """`query`, of sessions that live at `now`: what `rules.session_end` says, for the database."""
    key_is_active = and_(
        TemporaryLicense.issued_at <= now,
        TemporaryLicense.expires_at > now,
        TemporaryLicense.revoked_at.is_(None),
    )
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
            AgentSession.last_heard_at > now - timedelta(seconds=idle_seconds),
            User.disabled_at.is_(None),
            Agent.detached_at.is_(None),
            Agent.dissociated_at.is_(None),
            or_(key_is_active, license_is_valid),
        )
    )
