"""Who may sign in on an OP Agent. Pure functions.

The numbered rows are those of the table "Who may sign in on an OP Agent".
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from app.agents.codes import NAME, REGISTERED_ELSEWHERE, RefusalCode, with_instant
from app.core.permissions import TEMPORARY_KEY_ROLES, Role
from app.licenses.rules import Inspection, KeyTerms, LicenseState, MachineIds


@dataclass(frozen=True)
class Person:
    """An enabled user who has given the right password.

    `organisation_id` and `subscription_ended` are those of a client user's organisation.
    """

    role: Role
    organisation_id: str | None = None
    subscription_ended: bool = False
    user_id: int | None = None


@dataclass(frozen=True)
class RegisteredAgent:
    """A registered agent that has the MAC ID or the machine ID that was sent.

    `same_mac_id` is False if the MAC ID is that of a card found later, or not the agent's;
    `same_machine_id` is None if either side has no machine ID.
    """

    agent_id: int
    organisation_id: str
    organisation_name: str
    detached: bool = False
    license_revoked: bool = False
    same_mac_id: bool = True
    same_machine_id: bool | None = None

    @property
    def blocks(self) -> bool:
        """Whether nobody may sign in on the machine.

        A card found later is only claimed, so it blocks no machine with another machine ID.
        """
        return self.detached and (self.same_mac_id or self.same_machine_id is not False)


@dataclass(frozen=True)
class Admission:
    """The person may sign in to the organisation's environment.

    `agent` is None if the machine is not registered; if `registers`, it must be registered first.
    """

    organisation_id: str
    agent: RegisteredAgent | None
    registers: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why the person may not do what they asked for.

    `expired_at` is set if the key has expired, `starts_at` if it starts later; `registered_to`, an
    organisation's name, if the agent is registered with another organisation and a client user is
    to know with which; `because`, a sentence, if there is more to say than the code's own.
    """

    code: RefusalCode
    expired_at: datetime | None = None
    starts_at: datetime | None = None
    registered_to: str | None = None
    because: str = ""

    @property
    def sentence(self) -> str:
        """The reason for people, with `{at}` in place of the instant `at`."""
        if self.code is RefusalCode.MACHINE_REGISTERED_ELSEWHERE and self.registered_to is None:
            return REGISTERED_ELSEWHERE
        return self.because or self.code.sentence.replace(NAME, self.registered_to or "")

    @property
    def at(self) -> datetime | None:
        """The instant that the sentence names, or None."""
        return self.expired_at or self.starts_at

    @property
    def detail(self) -> str:
        """The sentence with the instant, in UTC."""
        return with_instant(self.sentence, self.at)


def deciding_agent(
    agents: Iterable[RegisteredAgent], organisation_id: str | None, *, by_machine_id: bool = False
) -> RegisteredAgent | None:
    """The one of several agents that is the machine's registration, or None if none is.

    Equal MAC IDs with different machine IDs are different machines. A card found later counts for
    its own organisation alone; with `by_machine_id` only an equal machine ID counts. An agent of
    `organisation_id` (the client user's or the key's) with that very machine ID goes first, then
    one of another organisation, then the one registered first.
    """

    def is_own(agent: RegisteredAgent) -> bool:
        return agent.organisation_id == organisation_id

    def fits(agent: RegisteredAgent) -> bool:
        if by_machine_id or agent.same_machine_id is False:
            return agent.same_machine_id is True
        return agent.same_mac_id or is_own(agent)

    return min(
        filter(fits, agents),
        key=lambda agent: (
            not (is_own(agent) and agent.same_machine_id),
            is_own(agent),
            agent.agent_id,
        ),
        default=None,
    )


