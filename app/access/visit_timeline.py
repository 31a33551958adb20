"""Visits as a picture: each one's window as a bar. Pure functions."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from app.access.visits import VisitEntry
from app.agents.codes import EndCause
from app.core.timelines import Lanes, Scale, Timeline

CUT_SHORT = frozenset(EndCause) - {
    EndCause.SIGNED_OUT,
    EndCause.KEY_EXPIRED,
    EndCause.NOT_HEARD_FROM,
}


class VisitBar(NamedTuple):
    """A visit: `starts_at` to `ends_at`, or to now. `state` is one of a key's, for its pattern."""

    visit_id: int
    email: str
    wording: str
    state: str
    starts_at: datetime
    ends_at: datetime
    lane: int
    x: float
    width: float


def visits_timeline(
    visits: Iterable[VisitEntry],
    now: datetime,
    *,
    begins_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Timeline[VisitBar]:
    """The visits from `begins_at` (else from the first of them) to `ends_at` (else to `now`)."""
    shown = sorted(visits, key=lambda visit: (visit.started_at, visit.id))
    first = min((visit.started_at for visit in shown), default=now)
    scale = Scale(begins_at or first, ends_at or now)
    lanes, bars = Lanes(), []
    for visit in shown:
        until = max(visit.end.at if visit.end else now, visit.started_at)
        lane = lanes.take(visit.started_at, until)
        if lane is not None:
            bars.append(
                VisitBar(
                    visit.id,
                    visit.email,
                    visit.ended_by,
                    _state(visit),
                    visit.started_at,
                    until,
                    lane,
                    *scale.bar(visit.started_at, until),
                )
            )
    left_out = len(shown) - len(bars)
    return Timeline(scale.begins_at, scale.ends_at, scale.now(now), bars, scale.ticks(), left_out)


def _state(visit: VisitEntry) -> str:
    if visit.end is None:
        return "active"
    return "revoked" if visit.end.cause in CUT_SHORT else "expired"
