"""The other side of Rolling Window: an OP Agent and an off-line key checker, as a library.

sign_in       signs in on a portal and gives an Agent
Agent         a session that keeps itself alive, and ends on time
check_key     says of a license key whether it is good, without the portal
"""

from .api import Grant, License, Organisation, Portal, SessionState, SignIn, User
from .check import KeyCheck, KeyState, check_key
from .errors import (
    ClientError,
    KeySetInvalid,
    PortalUnreachable,
    Refused,
    RevocationListInvalid,
    SessionEnded,
    VisitRecordInvalid,
    WrongUse,
)
from .keys import KeyKind, SignedKey
from .machine import Machine, this_machine
from .public_keys import PublicKeys, read_jwk_set
from .revocations import RevocationList, read_revocation_list
from .session import Agent, Ended, Status, sign_in
from .version import __version__
from .visits import VisitRecord, read_visit_record

__all__ = [
    "Agent",
    "ClientError",
    "Ended",
    "Grant",
    "KeyCheck",
    "KeyKind",
    "KeySetInvalid",
    "KeyState",
    "License",
    "Machine",
    "Organisation",
    "Portal",
    "PortalUnreachable",
    "PublicKeys",
    "Refused",
    "RevocationList",
    "RevocationListInvalid",
    "SessionEnded",
    "SessionState",
    "SignIn",
    "SignedKey",
    "Status",
    "User",
    "VisitRecord",
    "VisitRecordInvalid",
    "WrongUse",
    "__version__",
    "check_key",
    "read_jwk_set",
    "read_revocation_list",
    "read_visit_record",
    "sign_in",
    "this_machine",
]
