"""The keys as a picture: where bars, sessions and now are."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.visit_timeline import visits_timeline
from app.access.visits import VisitEntry
from app.agents.codes import EndCause
from app.agents.session_rules import SessionEnd
from app.core.timelines import MOST_LANES
from app.licenses.key_records import KeyRecord
from app.licenses.timeline import PAST, timeline

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def key(number: int, starts: float, ends: float, **changes: Any) -> KeyRecord:
    """A key from so many hours after now until so many."""
    starts_at, ends_at = NOW + starts * HOUR, NOW + ends * HOUR
    blank = dict.fromkeys(KeyRecord._fields)
    return KeyRecord(
        **blank
        | {
            "id": number,
            "key_id": f"KEY-{number}",
            "issued_at": min(starts_at, NOW),
            "starts_at": starts_at,
            "expires_at": ends_at,
            "ends_at": ends_at,
        }
        | changes
    )


def test_the_picture_reaches_from_a_week_ago_to_the_latest_end() -> None:
    drawn = timeline([key(1, -24, 7 * 24)], {}, NOW)
    assert (drawn.begins_at, drawn.ends_at) == (NOW - PAST, NOW + 7 * DAY)
    [bar] = drawn.bars
    assert (bar.x, bar.width, drawn.now) == (42.86, 57.14, 50.0)
    assert timeline([key(1, -24, 1)], {}, NOW).ends_at == NOW + HOUR
    assert timeline([key(1, -24, -1)], {}, NOW).ends_at == NOW


def test_a_session_lies_inside_its_bar() -> None:
    spans = {1: [(NOW - HOUR, NOW), (NOW - 3 * HOUR, NOW - 2 * HOUR)]}
    [bar] = timeline([key(1, -24, 24)], spans, NOW).bars
    for x, width in bar.sessions:
        assert bar.x < x
        assert x + width <= bar.x + bar.width


def test_states_are_told_apart_and_what_is_long_over_is_left_out() -> None:
    keys = [
        key(1, -1, 1),
        key(2, 24, 48),
        key(3, -48, -24),
        key(4, -48, 24, revoked_at=NOW - 2 * HOUR),
        key(5, -300, -200),
    ]
    drawn = timeline(keys, {}, NOW)
    assert {bar.key_id: bar.state.value for bar in drawn.bars} == {
        "KEY-1": "active",
        "KEY-2": "scheduled",
        "KEY-3": "expired",
        "KEY-4": "revoked",
    }


def test_what_has_no_room_is_counted() -> None:
    drawn = timeline([key(number, -1, 1) for number in range(1000)], {}, NOW)
    assert (drawn.lanes, len(drawn.bars)) == (MOST_LANES, MOST_LANES)
    assert drawn.left_out == 1000 - MOST_LANES


@pytest.mark.parametrize("count", [0, 1, 12, 13, 50, MOST_LANES])
def test_many_windows_at_once_make_lower_bars_and_no_higher_picture(count: int) -> None:
    drawn = timeline([key(number, -1, 1) for number in range(count)], {}, NOW)
    assert (len(drawn.bars), drawn.left_out) == (count, 0)
    assert 2 <= drawn.lane_height <= 14
    assert drawn.lanes * drawn.lane_height <= 12 * 14


@given(
    st.lists(
        st.tuples(st.integers(-200, 700), st.integers(1, 170)).map(
            lambda pair: (pair[0], pair[0] + pair[1])
        ),
        max_size=40,
    )
)
def test_bars_stay_in_the_picture_and_cover_no_other(windows: list[tuple[int, int]]) -> None:
    keys = [key(number, *window) for number, window in enumerate(windows)]
    drawn = timeline(keys, {}, NOW)
    assert 1 <= len(drawn.ticks) <= 6
    for bar in drawn.bars:
        assert 0 <= bar.x <= 100
        assert bar.lane < MOST_LANES
    lanes: dict[int, datetime] = {}
    for bar in drawn.bars:
        assert lanes.get(bar.lane, bar.starts_at) <= bar.starts_at
        lanes[bar.lane] = bar.ends_at


def visit(number: int, starts: float, ends: float | None) -> VisitEntry:
    """A visit from so many hours after now until so many; None: it lasts."""
    blank: dict[str, Any] = dict.fromkeys((each.name for each in fields(VisitEntry)), "")
    end = None if ends is None else SessionEnd(EndCause.SIGNED_OUT, NOW + ends * HOUR)
    starts_at = NOW + starts * HOUR
    return VisitEntry(**blank | {"id": number, "started_at": starts_at, "end": end, "status": None})


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_visits_lie_in_the_picture_however_many_there_are(count: int) -> None:
    drawn = visits_timeline(
        [visit(number, -(number + 1) / 10, None) for number in range(count)], NOW
    )
    assert len(drawn.bars) + drawn.left_out == count
    assert len(drawn.bars) == min(count, MOST_LANES)
    assert drawn.now == (100.0 if count else 0.0)
    for bar in drawn.bars:
        assert 0 <= bar.x < bar.x + bar.width <= 100


def test_the_picture_of_visits_is_of_the_period_chosen() -> None:
    visits = [visit(1, -2, -1), visit(2, -0.5, None)]
    drawn = visits_timeline(visits, NOW, begins_at=NOW - 4 * HOUR, ends_at=NOW + 4 * HOUR)
    assert [(bar.visit_id, bar.x, bar.state) for bar in drawn.bars] == [
        (1, 25.0, "expired"),
        (2, 43.75, "active"),
    ]
    assert (drawn.now, drawn.bars[0].width) == (50.0, 12.5)
    of_before = visits_timeline(visits, NOW, begins_at=NOW - 99 * DAY, ends_at=NOW - DAY)
    assert of_before.now is None
    backwards = visits_timeline([], NOW, begins_at=NOW, ends_at=NOW - DAY)
    assert (backwards.bars, backwards.ticks) == ([], [])
