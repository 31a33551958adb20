"""One sliding window for all that is limited: wrong passwords, and looks at keys.

Counted in the database, so that the counts hold across workers and restarts.
"""

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.durations import Rate
from app.models import KeyInspection, SignInFailure

ADDRESS_FACTOR = 6
"""An address may fail so many times as often over all accounts as for one."""


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
    """Count one look at a key by `address`: 0, or how many seconds it must wait instead.

    Looks that are too many are not counted.
    """
    wait_for_turn(session, address=address)
    _forget_outside(session, KeyInspection.inspected_at, now, limit)
    here = KeyInspection.address == address
    wait = _wait(session, KeyInspection.inspected_at, here, now, limit)
    if wait == 0:
        session.add(KeyInspection(address=address, inspected_at=now))
    return wait


def wait_for_turn(session: Session, *, address: str) -> None:
    """Let one request from `address` be counted at a time, until the transaction ends.

    SQLite writes one transaction at a time, and waits here for its turn; PostgreSQL is asked for
    a lock. A `now` that is to decide is read afterwards.
    """
    session.connection()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(counted_as(address)))))


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
    """Whether a row no longer counts.

    One more than a window ahead is from before the clock was set back: it does not count either.
    """
    window = timedelta(seconds=limit.seconds)
    return or_(moment <= now - window, moment > now + window)
