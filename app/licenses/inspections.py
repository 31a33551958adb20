"""How often an address may look at keys through the interface: counted in the database."""

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from app.accounts.throttle import take_turn
from app.config import Rate
from app.models import KeyInspection


def count_inspection(session: Session, *, address: str, now: datetime, limit: Rate) -> int:
    """Count one look at a key by `address`: 0, or how many seconds it must wait instead.

    Looks that are too many are not counted. One from before the clock was set back, more than the
    limit's time ahead, counts no more.
    """
    take_turn(session, address=address)
    window, inspected_at = timedelta(seconds=limit.seconds), KeyInspection.inspected_at
    session.execute(
        delete(KeyInspection).where(or_(inspected_at <= now - window, inspected_at > now + window))
    )
    decisive = session.scalar(
        select(inspected_at)
        .where(KeyInspection.address == address)
        .order_by(inspected_at.desc())
        .offset(limit.count - 1)
        .limit(1)
    )
    if decisive is not None:
        return max(1, ceil((decisive + window - now).total_seconds()))
    session.add(KeyInspection(address=address, inspected_at=now))
    return 0
