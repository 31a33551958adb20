"""Registering a machine to an organisation, and which registration fits a machine."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.agents.sign_in_rules import Machine
from app.audit.feed import FeedKind, add_entry
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.licenses.permanent import mint_permanent_license
from app.models import Agent, AgentSession, Installation


@dataclass(frozen=True)
class SignInRequest:
    """What an agent presents at a sign-in, beside the login ID and the password.

    `registration_key` is what was pasted, blank for none; `mac_id` comes from
    `mac.normalise_mac`; `machine_id` is what the operating system calls the machine, blank if it
    is not known.
    """

    registration_key: str = field(repr=False)
    mac_id: str
    machine_id: str = ""
    hostname: str = ""
    agent_version: str = ""


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


def registrations(session: Session, request: SignInRequest) -> list[Agent]:
    """The registrations that fit what was presented, held until the commit.

    The same MAC ID with a different machine ID is another machine; where either side has no
    machine ID, the MAC ID alone decides.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Two first registrations of one machine at once: one waits for the other.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(request.mac_id))))
    query = select(Agent).where(Agent.mac_id == request.mac_id, Agent.dissociated_at.is_(None))
    if request.machine_id:
        machine_id_hash = hash_machine_id(session, request.machine_id)
        query = query.where(Agent.machine_id_hash.in_((machine_id_hash, "")))
    held = query.order_by(Agent.id).with_for_update(of=Agent)
    return list(session.scalars(held.execution_options(populate_existing=True)))


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
    request: SignInRequest,
    signing_keys: str,
    now: datetime,
) -> tuple[Agent, str]:
    """Register a machine to an organisation and mint its license: (record, the license's text).

    The text is told once and stored nowhere. Raises SigningKeyMissing.
    """
    license, text = mint_permanent_license(
        session,
        organisation_id=organisation_id,
        mac_id=request.mac_id,
        machine_id=request.machine_id,
        issued_by_id=actor.user_id,
        signing_keys=signing_keys,
        now=now,
    )
    agent = Agent(
        organisation_id=organisation_id,
        mac_id=request.mac_id,
        machine_id_hash=hash_machine_id(session, request.machine_id),
        hostname=request.hostname,
        agent_version=request.agent_version,
        registered_at=now,
        registered_by_id=actor.user_id,
        last_seen_at=now,
        license=license,
    )
    session.add(agent)
    session.flush()
    _take_over_sessions(session, agent)
    log_machine_change(session, REGISTERED, agent=agent, actor=actor, now=now, client=actor.email)
    return agent, text


def _take_over_sessions(session: Session, agent: Agent) -> None:
    """Whoever works on the machine already, under a key, works on a registered one from now on."""
    fits = AgentSession.mac_id == agent.mac_id
    if agent.machine_id_hash:
        fits &= AgentSession.machine_id_hash.in_((agent.machine_id_hash, ""))
    session.execute(
        update(AgentSession)
        .where(fits, AgentSession.agent_id.is_(None), AgentSession.ended_at.is_(None))
        .values(agent_id=agent.id)
    )


def machine_name(agent: Agent) -> str:
    """A machine as its people know it: its host name and its MAC ID."""
    return f"{agent.hostname} ({agent.mac_id})" if agent.hostname else agent.mac_id


MachineChange = tuple[AuditTag, FeedKind]
REGISTERED: MachineChange = (AuditTag.MACHINE_REGISTERED, FeedKind.MACHINE_REGISTERED)


def log_machine_change(
    session: Session,
    change: MachineChange,
    *,
    agent: Agent,
    actor: Actor,
    now: datetime,
    client: str = "",
) -> None:
    """Write a change of a machine into the audit log and into its organisation's Feed.

    `client` is the e-mail of the client user who made it, blank for the vendor's staff.
    """
    tag, kind = change
    log_event(
        session,
        tag,
        actor=actor,
        now=now,
        organisation_id=agent.organisation_id,
        subject=agent.license.key_id,
        mac_id=agent.mac_id,
    )
    add_entry(
        session,
        kind,
        organisation_id=agent.organisation_id,
        subject=machine_name(agent),
        now=now,
        client=client,
    )
