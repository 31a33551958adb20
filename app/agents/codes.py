"""The codes of refusals and of ends, with their sentences and the words of lists."""

from datetime import datetime
from enum import StrEnum

AT = "{at}"
"""Stands in a sentence where it names an instant."""
NAME = "{name}"
"""Stands in a sentence where it names an organisation."""


def in_words(instant: datetime) -> str:
    """An instant as sentences name it: "Tue 24 Nov 2026, 18:40 UTC"."""
    return f"{instant:%a} {instant.day} {instant:%b %Y, %H:%M} UTC"


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
