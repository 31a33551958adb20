"""From when to when people were signed in under temporary keys."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.durations import SessionLimits
from app.models import AgentSession
from app.models.rows import read_rows

MOST = 500


def spans_under(
    session: Session, license_ids: Collection[int], now: datetime, limits: SessionLimits
) -> dict[int, list[tuple[datetime, datetime]]]:
    """The sessions under these licenses, the latest ones, by license: (started, ended).

    One that nobody ended reaches to `now`, or to where its silence ended it; whoever shows it
    within its key's window cuts it there.
    """
    query = (
        select(
            AgentSession.temporary_license_id,
            AgentSession.started_at,
            AgentSession.ended_at,
            AgentSession.last_heard_at,
        )
        .where(AgentSession.temporary_license_id.in_(license_ids))
        .order_by(AgentSession.id.desc())
        .limit(MOST)
    )
    spans = defaultdict(list)
    for license_id, started_at, ended_at, last_heard_at in read_rows(session, query):
        ends_at = min(ended_at or now, last_heard_at + limits.idle, now)
        spans[license_id].append((started_at, max(started_at, ends_at)))
    return dict(spans)
