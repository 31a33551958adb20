"""The one place where the time of day enters the program."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The current instant, in UTC, aware."""
    return datetime.now(UTC)


def whole_second(moment: datetime) -> datetime:
    """`moment` without its fraction of a second (dropped, never rounded up)."""
    return moment.replace(microsecond=0)
