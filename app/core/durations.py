"""Durations in seconds: parsing and formatting TTLs, and the wording of a countdown."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from app.core.errors import MalformedTTL
from app.core.text import shortened


@dataclass(frozen=True)
class Rate:
    """A limit: at most `count` events in any `seconds` seconds."""

    count: int
    seconds: int


@dataclass(frozen=True)
class SessionLimits:
    """How often an OP Agent sends a heartbeat, and how long without one ends its session."""

    heartbeat_seconds: int
    idle_seconds: int

    @property
    def idle(self) -> timedelta:
        """How long after the last heartbeat a session ends."""
        return timedelta(seconds=self.idle_seconds)


class KeyLimits(NamedTuple):
    """The TTLs on offer and the greatest length of a temporary key, in seconds."""

    choices: tuple[int, ...]
    ceiling: int
    set_by: str = "the ceiling of the portal's settings (PORTAL_LICENSE_TTL_MAX)"
    """What the ceiling is called where it refuses a key."""


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
"""A TTL has at most six digits: now plus 999999 days is still a valid date."""

_TTL = re.compile(rf"([0-9]{{1,{MAX_DIGITS}}})\s*([a-z]+)")

MOST_OF_ONE_UNIT = 99
"""A length of more minutes or seconds than this is told as a countdown is."""

_HOW_TO_WRITE = "Write a whole number and a unit, such as 30m, 3h or 1d (units: s, m, h, d)."

_QUOTED_CHARACTERS = 20


def parse_ttl(text: str) -> int:
    """The number of seconds in `text`, such as "3h", "3 hrs", "30 min", "4 sec" or "1 day".

    Case and white space do not matter. Raises MalformedTTL unless `text` is one positive whole
    number of at most six ASCII digits, followed by one unit.
    """
    match = _TTL.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS_IN:
        raise MalformedTTL(f"{_quoted(text)} is not a length of time. {_HOW_TO_WRITE}")
    seconds = int(match[1]) * _SECONDS_IN[match[2]]
    if seconds == 0:
        raise MalformedTTL(f"{_quoted(text)} is no time at all. {_HOW_TO_WRITE}")
    return seconds


def format_ttl(seconds: int) -> str:
    """`seconds` in the largest unit that divides it: "4 sec", "90 min", "3 hrs", "1 day".

    Raises ValueError unless `seconds` is positive.
    """
    count, unit = _in_largest_whole_unit(seconds)
    return f"{count} {unit.one if count == 1 else unit.many}"


def format_length(seconds: int) -> str:
    """How long a key works, also where that is no TTL but runs to an end: "3 hrs", "3 hr 59 min".

    Raises ValueError unless `seconds` is positive.
    """
    count, _ = _in_largest_whole_unit(seconds)
    return format_ttl(seconds) if count <= MOST_OF_ONE_UNIT else time_left(seconds)


def short_ttl(seconds: int) -> str:
    """`seconds` as settings, forms and commands write them: "4s", "90m", "3h", "1d".

    `parse_ttl` reads it back. Raises ValueError unless `seconds` is positive.
    """
    count, unit = _in_largest_whole_unit(seconds)
    return f"{count}{unit.letter}"


def time_left(seconds: float) -> str:
    """The text of a countdown with `seconds` to go: its two largest units, rounded down.

    "1 day 4 hr", "2 hr 59 min", "59 min", "42 sec" in the last minute, and "0 sec" at or past the
    end. static/js/countdown.js and the clients do the same; tests/vectors/countdown.json holds
    the cases that all of them are tested against.
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


def _quoted(text: str) -> str:
    """`text` quoted, on one line and shortened, for an error message."""
    return ascii(shortened(text, _QUOTED_CHARACTERS, "..."))
