"""The audit log: what was done and what was refused."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, bindparam, func, insert, select
from sqlalchemy.orm import Session

from app.audit.tags import TAGS, AuditTag
from app.audit.wording import details
from app.core.actor import Actor
from app.core.paging import Page, Total, page_of
from app.core.text import EMAIL_LENGTH
from app.models import AuditEvent, Organisation
from app.models.rows import read_rows

MANY = 10_000
"""More events are not counted."""


@dataclass(frozen=True)
class AuditEntry:
    """One event as pages show it. `organisation` is a name, None if it has been deleted."""

    tag: str
    happened_at: datetime
    who: str
    what: str
    details: list[tuple[str, str | datetime]]
    organisation_id: str | None
    organisation: str | None
    subject: str
    address: str


def log_event(
    session: Session,
    tag: AuditTag,
    *,
    actor: Actor,
    now: datetime,
    organisation_id: str | None = None,
    subject: str = "",
    **data: str | int | None,
) -> None:
    """Add an event to the audit log, in the caller's transaction.

    `subject` is what was acted on, as people know it (a Key ID, a project's or a machine's name,
    an e-mail); `data` holds plain values under names that the tag defines. Never pass a password
    or the text of a key. Raises ValueError for a name that the tag does not define.
    """
    unknown = data.keys() - tag.data.keys()
    if unknown:
        raise ValueError(f"{tag} has no data named {', '.join(sorted(unknown))}")
    session.flush()  # what the event is about may be new
    session.connection().execute(
        _ADDED,
        {
            "happened_at": now,
            "tag": tag.value,
            "actor_id": actor.user_id,
            "actor": actor.email[:EMAIL_LENGTH],
            "address": actor.address,
            "organisation_id": organisation_id,
            "subject": subject[:300],
            "data": data,
        },
    )
    # Counted when it is committed.
    session.info.setdefault("events", []).append((tag, data))


_ADDED = insert(AuditEvent)


def has_event(
    session: Session,
    *tags: AuditTag,
    actor: Actor,
    organisation_id: str,
    subject: str,
    since: datetime,
) -> bool:
    """Whether an event of one of `tags` was logged at or after `since`, of this and by `actor`."""
    values = {
        "organisation_id": organisation_id,
        "since": since,
        "subject": subject,
        "actor_id": actor.user_id,
        "tags": [tag.value for tag in tags],
    }
    return read_rows(session, _FIRST_OF, values).first() is not None


_FIRST_OF = (
    select(AuditEvent.id)
    .where(
        AuditEvent.organisation_id == bindparam("organisation_id"),
        AuditEvent.happened_at >= bindparam("since"),
        AuditEvent.subject == bindparam("subject"),
        AuditEvent.actor_id == bindparam("actor_id"),
        AuditEvent.tag.in_(bindparam("tags", expanding=True)),
    )
    .limit(1)
)


def count_events(session: Session, *, organisation_id: str | None = None) -> int:
    """The number of events, in all or of one organisation."""
    return (
        session.scalar(select(func.count()).select_from(_events(organisation_id).subquery())) or 0
    )


def list_entries(
    session: Session, *, organisation_id: str | None = None, offset: int = 0, limit: int = 50
) -> list[AuditEntry]:
    """Events as pages show them, newest first, all or those of one organisation."""
    return _entries(session, _newest_first(_events(organisation_id)).offset(offset).limit(limit))


def page_of_events(
    session: Session, *, organisation_id: str | None, number: int, size: int
) -> tuple[Page, list[AuditEntry]]:
    """Page `number` (see Page) of all events, or of those of one organisation, newest first.

    Of many events a page has those with `size` consecutive ids, however far from either end it is.
    """
    if organisation_id is None:
        # Each by itself: asked for both at once, SQLite reads every row.
        ends = (select(end(AuditEvent.id)).scalar_subquery() for end in (func.min, func.max))
        oldest, newest = session.execute(select(*ends)).one()
        if newest is not None and newest - oldest >= MANY:
            return _page_by_ids(session, oldest, newest, number, size)
    page = page_of(number, size, count_events(session, organisation_id=organisation_id))
    entries = list_entries(session, organisation_id=organisation_id, offset=page.offset, limit=size)
    return page, entries


def _page_by_ids(
    session: Session, oldest: int, newest: int, number: int, size: int
) -> tuple[Page, list[AuditEntry]]:
    total = Total(newest - oldest + 1, about=True)
    pages = -(-total.number // size)
    number = number if abs(number) <= pages else -1
    page = Page(number, size, total, more=abs(number) < pages)
    last = newest - page.offset if number > 0 else oldest + page.offset + size - 1
    ids = AuditEvent.id.between(last - size + 1, last)
    return page, _entries(session, select(AuditEvent).where(ids).order_by(AuditEvent.id.desc()))


def _events(organisation_id: str | None) -> Select[AuditEvent]:
    query = select(AuditEvent)
    if organisation_id is not None:
        query = query.where(AuditEvent.organisation_id == organisation_id)
    return query


def _newest_first(query: Select[AuditEvent]) -> Select[AuditEvent]:
    return query.order_by(AuditEvent.happened_at.desc(), AuditEvent.id.desc())


def _entries(session: Session, query: Select[AuditEvent]) -> list[AuditEntry]:
    events = list(session.scalars(query))
    ids = {event.organisation_id for event in events if event.organisation_id}
    named = select(Organisation.id, Organisation.name).where(Organisation.id.in_(ids))
    names = dict(session.execute(named).all()) if ids else {}
    return [_entry(event, names.get(event.organisation_id or "")) for event in events]


def _entry(event: AuditEvent, organisation: str | None) -> AuditEntry:
    tag = TAGS.get(event.tag)  # None: written by another version of the portal
    return AuditEntry(
        tag=event.tag,
        happened_at=event.happened_at,
        who=event.actor,
        what=tag.label if tag else event.tag,
        details=details(event.data, tag.data if tag else {}, event.subject),
        organisation_id=event.organisation_id,
        organisation=organisation,
        subject=event.subject,
        address=event.address,
    )
