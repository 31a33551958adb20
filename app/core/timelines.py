"""Windows of time as a picture: each a bar from its start to its end. Pure functions.

Positions and widths are in hundredths of the picture's width, lanes are counted from the top.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

LANES_HEIGHT = 168
"""Of all lanes together, in pixels: of many each is lower."""
HIGHEST_LANE, LOWEST_LANE = 14, 2
MOST_LANES = LANES_HEIGHT // LOWEST_LANE
MOST_TICKS = 5
DAY = timedelta(days=1)
LEAST_SPAN = timedelta(minutes=1)
LEAST_WIDTH = 0.4


class InALane(Protocol):
    """A bar of a picture."""

    @property
    def lane(self) -> int: ...


Bar = TypeVar("Bar", bound=InALane)


@dataclass(frozen=True)
class Timeline(Generic[Bar]):
    """From `begins_at` to `ends_at`. `now` is None where it lies outside.

    `ticks` are the days shown, each with its place; `left_out` is how many windows had no room.
    """

    begins_at: datetime
    ends_at: datetime
    now: float | None
    bars: list[Bar]
    ticks: list[tuple[float, datetime]]
    left_out: int

    @property
    def lanes(self) -> int:
        return max((bar.lane for bar in self.bars), default=-1) + 1

    @property
    def lane_height(self) -> int:
        return min(LANES_HEIGHT // max(self.lanes, 1), HIGHEST_LANE)


class Scale:
    """Where instants lie between `begins_at` and `ends_at`, which is at least a minute later."""

    def __init__(self, begins_at: datetime, ends_at: datetime) -> None:
        self.begins_at = begins_at
        self.ends_at = max(ends_at, begins_at + LEAST_SPAN)

    def place(self, moment: datetime) -> float:
        """Where an instant lies; what is outside lies at the edge."""
        inside = min(max(moment, self.begins_at), self.ends_at)
        return round((inside - self.begins_at) / (self.ends_at - self.begins_at) * 100, 2)

    def bar(self, starts_at: datetime, ends_at: datetime) -> tuple[float, float]:
        """Where a window begins, and how wide it is; what is short is seen all the same."""
        x = min(self.place(starts_at), 100 - LEAST_WIDTH)
        return x, round(max(self.place(ends_at) - x, LEAST_WIDTH), 2)

    def now(self, now: datetime) -> float | None:
        return self.place(now) if self.begins_at <= now <= self.ends_at else None

    def ticks(self) -> list[tuple[float, datetime]]:
        """The beginnings of some days (UTC), evenly spaced, each with its place."""
        midnight = self.begins_at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        days = max((self.ends_at - midnight) // DAY + 1, 0)
        step = max(-(-days // MOST_TICKS), 1)
        shown = [midnight + number * DAY for number in range(0, days, step)]
        return [(self.place(day), day) for day in shown]


class Lanes:
    """Lanes in which windows lie one after another, given in the order of their starts."""

    def __init__(self) -> None:
        self._ends: list[datetime] = []

    def take(self, starts_at: datetime, ends_at: datetime) -> int | None:
        """The first lane that is free from `starts_at` on, now taken; None if there is none."""
        for number, until in enumerate(self._ends):
            if until <= starts_at:
                self._ends[number] = ends_at
                return number
        if len(self._ends) == MOST_LANES:
            return None
        self._ends.append(ends_at)
        return len(self._ends) - 1
