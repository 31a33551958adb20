"""The only place that reads the clock, and how instants are written."""

from datetime import UTC, datetime

_STYLES = {
    "long": "%a {day} %b %Y, %H:%M",
    "full": "%a {day} %b %Y, %H:%M:%S",
    "short": "{day} %b %H:%M",
    "time": "%H:%M",
    "second": "%H:%M:%S",
}


def utcnow() -> datetime:
    """The current instant, in UTC, aware."""
    return datetime.now(UTC)


def whole_second(moment: datetime) -> datetime:
    """`moment` without its fraction of a second (dropped, never rounded up)."""
    return moment.replace(microsecond=0)


def whole_minute(moment: datetime) -> datetime:
    """`moment` as far as a list of times shows it."""
    return moment.replace(second=0, microsecond=0)


def rfc3339(moment: datetime) -> str:
    """`moment` as the JSON interface and the commands write it: "2026-11-24T15:40:00Z"."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def iso(moment: datetime) -> str:
    """`moment` (in UTC), to the second, as pages write it for browsers: "2026-11-24T15:40:00Z"."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_text(moment: datetime, style: str = "long") -> str:
    """`moment` (in UTC) as pages and sentences write it: "Tue 24 Nov 2026, 18:40".

    The style "full" adds the seconds, "short" is "24 Nov 18:40", "time" is "18:40" and "second" is
    "18:40:05". static/js/times.js writes the same forms in the viewer's time zone.
    """
    return f"{moment:{_STYLES[style].format(day=moment.day)}}"
