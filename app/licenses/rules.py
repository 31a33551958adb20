"""What a license is at a given instant, how keys are listed, and the short Key ID."""

import re
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from app.clock import whole_second


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


KEY_ID_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Capitals and digits that cannot be taken for one another: no 0, O, 1, I, L or U."""

_GROUP = 4
_LENGTH = 2 * _GROUP
_SPACES_AND_DASHES = re.compile(r"[\s\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff-]+")
_KEY_ID = re.compile(f"[{KEY_ID_ALPHABET}]{{{_LENGTH}}}")


def new_key_id(choice: Callable[[str], str] = secrets.choice) -> str:
    """A new Key ID to read out over a phone, such as "K7QF-3MXP".

    Eight of thirty characters, each picked by `choice`: 6.6e11 of them, 39 bits. That is enough
    not to be guessed in passing, not to be unique by itself: whoever stores it tries again when it
    is taken. It is no secret and opens nothing.
    """
    letters = "".join(choice(KEY_ID_ALPHABET) for _ in range(_LENGTH))
    return f"{letters[:_GROUP]}-{letters[_GROUP:]}"


def normalise_key_id(text: str) -> str | None:
    """`text` as a Key ID is stored, or None if it cannot be one.

    Small letters, white space, and dashes of any kind, missing ones too, are forgiven.
    """
    letters = _SPACES_AND_DASHES.sub("", text)
    if not letters.isascii() or not _KEY_ID.fullmatch(letters.upper()):
        return None
    letters = letters.upper()
    return f"{letters[:_GROUP]}-{letters[_GROUP:]}"
