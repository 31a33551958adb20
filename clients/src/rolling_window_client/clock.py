"""Two clocks, and the instant at which a session ends by them.

The wall clock can be wrong, and be set. The boot clock cannot be set, and runs on while the machine
sleeps. A session ends when either says so, whichever is first.
"""

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_CLOCK_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

CLOCKS_DRIFT = 0.1
"""Seconds by which two answers may contradict one another because no two clocks run alike."""


@dataclass(frozen=True)
class Reading:
    """Both clocks at one instant, in seconds. Only differences between readings mean anything."""

    wall: float
    boot: float


class Clock(Protocol):
    """Where readings come from."""

    def read(self) -> Reading: ...


class SystemClock:
    """The clocks of this machine.

    The boot clock is CLOCK_BOOTTIME where there is one (Linux), CLOCK_MONOTONIC on macOS (where it
    counts sleep), and else Python's `time.monotonic`, which counts sleep on Windows but may not on
    other systems.
    """

    def __init__(self) -> None:
        self._boot = _boot_clock()

    def read(self) -> Reading:
        return Reading(wall=time.time(), boot=self._boot())


def _boot_clock() -> Callable[[], float]:
    if sys.platform == "win32":
        return time.monotonic
    number = time.CLOCK_MONOTONIC if sys.platform == "darwin" else _CLOCK_BOOTTIME
    if number is None:
        return time.monotonic
    return functools.partial(time.clock_gettime, number)


@dataclass(frozen=True)
class Deadline:
    """When a session ends on this machine, whatever the portal's clock and this one's say.

    An answer that came between `sent` and `received` and said "E seconds left" was made in between,
    so the true end is between `sent` + E and `received` + E of the boot clock. The session ends at
    the earlier of the two: never late, and early by no more than the request took. Later answers
    narrow this down. One that says less time is left is believed; one that says more is not.
    No answer ever moves the end beyond what every earlier one allowed; only a key that was
    extended, which says so by a later end, begins another deadline.

    On the wall clock the deadline is the same instant, counted from the last answer: being wrong
    does it no harm, and being set forward ends the session at once, until then.
    """

    boot: float
    latest_boot: float
    wall: float

    @classmethod
    def after(cls, seconds: float, *, sent: Reading, received: Reading) -> "Deadline":
        """From an answer that said `seconds` were left."""
        return cls(
            boot=sent.boot + seconds,
            latest_boot=received.boot + seconds,
            wall=sent.wall + seconds,
        )

    def narrowed(self, seconds: float, *, sent: Reading, received: Reading) -> "Deadline":
        """The deadline, now that a later answer said that `seconds` were left."""
        answer = Deadline.after(seconds, sent=sent, received=received)
        if answer.latest_boot < self.boot - CLOCKS_DRIFT:
            return answer
        boot, latest_boot = self.boot, self.latest_boot
        if answer.boot <= latest_boot:
            latest_boot = min(latest_boot, answer.latest_boot)
            boot = min(max(boot, answer.boot), latest_boot)
        return Deadline(boot=boot, latest_boot=latest_boot, wall=sent.wall + boot - sent.boot)

    def seconds_left(self, now: Reading) -> float:
        """How long until the first of the two clocks says so; 0 or less once it has."""
        return min(self.boot - now.boot, self.wall - now.wall)

    def only_by_the_wall_clock(self, now: Reading) -> bool:
        """Whether the wall clock alone says that it is over, by more than a second's difference."""
        return self.boot - now.boot > 1 and self.wall <= now.wall
