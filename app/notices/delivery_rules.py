"""When a delivery is tried again, when it is given up, and when a key ends soon."""

from datetime import datetime, timedelta
from typing import NamedTuple

PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=10),
)
"""After the first try, the second, and so on; after one more it is given up."""
SHORTEST_TOLD = timedelta(minutes=10)
"""Keys that are no longer than this do not end soon: they have only begun."""
LEAST_LEAD = timedelta(minutes=10)
GONE = 410


class Outcome(NamedTuple):
    """What became of one try; `answer` is for people. A `final` refusal is not tried again."""

    delivered: bool
    answer: str
    final: bool = False


class Look(NamedTuple):
    """What to do with a key that is watched: tell of something, and when to look again."""

    ends_soon: bool = False
    expired: bool = False
    again_at: datetime | None = None
    """None: not any more."""


def next_try(outcome: Outcome, tries: int, now: datetime) -> datetime | None:
    """When to try again after the try number `tries` had this outcome; None if it is over."""
    if outcome.delivered or outcome.final or tries > len(PAUSES):
        return None
    return now + PAUSES[tries - 1]


def http_outcome(status: int) -> Outcome:
    """What an HTTP status means: any 2xx is a delivery, 410 a wish to hear nothing more."""
    return Outcome(200 <= status < 300, f"HTTP {status}", final=status == GONE)


def smtp_outcome(code: int) -> Outcome:
    """What a mail server's refusal means: 5xx is for good, all else for now."""
    return Outcome(False, f"SMTP {code}", final=500 <= code < 600)


def ends_soon_at(starts_at: datetime, expires_at: datetime) -> datetime | None:
    """When to tell that a key ends soon: 20% of its TTL and at least ten minutes before the end.

    None for keys of ten minutes or less.
    """
    ttl = expires_at - starts_at
    return None if ttl <= SHORTEST_TOLD else expires_at - max(ttl / 5, LEAST_LEAD)


def look_at_key(
    *,
    starts_at: datetime,
    expires_at: datetime,
    ends_at: datetime,
    told_end: datetime | None,
    now: datetime,
) -> Look:
    """What to tell of a key that was not revoked; `told_end` is the end that was told to be near.

    It ends at `ends_at`, before its own end `expires_at` if it is not used in time.
    """
    if ends_at <= now:
        return Look(expired=True)
    soon_at = ends_soon_at(starts_at, expires_at)
    if soon_at is None or told_end == expires_at:
        return Look(again_at=ends_at)
    if soon_at <= now:
        return Look(ends_soon=True, again_at=ends_at)
    return Look(again_at=min(soon_at, ends_at))
