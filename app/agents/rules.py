"""Who may sign in on an OP Agent, and when a session on one has ended. Pure: values in, values out.

The rows are those of the table "Who may sign in on an OP Agent".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.licenses.rules import LicenseState
from app.permissions import TEMPORARY_KEY_ROLES, Role

AT = "{at}"
"""Stands in a sentence where it names an instant."""
NAME = "{name}"
"""Stands in a sentence where it names an organisation."""


def in_words(instant: datetime) -> str:
    """An instant as sentences name it: "Tue 24 Nov 2026, 18:40 UTC"."""
    return f"{instant:%a} {instant.day} {instant:%b %Y, %H:%M} UTC"


# Signing in


class RefusalCode(StrEnum):
    INVALID_CREDENTIALS = "invalid_credentials"
    AGENT_BLOCKED = "agent_blocked"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    TEMPORARY_KEY_NOT_FOR_CLIENTS = "temporary_key_not_for_clients"
    MACHINE_REGISTERED_ELSEWHERE = "machine_registered_elsewhere"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    LICENSE_REVOKED = "license_revoked"
    TEMPORARY_KEY_REQUIRED = "temporary_key_required"
    KEY_INVALID = "key_invalid"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    CONFIGURATION_READ_ONLY = "configuration_read_only"
    """Not of the table: the answer to saving configuration data under a temporary license."""


@dataclass(frozen=True)
class Person:
    """Who signs in, the password having been right and the user not disabled.

    The organisation, and whether its subscription has ended, are those of a client user.
    """

    role: Role
    organisation_id: str | None = None
    subscription_ended: bool = False


@dataclass(frozen=True)
class PresentedKey:
    """What was found out about a registration key that was not left blank.

    `organisation_id` and `expires_at` are set unless the state is INVALID.
    """

    state: LicenseState
    organisation_id: str | None = None
    expires_at: datetime | None = None


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

    Until `ends_at`, or under the permanent license if that is None; `registers` says that the
    machine is to be registered first.
    """

    organisation_id: str
    machine: Machine | None
    ends_at: datetime | None = None
    registers: bool = False


@dataclass(frozen=True)
class Refusal:
    """The person may not. `sentence` says why, with `{at}` where it names `expired_at`."""

    code: RefusalCode
    sentence: str
    expired_at: datetime | None = None
    registered_to: str | None = None

    @property
    def detail(self) -> str:
        """The sentence, with its instant in UTC."""
        if self.expired_at is None:
            return self.sentence
        return self.sentence.replace(AT, in_words(self.expired_at))


SENTENCES = {
    RefusalCode.INVALID_CREDENTIALS: (
        "Login ID or password is wrong. Check both, or ask a super admin to reset your password."
    ),
    RefusalCode.AGENT_BLOCKED: "Agent is Blocked.",
    RefusalCode.ROLE_NOT_ALLOWED: (
        "Your account works on the portal, not on an OP Agent. "
        "Partners and developers sign in here with a registration key."
    ),
    RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS: (
        "A registration key is for partners and developers. You belong to the organisation: "
        "leave the field empty."
    ),
    RefusalCode.MACHINE_REGISTERED_ELSEWHERE: f"Your machine is already registered with {NAME}.",
    RefusalCode.SUBSCRIPTION_EXPIRED: (
        "Your organisation's subscription has ended. Renew it to sign in again."
    ),
    RefusalCode.LICENSE_REVOKED: (
        "This machine's license was revoked. Ask the vendor's support to register it anew."
    ),
    RefusalCode.TEMPORARY_KEY_REQUIRED: (
        "You need a registration key. Ask a super admin for a temporary license key of the "
        "organisation and paste it here."
    ),
    RefusalCode.KEY_INVALID: (
        "This registration key is not valid here. Copy the whole key again, from rw1. to its last "
        "character, or ask for a new one."
    ),
    RefusalCode.KEY_EXPIRED: f"This registration key expired at {AT}. Ask for a new one.",
    RefusalCode.KEY_REVOKED: "This registration key was revoked. Ask for a new one.",
    RefusalCode.CONFIGURATION_READ_ONLY: (
        "Configuration data cannot be saved under a temporary license. Nothing was saved."
    ),
}


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
    *, person: Person | None, key: PresentedKey | None, machines: Iterable[Machine] = ()
) -> Admission | Refusal:
    """Whether a person may sign in on an OP Agent: the first row of the table that fits decides.

    `person` is None if the login ID is unknown, the password wrong or the user disabled; `key` is
    None if the field was left blank; `machines` are the registrations that fit what was presented,
    none if the machine is not registered.
    """
    if person is None:  # row 1
        return _refusal(RefusalCode.INVALID_CREDENTIALS)
    organisation_id = key.organisation_id if key else person.organisation_id
    machine = fitting_machine(machines, organisation_id)
    if machine is not None and machine.detached:  # row 2
        return _refusal(RefusalCode.AGENT_BLOCKED)
    if person.role is Role.CLIENT:  # rows 4 to 7
        return _decide_for_client(person, key, machine)
    if person.role in TEMPORARY_KEY_ROLES:  # rows 8 to 13
        return _decide_on_key(key, machine)
    return _refusal(RefusalCode.ROLE_NOT_ALLOWED)  # row 3, and any role that is yet to come


