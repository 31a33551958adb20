"""Signing in on an OP Agent, for the browser agent and the JSON interface alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.authentication import Authentication
from app.agents.mac import machine_name
from app.agents.registration import (
    SignInRequest,
    as_registered_agent,
    fitting_agents,
    hash_machine_id,
    note_identifiers,
    register,
)
from app.agents.sign_in_rules import Admission, Person, Refusal, decide
from app.agents.visiting import note_visit
from app.audit.feed import FeedKind, add_entry
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import Rate
from app.core.tokens import hash_token, new_token
from app.licenses.rules import Inspection, MachineIds
from app.licenses.services import note_sign_in, read_presented_key
from app.models import Agent, AgentSession, TemporaryLicense, User
from app.projects.subscriptions import subscription_ends_at
from app.throttle import wait_to_register

THROTTLED = "throttled"
TOO_MANY_MACHINES = "too_many_machines"


@dataclass(frozen=True)
class SignedIn:
    """A new session and its token, which is stored only as a hash.

    `license_key` is the text of the machine's permanent license if this sign-in registered it.
    """

    agent_session: AgentSession
    token: str = field(repr=False)
    license_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Throttled:
    """Refused for `wait_seconds`: too many wrong passwords, or machines registered by the user."""

    wait_seconds: int
    registering: bool = False


def sign_in(
    session: Session,
    *,
    who: Authentication,
    request: SignInRequest,
    signing_keys: str,
    registrations: Rate,
    clock: Callable[[], datetime],
) -> SignedIn | Refusal | Throttled:
    """Sign a person in on an OP Agent, or return why not; both are logged.

    `who` must have been authenticated in the same transaction. The first client user to sign in
    on a machine registers it, at most as many as `registrations` allows. Raises SigningKeyMissing
    if its license cannot be signed.

    What the decision depends on is locked until the commit, in the order in which everybody locks
    it: the user, the key, the agents. The `clock` is read afterwards, since waiting takes time.
    """
    if who.wait_seconds:
        _log_refusal(session, THROTTLED, who=who, request=request, now=clock())
        return Throttled(who.wait_seconds)
    presented = read_presented_key(session, request.registration_key, lock=True)
    machine_id_hash = hash_machine_id(session, request.machine_id)
    fitting = fitting_agents(session, request.mac_id, machine_id_hash) if who.user else []
    now = clock()
    key, license = presented.inspect(now) if presented else (None, None)
    decision = decide(
        person=_person(session, who.user, now),
        key=key,
        machine=MachineIds(request.mac_id, request.machine_id),
        agents=[as_registered_agent(agent, request.mac_id, machine_id_hash) for agent in fitting],
    )
    if isinstance(decision, Refusal):
        _log_refusal(session, decision.code.value, who=who, request=request, now=now, key=key)
        return decision
    agent, license_key = _agent_of(decision, fitting), None
    if decision.registers:
        user_id = who.actor.user_id
        if wait := wait_to_register(session, user_id=user_id, now=now, limit=registrations):
            _log_refusal(session, TOO_MANY_MACHINES, who=who, request=request, now=now)
            return Throttled(wait, registering=True)
        agent, license_key = register(
            session,
            actor=who.actor,
            organisation_id=decision.organisation_id,
            request=request,
            signing_keys=signing_keys,
            now=now,
        )
    agent_session, token = _open_session(
        session,
        who=who,
        organisation_id=decision.organisation_id,
        agent=agent,
        license=license,
        request=request,
        now=now,
    )
    return SignedIn(agent_session, token, license_key)


def _agent_of(admission: Admission, agents: list[Agent]) -> Agent | None:
    if admission.agent is None:
        return None
    return next(agent for agent in agents if agent.id == admission.agent.agent_id)


def _person(session: Session, user: User | None, now: datetime) -> Person | None:
    if user is None:
        return None
    if user.organisation_id is None:
        return Person(user.role, user_id=user.id)
    ends_at = subscription_ends_at(session, user.organisation_id)
    ended = ends_at is not None and now >= ends_at
    return Person(user.role, user.organisation_id, ended, user.id)


def _open_session(
    session: Session,
    *,
    who: Authentication,
    organisation_id: str,
    agent: Agent | None,
    license: TemporaryLicense | None,
    request: SignInRequest,
    now: datetime,
) -> tuple[AgentSession, str]:
    """A new session, noted where it belongs and logged, and its token."""
    token = new_token()
    agent_session = AgentSession(
        token_hash=hash_token(token),
        user_id=who.actor.user_id,
        organisation_id=organisation_id,
        temporary_license=license,
        agent=agent,
        mac_id=request.mac_id,
        machine_id_hash=hash_machine_id(session, request.machine_id),
        hostname=request.hostname,
        agent_version=request.agent_version,
        address=who.address,
        started_at=now,
        last_heard_at=now,
    )
    session.add(agent_session)
    if who.user is not None:
        who.user.last_sign_in_at = now
    _note_use(session, agent_session, MachineIds(request.mac_id, request.machine_id), now)
    if agent is not None:
        note_identifiers(session, agent, agent_session)
    session.flush()
    if license is not None and who.user is not None:
        note_visit(session, agent_session, user=who.user, license=license, now=now)
    _log_sign_in(session, agent_session, actor=who.actor, now=now)
    return agent_session, token


def _note_use(
    session: Session, agent_session: AgentSession, machine: MachineIds, now: datetime
) -> None:
    """Store when the key and the agent were last used, and the machine's present host name."""
    license, agent = agent_session.temporary_license, agent_session.agent
    if license is not None:
        note_sign_in(session, license, machine, now)
    if agent is not None:
        agent.last_seen_at = now
        if license is None:
            # The Feed shows the host name, and must show nothing that a partner does.
            agent.hostname = agent_session.hostname or agent.hostname
            agent.agent_version = agent_session.agent_version or agent.agent_version


def _log_sign_in(
    session: Session, agent_session: AgentSession, *, actor: Actor, now: datetime
) -> None:
    """Log the sign-in; only one under a permanent license also appears in the Feed."""
    log_event(
        session,
        AuditTag.AGENT_SIGNED_IN,
        actor=actor,
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=machine_name(agent_session),
        mac_id=agent_session.mac_id,
        key_id=agent_session.license_key_id,
    )
    if agent_session.temporary_license is None and agent_session.agent is not None:
        add_entry(
            session,
            FeedKind.CLIENT_SIGNED_IN,
            organisation_id=agent_session.organisation_id,
            subject=machine_name(agent_session.agent),
            now=now,
            client=actor.email,
        )


def _log_refusal(
    session: Session,
    code: str,
    *,
    who: Authentication,
    request: SignInRequest,
    now: datetime,
    key: Inspection | None = None,
) -> None:
    """Log a refusal, under the key's organisation or else the client user's."""
    of_user = who.user.organisation_id if who.user else None
    log_event(
        session,
        AuditTag.AGENT_SIGN_IN_REFUSED,
        actor=who.actor,
        now=now,
        organisation_id=(key.organisation_id if key else None) or of_user,
        subject=machine_name(request),
        code=code,
        mac_id=request.mac_id,
        key_id=key.key_id if key else None,
    )
