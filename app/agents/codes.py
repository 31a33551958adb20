"""Why agents are refused and why their sessions end: each code with its sentence."""

from datetime import datetime
from enum import StrEnum

from app.core.clock import utc_text

AT = "{at}"
"""The placeholder for an instant in a sentence."""
NAME = "{name}"
"""The placeholder for an organisation's name in a sentence."""


def with_instant(sentence: str, at: datetime | None) -> str:
    """`sentence` with `at` in place of `{at}`: "... at Tue 24 Nov 2026, 18:40 UTC"."""
    return sentence if at is None else sentence.replace(AT, f"{utc_text(at)} UTC")


class RefusalCode(StrEnum):
    """Why something is refused; the value is the code that agents get.

    `sentence` explains it to people. `field` is the field of the sign-in form that the sentence
    belongs to, blank for refusals of something other than a sign-in.
    """

    sentence: str
    field: str

    INVALID_CREDENTIALS = (
        "invalid_credentials",
        "Login ID or password is wrong. Check both, or ask a super admin to reset your password.",
        "password",
    )
    AGENT_BLOCKED = "agent_blocked", "Agent is Blocked.", "mac_id"
    ROLE_NOT_ALLOWED = (
        "role_not_allowed",
        "Your account works on the portal, not on an OP Agent. "
        "Partners and developers sign in here with a registration key.",
        "login_id",
    )
    TEMPORARY_KEY_NOT_FOR_CLIENTS = (
        "temporary_key_not_for_clients",
        "A registration key is for partners and developers. You belong to the organisation: "
        "leave the field empty.",
        "registration_key",
    )
    MACHINE_REGISTERED_ELSEWHERE = (
        "machine_registered_elsewhere",
        f"Your machine is already registered with {NAME}.",
        "mac_id",
    )
    SUBSCRIPTION_EXPIRED = (
        "subscription_expired",
        "Your organisation's subscription has ended. Renew it to sign in again.",
        "login_id",
    )
    LICENSE_REVOKED = (
        "license_revoked",
        "This machine's license was revoked. Ask the vendor's support to register it anew.",
        "mac_id",
    )
    TEMPORARY_KEY_REQUIRED = (
        "temporary_key_required",
        "You need a registration key. Ask a super admin for a temporary license key of the "
        "organisation and paste it here.",
        "registration_key",
    )
    KEY_INVALID = (
        "key_invalid",
        "This registration key is not valid here. Copy the whole key again, from rw1. to its last "
        "character, or ask for a new one.",
        "registration_key",
    )
    KEY_EXPIRED = (
        "key_expired",
        f"This registration key expired at {AT}. Ask for a new one.",
        "registration_key",
    )
    KEY_REVOKED = (
        "key_revoked",
        "This registration key was revoked. Ask for a new one.",
        "registration_key",
    )
    KEY_NOT_YET_VALID = (
        "key_not_yet_valid",
        f"This registration key does not work yet: it starts at {AT}.",
        "registration_key",
    )
    KEY_NOT_FOR_YOU = (
        "key_not_for_you",
        "This registration key was made for somebody else. Ask for one of your own.",
        "registration_key",
    )
    KEY_USED_UP = (
        "key_used_up",
        "This registration key has been used as often as it may be. Ask for a new one.",
        "registration_key",
    )
    KEY_BOUND_ELSEWHERE = (
        "key_bound_elsewhere",
        "This registration key works only on the machine on which it was used first. "
        "Go on there, or ask for a new one.",
        "registration_key",
    )
    CONFIGURATION_READ_ONLY = (
        "configuration_read_only",
        "Configuration data cannot be saved under a temporary license. Nothing was saved.",
        "",
    )

    def __new__(cls, value: str, sentence: str, field: str) -> "RefusalCode":
        code = str.__new__(cls, value)
        code._value_ = value
        code.sentence = sentence
        code.field = field
        return code


