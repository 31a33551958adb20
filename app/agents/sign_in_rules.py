"""Who may sign in on an OP Agent. Pure functions.

The numbered rows are those of the table "Who may sign in on an OP Agent".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.agents.codes import NAME, RefusalCode, with_instant
from app.core.permissions import TEMPORARY_KEY_ROLES, Role
from app.licenses.rules import Inspection, LicenseState


@dataclass(frozen=True)
class Person:
    """An enabled user who has given the right password.

    `organisation_id` and `subscription_ended` are those of a client user's organisation.
    """

    role: Role
    organisation_id: str | None = None
    subscription_ended: bool = False


@dataclass(frozen=True)
class RegisteredAgent:
    """A registered agent that fits the machine ID and the MAC ID that were sent."""

    agent_id: int
    organisation_id: str
    organisation_name: str
    detached: bool = False
    license_revoked: bool = False


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

    `expired_at` is set if the key has expired; `registered_to`, an organisation's name, if the
    agent is registered with another organisation; `because`, a sentence, if there is more to say
    than the code's own.
    """

    code: RefusalCode
    expired_at: datetime | None = None
    registered_to: str | None = None
    because: str = ""

    @property
    def sentence(self) -> str:
        """The reason for people, with `{at}` in place of `expired_at`."""
        return self.because or self.code.sentence.replace(NAME, self.registered_to or "")

    @property
    def detail(self) -> str:
        """The sentence with the instant, in UTC."""
        return with_instant(self.sentence, self.expired_at)


def deciding_agent(
    agents: Iterable[RegisteredAgent], organisation_id: str | None
) -> RegisteredAgent | None:
    """The one of several fitting agents that decides, or None if there are none.

    A detached agent goes first, then one of an organisation other than `organisation_id` (the
    client user's or the key's), then the one registered first.
    """
    return min(
        agents,
        key=lambda agent: (
            not agent.detached,
            agent.organisation_id == organisation_id,
            agent.agent_id,
        ),
        default=None,
    )


def decide(
    *, person: Person | None, key: Inspection | None, agents: Iterable[RegisteredAgent] = ()
) -> Admission | Refusal:
    """Whether a person may sign in on an OP Agent: the first row of the table that fits decides.

    `person` is None if the login ID is unknown, the password wrong or the user disabled. `key` is
    the inspected registration key, None if the field was left blank. `agents` are the registered
    agents that fit the machine, empty if it is not registered.
    """
    if person is None:  # row 1
        return Refusal(RefusalCode.INVALID_CREDENTIALS)
    organisation_id = key.organisation_id if key else person.organisation_id
    agent = deciding_agent(agents, organisation_id)
    if agent is not None and agent.detached:  # row 2
        return Refusal(RefusalCode.AGENT_BLOCKED)
    if person.role is Role.CLIENT:  # rows 4 to 7
        return _decide_for_client(person, key, agent)
    if person.role in TEMPORARY_KEY_ROLES:  # rows 8 to 13
        return _decide_on_key(key, agent)
    return Refusal(RefusalCode.ROLE_NOT_ALLOWED)  # row 3, and any role added later


def _decide_for_client(
    person: Person, key: Inspection | None, agent: RegisteredAgent | None
) -> Admission | Refusal:
    """Rows 4 to 7: client users, who never use a temporary key."""
    if key is not None or person.organisation_id is None:  # row 4
        return Refusal(RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS)
    if agent is not None and agent.organisation_id != person.organisation_id:  # row 5
        return _registered_elsewhere(agent)
    if person.subscription_ended:  # rows 6 and 7
        return Refusal(RefusalCode.SUBSCRIPTION_EXPIRED)
    if agent is not None and agent.license_revoked:  # row 7
        return Refusal(RefusalCode.LICENSE_REVOKED)
    return Admission(person.organisation_id, agent, registers=agent is None)


def _decide_on_key(key: Inspection | None, agent: RegisteredAgent | None) -> Admission | Refusal:
    """Rows 8 to 13: partners and developers, who need an active key."""
    if key is None:  # row 8
        return Refusal(RefusalCode.TEMPORARY_KEY_REQUIRED)
    if key.state is LicenseState.EXPIRED:  # row 10
        return Refusal(RefusalCode.KEY_EXPIRED, key.expires_at)
    if key.state is LicenseState.REVOKED:  # row 11
        return Refusal(RefusalCode.KEY_REVOKED)
    if key.state is not LicenseState.ACTIVE or not key.organisation_id:  # row 9
        return Refusal(RefusalCode.KEY_INVALID, because=key.because)
    if agent is not None and agent.organisation_id != key.organisation_id:  # row 12
        return _registered_elsewhere(agent)
    return Admission(key.organisation_id, agent)  # row 13


def _registered_elsewhere(agent: RegisteredAgent) -> Refusal:
    return Refusal(RefusalCode.MACHINE_REGISTERED_ELSEWHERE, registered_to=agent.organisation_name)


CONFIGURATION_READ_ONLY = Refusal(RefusalCode.CONFIGURATION_READ_ONLY)
