"""When an organisation's subscription ends."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Organisation, Project
from app.projects.subscriptions import (
    end_of_subscription,
    subscription_ends_at,
    subscription_has_ended,
)
from tests.conftest import NOW, Cast

DAY = date(2026, 11, 30)
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_it_ends_with_the_last_day_in_utc() -> None:
    assert end_of_subscription(DAY) == MIDNIGHT
    assert end_of_subscription(date(2026, 12, 31)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert end_of_subscription(date(2028, 2, 28)) == datetime(2028, 2, 29, tzinfo=UTC)


def test_without_a_last_day_it_never_ends() -> None:
    assert end_of_subscription(None) is None
    assert end_of_subscription(date.max) is None


CASES: list[tuple[list[date | None], datetime | None]] = [
    ([], None),
    ([None], None),
    ([DAY], MIDNIGHT),
    ([DAY, None], None),
    ([None, DAY, DAY], None),
    ([DAY, date(2026, 1, 1)], MIDNIGHT),
    ([date(2025, 1, 1), DAY, DAY], MIDNIGHT),
]


@pytest.mark.parametrize(("days", "ends_at"), CASES)
def test_the_latest_plan_counts_and_one_without_a_date_never_ends(
    session: Session, cast: Cast, days: list[date | None], ends_at: datetime | None
) -> None:
    """To the second, and the database's condition says what the rule says."""
    project = session.get(Project, cast.acme_project)
    assert project is not None
    session.delete(project)
    for number, day in enumerate(days):
        session.add(
            Project(
                organisation_id=cast.acme,
                name=f"P{number}",
                plan_expires_on=day,
                search_text="",
                created_at=NOW,
                updated_at=NOW,
            )
        )
    session.flush()
    assert subscription_ends_at(session, cast.acme) == ends_at
    for moment in (NOW, MIDNIGHT - SECOND, MIDNIGHT, MIDNIGHT + SECOND):
        ended = set(
            session.scalars(
                select(Organisation.id).where(subscription_has_ended(Organisation.id, moment))
            )
        )
        assert (cast.acme in ended) is (ends_at is not None and moment >= ends_at)
        assert cast.bolt not in ended
