"""The keys of an organisation as a picture: each one's window as a bar. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.core.timelines import Lanes, Scale, Timeline
from app.licenses.key_records import KeyRecord
from app.licenses.queries import state_of
from app.licenses.rules import LicenseState

PAST = timedelta(days=7)

Span = tuple[datetime, datetime]
"""From when to when somebody was signed in."""


class KeyBar(NamedTuple):
    """A key: `starts_at` to `ends_at`, drawn from `x`, with the sessions under it inside."""

    key_id: str
    state: LicenseState
    starts_at: datetime
    ends_at: datetime
    lane: int
    x: float
    width: float
    sessions: list[tuple[float, float]]


def timeline(
    keys: Iterable[KeyRecord], spans: Mapping[int, Sequence[Span]], now: datetime
) -> Timeline[KeyBar]:
    """From a week before `now` to the latest end; `spans` has the sessions under each key."""
    begins_at = now - PAST
    shown = [key for key in keys if key.ended_at > begins_at and key.issued_at <= now]
    shown.sort(key=lambda key: (key.starts_at, key.id))
    scale = Scale(begins_at, max([now, *(key.ended_at for key in shown)]))
    lanes, bars = Lanes(), []
    for key in shown:
        starts_at = min(key.starts_at, key.ended_at)
        lane = lanes.take(starts_at, key.ended_at)
        if lane is None:
            continue
        inside = spans.get(key.id, ())
        bars.append(
            KeyBar(
                key.key_id,
                state_of(key, now),
                starts_at,
                key.ended_at,
                lane,
                *scale.bar(starts_at, key.ended_at),
                [scale.bar(since, until) for since, until in inside],
            )
        )
    left_out = len(shown) - len(bars)
    return Timeline(begins_at, scale.ends_at, scale.now(now), bars, scale.ticks(), left_out)
