"""Times as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rolling_window_client.words import countdown, instant, length, rfc3339


@pytest.mark.parametrize(
    ("seconds", "ticking", "words"),
    [(-5, "0:00:00", "0 sec"), (0, "0:00:00", "0 sec"), (0.999, "0:00:00", "0 sec"),
     (59.9, "0:00:59", "59 sec"), (60, "0:01:00", "1 min"), (3599, "0:59:59", "59 min"),
     (3600, "1:00:00", "1 hr"), (10_799, "2:59:59", "2 hr 59 min"),
     (86_399, "23:59:59", "23 hr 59 min"), (86_400, "1 day 0:00:00", "1 day"),
     (100_800, "1 day 4:00:00", "1 day 4 hr"), (604_800, "7 days 0:00:00", "7 days")],
)  # fmt: skip
def test_lengths_are_rounded_down(seconds: float, ticking: str, words: str) -> None:
    assert (countdown(seconds), length(seconds)) == (ticking, words)


def test_instants_are_in_utc() -> None:
    moment = datetime(2026, 11, 24, 17, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert instant(moment) == "2026-11-24 15:00:00 UTC"
    assert rfc3339(moment) == rfc3339(moment.astimezone(UTC)) == "2026-11-24T15:00:00Z"
    assert rfc3339(None) is None
