"""When an organisation's subscription ends: with the latest plan among its projects."""

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, ScalarSelect, case, false, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.models import Project


def end_of_subscription(last_day: date | None) -> datetime | None:
    """The instant (UTC) after a subscription's last day; None if it never ends."""
    if last_day is None or last_day == date.max:
        return None
    return datetime.combine(last_day + timedelta(days=1), time.min, UTC)


def last_day(organisation_id: InstrumentedAttribute[str] | str) -> ScalarSelect[date | None]:
    """The latest plan expiry date among an organisation's projects, as an SQL expression.

    NULL, meaning that the subscription never ends, if any of them has no such date or if there
    are no projects.
    """
    every_plan_ends = func.count() == func.count(Project.plan_expires_on)
    return (
        select(case((every_plan_ends, func.max(Project.plan_expires_on))))
        .where(Project.organisation_id == organisation_id)
        .scalar_subquery()
    )


def subscription_ends_at(session: Session, organisation_id: str) -> datetime | None:
    """The instant at which an organisation's subscription ends, or None if it never does."""
    return end_of_subscription(session.scalar(select(last_day(organisation_id))))


def subscription_has_ended(
    organisation_id: InstrumentedAttribute[str], now: datetime
) -> ColumnElement[bool]:
    """Whether an organisation's subscription has ended at `now`, as an SQL condition."""
    return func.coalesce(last_day(organisation_id) < now.astimezone(UTC).date(), false())
