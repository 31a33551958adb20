"""Lengths of time: reading them, writing them, and the words of a countdown. All in seconds."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from app.core.errors import MalformedTTL
from app.core.text import shortened


@dataclass(frozen=True)
class Rate:
    """So many of something in so many seconds."""

    count: int
    seconds: int


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


def time_left(seconds: int) -> str:
    """The words of a countdown with `seconds` to go, rounded down, never up.

    - from a day up: whole days, and the hours over if there are any: "3 days", "1 day 4 hr";
    - from an hour up: whole hours, and the minutes over if there are any: "19 hr", "2 hr 59 min";
    - from a minute up: whole minutes: "59 min";
    - below: seconds, "42 sec"; at zero and past it "0 sec".

    "hr", "min" and "sec" have no plural here; one day is "1 day", more are "days".
    """
    minutes, seconds_over = divmod(max(seconds, 0), 60)
    hours, minutes_over = divmod(minutes, 60)
    days, hours_over = divmod(hours, 24)
    if days:
        return _joined(f"{days} day" if days == 1 else f"{days} days", hours_over, "hr")
    if hours:
        return _joined(f"{hours} hr", minutes_over, "min")
    if minutes:
        return f"{minutes} min"
    return f"{seconds_over} sec"


def _joined(larger: str, count: int, unit: str) -> str:
    return f"{larger} {count} {unit}" if count else larger


def _in_largest_whole_unit(seconds: int) -> tuple[int, _Unit]:
    if seconds < 1:
        raise ValueError("a TTL is at least one second")
    unit = next(unit for unit in _UNITS if seconds % unit.seconds == 0)
    return seconds // unit.seconds, unit


def _shown(text: str) -> str:
    """`text` on one line and short, as a message may repeat it."""
    return ascii(shortened(text, _SHOWN_CHARACTERS, "..."))
