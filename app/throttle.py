"""Sliding-window limits on wrong passwords, key inspections and registrations of machines.

The counts are kept in the database, so that they hold across workers and restarts.
"""

import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Engine,
    Select,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.durations import Rate
from app.models import Agent, KeyInspection, SignInFailure
from app.models.engine import writing
from app.models.rows import read_rows
from app.models.types import UTCDateTime

OF_THE_DAY = "day of "
"""How an "address" begins whose attempts are counted over a day, and kept for so long."""
A_DAY = 86_400
ADDRESS_FACTOR = 6
"""How many times an account's limit an address may fail over all accounts together."""


def begin_attempt(
    session: Session, *, account: str, address: str, secret: str, now: datetime, limit: Rate
) -> tuple[int, int]:
    """Count an attempt to sign in, before the password is looked at: (its id, 0).

    Or (0, how many seconds to wait), and nothing is counted, if this pair of account and address,
    or this address over all accounts, has had its attempts. An attempt with the right password is
    taken back by `take_back_attempt`. What was typed as an account may be a password, so it is kept
    as a keyed hash. For an address that begins with OF_THE_DAY the limit is one for a day.
    """
    account_hash = hmac.digest(secret.encode(), account.encode(), "sha256").hex()
    over_all = replace(limit, count=limit.count * ADDRESS_FACTOR)
    old = _OLD_OF_THE_DAY if address.startswith(OF_THE_DAY) else _OLD_FAILURES
    _forget(session, old, now, limit)
    whose = {"address": counted_as(address), "account_hash": account_hash}
    wait = max(
        _wait(session, _FAILED_BY_PAIR, whose, now, limit),
        _wait(session, _FAILED_FROM_ADDRESS, whose, now, over_all),
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


def forget_attempts(session: Session, *, address: str) -> None:
    """Those from `address` count no more."""
    session.execute(delete(SignInFailure).where(SignInFailure.address == counted_as(address)))


def count_inspection(session: Session, *, address: str, now: datetime, limit: Rate) -> int:
    """Count one key inspection by `address`; returns 0, or the seconds it must wait instead.

    An inspection over the limit is not counted.
    """
    wait_for_turn(session, address=address)
    _forget(session, _OLD_INSPECTIONS, now, limit)
    whose = {"address": counted_as(address)}
    wait = _wait(session, _INSPECTED_FROM_ADDRESS, whose, now, limit)
    if wait == 0:
        session.connection().execute(_INSPECTED, whose | {"inspected_at": now})
    return wait


def wait_to_inspect(
    engine: Engine, *, address: str, limit: Rate, clock: Callable[[], datetime]
) -> int:
    """Count an inspection of a key before the key is looked at: 0, or the seconds to wait.

    In a short transaction of its own, so that others who write wait less.
    """
    with writing(), Session(engine) as session, session.begin():
        wait_for_turn(session, address=address)
        return count_inspection(session, address=address, now=clock(), limit=limit)


def forget_old(session: Session, *, now: datetime, failures: Rate, inspections: Rate) -> None:
    """Delete what no limit counts any more."""
    _forget(session, _OLD_FAILURES, now, failures)
    _forget(session, _OLD_OF_THE_DAY, now, Rate(failures.count, A_DAY))
    _forget(session, _OLD_INSPECTIONS, now, inspections)


def wait_to_register(session: Session, *, user_id: int | None, now: datetime, limit: Rate) -> int:
    """0 if a user may register another machine, else the seconds that they must wait.

    Registered machines are the count. The user must be locked until the commit.
    """
    return _wait(session, _REGISTERED_BY, {"user_id": user_id}, now, limit)


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
        read_rows(session, _LOCK, {"name": name})


def while_nobody(session: Session, name: str) -> None:
    """Wait until no transaction that called `one_at_a_time` with `name` goes on, and let none begin
    before the commit; those that call this go on beside each other."""
    session.connection()
    if session.get_bind().dialect.name == "postgresql":
        read_rows(session, _SHARED_LOCK, {"name": name})


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
    times: Select[Any],
    whose: dict[str, Any],
    now: datetime,
    limit: Rate,
) -> int:
    """Seconds until fewer than `limit.count` of `times` lie within its last `limit.seconds`."""
    values = whose | _window(now, limit) | {"before": limit.count - 1}
    decisive: datetime | None = read_rows(session, times, values).scalar()
    if decisive is None:
        return 0
    return max(1, ceil((decisive + timedelta(seconds=limit.seconds) - now).total_seconds()))


def _forget(session: Session, old: Delete, now: datetime, limit: Rate) -> None:
    session.connection().execute(old, _window(now, limit))


def _window(now: datetime, limit: Rate) -> dict[str, datetime]:
    window = timedelta(seconds=limit.seconds)
    return {"since": now - window, "until": now + window}


def _outside(moment: InstrumentedAttribute[datetime]) -> ColumnElement[bool]:
    """Whether a row is outside the window and no longer counts.

    A row more than a window in the future was written before the clock was set back: it does not
    count either.
    """
    since, until = bindparam("since", type_=UTCDateTime), bindparam("until", type_=UTCDateTime)
    return or_(moment <= since, moment > until)


def _times(moment: InstrumentedAttribute[datetime], whose: ColumnElement[bool]) -> Select[Any]:
    """The time that `before` later ones of the window follow."""
    inside = select(moment).where(whose, ~_outside(moment)).order_by(moment.desc())
    return inside.offset(bindparam("before")).limit(1)


# Made once: to make a statement takes longer than to execute it.
_FROM_HERE = SignInFailure.address == bindparam("address")
_ACCOUNT = SignInFailure.account_hash == bindparam("account_hash")
_FAILED_FROM_ADDRESS = _times(SignInFailure.failed_at, _FROM_HERE)
_FAILED_BY_PAIR = _times(SignInFailure.failed_at, _FROM_HERE & _ACCOUNT)
_INSPECTED_FROM_ADDRESS = _times(
    KeyInspection.inspected_at, KeyInspection.address == bindparam("address")
)
_REGISTERED_BY = _times(Agent.registered_at, Agent.registered_by_id == bindparam("user_id"))
_OF_THE_DAY = SignInFailure.address.startswith(OF_THE_DAY)
_OLD_FAILURES = delete(SignInFailure).where(_outside(SignInFailure.failed_at), ~_OF_THE_DAY)
_OLD_OF_THE_DAY = delete(SignInFailure).where(_outside(SignInFailure.failed_at), _OF_THE_DAY)
_OLD_INSPECTIONS = delete(KeyInspection).where(_outside(KeyInspection.inspected_at))
_INSPECTED = insert(KeyInspection)
_LOCK = select(func.pg_advisory_xact_lock(func.hashtext(bindparam("name"))))
_SHARED_LOCK = select(func.pg_advisory_xact_lock_shared(func.hashtext(bindparam("name"))))