def decide(
    *,
    person: Person | None,
    key: Inspection | None,
    machine: MachineIds,
    agents: Collection[RegisteredAgent] = (),
) -> Admission | Refusal:
    """Whether a person may sign in on an OP Agent: the first row of the table that fits decides.

    `person` is None if the login ID is unknown, the password wrong or the user disabled. `key` is
    the inspected registration key, None if the field was left blank. `agents` are the registered
    agents that have the MAC ID or the machine ID of `machine`. Partners and developers who send a
    machine ID are not affected by registrations of a MAC ID alone: anybody's client user can make
    such.
    """
    if person is None:  # row 1
        return Refusal(RefusalCode.INVALID_CREDENTIALS)
    if any(agent.blocks for agent in agents):  # row 2
        return Refusal(RefusalCode.AGENT_BLOCKED)
    if person.role is Role.CLIENT:  # rows 4 to 7
        return _decide_for_client(person, key, deciding_agent(agents, person.organisation_id))
    if person.role in TEMPORARY_KEY_ROLES:  # rows 8 to 13
        of_key = key.organisation_id if key else None
        by_machine_id = machine.machine_id != ""
        agent = deciding_agent(agents, of_key, by_machine_id=by_machine_id)
        return _decide_on_key(person, key, machine, agent)
    return Refusal(RefusalCode.ROLE_NOT_ALLOWED)  # row 3, and any role added later


def _decide_for_client(
    person: Person, key: Inspection | None, agent: RegisteredAgent | None
) -> Admission | Refusal:
    """Rows 4 to 7: client users, who never use a temporary key."""
    if key is not None or person.organisation_id is None:  # row 4
        return Refusal(RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS)
    if agent is not None and agent.organisation_id != person.organisation_id:  # row 5
        return Refusal(
            RefusalCode.MACHINE_REGISTERED_ELSEWHERE, registered_to=agent.organisation_name
        )
    if person.subscription_ended:  # rows 6 and 7
        return Refusal(RefusalCode.SUBSCRIPTION_EXPIRED)
    if agent is not None and agent.license_revoked:  # row 7
        return Refusal(RefusalCode.LICENSE_REVOKED)
    return Admission(person.organisation_id, agent, registers=agent is None)


def _decide_on_key(
    person: Person, key: Inspection | None, machine: MachineIds, agent: RegisteredAgent | None
) -> Admission | Refusal:
    """Rows 8 to 13: partners and developers, who need an active key that is for them."""
    if key is None:  # row 8
        return Refusal(RefusalCode.TEMPORARY_KEY_REQUIRED)
    if key.organisation_id is None or key.state is not LicenseState.ACTIVE:  # rows 9 to 11a
        return _refuse_by_state(key)
    if key.terms.is_for_another(person.user_id):  # row 11b
        return Refusal(RefusalCode.KEY_NOT_FOR_YOU)
    if key.terms.sign_ins_left == 0:  # row 11c
        return Refusal(RefusalCode.KEY_USED_UP)
    return _decide_on_machine(key.organisation_id, key.terms, machine, agent)


def _decide_on_machine(
    organisation_id: str, terms: KeyTerms, machine: MachineIds, agent: RegisteredAgent | None
) -> Admission | Refusal:
    """Rows 12 to 13: whether the key may be used on this machine."""
    if agent is not None and agent.organisation_id != organisation_id:  # row 12
        return Refusal(RefusalCode.MACHINE_REGISTERED_ELSEWHERE)
    if terms.bound_to is not None and not machine.fits(terms.bound_to):  # row 12a
        return Refusal(RefusalCode.KEY_BOUND_ELSEWHERE)
    return Admission(organisation_id, agent)  # row 13


def _refuse_by_state(key: Inspection) -> Refusal:
    """Rows 9 to 11a: a key that is not active."""
    if key.state is LicenseState.EXPIRED:  # row 10
        return Refusal(RefusalCode.KEY_EXPIRED, expired_at=key.expires_at)
    if key.state is LicenseState.REVOKED:  # row 11
        return Refusal(RefusalCode.KEY_REVOKED)
    if key.state is LicenseState.SCHEDULED:  # row 11a
        return Refusal(RefusalCode.KEY_NOT_YET_VALID, starts_at=key.starts_at)
    return Refusal(RefusalCode.KEY_INVALID, because=key.because)  # row 9


CONFIGURATION_READ_ONLY = Refusal(RefusalCode.CONFIGURATION_READ_ONLY)
