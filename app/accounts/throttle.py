"""Wrong passwords are counted, per account and address and per address, in the database."""

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from app.config import Rate
from app.models import SignInFailure

ADDRESS_FACTOR = 6
"""An address may fail so many times as often over all accounts as for one."""


def seconds_to_wait(
    session: Session, *, account: str, address: str, now: datetime, limit: Rate
) -> int:
    """How many seconds this pair of account and address must wait; 0 if it may try."""
    pair = (SignInFailure.account == account) & (SignInFailure.address == address)
    return max(
        _wait(session, pair, now, limit.count, limit.seconds),
        _wait(
            session,
            SignInFailure.address == address,
            now,
            limit.count * ADDRESS_FACTOR,
            limit.seconds,
        ),
    )


def count_failure(
    session: Session, *, account: str, address: str, now: datetime, limit: Rate
) -> None:
    """Count one wrong password, and forget those that no longer matter."""
    horizon = now - timedelta(seconds=limit.seconds)
    session.execute(delete(SignInFailure).where(SignInFailure.failed_at <= horizon))
    session.add(SignInFailure(account=account, address=address, failed_at=now))


def _wait(
    session: Session, whose: ColumnElement[bool], now: datetime, count: int, seconds: int
) -> int:
    """Seconds until fewer than `count` failures lie within the last `seconds`."""
    window = timedelta(seconds=seconds)
    decisive = session.scalar(
        select(SignInFailure.failed_at)
        .where(whose, SignInFailure.failed_at > now - window)
        .order_by(SignInFailure.failed_at.desc())
        .offset(count - 1)
        .limit(1)
    )
    if decisive is None:
        return 0
    return max(1, ceil((decisive + window - now).total_seconds()))
