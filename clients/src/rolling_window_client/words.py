"""Lengths of time and instants, as people read them. Rounded down, never up."""

from datetime import UTC, datetime


def countdown(seconds: float) -> str:
    """Ticking: "0:00:09", "2:59:58", "1 day 0:00:00"."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock


def length(seconds: float) -> str:
    """In words, in at most two units: "42 sec", "59 min", "2 hr 59 min", "1 day 4 hr"."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} day{'s' if days > 1 else ''}" + (f" {hour} hr" if hour else "")
    if hours:
        return f"{hours} hr" + (f" {minute} min" if minute else "")
    return f"{minute} min" if minute else f"{second} sec"


def instant(moment: datetime) -> str:
    """In UTC, to the second: "2026-11-24 15:00:00 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(moment: datetime | None) -> str | None:
    """As JSON has it: "2026-11-24T15:00:00Z"."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
