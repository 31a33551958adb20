"""Wrong passwords are counted, per account and address and per address, in the database."""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from app.config import Rate
from app.models import SignInFailure

ADDRESS_FACTOR = 6
"""An address may fail so many times as often over all accounts as for one."""


def seconds_to_wait(
    session: Session, *, account: str, address: str, now: datetime, limit: Rate
) -> int:
    """How many seconds this pair of account and address must wait; 0 if it may try."""
    address = counted_as(address)
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


def take_turn(session: Session, *, address: str) -> None:
    """Let one sign-in from `address` be judged at a time, until the transaction ends.

    SQLite writes one transaction at a time anyway; PostgreSQL is asked for a lock.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(counted_as(address)))))


def count_failure(
    session: Session, *, account: str, address: str, now: datetime, limit: Rate
) -> None:
    """Count one wrong password, and forget those that no longer matter."""
    window = timedelta(seconds=limit.seconds)
    failed_at = SignInFailure.failed_at
    session.execute(
        delete(SignInFailure).where(or_(failed_at <= now - window, failed_at > now + window))
    )
    session.add(SignInFailure(account=account, address=counted_as(address), failed_at=now))


def counted_as(address: str) -> str:
    """The address that a failure is counted under: whoever has an IPv6 address has its /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip.packed, 64), strict=False))


def _wait(
    session: Session, whose: ColumnElement[bool], now: datetime, count: int, seconds: int
) -> int:
    """Seconds until fewer than `count` failures lie within the last `seconds`.

    A failure more than a window ahead is from before the clock was set back; it does not count.
    """
    window = timedelta(seconds=seconds)
    failed_at = SignInFailure.failed_at
    decisive = session.scalar(
        select(failed_at)
        .where(whose, failed_at > now - window, failed_at <= now + window)
        .order_by(failed_at.desc())
        .offset(count - 1)
        .limit(1)
    )
    if decisive is None:
        return 0
    return max(1, ceil((decisive + window - now).total_seconds()))
