"""Machines: which registration fits, registering one, and what a super admin does with it."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.accounts.actor import Actor
from app.agents.rules import EndCause, Machine
from app.agents.services import end_sessions_on
from app.audit.feed import FeedKind, tell
from app.audit.services import record
from app.audit.tags import AuditTag
from app.clock import whole_second
from app.errors import Conflict, NotFound
from app.licenses.keys import current_kid, private_key
from app.licenses.services import free_key_id
from app.licenses.signing import sign_permanent_license
from app.models import Agent, AgentSession, Installation, PermanentLicense
from app.permissions import Permission


def ensure_machine_salt(session: Session) -> None:
    """Make this installation's salt for machine IDs, if there is none yet."""
    if session.get(Installation, 1) is None:
        session.add(Installation(id=1, machine_salt=secrets.token_hex(32)))
        session.flush()


def hash_machine_id(session: Session, machine_id: str) -> str:
    """How a machine ID is stored (HMAC-SHA-256, hex, salted); "" for none."""
    if not machine_id:
        return ""
    salt = session.scalars(select(Installation.machine_salt)).one()
    return hmac.new(salt.encode(), machine_id.encode(), hashlib.sha256).hexdigest()


def registrations(session: Session, *, mac_id: str, machine_id_hash: str) -> list[Agent]:
    """The registrations that fit a MAC ID and a hashed machine ID, held until the commit.

    The same MAC ID with a different machine ID is another machine; where either side has no
    machine ID, the MAC ID alone decides.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Two first registrations of one machine at once: one waits for the other.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(mac_id))))
    query = select(Agent).where(Agent.mac_id == mac_id, Agent.dissociated_at.is_(None))
    if machine_id_hash:
        query = query.where(or_(Agent.machine_id_hash.in_((machine_id_hash, ""))))
    return list(session.scalars(query.order_by(Agent.id).with_for_update(of=Agent)))


def as_machine(agent: Agent) -> Machine:
    """A registration as the rules see it."""
    return Machine(
        agent_id=agent.id,
        organisation_id=agent.organisation_id,
        organisation_name=agent.organisation.name,
        detached=agent.detached_at is not None,
        license_revoked=agent.license.revoked_at is not None,
    )


def register(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    mac_id: str,
    machine_id: str,
    hostname: str,
    agent_version: str,
    signing_keys: str,
    now: datetime,
) -> tuple[Agent, str]:
    """Register a machine to an organisation and mint its license: (record, the license's text).

    The text is told once and stored nowhere. Raises SigningKeyMissing.
    """
    kid = current_kid(session)
    signing = private_key(signing_keys, kid)
    agent = Agent(
        organisation_id=organisation_id,
        mac_id=mac_id,
        machine_id_hash=hash_machine_id(session, machine_id),
        hostname=hostname,
        agent_version=agent_version,
        registered_at=now,
        registered_by_id=actor.user_id,
        last_seen_at=now,
    )
    license = PermanentLicense(
        key_id=free_key_id(session),
        organisation_id=organisation_id,
        kid=kid,
        issued_at=whole_second(now),
        issued_by_id=actor.user_id,
    )
    agent.license = license
    session.add(agent)
    session.flush()
    record(
        session,
        AuditTag.MACHINE_REGISTERED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=license.key_id,
        mac_id=mac_id,
    )
    tell(
        session,
        FeedKind.MACHINE_REGISTERED,
        organisation_id=organisation_id,
        subject=_name(agent),
        now=now,
        client=actor.email,
    )
    text = sign_permanent_license(
        signing,
        jti=license.key_id,
        organisation_id=organisation_id,
        mac_id=mac_id,
        machine_id=machine_id or None,
        issued_at=license.issued_at,
    )
    return agent, text


def machines_of(session: Session, organisation_id: str) -> Sequence[Agent]:
    """The machines registered to an organisation now, the latest registered first."""
    return session.scalars(
        select(Agent)
        .where(Agent.organisation_id == organisation_id, Agent.dissociated_at.is_(None))
        .order_by(Agent.registered_at.desc(), Agent.id.desc())
    ).all()


def get_agent(session: Session, agent_id: int) -> Agent:
    """A registered machine, held until the commit of a writing transaction. Raises NotFound."""
    agent = session.scalar(
        select(Agent)
        .where(Agent.id == agent_id, Agent.dissociated_at.is_(None))
        .with_for_update(of=Agent)
    )
    if agent is None:
        raise NotFound("There is no such machine; it may have been dissociated.")
    return agent


def detach(
    session: Session, *, actor: Actor, agent_id: int, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """Block a machine: nobody signs in on it, and who is signed in is logged out (they are given).

    Raises NotAllowed, NotFound, and Conflict if it is detached already.
    """
    agent = _to_change(session, actor, agent_id)
    if agent.detached_at is not None:
        raise Conflict(f"The machine {agent.mac_id} is detached already.")
    agent.detached_at = now
    _note(session, AuditTag.MACHINE_DETACHED, FeedKind.MACHINE_DETACHED, agent, actor, now)
    return _end_sessions(session, agent, EndCause.AGENT_BLOCKED, actor, now, idle_seconds)


def attach(session: Session, *, actor: Actor, agent_id: int, now: datetime) -> None:
    """Let people sign in on a detached machine again; sessions that were ended stay ended.

    Raises NotAllowed, NotFound, and Conflict if it is attached.
    """
    agent = _to_change(session, actor, agent_id)
    if agent.detached_at is None:
        raise Conflict(f"The machine {agent.mac_id} is attached already.")
    agent.detached_at = None
    _note(session, AuditTag.MACHINE_ATTACHED, FeedKind.MACHINE_ATTACHED, agent, actor, now)


def dissociate(
    session: Session, *, actor: Actor, agent_id: int, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """Free a machine: its license is revoked, and it may be registered anew, by anyone.

    Who is signed in on it is logged out (they are given). Raises NotAllowed, NotFound.
    """
    agent = _to_change(session, actor, agent_id)
    agent.dissociated_at = now
    _revoke(agent.license, actor, now)
    _note(session, AuditTag.MACHINE_DISSOCIATED, FeedKind.MACHINE_DISSOCIATED, agent, actor, now)
    return _end_sessions(session, agent, EndCause.DISSOCIATED, actor, now, idle_seconds)


def revoke_machine_license(
    session: Session, *, actor: Actor, agent_id: int, now: datetime, idle_seconds: int
) -> list[AgentSession]:
    """Revoke a machine's license: its client users are logged out (they are given), and stay out.

    To let them in again the machine is dissociated and registers anew. Raises NotAllowed, NotFound,
    and Conflict if it was revoked before.
    """
    actor.must(Permission.REVOKE_LICENSES)
    agent = get_agent(session, agent_id)
    if agent.license.revoked_at is not None:
        raise Conflict(f"The license of {agent.mac_id} was revoked before.")
    _revoke(agent.license, actor, now)
    _note(session, AuditTag.PERMANENT_LICENSE_REVOKED, FeedKind.LICENSE_REVOKED, agent, actor, now)
    return _end_sessions(
        session, agent, EndCause.LICENSE_REVOKED, actor, now, idle_seconds, permanent_only=True
    )


def _to_change(session: Session, actor: Actor, agent_id: int) -> Agent:
    actor.must(Permission.MANAGE_AGENTS)
    return get_agent(session, agent_id)


def _revoke(license: PermanentLicense, actor: Actor, now: datetime) -> None:
    if license.revoked_at is None:
        license.revoked_at = whole_second(now)
        license.revoked_by_id = actor.user_id


def _end_sessions(
    session: Session,
    agent: Agent,
    cause: EndCause,
    actor: Actor,
    now: datetime,
    idle_seconds: int,
    *,
    permanent_only: bool = False,
) -> list[AgentSession]:
    session.flush()
    return end_sessions_on(
        session,
        agent_id=agent.id,
        cause=cause,
        actor=actor,
        now=now,
        idle_seconds=idle_seconds,
        permanent_only=permanent_only,
    )


def _note(
    session: Session, tag: AuditTag, kind: FeedKind, agent: Agent, actor: Actor, now: datetime
) -> None:
    record(
        session,
        tag,
        actor=actor,
        now=now,
        organisation_id=agent.organisation_id,
        subject=agent.license.key_id,
        mac_id=agent.mac_id,
    )
    tell(session, kind, organisation_id=agent.organisation_id, subject=_name(agent), now=now)


def _name(agent: Agent) -> str:
    """A machine as people know it: its host name and its MAC ID."""
    return f"{agent.hostname} ({agent.mac_id})" if agent.hostname else agent.mac_id
