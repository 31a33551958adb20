"""Finding visits under temporary keys, one by one and page by page."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, Select, null, select
from sqlalchemy.orm import Session

from app.agents.heartbeats import facts_of_row
from app.agents.session_rules import (
    LogoutState,
    LogoutStatus,
    SessionEnd,
    logout_status,
    session_end,
)
from app.core.durations import SessionLimits
from app.core.errors import NotFound
from app.core.text import fold
from app.models import Agent, AgentSession, TemporaryLicense, User, Visit
from app.models.positions import Stretch, read_stretch
from app.models.rows import read_rows

AT_ONCE = 500
STILL_THERE = "Signed in"
"""How a visit ended that has not ended."""


@dataclass(frozen=True)
class VisitEntry:
    """A visit as it is shown and signed. People are as they were at its start.

    `end` and `status` (of the agent's log-out) are None while it lasts. Texts may be empty.
    """

    id: int
    record_id: str
    organisation_id: str
    email: str
    name: str
    role: str
    reason: str
    ticket: str
    key_id: str
    issued_by: str
    hostname: str
    mac_id: str
    address: str
    started_at: datetime
    key_ends_at: datetime
    end: SessionEnd | None
    status: LogoutStatus | None

    @property
    def machine(self) -> str:
        """The machine's host name, else its MAC ID."""
        return self.hostname or self.mac_id

    @property
    def ended_by(self) -> str:
        return self.end.cause.wording if self.end else STILL_THERE

    @property
    def confirmed_at(self) -> datetime | None:
        """When its agent confirmed that it had logged out."""
        confirmed = self.status is not None and self.status.state is LogoutState.CONFIRMED
        return self.status.at if self.status and confirmed else None

    @property
    def until(self) -> datetime:
        """When it ended, or will at the latest."""
        return self.end.at if self.end else self.key_ends_at


@dataclass(frozen=True)
class VisitSearch:
    """What visits are looked for, of one organisation or of all (None); empty: no filter.

    They began from `start` on and before `end`. A page has the visits older than the visit
    `older_than`, or the nearest newer than `newer_than`; ids of visits.
    """

    organisation_id: str | None = None
    text: str = ""
    start: datetime | None = None
    end: datetime | None = None
    older_than: int | None = None
    newer_than: int | None = None


_SHOWN = (
    *(AgentSession.id, Visit.record_id, AgentSession.organisation_id),
    *(Visit.email, Visit.name, Visit.role, TemporaryLicense.reason, TemporaryLicense.ticket),
    *(TemporaryLicense.key_id, Visit.issued_by, AgentSession.hostname, AgentSession.mac_id),
    *(AgentSession.address, AgentSession.started_at),
    TemporaryLicense.ends_at.label("key_ends_at"),
)
_VISITS: Select[*tuple[Any, ...]] = (
    # Outer joins, so that the database begins with the sessions, in the order of an index.
    select(
        *_SHOWN,
        # What decides whether it has ended, and what is known of the agent's log-out
        AgentSession.last_heard_at,
        AgentSession.told_at,
        AgentSession.confirmed_at,
        AgentSession.ended_at,
        AgentSession.end_code,
        User.disabled_at,
        TemporaryLicense.starts_at.label("key_starts_at"),
        TemporaryLicense.expires_at.label("key_expires_at"),
        TemporaryLicense.revoked_at.label("key_revoked_at"),
        Agent.detached_at,
        Agent.dissociated_at,
        null().label("license_revoked_at"),
        null().label("subscription_day"),
    )
    .join(Visit, Visit.session_id == AgentSession.id)
    .outerjoin(AgentSession.temporary_license)
    .outerjoin(AgentSession.user)
    .outerjoin(AgentSession.agent)
    .where(AgentSession.temporary_license_id.is_not(None))
)
_NEWEST_FIRST = (AgentSession.started_at.desc(), AgentSession.id.desc())


def find_visits(
    session: Session, search: VisitSearch, *, now: datetime, limits: SessionLimits, size: int
) -> Stretch[VisitEntry]:
    """A page of the visits that are looked for, newest first: found by an index, however many
    there are."""
    backwards = search.newer_than is not None and search.older_than is None
    found = read_stretch(
        partial(read_rows, session),
        _matching(search),
        (AgentSession.started_at, AgentSession.id),
        anchor=_position(session, search.newer_than if backwards else search.older_than),
        size=size,
        backwards=backwards,
        descending=True,
    )
    return Stretch([_entry(row, now, limits) for row in found.rows], found.goes_back, found.goes_on)


def latest_visits(
    session: Session, search: VisitSearch, *, now: datetime, limits: SessionLimits, limit: int
) -> list[VisitEntry]:
    """The newest of the visits that are looked for, wherever a page is."""
    rows = read_rows(session, _matching(search).order_by(*_NEWEST_FIRST).limit(limit))
    return [_entry(row, now, limits) for row in rows]


def every_visit(
    session: Session, search: VisitSearch, *, now: datetime, limits: SessionLimits
) -> Iterator[VisitEntry]:
    """All visits that are looked for, newest first, read a part at a time."""
    query = _matching(search).order_by(*_NEWEST_FIRST)
    with session.execute(query, execution_options={"yield_per": AT_ONCE}) as rows:
        for row in rows:
            yield _entry(row, now, limits)


def get_visit(
    session: Session,
    visit_id: int,
    *,
    organisation_id: str,
    now: datetime,
    limits: SessionLimits,
) -> VisitEntry:
    """The visit with this id of an organisation. Raises NotFound."""
    query = _VISITS.where(
        AgentSession.id == visit_id, AgentSession.organisation_id == organisation_id
    )
    row = read_rows(session, query).one_or_none()
    if row is None:
        raise NotFound("There is no such visit.")
    return _entry(row, now, limits)


def visits_by_id(
    session: Session, ids: Collection[int], *, now: datetime, limits: SessionLimits
) -> dict[int, VisitEntry]:
    """The visits with these ids."""
    rows = read_rows(session, _VISITS.where(AgentSession.id.in_(ids))) if ids else ()
    return {row.id: _entry(row, now, limits) for row in rows}


def _matching(search: VisitSearch) -> Select[*tuple[Any, ...]]:
    query = _VISITS
    if search.organisation_id is not None:
        query = query.where(AgentSession.organisation_id == search.organisation_id)
    if search.start is not None:
        query = query.where(AgentSession.started_at >= search.start)
    if search.end is not None:
        query = query.where(AgentSession.started_at < search.end)
    words = dict.fromkeys(fold(search.text).split())
    return query.where(*(Visit.search_text.contains(word, autoescape=True) for word in words))


def _position(session: Session, visit_id: int | None) -> tuple[datetime, int] | None:
    if visit_id is None:
        return None
    started_at = session.scalar(select(AgentSession.started_at).where(AgentSession.id == visit_id))
    return (started_at, visit_id) if started_at else None


def _entry(row: Row[*tuple[Any, ...]], now: datetime, limits: SessionLimits) -> VisitEntry:
    facts = facts_of_row(row)
    end = session_end(facts, now=now, limits=limits)
    status = end and logout_status(
        end,
        facts=facts,
        told_at=row.told_at,
        confirmed_at=row.confirmed_at,
        now=now,
        limits=limits,
    )
    known: tuple[Any, ...] = (*row[: len(_SHOWN)], end, status)
    return VisitEntry(*known)
