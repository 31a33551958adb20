"""When an organisation's subscription ends: with the last of its projects' plans."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.models import Project


def end_of_subscription(plan_expiry_dates: Iterable[date | None]) -> datetime | None:
    """The first instant (UTC) after the last day of the latest plan expiry date.

    None: it never ends, since there are no projects, or one of them has no such date.
    """
    dates = list(plan_expiry_dates)
    latest = max((day for day in dates if day is not None), default=None)
    if latest is None or None in dates or latest == date.max:
        return None
    return datetime.combine(latest + timedelta(days=1), time.min, UTC)


def subscription_ends_at(session: Session, organisation_id: str) -> datetime | None:
    """The instant at which an organisation's subscription ends, or None if it never does."""
    return end_of_subscription(
        session.scalars(
            select(Project.plan_expires_on).where(Project.organisation_id == organisation_id)
        )
    )


def subscription_has_ended(
    organisation_id: InstrumentedAttribute[str], now: datetime
) -> ColumnElement[bool]:
    """`end_of_subscription(...) <= now`, for the database."""
    own = Project.organisation_id == organisation_id
    running = or_(
        Project.plan_expires_on.is_(None), Project.plan_expires_on >= now.astimezone(UTC).date()
    )
    return and_(exists().where(own), ~exists().where(own, running))
