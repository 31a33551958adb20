"""Importing the projects of a file: all of it or nothing.

`preview_projects` says what would be done, and `import_projects` does it in the caller's
transaction, as fast as it can, because other writers wait.
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
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.models import Organisation, Project
from app.models.types import UTCDateTime
from app.projects.fields import DETAILS, OF_PROJECT, as_text
from app.projects.rows import BY_ORGANISATION, ReadFile, ReadRow
from app.projects.rules import organisation_search_text

WRITE_AT_ONCE = 5000
FEED_LINES = 5
"""An organisation's Feed names so many projects of one import; of more it only says how many."""

PROJECT_COLUMNS = ("organisation_id", *(field.name for field in OF_PROJECT), "search_text")
"""What is stored of a new project; a row has it by the same names."""

Record = dict[str, object]
"""What is written into a table, by the names of its columns."""


@dataclass(frozen=True)
class ImportResult:
    """How many projects were created, updated and left as they were; organisations created."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    organisations_created: int = 0


@dataclass(frozen=True)
class Preview:
    """What an import would do, and the first projects of each kind in the file's order.

    `updated` has what a project is, and the row that changes it.
    """

    result: ImportResult
    created: list[ReadRow]
    updated: list[tuple[Row[Any], ReadRow]]
    unchanged: list[ReadRow]


def preview_projects(session: Session, *, actor: Actor, file: ReadFile, shown: int) -> Preview:
    """What `import_projects` would do with a file without bad rows, now.

    At most `shown` projects of each kind are given. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    counts: Counter[str] = Counter()
    created: list[ReadRow] = []
    updated: list[tuple[Row[Any], ReadRow]] = []
    unchanged: list[ReadRow] = []
    for rows in _portions(file.rows):
        changes = _compare(session, rows, file.columns, hold=False)
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
    """Make or update the projects of a file without bad rows; with `dry_run` only count them.

    A known organisation keeps its name; a new one is named by its first row. A project that is
    there already, by Organisation ID and name, gets what the file's columns say. `progress` is
    told the rows done so far, now and then. Raises NotAllowed, and Conflict, upon which the
    caller rolls back, if somebody else made the same organisation or project at the same moment
    or if what was done is not what was `expected`.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    counts: Counter[str] = Counter()
    done = 0
    try:
        for rows in _portions(file.rows):
            changes = _compare(session, rows, file.columns, hold=not dry_run)
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
            now=now,
            subject=file_name,
            created=result.created,
            updated=result.updated,
            unchanged=result.unchanged,
            organisations_created=result.organisations_created,
        )
    return result


def _portions(rows: Iterable[ReadRow]) -> Iterator[list[ReadRow]]:
    """Sorted rows, some thousands at a time; those of one organisation are kept together."""
    portion: list[ReadRow] = []
    for _, own in groupby(rows, key=BY_ORGANISATION):
        portion.extend(own)
        if len(portion) >= WRITE_AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


class _FeedLine(NamedTuple):
    organisation_id: str
    kind: FeedKind
    subject: str


@dataclass
class _Changes:
    """What some rows change.

    A new organisation is its first row; an updated project comes with the row that changes it.
    """

    organisations: dict[str, ReadRow] = field(default_factory=dict)
    created: list[ReadRow] = field(default_factory=list)
    updated: list[tuple[Row[Any], ReadRow]] = field(default_factory=list)
    unchanged: list[ReadRow] = field(default_factory=list)

    def add_to(self, counts: Counter[str]) -> None:
        """Count them, by the names of ImportResult."""
        counts["created"] += len(self.created)
        counts["updated"] += len(self.updated)
        counts["unchanged"] += len(self.unchanged)
        counts["organisations_created"] += len(self.organisations)


def _compare(
    session: Session, rows: list[ReadRow], columns: frozenset[str], *, hold: bool
) -> _Changes:
    """What rows change; with `hold` nobody else changes it until the commit."""
    known = _known_organisations(session, {row.organisation_id for row in rows}, hold=hold)
    projects = _projects_of(session, known, hold=hold)
    said = attrgetter("name", *_said(columns))
    changes = _Changes()
    for row in rows:
        if row.organisation_id not in known:
            changes.organisations.setdefault(row.organisation_id, row)
        project = projects.get((row.organisation_id, row.name))
        if project is None:
            changes.created.append(row)
        elif said(row) == said(project):
            changes.unchanged.append(row)
        else:
            changes.updated.append((project, row))
    return changes


def _said(columns: frozenset[str]) -> list[str]:
    """What a file with these columns says of a known project; the rest of it stays as it is."""
    said = [field.name for field in DETAILS if field.name in columns]
    return [*said, "search_text"] if "contact_email" in columns else said


def _known_organisations(
    session: Session, organisation_ids: Collection[str], *, hold: bool
) -> set[str]:
    """Those that are there already."""
    query = select(Organisation.id).where(Organisation.id.in_(organisation_ids))
    if hold:
        query = query.order_by(Organisation.id).with_for_update(key_share=True)
    return set(session.scalars(query))


def _projects_of(
    session: Session, organisation_ids: Collection[str], *, hold: bool
) -> dict[tuple[str, str], Row[Any]]:
    """The projects of these organisations, by Organisation ID and name."""
    columns = [getattr(Project, name) for name in ("id", *PROJECT_COLUMNS)]
    query = select(*columns).where(Project.organisation_id.in_(organisation_ids))
    if hold:
        # In the order of the index: by number, SQLite would read the whole table each time.
        in_order = query.order_by(Project.organisation_id, Project.name)
        query = in_order.with_for_update(of=Project)
    return {(project.organisation_id, project.name): project for project in session.execute(query)}


def _write(session: Session, changes: _Changes, columns: frozenset[str], now: datetime) -> None:
    """Organisations first, and the Feed, which holds them: the order in which everybody locks."""
    moment = _as_the_driver_takes_it(session, now)
    organisations = [_organisation(row, moment) for row in changes.organisations.values()]
    lines = [_feed_event(line, moment) for line in _feed_lines(changes)]
    new = {"created_at": moment, "updated_at": moment}
    created = [_values(row, PROJECT_COLUMNS) | new for row in changes.created]
    said = _said(columns)
    updated = [
        _values(row, said) | {"updated_at": moment, "id": project.id}
        for project, row in changes.updated
    ]
    _insert(session, "organisations", organisations)
    _insert(session, "feed_events", lines)
    _insert(session, "projects", created)
    _update(session, "projects", updated)


def _values(row: ReadRow, columns: Iterable[str]) -> Record:
    return {name: as_text(getattr(row, name)) for name in columns}


def _organisation(row: ReadRow, moment: object) -> Record:
    return {
        "id": row.organisation_id,
        "name": row.organisation_name,
        "search_text": organisation_search_text(row.organisation_name, row.organisation_id),
        "created_at": moment,
    }


def _feed_event(line: _FeedLine, moment: object) -> Record:
    return {
        "organisation_id": line.organisation_id,
        "happened_at": moment,
        "kind": line.kind.value,
        "actor": "",
        "subject": line.subject,
        "search_text": feed_search_text(line.kind, line.subject),
    }


def _feed_lines(changes: _Changes) -> Iterator[_FeedLine]:
    """What the Feed is told.

    Each organisation hears of each of its projects, or only how many if they are very many.
    """
    created, updated = FeedKind.PROJECT_CREATED, FeedKind.PROJECT_UPDATED
    lines = [_FeedLine(row.organisation_id, created, row.name) for row in changes.created]
    lines += [_FeedLine(row.organisation_id, updated, row.name) for _, row in changes.updated]
    lines.sort(key=BY_ORGANISATION)
    for organisation_id, grouped in groupby(lines, key=BY_ORGANISATION):
        own = list(grouped)
        if len(own) <= FEED_LINES:
            yield from own
        else:
            kinds = Counter(line.kind for line in own)
            summary = f"{kinds[created]} created, {kinds[updated]} changed"
            yield _FeedLine(organisation_id, FeedKind.PROJECTS_IMPORTED, summary)


def _insert(session: Session, table: str, records: list[Record]) -> None:
    """Straight through the driver: it takes a tenth of the time, and others wait meanwhile."""
    if records:
        names, mark = list(records[0]), _mark(session)
        values = ", ".join(map(mark.format, names))
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"  # noqa: S608
        session.connection().exec_driver_sql(statement, records)


def _update(session: Session, table: str, records: list[Record]) -> None:
    """As fast. Each record says by its `id` what it is about."""
    if records:
        mark = _mark(session)
        values = ", ".join(f"{name} = {mark.format(name)}" for name in records[0] if name != "id")
        statement = f"UPDATE {table} SET {values} WHERE id = {mark.format('id')}"  # noqa: S608
        session.connection().exec_driver_sql(statement, records)


def _mark(session: Session) -> str:
    """Where the driver puts the value of a name, as a pattern; names are never from outside."""
    return ":{}" if session.connection().dialect.paramstyle == "qmark" else "%({})s"


def _as_the_driver_takes_it(session: Session, now: datetime) -> object:
    dialect = session.connection().dialect
    convert = UTCDateTime().dialect_impl(dialect).bind_processor(dialect)
    return convert(now) if convert else now
