"""What a license is at a given instant."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LicenseState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INVALID = "invalid"


@dataclass(frozen=True)
class Inspection:
    """What is known of a key that somebody presented. An invalid one tells its state only."""

    state: LicenseState
    key_id: str | None = None
    organisation_id: str | None = None
    expires_at: datetime | None = None


INVALID = Inspection(LicenseState.INVALID)


def license_state(
    *, issued_at: datetime, expires_at: datetime, revoked_at: datetime | None, now: datetime
) -> LicenseState:
    """The state at `now`: active while `issued_at <= now < expires_at` and it was not revoked.

    Issued in the future it is invalid. Revoked before its expiry it is revoked for good, also when
    the expiry has passed: it ended when it was revoked. Once recorded, a revocation counts at
    once, whatever the clock of the machine that asks.
    """
    if now < issued_at:
        return LicenseState.INVALID
    if revoked_at is not None and revoked_at < expires_at:
        return LicenseState.REVOKED
    return LicenseState.ACTIVE if now < expires_at else LicenseState.EXPIRED
