"""Importing the projects of a file: either all of them or none.

`preview_projects` tells what an import would do; `import_projects` does it in the caller's
transaction, as fast as possible, because other writers are waiting.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Row, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit.feed import FeedKind, feed_search_text
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import utcnow
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.models import Organisation, Project
from app.models.types import UTCDateTime
from app.projects.fields import DETAILS, OF_PROJECT, as_text
from app.projects.rows import BY_ORGANISATION, ReadFile, ReadRow
from app.projects.rules import organisation_search_text

WRITE_AT_ONCE = 5000
"""About how many rows are compared and written together."""
FEED_ENTRIES = 5
"""The most projects of one import that an organisation's Feed names; more are only counted."""

PROJECT_COLUMNS = ("organisation_id", *(field.name for field in OF_PROJECT), "search_text")
"""The columns written for a new project; a ReadRow has attributes of the same names."""

Record = dict[str, object]
"""A row to be written into a table, by the names of its columns."""


@dataclass(frozen=True)
class ImportResult:
    """How many projects were created, updated and unchanged, and organisations created."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    organisations_created: int = 0


@dataclass(frozen=True)
class Preview:
    """What an import would do, and the first rows of each kind in the file's order.

    `updated` has pairs of a project as it is stored and the row that changes it.
    """

    result: ImportResult
    created: list[ReadRow]
    updated: list[tuple[Row[Any], ReadRow]]
    unchanged: list[ReadRow]


def preview_projects(session: Session, *, actor: Actor, file: ReadFile, shown: int) -> Preview:
    """What `import_projects` would do now with a file that has no bad rows.

    Lists at most `shown` rows of each kind. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    counts: Counter[str] = Counter()
    created: list[ReadRow] = []
    updated: list[tuple[Row[Any], ReadRow]] = []
    unchanged: list[ReadRow] = []
    for rows in _batches(file.rows):
        changes = _compare(session, rows, file.columns, lock=False)
        changes.add_to(counts)
        created = nsmallest(shown, created + changes.created, attrgetter("line"))
        updated = nsmallest(shown, updated + changes.updated, lambda pair: pair[1].line)
        unchanged = nsmallest(shown, unchanged + changes.unchanged, attrgetter("line"))
    return Preview(ImportResult(**counts), created, updated, unchanged)


