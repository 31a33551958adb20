"""What a license is at a given instant."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from app.core.clock import whole_second


class LicenseState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INVALID = "invalid"


class LicenseRecord(Protocol):
    """What the rules need to know of a temporary license. Instants are aware, in UTC."""

    @property
    def id(self) -> int: ...
    @property
    def issued_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def revoked_at(self) -> datetime | None: ...


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


def ended_at(expires_at: datetime, revoked_at: datetime | None) -> datetime:
    """When a license ends or ended: at its revocation, if that came before its expiry."""
    return expires_at if revoked_at is None else min(revoked_at, expires_at)


Record = TypeVar("Record", bound=LicenseRecord)


def in_order(records: Iterable[Record], now: datetime) -> list[Record]:
    """The order wherever keys are listed.

    Active at `now` first, the newest issued on top; then the others, the latest ended on top.
    Within one second the one issued later comes first, and of those the one with the higher id.
    """

    def rank(record: Record) -> tuple[bool, datetime, datetime, int]:
        state = license_state(
            issued_at=record.issued_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
            now=now,
        )
        active = state is LicenseState.ACTIVE
        issued = whole_second(record.issued_at)
        ended = whole_second(ended_at(record.expires_at, record.revoked_at))
        return active, issued if active else ended, issued, record.id

    return sorted(records, key=rank, reverse=True)
