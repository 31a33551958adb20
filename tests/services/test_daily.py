"""How many keys were generated and people let in, day by day."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from app.audit.daily import last_days
from tests.agents.stage import issue, signed_in
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

DAY = timedelta(days=1)


def test_keys_and_people_are_counted_by_the_day_of_utc(session: Session, cast: Cast) -> None:
    """A person who signs in twice is one; a client user needs no key and is none."""
    midnight = NOW.replace(hour=0, minute=0)
    issue(session, cast, now=midnight - timedelta(microseconds=1))
    license = issue(session, cast, now=midnight, ttl=7 * 86_400)
    for hour in (1, 2):
        signed_in(session, cast.pat, license, now=midnight + timedelta(hours=hour))
    signed_in(session, cast.dev, license, now=midnight + timedelta(hours=3))
    signed_in(session, cast.carl, now=midnight + timedelta(hours=4))
    days = last_days(session, NOW)
    assert len(days) == 30
    assert [(one.day, one.keys, one.people) for one in days[-2:]] == [
        (NOW.date() - DAY, 1, 0),
        (NOW.date(), 1, 2),
    ]
    assert sum(one.keys for one in days) == 2


def test_what_is_older_is_not_counted(session: Session, cast: Cast) -> None:
    issue(session, cast, now=NOW - 30 * DAY)
    issue(session, cast, now=NOW - 29 * DAY)
    assert [one.keys for one in last_days(session, NOW)] == [1, *[0] * 29]
