"""The keys of an organisation as a picture: each one's window as a bar. Pure functions.

Positions and widths are in hundredths of the picture's width, lanes are counted from the top.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from app.licenses.key_records import KeyRecord
from app.licenses.queries import state_of
from app.licenses.rules import LicenseState

PAST = timedelta(days=7)
MOST_LANES = 12
MOST_TICKS = 6
DAY = timedelta(days=1)
LEAST_WIDTH = 0.4

Span = tuple[datetime, datetime]
"""From when to when somebody was signed in."""


class Bar(NamedTuple):
    """A key: `starts_at` to `ends_at`, drawn from `x`, with the sessions under it inside."""

    key_id: str
    state: LicenseState
    starts_at: datetime
    ends_at: datetime
    lane: int
    x: float
    width: float
    sessions: list[tuple[float, float]]


@dataclass(frozen=True)
class Timeline:
    """From `begins_at`, a week ago, to `ends_at`, the latest end of a key.

    `ticks` are the days shown, each with its place; `left_out` is how many keys had no room.
    """

    begins_at: datetime
    ends_at: datetime
    now: float
    bars: list[Bar]
    ticks: list[tuple[float, datetime]]
    left_out: int

    @property
    def lanes(self) -> int:
        return max((bar.lane for bar in self.bars), default=-1) + 1


def timeline(
    keys: Iterable[KeyRecord], spans: Mapping[int, Sequence[Span]], now: datetime
) -> Timeline:
    """The picture at `now`; `spans` has the sessions under each key, by its id."""
    begins_at = now - PAST
    shown = [key for key in keys if key.ended_at > begins_at and key.issued_at <= now]
    shown.sort(key=lambda key: (key.starts_at, key.id))
    ends_at = max([now + DAY, *(key.ended_at for key in shown)])

    def place(moment: datetime) -> float:
        share = (min(max(moment, begins_at), ends_at) - begins_at) / (ends_at - begins_at)
        return round(share * 100, 2)

    lanes: list[datetime] = []  # when the last bar of each ends
    bars = []
    for key in shown:
        starts_at = min(key.starts_at, key.ended_at)
        lane = _lane(lanes, starts_at, key.ended_at)
        if lane is None:
            continue
        inside = [(place(since), place(until)) for since, until in spans.get(key.id, ())]
        bars.append(
            Bar(
                key.key_id,
                state_of(key, now),
                starts_at,
                key.ended_at,
                lane,
                place(starts_at),
                _width(place(starts_at), place(key.ended_at)),
                [(since, _width(since, until)) for since, until in inside],
            )
        )
    ticks = [(place(day), day) for day in _days(begins_at, ends_at)]
    return Timeline(begins_at, ends_at, place(now), bars, ticks, len(shown) - len(bars))


def _lane(lanes: list[datetime], starts_at: datetime, ends_at: datetime) -> int | None:
    """The first lane that is free from then on, now taken; None if there is none."""
    free = next((number for number, until in enumerate(lanes) if until <= starts_at), len(lanes))
    if free == MOST_LANES:
        return None
    lanes[free : free + 1] = [ends_at]
    return free


def _width(x: float, until: float) -> float:
    """What is short is seen all the same."""
    return round(max(until - x, LEAST_WIDTH), 2)


def _days(begins_at: datetime, ends_at: datetime) -> list[datetime]:
    """The beginnings of some days (UTC), evenly spaced."""
    midnight = begins_at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    days = (ends_at - midnight) // DAY + 1
    step = -(-days // MOST_TICKS)
    return [midnight + number * DAY for number in range(0, days, step)]
