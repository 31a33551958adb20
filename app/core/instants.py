"""Instants as programs and people write them."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from app.core.clock import utc_text

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
UTC_ZONE = ZoneInfo("UTC")


class NoInstant(ValueError):
    """A text names no instant, or two; the message is a sentence for people."""


def read_rfc3339(text: str) -> datetime:
    """The instant in `text`: RFC 3339 with an offset, on a whole second. Raises NoInstant."""
    written = _RFC3339.fullmatch(text.upper())
    try:
        return datetime.fromisoformat(written[0] if written else "").astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoInstant(
            f"{text[:40]!r} is no instant; write it with an offset and to the second, such as "
            "2026-11-26T09:00:00Z or 2026-11-26T10:00:00+01:00."
        ) from None


def zone_named(name: str) -> ZoneInfo:
    """The time zone that browsers call `name`, UTC for a blank one. Raises NoInstant."""
    if not name:
        return UTC_ZONE
    try:
        return ZoneInfo(name if _ZONE.fullmatch(name) else "unknown")
    except (ValueError, OSError, LookupError):
        raise NoInstant(
            f"This portal does not know the time zone {ascii(name[:60])[1:-1]}. "
            "Choose UTC in the account menu, and write the time in UTC."
        ) from None


def read_local(text: str, zone: ZoneInfo) -> datetime | None:
    """The instant at which the clocks of `zone` show `text`, as a datetime-local field sends it.

    None if it is blank. Raises NoInstant, also for a time that a change of the clocks skips or
    repeats: both readings are then named.
    """
    if not text.strip():
        return None
    written = _LOCAL.fullmatch(text.strip())
    try:
        shown = datetime.fromisoformat(written[0] if written else "").replace(tzinfo=zone)
        first, second = shown.astimezone(UTC), shown.replace(fold=1).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoInstant("Write a day and a time, such as 2026-11-26T09:00.") from None
    if first == second:
        return first
    skipped = first.astimezone(zone).replace(tzinfo=None) != shown.replace(tzinfo=None)
    why = "the clocks skip this time" if skipped else "the clocks show this time twice"
    readings = sorted((first, second))
    raise NoInstant(
        f"In {zone.key} {why} on this day. It could be read as {_read(readings[0], zone)} or as "
        f"{_read(readings[1], zone)}. Write another time, or choose UTC in the account menu."
    )


def _read(moment: datetime, zone: ZoneInfo) -> str:
    """A reading in the zone and in UTC: "03:30 (UTC+2), which is 01:30 UTC"."""
    local = moment.astimezone(zone)
    ahead = local.utcoffset() or timedelta(0)
    return (
        f"{local:%H:%M} ({timezone(ahead).tzname(None)}), which is {utc_text(moment, 'time')} UTC"
    )
