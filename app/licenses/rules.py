"""What a license is at a given instant."""

from datetime import datetime
from enum import StrEnum


class LicenseState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INVALID = "invalid"


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
