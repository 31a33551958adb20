"""How many keys were generated and how many people were let in under one, day by day (UTC)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.audit.tags import AuditTag
from app.core.permissions import TEMPORARY_KEY_ROLES
from app.models import AuditEvent
from app.models.kept import Kept

DAYS = 30
CHEAP = 2000
"""So many of either are counted each time; more are counted twice a minute."""


@dataclass(frozen=True)
class Day:
    day: date
    keys: int
    people: int


_many: Kept[list[Day]] = Kept()


def last_days(session: Session, now: datetime) -> list[Day]:
    """The last thirty days, today included, the oldest first."""
    kept = _many.get(session, now)
    if kept is not None:
        return kept
    first = now.date() - timedelta(days=DAYS - 1)
    roles = AuditEvent.role.in_([role.value for role in TEMPORARY_KEY_ROLES])
    keys = _counts(session, AuditTag.LICENSE_ISSUED, first, now, func.count())
    people = _counts(
        session,
        AuditTag.AGENT_SIGNED_IN,
        first,
        now,
        func.count(AuditEvent.actor_id.distinct()).filter(roles),
    )
    dates = [first + timedelta(days=number) for number in range(DAYS)]
    days = [Day(day, keys.get(str(day), 0), people.get(str(day), 0)) for day in dates]
    if max(sum(keys.values()), sum(people.values())) > CHEAP:
        _many.keep(session, now, days)
    return days


def _counts(
    session: Session, tag: AuditTag, first: date, now: datetime, count: ColumnElement[int]
) -> dict[str, int]:
    since = datetime(first.year, first.month, first.day, tzinfo=now.tzinfo)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    happened_at = AuditEvent.happened_at
    day = func.date(happened_at if is_sqlite else func.timezone("UTC", happened_at))
    query = (
        select(day, count)
        .where(AuditEvent.tag == tag.value, happened_at >= since, happened_at <= now)
        .group_by(day)
    )
    return {str(found): number for found, number in session.execute(query).all()}
