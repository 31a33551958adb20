"""The state of a license at a given instant."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class LicenseState(StrEnum):
    ACTIVE = "active"
    SCHEDULED = "scheduled"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INVALID = "invalid"


@dataclass(frozen=True)
class MachineIds:
    """What a machine is known by; `machine_id` is blank if its agent sends none."""

    mac_id: str
    machine_id: str = ""

    def __str__(self) -> str:
        return self.machine_id or self.mac_id

    def fits(self, bound_to: "MachineIds") -> bool:
        """Whether it may be the machine that a key is bound to.

        A machine ID decides where the key knows one; else the MAC ID does.
        """
        if bound_to.machine_id:
            return self.machine_id == bound_to.machine_id
        return self.mac_id == bound_to.mac_id


@dataclass(frozen=True)
class KeyTerms:
    """What a key carries that decides who may sign in with it, how often and on which machine.

    `recipient_id` is a user's; `sign_ins_left` is None without a limit; `bound_to` is None until
    the first sign-in, or for good.
    """

    recipient_id: int | None = None
    sign_ins_left: int | None = None
    bound_to: MachineIds | None = None

    def is_for_another(self, user_id: int | None) -> bool:
        return self.recipient_id not in (None, user_id)


@dataclass(frozen=True)
class Inspection:
    """What inspecting a key found.

    Of an invalid key only the state is given, and in `because` a sentence, if there is more to say
    than that it was not made here. `expires_at` is its own end; of a key that ended unused, when it
    did. `ends_at` is when it ends if nobody uses it.
    """

    state: LicenseState
    key_id: str | None = None
    organisation_id: str | None = None
    expires_at: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    terms: KeyTerms = KeyTerms()
    because: str = field(default="", compare=False)


INVALID = Inspection(LicenseState.INVALID)
TWO_KEYS = Inspection(
    LicenseState.INVALID,
    because="There are two keys here, or more. Copy the whole key again, and paste it alone.",
)
NOT_YET_VALID = Inspection(
    LicenseState.INVALID,
    because="This key is not valid yet by this portal's clock. Try again in a moment; if it goes "
    "on, tell a super admin that the portal's clock may be wrong.",
)


def license_state(
    *,
    issued_at: datetime,
    starts_at: datetime,
    ends_at: datetime,
    revoked_at: datetime | None,
    now: datetime,
) -> LicenseState:
    """The state at `now`: active while `starts_at <= now < ends_at` and not revoked.

    Before its start a license is scheduled; one issued in the future is invalid. One revoked before
    its end stays revoked after that end too. A stored revocation counts even if its instant is
    later than `now`: the clocks of several portal machines may differ.
    """
    if now < issued_at:
        return LicenseState.INVALID
    if revoked_at is not None and revoked_at < ends_at:
        return LicenseState.REVOKED
    if now < starts_at:
        return LicenseState.SCHEDULED
    return LicenseState.ACTIVE if now < ends_at else LicenseState.EXPIRED