def _decide_for_client(
    person: Person, key: PresentedKey | None, machine: Machine | None
) -> Admission | Refusal:
    """Rows 4 to 7: client users, who never use a temporary key."""
    if key is not None or person.organisation_id is None:  # row 4
        return _refusal(RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS)
    if machine is not None and machine.organisation_id != person.organisation_id:  # row 5
        return _registered_elsewhere(machine)
    if person.subscription_ended:  # rows 6 and 7
        return _refusal(RefusalCode.SUBSCRIPTION_EXPIRED)
    if machine is not None and machine.license_revoked:  # row 7
        return _refusal(RefusalCode.LICENSE_REVOKED)
    return Admission(person.organisation_id, machine, registers=machine is None)


def _decide_on_key(key: PresentedKey | None, machine: Machine | None) -> Admission | Refusal:
    """Rows 8 to 13: partners and developers, who need an active key."""
    if key is None:  # row 8
        return _refusal(RefusalCode.TEMPORARY_KEY_REQUIRED)
    if key.state is LicenseState.EXPIRED:  # row 10
        return _refusal(RefusalCode.KEY_EXPIRED, key.expires_at)
    if key.state is LicenseState.REVOKED:  # row 11
        return _refusal(RefusalCode.KEY_REVOKED)
    if key.state is not LicenseState.ACTIVE or not key.organisation_id:  # row 9
        return _refusal(RefusalCode.KEY_INVALID)
    if machine is not None and machine.organisation_id != key.organisation_id:  # row 12
        return _registered_elsewhere(machine)
    return Admission(key.organisation_id, machine, ends_at=key.expires_at)  # row 13


def _refusal(code: RefusalCode, expired_at: datetime | None = None) -> Refusal:
    return Refusal(code, SENTENCES[code], expired_at)


def _registered_elsewhere(machine: Machine) -> Refusal:
    code, name = RefusalCode.MACHINE_REGISTERED_ELSEWHERE, machine.organisation_name
    return Refusal(code, SENTENCES[code].replace(NAME, name), registered_to=name)


CONFIGURATION_READ_ONLY = _refusal(RefusalCode.CONFIGURATION_READ_ONLY)


# The end of a session

NOTE_EVERY = timedelta(seconds=30)
ANSWER_TIME = timedelta(seconds=3)
"""How late a heartbeat may be, the network being what it is."""


class EndCode(StrEnum):
    """What an agent is told of its session's end."""

    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    AGENT_BLOCKED = "agent_blocked"
    LICENSE_REVOKED = "license_revoked"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    SESSION_ENDED = "session_ended"


