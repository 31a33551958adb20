"""Finding events of the audit log: filters, and pages by position, whose cost does not grow."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, literal_column, not_, or_, select
from sqlalchemy.orm import Session

from app.audit.log import AuditEntry, entries_of
from app.core.errors import InvalidInput
from app.core.text import fold
from app.models import AuditEvent, ProjectSearch
from app.models.positions import Stretch, read_stretch
from app.models.project_search import BEGINNING_LENGTH

SAME_NAME = 20
"""The most organisations of one name that are looked for."""
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class AuditSearch:
    """What events are looked for; empty texts and None filter nothing.

    `organisation` is an Organisation ID or a whole name, `kind` an audit tag's value; events are
    from `start` on and before `end`. A page has the events older than the event `older_than`, or
    the nearest newer than `newer_than`; ids of events.
    """

    person: str = ""
    organisation: str = ""
    kind: str = ""
    key_id: str = ""
    start: datetime | None = None
    end: datetime | None = None
    older_than: int | None = None
    newer_than: int | None = None


def find_events(session: Session, search: AuditSearch, *, size: int) -> Stretch[AuditEntry]:
    """A page of the events that are looked for, newest first: found by an index, however many
    there are."""
    backwards = search.newer_than is not None and search.older_than is None
    anchor = _position(session, search.newer_than if backwards else search.older_than)
    found = read_stretch(
        session.scalars,
        select(AuditEvent).where(*conditions(session, search)),
        (AuditEvent.happened_at, AuditEvent.id),
        anchor=anchor,
        size=size,
        backwards=backwards,
        descending=True,
    )
    return replace(found, rows=entries_of(session, found.rows))


def conditions(session: Session, search: AuditSearch) -> list[ColumnElement[bool]]:
    """What an event must be for `search` to look for it, wherever it stands."""
    found: list[ColumnElement[bool]] = []
    if search.person:
        found.append(AuditEvent.actor == search.person)
    if search.organisation:
        found.append(_of_organisation(session, search.organisation))
    if search.kind:
        found.append(AuditEvent.tag == search.kind)
    if search.key_id:
        found.append(AuditEvent.key_id == search.key_id)
        found.append(AuditEvent.key_id != literal_column("''"))  # as the index of keys has it
    if search.start is not None:
        found.append(AuditEvent.happened_at >= search.start)
    if search.end is not None:
        found.append(AuditEvent.happened_at < search.end)
    return found


def _of_organisation(session: Session, text: str) -> ColumnElement[bool]:
    ids = {text, *organisations_named(session, text)}
    if len(ids) == 1:
        return AuditEvent.organisation_id == text
    return AuditEvent.organisation_id.in_(ids)


def organisations_named(session: Session, text: str) -> list[str]:
    """The IDs of the organisations whose whole name is `text`, but for case and accents."""
    begin = f"{fold(text)}\n"[:BEGINNING_LENGTH]
    by_name, archived = ProjectSearch.by_organisation, and_(ProjectSearch.archived)
    is_named = and_(by_name >= begin, by_name <= begin + LAST_CHARACTER)
    # Each half has an index of its own.
    either = or_(and_(archived, is_named), and_(not_(archived), is_named))
    named = select(ProjectSearch.organisation_id).where(either).distinct()
    return list(session.scalars(named.limit(SAME_NAME)))


def _position(session: Session, event_id: int | None) -> tuple[datetime, int] | None:
    if event_id is None:
        return None
    happened_at = session.scalar(select(AuditEvent.happened_at).where(AuditEvent.id == event_id))
    return (happened_at, event_id) if happened_at else None


def parse_day(field: str, text: str, *, end: bool = False) -> datetime | None:
    """The instant that a filter names: a day or an instant (ISO 8601), in UTC unless it says so.

    With `end`, a day is meant to be in what is found, so the instant is the next day's beginning.
    Raises InvalidInput with a sentence.
    """
    text = text.strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        is_day = len(text) <= len("2026-11-24")
        return moment + timedelta(days=1) if end and is_day else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            field, "That is no date. Write it as 2026-11-24, or with a time as 2026-11-24T15:40."
        ) from None
