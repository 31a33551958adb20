"""How often an address may look at keys through the interface: counted in the database."""

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.config import Rate
from app.models import KeyInspection


def seconds_to_wait(session: Session, *, address: str, now: datetime, limit: Rate) -> int:
    """How many seconds an address must wait before it may look at another key; 0 if it need not."""
    window = timedelta(seconds=limit.seconds)
    decisive = session.scalar(
        select(KeyInspection.inspected_at)
        .where(KeyInspection.address == address, KeyInspection.inspected_at > now - window)
        .order_by(KeyInspection.inspected_at.desc())
        .offset(limit.count - 1)
        .limit(1)
    )
    return max(1, ceil((decisive + window - now).total_seconds())) if decisive else 0


def count_inspection(session: Session, *, address: str, now: datetime, limit: Rate) -> None:
    """Count one look at a key, and forget those that no longer matter."""
    horizon = now - timedelta(seconds=limit.seconds)
    session.execute(delete(KeyInspection).where(KeyInspection.inspected_at <= horizon))
    session.add(KeyInspection(address=address, inspected_at=now))
