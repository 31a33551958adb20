"""Sliding-window limits on wrong passwords, key inspections and registrations of machines.

The counts are kept in the database, so that they hold across workers and restarts.
"""

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.durations import Rate
from app.models import Agent, KeyInspection, SignInFailure

ADDRESS_FACTOR = 6
"""How many times an account's limit an address may fail over all accounts together."""


def begin_attempt(
    session: Session, *, account: str, address: str, secret: str, now: datetime, limit: Rate
) -> tuple[int, int]:
    """Count an attempt to sign in, before the password is looked at: (its id, 0).

    Or (0, how many seconds to wait), and nothing is counted, if this pair of account and address,
    or this address over all accounts, has had its attempts. An attempt with the right password is
    taken back by `take_back_attempt`. What was typed as an account may be a password, so it is kept
    as a keyed hash.
    """
    account_hash = hmac.digest(secret.encode(), account.encode(), "sha256").hex()
    here = SignInFailure.address == counted_as(address)
    pair = here & (SignInFailure.account_hash == account_hash)
    over_all = replace(limit, count=limit.count * ADDRESS_FACTOR)
    failed_at = SignInFailure.failed_at
    _forget_outside(session, failed_at, now, limit)
    wait = max(
        _wait(session, failed_at, pair, now, limit), _wait(session, failed_at, here, now, over_all)
    )
    if wait:
        return 0, wait
    attempt = SignInFailure(account_hash=account_hash, address=counted_as(address), failed_at=now)
    session.add(attempt)
    session.flush()
    return attempt.id, 0


def take_back_attempt(session: Session, attempt_id: int) -> None:
    """An attempt was none: the password was right."""
    session.execute(delete(SignInFailure).where(SignInFailure.id == attempt_id))


def count_inspection(session: Session, *, address: str, now: datetime, limit: Rate) -> int:
    """Count one key inspection by `address`; returns 0, or the seconds it must wait instead.

    An inspection over the limit is not counted.
    """
    wait_for_turn(session, address=address)
    _forget_outside(session, KeyInspection.inspected_at, now, limit)
    from_address = KeyInspection.address == counted_as(address)
    wait = _wait(session, KeyInspection.inspected_at, from_address, now, limit)
    if wait == 0:
        session.connection().execute(
            insert(KeyInspection), {"address": counted_as(address), "inspected_at": now}
        )
    return wait


def wait_to_register(session: Session, *, user_id: int | None, now: datetime, limit: Rate) -> int:
    """0 if a user may register another machine, else the seconds that they must wait.

    Registered machines are the count. The user must be locked until the commit.
    """
    by_user = Agent.registered_by_id == user_id
    return _wait(session, Agent.registered_at, by_user, now, limit)


def wait_for_turn(session: Session, *, address: str) -> None:
    """Wait until no other transaction is counting requests from `address`; held until the commit.

    Read the `now` that decides after this call, not before.
    """
    one_at_a_time(session, counted_as(address))


def one_at_a_time(session: Session, name: str) -> None:
    """Wait until no other transaction that named `name` here goes on; held until the commit.

    On SQLite this begins the write transaction, of which there is one at a time; on PostgreSQL it
    takes an advisory lock.
    """
    session.connection()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))


def counted_as(address: str) -> str:
    """The address that a request is counted under: an IPv6 address counts as its /64 network."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip.packed, 64), strict=False))


def _wait(
    session: Session,
    moment: InstrumentedAttribute[datetime],
    whose: ColumnElement[bool],
    now: datetime,
    limit: Rate,
) -> int:
    """Seconds until fewer than `limit.count` rows lie within its last `limit.seconds`."""
    decisive = session.scalar(
        select(moment)
        .where(whose, ~_outside(moment, now, limit))
        .order_by(moment.desc())
        .offset(limit.count - 1)
        .limit(1)
    )
    if decisive is None:
        return 0
    return max(1, ceil((decisive + timedelta(seconds=limit.seconds) - now).total_seconds()))


def _forget_outside(
    session: Session, moment: InstrumentedAttribute[datetime], now: datetime, limit: Rate
) -> None:
    session.execute(delete(moment.class_).where(_outside(moment, now, limit)))


def _outside(
    moment: InstrumentedAttribute[datetime], now: datetime, limit: Rate
) -> ColumnElement[bool]:
    """Whether a row is outside the window and no longer counts.

    A row more than a window in the future was written before the clock was set back: it does not
    count either.
    """
    window = timedelta(seconds=limit.seconds)
    return or_(moment <= now - window, moment > now + window)