REGISTERED_ELSEWHERE = "Your machine is registered with another organisation."
"""What partners and developers get for MACHINE_REGISTERED_ELSEWHERE: it names no customer."""


class EndCode(StrEnum):
    """Why a session ended, as its agent is told."""

    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    AGENT_BLOCKED = "agent_blocked"
    LICENSE_REVOKED = "license_revoked"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    SESSION_ENDED = "session_ended"


class EndCause(StrEnum):
    """Why a session ended, as it is stored.

    `code` is the coarser reason that its agent gets; `wording` is for lists; `sentence` is for the
    person who was signed in.
    """

    code: EndCode
    wording: str
    sentence: str

    KEY_EXPIRED = (
        "key_expired",
        EndCode.KEY_EXPIRED,
        "Key expired",
        f"Your temporary license expired at {AT}. You have been logged out.",
    )
    KEY_REVOKED = (
        "key_revoked",
        EndCode.KEY_REVOKED,
        "Key revoked",
        f"Your temporary license was revoked at {AT}. You have been logged out.",
    )
    AGENT_BLOCKED = (
        "agent_blocked",
        EndCode.AGENT_BLOCKED,
        "Machine detached",
        f"Agent is Blocked. It was detached at {AT}; you have been logged out.",
    )
    LICENSE_REVOKED = (
        "license_revoked",
        EndCode.LICENSE_REVOKED,
        "License revoked",
        f"This machine's license was revoked at {AT}. You have been logged out.",
    )
    SUBSCRIPTION_EXPIRED = (
        "subscription_expired",
        EndCode.SUBSCRIPTION_EXPIRED,
        "Subscription ended",
        f"Your organisation's subscription ended at {AT}. You have been logged out.",
    )
    DISSOCIATED = (
        "dissociated",
        EndCode.SESSION_ENDED,
        "Machine dissociated",
        f"This machine was dissociated from the organisation at {AT}. You have been logged out.",
    )
    USER_DISABLED = (
        "user_disabled",
        EndCode.SESSION_ENDED,
        "User disabled",
        "Your account was disabled. You have been logged out.",
    )
    ENDED_BY_ADMIN = (
        "ended_by_admin",
        EndCode.SESSION_ENDED,
        "Ended by a super admin",
        f"A super admin ended your session at {AT}. You have been logged out.",
    )
    RESTORED = (
        "restored",
        EndCode.SESSION_ENDED,
        "Copy restored",
        f"The portal was restored from a copy, so your session ended at {AT}. "
        "Log in again to go on.",
    )
    SIGNED_OUT = (
        "signed_out",
        EndCode.SESSION_ENDED,
        "Logged out",
        f"You logged out at {AT}.",
    )
    NOT_HEARD_FROM = (
        "not_heard_from",
        EndCode.SESSION_ENDED,
        "Not heard from",
        f"This agent was not heard from for too long, so your session ended at {AT}. "
        "Log in again to go on.",
    )
    CLOCK_SET_BACK = (
        "clock_set_back",
        EndCode.SESSION_ENDED,
        "Clock set back",
        "By the portal's clock your temporary license is not valid yet. You have been logged out.",
    )
    OTHER = (
        "session_ended",
        EndCode.SESSION_ENDED,
        "Password reset",
        "Your session was ended. You have been logged out. Log in again to go on.",
    )
    """All sessions of the user ended because the password was reset."""
    UNKNOWN = (
        "unknown",
        EndCode.SESSION_ENDED,
        "Unknown",
        "Your session has ended. Log in again to go on.",
    )
    """Never stored: there is no session with this token."""

    def __new__(cls, value: str, code: EndCode, wording: str, sentence: str) -> "EndCause":
        cause = str.__new__(cls, value)
        cause._value_ = value
        cause.code = code
        cause.wording = wording
        cause.sentence = sentence
        return cause


CAUSES = {cause.value: cause for cause in EndCause}
"""Each cause by its stored value."""
