"""Registering a machine to an organisation as an agent, and finding a machine's agents."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.agents.mac import machine_name
from app.agents.sign_in_rules import RegisteredAgent
from app.audit.feed import FeedKind, add_entry
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.licenses.permanent import mint_permanent_license
from app.models import Agent, AgentSession, Installation


@dataclass(frozen=True)
class SignInRequest:
    """What is sent at a sign-in on an OP Agent besides the login ID and the password.

    `registration_key` is the text that was pasted, blank for none; `mac_id` is normalised by
    `mac.normalise_mac`; `machine_id` is the operating system's identifier of the machine, blank
    if unknown.
    """

    registration_key: str = field(repr=False)
    mac_id: str
    machine_id: str = ""
    hostname: str = ""
    agent_version: str = ""


def ensure_machine_salt(session: Session) -> None:
    """Create the salt with which this portal hashes machine IDs, unless it exists."""
    if session.get(Installation, 1) is None:
        session.add(Installation(id=1, machine_salt=secrets.token_hex(32)))
        session.flush()


def hash_machine_id(session: Session, machine_id: str) -> str:
    """The hash under which a machine ID is stored (salted HMAC-SHA-256, hex); "" for a blank ID."""
    if not machine_id:
        return ""
    salt = session.scalars(select(Installation.machine_salt)).one()
    return hmac.new(salt.encode(), machine_id.encode(), hashlib.sha256).hexdigest()


def fitting_agents(session: Session, request: SignInRequest) -> list[Agent]:
    """The registered agents that may be the requesting machine's, locked until the commit.

    Equal MAC IDs with different machine IDs are different machines; where either machine ID is
    unknown, the MAC ID alone decides.
    """
    if session.get_bind().dialect.name == "postgresql":
        # There is no row to lock yet: of two first registrations at once, one waits here.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(request.mac_id))))
    query = select(Agent).where(Agent.mac_id == request.mac_id, Agent.dissociated_at.is_(None))
    if request.machine_id:
        machine_id_hash = hash_machine_id(session, request.machine_id)
        query = query.where(Agent.machine_id_hash.in_((machine_id_hash, "")))
    locking = query.order_by(Agent.id).with_for_update(of=Agent)
    return list(session.scalars(locking.execution_options(populate_existing=True)))


def as_registered_agent(agent: Agent) -> RegisteredAgent:
    """An agent as a value for the rules, which know no tables."""
    return RegisteredAgent(
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
    """Register a machine to an organisation and issue its license: (agent, license text).

    The text is returned this once and stored nowhere. Raises SigningKeyMissing.
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
    log_agent_change(session, REGISTERED, agent=agent, actor=actor, now=now, client=actor.email)
    return agent, text


def _take_over_sessions(session: Session, agent: Agent) -> None:
    """Assign to the new agent the live sessions under keys that are on its machine already."""
    fits = AgentSession.mac_id == agent.mac_id
    if agent.machine_id_hash:
        fits &= AgentSession.machine_id_hash.in_((agent.machine_id_hash, ""))
    session.execute(
        update(AgentSession)
        .where(fits, AgentSession.agent_id.is_(None), AgentSession.ended_at.is_(None))
        .values(agent_id=agent.id)
    )


AgentChange = tuple[AuditTag, FeedKind]
REGISTERED: AgentChange = (AuditTag.MACHINE_REGISTERED, FeedKind.MACHINE_REGISTERED)


def log_agent_change(
    session: Session,
    change: AgentChange,
    *,
    agent: Agent,
    actor: Actor,
    now: datetime,
    client: str = "",
) -> None:
    """Add a change of an agent to the audit log and to its organisation's Feed.

    `client` is the e-mail of the client user who made the change, blank for the vendor's staff.
    """
    tag, kind = change
    log_event(
        session,
        tag,
        actor=actor,
        now=now,
        organisation_id=agent.organisation_id,
        subject=machine_name(agent),
        mac_id=agent.mac_id,
        key_id=agent.license.key_id,
    )
    add_entry(
        session,
        kind,
        organisation_id=agent.organisation_id,
        subject=machine_name(agent),
        now=now,
        client=client,
    )
