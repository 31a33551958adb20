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
class Inspection:
    """What inspecting a key found.

    Of an invalid key only the state is given, and in `because` a sentence, if there is more to say
    than that it was not made here.
    """

    state: LicenseState
    key_id: str | None = None
    organisation_id: str | None = None
    expires_at: datetime | None = None
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
