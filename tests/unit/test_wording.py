"""What a key will do, in plain words."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.core.clock import utc_text
from app.core.durations import KeyLimits
from app.licenses.option_rules import KeyOptions, key_window
from app.licenses.wording import Moment, wording

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
HOUR = 3600
LIMITS = KeyLimits((HOUR, 3 * HOUR), 7 * 24 * HOUR)
NINE = datetime(2026, 11, 26, 9, tzinfo=UTC)
DEV = "developer@example.com"


def said(ttl: int = 3 * HOUR, zone: str = "UTC", **carried: Any) -> str:
    options = KeyOptions(ttl, **carried)
    parts = wording(options, key_window(options, LIMITS, NOW), ZoneInfo(zone))
    return "".join(
        utc_text(part.at, part.style) if isinstance(part, Moment) else part for part in parts
    )


@pytest.mark.parametrize(
    ("carried", "sentence"),
    [
        ({"recipient": DEV, "sign_ins": 1, "first_machine": True, "starts_at": NINE,
          "use_within": HOUR},
         "developer@example.com may sign in once, from the first machine they use, between "
         "Thu 26 Nov 2026, 09:00 and 12:00. Not used by 10:00, it expires."),
        ({"sign_ins": 3},
         "Any partner or developer may sign in 3 times in all until Tue 24 Nov 2026, 18:40."),
        ({"first_machine": True},
         "Any partner or developer may sign in, from the first machine they use, until "
         "Tue 24 Nov 2026, 18:40."),
        ({"use_within": 900},
         "Any partner or developer may sign in until Tue 24 Nov 2026, 18:40. Not used by 15:55, "
         "it expires."),
        ({"starts_at": NINE, "ends_at": NINE + timedelta(days=2)},
         "Any partner or developer may sign in between Thu 26 Nov 2026, 09:00 and "
         "Sat 28 Nov 2026, 09:00."),
        ({"use_within": 3 * HOUR + 3600},
         "Any partner or developer may sign in until Tue 24 Nov 2026, 18:40."),
    ],
)  # fmt: skip
def test_a_sentence_says_it_all(carried: dict[str, Any], sentence: str) -> None:
    assert said(**carried) == sentence


def test_days_are_those_of_the_zone() -> None:
    late = datetime(2026, 11, 26, 22, 30, tzinfo=UTC)
    assert said(starts_at=late, ttl=HOUR).endswith("Thu 26 Nov 2026, 22:30 and 23:30.")
    # 23:30 and 00:30 there, of two days
    elsewhere = said(starts_at=late, ttl=HOUR, zone="Europe/Berlin")
    assert elsewhere.endswith("Thu 26 Nov 2026, 22:30 and Thu 26 Nov 2026, 23:30.")


def test_only_what_counts_from_the_generating_moves_on() -> None:
    def moving(**carried: Any) -> list[bool]:
        options = KeyOptions(3 * HOUR, **carried)
        parts = wording(options, key_window(options, LIMITS, NOW), UTC)
        return [part.moves for part in parts if isinstance(part, Moment)]

    assert moving(use_within=900) == [True, True]
    assert moving(starts_at=NINE, use_within=900) == [False, False, False]
    assert moving(ends_at=NINE, use_within=900) == [False, True]
