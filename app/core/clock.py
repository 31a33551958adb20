"""The one place where the time of day enters the program."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The current instant, in UTC, aware."""
    return datetime.now(UTC)


def whole_second(moment: datetime) -> datetime:
    """`moment` without its fraction of a second (dropped, never rounded up)."""
    return moment.replace(microsecond=0)


def rfc3339(moment: datetime) -> str:
    """`moment` as interfaces write it: "2026-11-24T15:40:00Z"."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