class EndCause(StrEnum):
    """Why a session ended, as it is stored: finer than the code that an agent is told."""

    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    AGENT_BLOCKED = "agent_blocked"
    LICENSE_REVOKED = "license_revoked"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    DISSOCIATED = "dissociated"
    USER_DISABLED = "user_disabled"
    ENDED_BY_ADMIN = "ended_by_admin"
    SIGNED_OUT = "signed_out"
    NOT_HEARD_FROM = "not_heard_from"
    CLOCK_SET_BACK = "clock_set_back"
    OTHER = "session_ended"
    """Ended together with every other session of the user: the password was reset."""
    UNKNOWN = "unknown"
    """Never stored: the token belongs to no session."""

    @property
    def code(self) -> EndCode:
        return _CODES.get(self, EndCode.SESSION_ENDED)

    @property
    def words(self) -> str:
        """How a list says it."""
        return _WORDS[self]


_CODES = {EndCause(code.value): code for code in EndCode if code is not EndCode.SESSION_ENDED}

_WORDS = {
    EndCause.KEY_EXPIRED: "Key expired",
    EndCause.KEY_REVOKED: "Key revoked",
    EndCause.AGENT_BLOCKED: "Machine detached",
    EndCause.LICENSE_REVOKED: "License revoked",
    EndCause.SUBSCRIPTION_EXPIRED: "Subscription ended",
    EndCause.DISSOCIATED: "Machine dissociated",
    EndCause.USER_DISABLED: "User disabled",
    EndCause.ENDED_BY_ADMIN: "Ended by a super admin",
    EndCause.SIGNED_OUT: "Logged out",
    EndCause.NOT_HEARD_FROM: "Not heard from",
    EndCause.CLOCK_SET_BACK: "Clock set back",
    EndCause.OTHER: "Password reset",
    EndCause.UNKNOWN: "Unknown",
}

END_SENTENCES = {
    EndCause.KEY_EXPIRED: f"Your temporary license expired at {AT}. You have been logged out.",
    EndCause.KEY_REVOKED: f"Your temporary license was revoked at {AT}. You have been logged out.",
    EndCause.AGENT_BLOCKED: f"Agent is Blocked. It was detached at {AT}; you have been logged out.",
    EndCause.LICENSE_REVOKED: (
        f"This machine's license was revoked at {AT}. You have been logged out."
    ),
    EndCause.SUBSCRIPTION_EXPIRED: (
        f"Your organisation's subscription ended at {AT}. You have been logged out."
    ),
    EndCause.DISSOCIATED: (
        f"This machine was dissociated from the organisation at {AT}. You have been logged out."
    ),
    EndCause.USER_DISABLED: "Your account was disabled. You have been logged out.",
    EndCause.ENDED_BY_ADMIN: f"A super admin ended your session at {AT}. You have been logged out.",
    EndCause.SIGNED_OUT: f"You logged out at {AT}.",
    EndCause.NOT_HEARD_FROM: (
        f"This agent was not heard from for too long, so your session ended at {AT}. "
        "Log in again to go on."
    ),
    EndCause.CLOCK_SET_BACK: (
        "By the portal's clock your temporary license is not valid yet. You have been logged out."
    ),
    EndCause.OTHER: "Your session was ended. You have been logged out. Log in again to go on.",
    EndCause.UNKNOWN: "Your session has ended. Log in again to go on.",
}


@dataclass(frozen=True)
class SessionFacts:
    """What a session's end depends on. Instants are aware, in UTC; None: it did not happen.

    Those of the key are None under a permanent license, those of the license and the subscription
    under a key.
    """

    last_heard_at: datetime
    ended_at: datetime | None = None
    ended_by: EndCause | None = None
    user_disabled_at: datetime | None = None
    key_issued_at: datetime | None = None
    key_expires_at: datetime | None = None
    key_revoked_at: datetime | None = None
    agent_detached_at: datetime | None = None
    agent_dissociated_at: datetime | None = None
    license_revoked_at: datetime | None = None
    subscription_ends_at: datetime | None = None


