"""Times as people read them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from rolling_window_client.words import countdown, instant, length, rfc3339

VECTORS_FILE = Path(__file__).parents[2] / "tests" / "vectors" / "countdown.json"
VECTORS = json.loads(VECTORS_FILE.read_text(encoding="utf-8")) if VECTORS_FILE.exists() else []


@pytest.mark.parametrize(
    ("seconds", "ticking"),
    [(-5, "0:00:00"), (0, "0:00:00"), (0.999, "0:00:00"), (59.9, "0:00:59"), (60, "0:01:00"),
     (3599, "0:59:59"), (3600, "1:00:00"), (10_799, "2:59:59"), (86_399, "23:59:59"),
     (86_400, "1 day 0:00:00"), (100_800, "1 day 4:00:00"), (604_800, "7 days 0:00:00")],
)  # fmt: skip
def test_a_ticking_length_is_rounded_down(seconds: float, ticking: str) -> None:
    assert countdown(seconds) == ticking


def test_the_portals_vectors_are_there() -> None:
    if not VECTORS:
        pytest.skip(f"{VECTORS_FILE} is not here: the portal's vectors ARE NOT CHECKED")
    assert len(VECTORS) > 30


@pytest.mark.parametrize(("seconds", "words"), VECTORS)
def test_a_length_is_said_as_the_portal_says_it(seconds: float, words: str) -> None:
    assert length(seconds) == words


def test_instants_are_in_utc() -> None:
    moment = datetime(2026, 11, 24, 17, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert instant(moment) == "2026-11-24 15:00:00 UTC"
    assert rfc3339(moment) == rfc3339(moment.astimezone(UTC)) == "2026-11-24T15:00:00Z"
    assert rfc3339(None) is None
