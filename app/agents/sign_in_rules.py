"""Who may sign in on an OP Agent. Pure: values in, values out.

The rows are those of the table "Who may sign in on an OP Agent".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.agents.codes import NAME, RefusalCode, with_instant
from app.core.permissions import TEMPORARY_KEY_ROLES, Role
from app.licenses.rules import Inspection, LicenseState


@dataclass(frozen=True)
class Person:
    """Who signs in, the password having been right and the user not disabled.

    The organisation, and whether its subscription has ended, are those of a client user.
    """

    role: Role
    organisation_id: str | None = None
    subscription_ended: bool = False


@dataclass(frozen=True)
class Machine:
    """A registration that fits the machine ID and the MAC ID that were presented."""

    agent_id: int
    organisation_id: str
    organisation_name: str
    detached: bool = False
    license_revoked: bool = False


@dataclass(frozen=True)
class Admission:
    """The person may sign in to the organisation's environment.

    `machine` is None if it is not registered; `registers` says that it is to be registered first.
    """

    organisation_id: str
    machine: Machine | None
    registers: bool = False


@dataclass(frozen=True)
class Refusal:
    """The person may not, and why.

    `expired_at` is when the key expired, if that is why; `registered_to` is the name of the
    organisation that the machine is registered with, if that is.
    """

    code: RefusalCode
    expired_at: datetime | None = None
    registered_to: str | None = None

    @property
    def sentence(self) -> str:
        """Why, with `{at}` where it names `expired_at`."""
        return self.code.sentence.replace(NAME, self.registered_to or "")

    @property
    def detail(self) -> str:
        """The sentence, with its instant in UTC."""
        return with_instant(self.sentence, self.expired_at)


def fitting_machine(machines: Iterable[Machine], organisation_id: str | None) -> Machine | None:
    """Of several registrations that fit, the one that decides.

    A detached one goes first, then one of another organisation than `organisation_id` (the client
    user's, or the key's); among equals the one registered first.
    """
    return min(
        machines,
        key=lambda machine: (
            not machine.detached,
            machine.organisation_id == organisation_id,
            machine.agent_id,
        ),
        default=None,
    )


def decide(
    *, person: Person | None, key: Inspection | None, machines: Iterable[Machine] = ()
) -> Admission | Refusal:
    """Whether a person may sign in on an OP Agent: the first row of the table that fits decides.

    `person` is None if the login ID is unknown, the password wrong or the user disabled; `key` is
    what inspecting the registration key found, None if the field was left blank; `machines` are
    the registrations that fit what was presented, none if the machine is not registered.
    """
    if person is None:  # row 1
        return Refusal(RefusalCode.INVALID_CREDENTIALS)
    organisation_id = key.organisation_id if key else person.organisation_id
    machine = fitting_machine(machines, organisation_id)
    if machine is not None and machine.detached:  # row 2
        return Refusal(RefusalCode.AGENT_BLOCKED)
    if person.role is Role.CLIENT:  # rows 4 to 7
        return _decide_for_client(person, key, machine)
    if person.role in TEMPORARY_KEY_ROLES:  # rows 8 to 13
        return _decide_on_key(key, machine)
    return Refusal(RefusalCode.ROLE_NOT_ALLOWED)  # row 3, and any role that is yet to come


def _decide_for_client(
    person: Person, key: Inspection | None, machine: Machine | None
) -> Admission | Refusal:
    """Rows 4 to 7: client users, who never use a temporary key."""
    if key is not None or person.organisation_id is None:  # row 4
        return Refusal(RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS)
    if machine is not None and machine.organisation_id != person.organisation_id:  # row 5
        return _registered_elsewhere(machine)
    if person.subscription_ended:  # rows 6 and 7
        return Refusal(RefusalCode.SUBSCRIPTION_EXPIRED)
    if machine is not None and machine.license_revoked:  # row 7
        return Refusal(RefusalCode.LICENSE_REVOKED)
    return Admission(person.organisation_id, machine, registers=machine is None)


def _decide_on_key(key: Inspection | None, machine: Machine | None) -> Admission | Refusal:
    """Rows 8 to 13: partners and developers, who need an active key."""
    if key is None:  # row 8
        return Refusal(RefusalCode.TEMPORARY_KEY_REQUIRED)
    if key.state is LicenseState.EXPIRED:  # row 10
        return Refusal(RefusalCode.KEY_EXPIRED, key.expires_at)
    if key.state is LicenseState.REVOKED:  # row 11
        return Refusal(RefusalCode.KEY_REVOKED)
    if key.state is not LicenseState.ACTIVE or not key.organisation_id:  # row 9
        return Refusal(RefusalCode.KEY_INVALID)
    if machine is not None and machine.organisation_id != key.organisation_id:  # row 12
        return _registered_elsewhere(machine)
    return Admission(key.organisation_id, machine)  # row 13


def _registered_elsewhere(machine: Machine) -> Refusal:
    return Refusal(
        RefusalCode.MACHINE_REGISTERED_ELSEWHERE, registered_to=machine.organisation_name
    )


CONFIGURATION_READ_ONLY = Refusal(RefusalCode.CONFIGURATION_READ_ONLY)