@dataclass(frozen=True)
class SessionEnd:
    """That, why and when a session ended. `sentence` has `{at}` where it names the instant."""

    cause: EndCause
    at: datetime

    @property
    def code(self) -> EndCode:
        return self.cause.code

    @property
    def sentence(self) -> str:
        return END_SENTENCES[self.cause]

    @property
    def detail(self) -> str:
        """The sentence, with its instant in UTC."""
        return self.sentence.replace(AT, in_words(self.at))


def note_interval(idle_seconds: int) -> timedelta:
    """How often "last heard" is written at most, however often an agent asks."""
    return min(NOTE_EVERY, timedelta(seconds=idle_seconds) / 3)


def session_end(facts: SessionFacts, *, now: datetime, idle_seconds: int) -> SessionEnd | None:
    """Why and when a session ended, or None while it lives: what happened first counts.

    It ends at the instant itself: at `expires_at`, and at `last_heard_at` plus `idle_seconds`.
    What was recorded (revoked, disabled, ended) counts at once, whatever the clock of the machine
    that asks. A key that was not issued yet, because the clock was set back, is not active, so
    nobody works under it.
    """
    recorded = (
        (facts.key_revoked_at, EndCause.KEY_REVOKED),
        (facts.agent_detached_at, EndCause.AGENT_BLOCKED),
        (facts.agent_dissociated_at, EndCause.DISSOCIATED),
        (facts.license_revoked_at, EndCause.LICENSE_REVOKED),
        (facts.user_disabled_at, EndCause.USER_DISABLED),
        (facts.ended_at, facts.ended_by or EndCause.OTHER),
    )
    by_clock = (
        (facts.key_expires_at, EndCause.KEY_EXPIRED),
        (facts.subscription_ends_at, EndCause.SUBSCRIPTION_EXPIRED),
        (facts.last_heard_at + timedelta(seconds=idle_seconds), EndCause.NOT_HEARD_FROM),
    )
    ends = [SessionEnd(cause, at) for at, cause in by_clock if at is not None and at <= now]
    ends += [SessionEnd(cause, at) for at, cause in recorded if at is not None]
    if not ends and facts.key_issued_at is not None and now < facts.key_issued_at:
        return SessionEnd(EndCause.CLOCK_SET_BACK, now)
    return min(ends, key=lambda end: end.at, default=None)


# The proof that an agent has logged out


class ProofState(StrEnum):
    """How far the agent of a session that has ended is known to be."""

    WAITING = "waiting"
    """Its next heartbeat is not due yet."""
    TOLD = "told"
    """Its heartbeat got the refusal."""
    CONFIRMED = "confirmed"
    """It called the end of the session: it has logged out."""
    OFF_LINE = "off_line"
    """It has not been heard from since."""


@dataclass(frozen=True)
class Proof:
    """How far an agent is known to be, and since when.

    Off-line, `at` is the expiry of its key, at which it ends by itself at the latest; None under a
    permanent license, which has none. None too while waiting.
    """

    state: ProofState
    at: datetime | None = None


def proof(
    end: SessionEnd,
    *,
    facts: SessionFacts,
    told_at: datetime | None,
    confirmed_at: datetime | None,
    now: datetime,
    heartbeat_seconds: int,
    idle_seconds: int,
) -> Proof:
    """How far the agent of a session that ended is known to be at `now`.

    It is waited for if it was heard from lately and its next heartbeat is not overdue.
    """
    if confirmed_at is not None:
        return Proof(ProofState.CONFIRMED, confirmed_at)
    if end.cause is EndCause.SIGNED_OUT:
        return Proof(ProofState.CONFIRMED, end.at)
    if told_at is not None:
        return Proof(ProofState.TOLD, told_at)
    patience = timedelta(seconds=heartbeat_seconds) + ANSWER_TIME
    heard_lately = end.at - facts.last_heard_at <= note_interval(idle_seconds) + patience
    if heard_lately and now < end.at + patience:
        return Proof(ProofState.WAITING)
    return Proof(ProofState.OFF_LINE, facts.key_expires_at)
