"""Registering a machine to an organisation as an agent, and finding a machine's agents."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.orm import Session, contains_eager, selectinload

from app.agents.mac import machine_name
from app.agents.sign_in_rules import RegisteredAgent
from app.audit.feed import FeedKind, add_entry
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.licenses.permanent import mint_permanent_license
from app.models import Agent, AgentSession, FurtherMacId, Installation, PermanentLicense

MOST_MAC_IDS = 20
"""How many MAC IDs of a machine are kept; with further ones people sign in all the same."""


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


def fitting_agents(session: Session, mac_id: str, machine_id_hash: str) -> list[Agent]:
    """The registered agents with the machine's MAC ID or machine ID, locked until the commit.

    Which of them is the machine's registration is for `sign_in_rules.deciding_agent` to say.
    """
    _wait_for_machine(session, mac_id, machine_id_hash)
    by_card = select(FurtherMacId.agent_id).where(FurtherMacId.mac_id == mac_id)
    fits = or_(Agent.mac_id == mac_id, Agent.id.in_(session.scalars(by_card).all()))
    if machine_id_hash:
        fits = or_(fits, Agent.machine_id_hash == machine_id_hash)
    query = (
        select(Agent)
        .where(fits, Agent.dissociated_at.is_(None))
        .order_by(Agent.id)
        .options(selectinload(Agent.further_mac_ids))
    )
    return list(session.scalars(locked_with_license(query)))


def locked_with_license(query: Select[Agent]) -> Select[Agent]:
    """`query` for agents, which are locked with their licenses until the commit.

    After a wait PostgreSQL looks again at the rows that it locks, and at no others: a license that
    was revoked meanwhile would be read as it was before.
    """
    return (
        query.join(Agent.license)
        .options(contains_eager(Agent.license))
        .with_for_update(of=(Agent, PermanentLicense))
        .execution_options(populate_existing=True)
    )


def _wait_for_machine(session: Session, *identifiers: str) -> None:
    """Of sign-ins with the same MAC ID or the same machine ID, let one decide at a time.

    Before the first registration there is no row to lock. SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    digests = [hashlib.sha256(text.encode()).digest() for text in identifiers if text]
    # In ascending order, so that no two sign-ins wait for each other.
    for number in sorted(int.from_bytes(digest[:8], signed=True) for digest in digests):
        session.execute(select(func.pg_advisory_xact_lock(number)))


def as_registered_agent(agent: Agent, mac_id: str, machine_id_hash: str) -> RegisteredAgent:
    """An agent as a value for the rules, which know no tables, compared with what was sent."""
    both_known = machine_id_hash and agent.machine_id_hash
    return RegisteredAgent(
        agent_id=agent.id,
        organisation_id=agent.organisation_id,
        organisation_name=agent.organisation.name,
        detached=agent.detached_at is not None,
        license_revoked=agent.license.revoked_at is not None,
        same_mac_id=agent.mac_id == mac_id,
        same_machine_id=machine_id_hash == agent.machine_id_hash if both_known else None,
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


def note_identifiers(session: Session, agent: Agent, agent_session: AgentSession) -> None:
    """After a sign-in on an agent, store what it has shown to belong to the machine.

    A registration without a machine ID takes on the one that its organisation's own user sends.
    The MAC ID of another card is kept if the machine ID is the agent's.
    """
    mac_id, machine_id_hash = agent_session.mac_id, agent_session.machine_id_hash
    if not machine_id_hash:
        return
    if agent_session.temporary_license is None and not agent.machine_id_hash:
        agent.machine_id_hash = machine_id_hash
        session.flush()
        _take_over_sessions(session, agent)
    known = agent.mac_ids
    if (
        agent.machine_id_hash == machine_id_hash
        and mac_id not in known
        and len(known) < MOST_MAC_IDS
    ):
        agent.further_mac_ids.append(FurtherMacId(mac_id=mac_id))


def _take_over_sessions(session: Session, agent: Agent) -> None:
    """Assign to the agent its organisation's live sessions under keys on its machine.

    Those that came with a machine ID only by that: anybody can register somebody else's MAC ID.
    """
    own = AgentSession.organisation_id == agent.organisation_id
    without_id = AgentSession.machine_id_hash == ""
    fits = and_(without_id, AgentSession.mac_id == agent.mac_id)
    if agent.machine_id_hash:
        fits = or_(fits, AgentSession.machine_id_hash == agent.machine_id_hash)
    session.execute(
        update(AgentSession)
        .where(own, fits, AgentSession.agent_id.is_(None), AgentSession.ended_at.is_(None))
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
    **data: str,
) -> None:
    """Add a change of an agent to the audit log and to its organisation's Feed.

    `client` is the e-mail of the client user who made the change, blank for the vendor's staff.
    `data` is for the audit log alone.
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
        **data,
    )
    add_entry(
        session,
        kind,
        organisation_id=agent.organisation_id,
        subject=machine_name(agent),
        now=now,
        client=client,
    )