def import_projects(
    session: Session,
    *,
    actor: Actor,
    file: ReadFile,
    file_name: str,
    now: datetime,
    dry_run: bool = False,
    expected: ImportResult | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportResult:
    """Create or update the projects of a file that has no bad rows; only count if `dry_run`.

    A known organisation keeps its name; a new one is named after its first row. A project that
    exists, by Organisation ID and name, is updated from the file's columns. `progress` is called
    now and then with the number of rows done so far.

    Raises NotAllowed. Raises Conflict, after which the caller must roll back, if somebody else
    created the same organisation or project at the same moment, or if the result is not the
    `expected` one.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    counts: Counter[str] = Counter()
    done = 0
    try:
        for rows in _batches(file.rows):
            changes = _compare(session, rows, file.columns, lock=not dry_run)
            changes.add_to(counts)
            if not dry_run:
                _write(session, changes, file.columns, now)
            done += len(rows)
            progress(done)
    except IntegrityError:
        raise Conflict(
            "Somebody else made one of these organisations or projects at the same moment. "
            "Nothing was imported; import the file again."
        ) from None
    result = ImportResult(**counts)
    if expected is not None and result != expected:
        raise Conflict("Projects have changed since the preview. Nothing was imported.")
    if not dry_run:
        log_event(
            session,
            AuditTag.PROJECTS_IMPORTED,
            actor=actor,
            # A large import takes longer than events may come late into the audit log's tree.
            now=max(now, utcnow()),
            subject=file_name,
            created=result.created,
            updated=result.updated,
            unchanged=result.unchanged,
            organisations_created=result.organisations_created,
        )
    return result


def _batches(rows: Iterable[ReadRow]) -> Iterator[list[ReadRow]]:
    """The sorted rows in lists of some thousands; an organisation's rows stay together."""
    batch: list[ReadRow] = []
    for _, own in groupby(rows, key=BY_ORGANISATION):
        batch.extend(own)
        if len(batch) >= WRITE_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


class _FeedEntry(NamedTuple):
    organisation_id: str
    kind: FeedKind
    subject: str


@dataclass
class _Changes:
    """What some rows would change.

    `organisations` has the row that names each new one, by Organisation ID; `updated` has pairs
    of a stored project and the row that changes it.
    """

    organisations: dict[str, ReadRow] = field(default_factory=dict)
    created: list[ReadRow] = field(default_factory=list)
    updated: list[tuple[Row[Any], ReadRow]] = field(default_factory=list)
    unchanged: list[ReadRow] = field(default_factory=list)

    def add_organisation(self, row: ReadRow) -> None:
        """Add a new organisation, named by the first of its rows that has a name for it."""
        first = self.organisations.setdefault(row.organisation_id, row)
        if row.organisation_name and not first.organisation_name:
            self.organisations[row.organisation_id] = row

    def add_to(self, counts: Counter[str]) -> None:
        """Add the numbers of changes to `counts`, under the names of ImportResult's fields."""
        counts["created"] += len(self.created)
        counts["updated"] += len(self.updated)
        counts["unchanged"] += len(self.unchanged)
        counts["organisations_created"] += len(self.organisations)


def _compare(
    session: Session, rows: list[ReadRow], columns: frozenset[str], *, lock: bool
) -> _Changes:
    """What `rows` would change; with `lock` the records concerned are locked until the commit."""
    known = _known_organisations(session, {row.organisation_id for row in rows}, lock=lock)
    projects = _projects_of(session, known, lock=lock)
    values = attrgetter("name", *_updated_columns(columns))
    changes = _Changes()
    for row in rows:
        if row.organisation_id not in known:
            changes.add_organisation(row)
        project = projects.get((row.organisation_id, row.name))
        if project is None:
            changes.created.append(row)
        elif values(row) == values(project):
            changes.unchanged.append(row)
        else:
            changes.updated.append((project, row))
    return changes


def _updated_columns(columns: frozenset[str]) -> list[str]:
    """The columns of a stored project that a file with `columns` overwrites."""
    names = [field.name for field in DETAILS if field.name in columns]
    return [*names, "search_text"] if "contact_email" in columns else names


def _known_organisations(
    session: Session, organisation_ids: Collection[str], *, lock: bool
) -> set[str]:
    """Which of these Organisation IDs exist."""
    query = select(Organisation.id).where(Organisation.id.in_(organisation_ids))
    if lock:
        query = query.order_by(Organisation.id).with_for_update(key_share=True)
    return set(session.scalars(query))


def _projects_of(
    session: Session, organisation_ids: Collection[str], *, lock: bool
) -> dict[tuple[str, str], Row[Any]]:
    """The projects of these organisations, by Organisation ID and name."""
    columns = [getattr(Project, name) for name in ("id", *PROJECT_COLUMNS)]
    query = select(*columns).where(Project.organisation_id.in_(organisation_ids))
    if lock:
        # In the order of the index: ordered by id, SQLite would read the whole table each time.
        in_order = query.order_by(Project.organisation_id, Project.name)
        query = in_order.with_for_update(of=Project)
    return {(project.organisation_id, project.name): project for project in session.execute(query)}


def _write(session: Session, changes: _Changes, columns: frozenset[str], now: datetime) -> None:
    """Write the changes.

    Organisations and Feeds (whose rows lock their organisation) come before projects: every
    transaction locks in this order.
    """
    moment = _for_the_driver(session, now)
    organisations = [_organisation(row, moment) for row in changes.organisations.values()]
    entries = [_feed_event(entry, moment) for entry in _feed_entries(changes)]
    new = {"created_at": moment, "updated_at": moment}
    created = [_values(row, PROJECT_COLUMNS) | new for row in changes.created]
    names = _updated_columns(columns)
    updated = [
        _values(row, names) | {"updated_at": moment, "id": project.id}
        for project, row in changes.updated
    ]
    _insert(session, "organisations", organisations)
    _insert(session, "feed_events", entries)
    _insert(session, "projects", created)
    _update(session, "projects", updated)


def _values(row: ReadRow, columns: Iterable[str]) -> Record:
    return {name: as_text(getattr(row, name)) for name in columns}


def _organisation(row: ReadRow, moment: object) -> Record:
    name = row.organisation_name or row.name
    return {
        "id": row.organisation_id,
        "name": name,
        "search_text": organisation_search_text(name, row.organisation_id),
        "created_at": moment,
    }


def _feed_event(entry: _FeedEntry, moment: object) -> Record:
    return {
        "organisation_id": entry.organisation_id,
        "happened_at": moment,
        "kind": entry.kind.value,
        "actor": "",
        "subject": entry.subject,
        "search_text": feed_search_text(entry.kind, entry.subject),
    }


def _feed_entries(changes: _Changes) -> Iterator[_FeedEntry]:
    """The entries for the Feeds of the organisations.

    One for each project, or a single summary if an organisation has more than FEED_ENTRIES.
    """
    created, updated = FeedKind.PROJECT_CREATED, FeedKind.PROJECT_UPDATED
    entries = [_FeedEntry(row.organisation_id, created, row.name) for row in changes.created]
    entries += [_FeedEntry(row.organisation_id, updated, row.name) for _, row in changes.updated]
    entries.sort(key=BY_ORGANISATION)
    for organisation_id, grouped in groupby(entries, key=BY_ORGANISATION):
        own = list(grouped)
        if len(own) <= FEED_ENTRIES:
            yield from own
        else:
            kinds = Counter(entry.kind for entry in own)
            summary = f"{kinds[created]} created, {kinds[updated]} changed"
            yield _FeedEntry(organisation_id, FeedKind.PROJECTS_IMPORTED, summary)


def _insert(session: Session, table: str, records: list[Record]) -> None:
    """Insert with the driver directly, which takes a tenth of the ORM's time."""
    if records:
        names, placeholder = list(records[0]), _placeholder(session)
        values = ", ".join(map(placeholder.format, names))
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"  # noqa: S608
        session.connection().exec_driver_sql(statement, records)


def _update(session: Session, table: str, records: list[Record]) -> None:
    """Update with the driver directly; each record has the `id` of its row."""
    if records:
        placeholder = _placeholder(session)
        values = ", ".join(
            f"{name} = {placeholder.format(name)}" for name in records[0] if name != "id"
        )
        statement = f"UPDATE {table} SET {values} WHERE id = {placeholder.format('id')}"  # noqa: S608
        session.connection().exec_driver_sql(statement, records)


def _placeholder(session: Session) -> str:
    """The driver's placeholder, as a pattern for column names (which are never user input)."""
    return ":{}" if session.connection().dialect.paramstyle == "qmark" else "%({})s"


def _for_the_driver(session: Session, now: datetime) -> object:
    dialect = session.connection().dialect
    convert = UTCDateTime().dialect_impl(dialect).bind_processor(dialect)
    return convert(now) if convert else now
