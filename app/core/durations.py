"""Lengths of time: reading them, writing them, and the words of a countdown. All in seconds."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from app.core.errors import MalformedTTL
from app.core.text import shortened


@dataclass(frozen=True)
class Rate:
    """So many of something in so many seconds."""

    count: int
    seconds: int


@dataclass(frozen=True)
class SessionLimits:
    """How often an OP Agent asks for its session, and when a silent one has ended. In seconds."""

    heartbeat_seconds: int
    idle_seconds: int

    @property
    def idle(self) -> timedelta:
        """The silence at the end of which a session has ended."""
        return timedelta(seconds=self.idle_seconds)


class _Unit(NamedTuple):
    seconds: int
    letter: str
    one: str
    many: str
    also: tuple[str, ...]


_UNITS = (
    _Unit(86_400, "d", "day", "days", ()),
    _Unit(3_600, "h", "hr", "hrs", ("hour", "hours")),
    _Unit(60, "m", "min", "min", ("mins", "minute", "minutes")),
    _Unit(1, "s", "sec", "sec", ("secs", "second", "seconds")),
)

_SECONDS_IN = {
    name: unit.seconds for unit in _UNITS for name in (unit.letter, unit.one, unit.many, *unit.also)
}

MAX_DIGITS = 6
"""A TTL has at most six digits: even 999999 days from now is a date that can be written."""

_TTL = re.compile(rf"([0-9]{{1,{MAX_DIGITS}}})\s*([a-z]+)")

_HOW_TO_WRITE = "Write a whole number and a unit, such as 30m, 3h or 1d (units: s, m, h, d)."

_SHOWN_CHARACTERS = 20


def parse_ttl(text: str) -> int:
    """The seconds that `text` stands for: "3h", "3 hrs", "30 min", "4 sec", "1 day" and the like.

    Case and white space do not matter. Raises MalformedTTL unless it is one positive whole number
    of at most six ASCII digits with one unit.
    """
    match = _TTL.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS_IN:
        raise MalformedTTL(f"{_shown(text)} is not a length of time. {_HOW_TO_WRITE}")
    seconds = int(match[1]) * _SECONDS_IN[match[2]]
    if seconds == 0:
        raise MalformedTTL(f"{_shown(text)} is no time at all. {_HOW_TO_WRITE}")
    return seconds


def format_ttl(seconds: int) -> str:
    """`seconds` in words, in the largest unit that divides it: "4 sec", "90 min", "3 hrs", "1 day".

    Raises ValueError unless `seconds` is positive.
    """
    count, unit = _in_largest_whole_unit(seconds)
    return f"{count} {unit.one if count == 1 else unit.many}"


def short_ttl(seconds: int) -> str:
    """`seconds` as settings, forms and commands write it: "4s", "90m", "3h", "1d".

    `parse_ttl` reads it back. Raises ValueError unless `seconds` is positive.
    """
    count, unit = _in_largest_whole_unit(seconds)
    return f"{count}{unit.letter}"


def time_left(seconds: float) -> str:
    """The words of a countdown with `seconds` to go: its two largest units, rounded down.

    "1 day 4 hr", "2 hr 59 min", "59 min", and "42 sec" in the last minute; at zero and past it
    "0 sec". static/js/countdown.js says the same, and so do the clients: all of them are held
    against tests/vectors/countdown.json.
    """
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} {'day' if days == 1 else 'days'}" + (f" {hour} hr" if hour else "")
    if hours:
        return f"{hours} hr" + (f" {minute} min" if minute else "")
    return f"{minute} min" if minute else f"{second} sec"


def _in_largest_whole_unit(seconds: int) -> tuple[int, _Unit]:
    if seconds < 1:
        raise ValueError("a TTL is at least one second")
    unit = next(unit for unit in _UNITS if seconds % unit.seconds == 0)
    return seconds // unit.seconds, unit


def _shown(text: str) -> str:
    """`text` on one line and short, as a message may repeat it."""
    return ascii(shortened(text, _SHOWN_CHARACTERS, "..."))
