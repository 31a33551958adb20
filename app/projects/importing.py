"""Importing projects from a CSV file, whatever its columns are called: all of it or nothing.

Reading and checking (`read_head`, `read_projects`) touch no database and come first;
`preview_projects` says what would be done, and `import_projects` does it in the caller's
transaction, as fast as it can, because other writers wait.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from heapq import nsmallest
from itertools import chain, groupby, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit.feed import FeedKind, feed_search_text
from app.audit.log import record
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Permission
from app.core.text import fold
from app.models import Organisation, Project
from app.models.types import UTCDateTime
from app.projects.rules import (
    USUAL_STATUS,
    check_contact_email,
    check_organisation_id,
    check_plan,
    check_plan_expiry,
    check_project_name,
    organisation_search_text,
    project_search_text,
)

if TYPE_CHECKING:
    from _csv import Reader

    Lines = Iterator[tuple[int, list[str] | str]]

CHECKS: dict[str, Callable[[str], Any]] = {
    "organisation_id": check_organisation_id,
    "name": check_project_name,
    "contact_email": check_contact_email,
    "plan": check_plan,
    "plan_expires_on": check_plan_expiry,
}
"""What a column can hold, and how a cell of it is read."""

REQUIRED = ("organisation_id", "name")
WORDS = {
    "organisation_id": "the Organisation ID",
    "name": "the project's name",
    "contact_email": "the contact e-mail",
    "plan": "the plan",
    "plan_expires_on": "the plan expiry date",
}
USUAL_HEADINGS = {
    "organisation_id": (
        *("organisationid", "organizationid", "orgid", "cik"),
        *("customerid", "clientid", "accountid", "companyid"),
    ),
    "name": (
        *("projectname", "project", "name", "security", "companyname", "company"),
        *("organisationname", "organizationname", "organisation", "organization"),
        *("customername", "customer", "clientname", "client"),
    ),
    "contact_email": ("contactemail", "email", "emailaddress"),
    "plan": ("plan", "planname"),
    "plan_expires_on": ("planexpirydate", "planexpiry", "expirydate", "expiry", "expirationdate"),
}
"""Headings by which a column is known when nobody names it, the likeliest first.

They are compared folded, by their letters and digits only.
"""

MOST_COLUMNS = 1000
REPORT_EVERY = 5000
WRITE_AT_ONCE = 5000
FEED_LINES = 5
"""An organisation's Feed names so many projects of one import; of more it only says how many."""

_BY_ORGANISATION = attrgetter("organisation_id")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the files begin that spreadsheet programs save by themselves."""

INSERT_ORGANISATION = (
    "INSERT INTO organisations (id, name, search_text, created_at) VALUES (?, ?, ?, ?)"
)
INSERT_FEED_EVENT = (
    "INSERT INTO feed_events (organisation_id, happened_at, kind, actor, subject, search_text)"
    " VALUES (?, ?, ?, '', ?, ?)"
)
INSERT_PROJECT = (
    "INSERT INTO projects (organisation_id, name, contact_email, plan, plan_expires_on,"
    " search_text, status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
UPDATE_PROJECT = (
    "UPDATE projects SET contact_email = ?, plan = ?, plan_expires_on = ?, search_text = ?,"
    " updated_at = ? WHERE id = ?"
)


@dataclass(frozen=True)
class Head:
    """How a file begins: its headings and its first rows, whatever they hold.

    `more_lines` is how many lines follow.
    """

    headings: list[str]
    rows: list[list[str]]
    more_lines: int


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be imported. The header is line 1; `line` is where the row begins."""

    line: int
    reason: str


class ReadRow(NamedTuple):
    """A row that was checked, with all that can be worked out before others have to wait.

    After `line` the order is that of INSERT_PROJECT.
    """

    line: int
    organisation_id: str
    name: str
    contact_email: str
    plan: str
    plan_expires_on: str | None
    """As ISO 8601 text, which both databases take."""
    search_text: str


@dataclass(frozen=True)
class ReadFile:
    """What a file says. `columns` are those of CHECKS that it has.

    The rows are sorted by Organisation ID, and stand within an organisation as in the file.
    """

    rows: list[ReadRow]
    bad_rows: list[BadRow]
    columns: frozenset[str]


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

    `updated` has what a project is, and the row that it becomes.
    """

    result: ImportResult
    created: list[ReadRow]
    updated: list[tuple[ReadRow, ReadRow]]
    unchanged: list[ReadRow]


def read_head(file: BinaryIO, *, rows: int) -> Head:
    """The headings and at most `rows` rows of a CSV file (UTF-8, with or without BOM).

    Raises InvalidInput (field "file") for a file that cannot be read at all, wherever in it the
    reason is.
    """
    with _text_of(file) as text:
        headings, lines = _begin(text)
        first = list(islice(lines, rows))
        if not first:
            raise _nothing_in_it()
        more_lines = sum(part.count("\n") for part in iter(lambda: text.read(1 << 16), ""))
    cells = [cells for _, cells in first if not isinstance(cells, str)]
    return Head(headings, cells, more_lines)


def read_projects(
    file: BinaryIO,
    *,
    named_columns: Mapping[str, str | None] | None = None,
    columns: Mapping[str, int] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> ReadFile:
    """Read and check a CSV file (UTF-8, with or without BOM).

    `columns` says where those of CHECKS are, the first column being 0. Without it
    `named_columns` says which heading stands for which; for one that is not named, or None, the
    usual headings are tried. `progress` is told the bytes read so far, now and then.
    Raises InvalidInput (field "file") for a file that cannot be read at all.
    """
    with _text_of(file) as text:
        headings, lines = _begin(text)
        if columns is None:
            columns = choose_columns(headings, named_columns or {})
        return _read(lines, len(headings), columns, lambda: progress(file.tell()))


def preview_projects(session: Session, *, actor: Actor, file: ReadFile, shown: int) -> Preview:
    """What `import_projects` would do with a file without bad rows, now.

    At most `shown` projects of each kind are given. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    counts: Counter[str] = Counter()
    created: list[ReadRow] = []
    updated: list[tuple[ReadRow, ReadRow]] = []
    unchanged: list[ReadRow] = []
    for rows in _portions(file.rows):
        changes = _compare(session, rows, file.columns, hold=False)
        changes.add_to(counts)
        created = nsmallest(shown, created + changes.created, attrgetter("line"))
        also = [(project, row) for _, project, row in changes.updated]
        updated = nsmallest(shown, updated + also, lambda pair: pair[1].line)
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
                _write(session, changes, now)
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
        record(
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


def choose_columns(
    headings: Sequence[str], named_columns: Mapping[str, str | None]
) -> dict[str, int]:
    """Where the columns of CHECKS are: as named, else by the usual headings.

    Raises InvalidInput, whose field is the column that was not found, was there twice, or is
    needed and could not be told.
    """
    columns = {}
    for column in CHECKS:
        place = _place(column, named_columns.get(column), headings)
        if place is not None:
            columns[column] = place
        elif column in REQUIRED:
            raise InvalidInput(
                column,
                f"No heading says which column holds {WORDS[column]}: name one. {_found(headings)}",
            )
    return columns


def guess_columns(headings: Sequence[str]) -> dict[str, int]:
    """Where the columns of CHECKS are by the usual headings; what cannot be told is left out."""
    columns = {}
    for column in CHECKS:
        with suppress(InvalidInput):
            place = _place(column, None, headings)
            if place is not None:
                columns[column] = place
    return columns


def _place(column: str, named: str | None, headings: Sequence[str]) -> int | None:
    """Where a column of CHECKS is: as named, else by the usual headings; None if it is not there.

    Raises InvalidInput if it is named and not there, or there twice.
    """
    if named is not None:
        return _position(column, named.strip(), headings, headings)
    plain = [re.sub(r"[^a-z0-9]", "", fold(heading)) for heading in headings]
    usual = next((usual for usual in USUAL_HEADINGS[column] if usual in plain), None)
    return None if usual is None else _position(column, usual, plain, headings)


def _position(column: str, wanted: str, among: Sequence[str], headings: Sequence[str]) -> int:
    places = [place for place, heading in enumerate(among) if heading == wanted]
    if not places:
        raise InvalidInput(column, f"There is no column “{wanted}”. {_found(headings)}")
    if len(places) > 1:
        raise InvalidInput(
            column,
            f"“{headings[places[0]]}” heads {len(places)} columns: rename all but one of them.",
        )
    return places[0]


def _found(headings: Sequence[str]) -> str:
    shown = ", ".join(f"“{heading[:60]}”" for heading in headings[:30])
    more = f" and {len(headings) - 30} more" if len(headings) > 30 else ""
    return f"The first line of the file has: {shown}{more}."


@contextmanager
def _text_of(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """The text of a file, which stays open. A sentence where it is no text."""
    _refuse_other_formats(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        yield text
    except UnicodeDecodeError:
        raise _refusal(
            f"Line {_first_line_not_utf_8(file)} is not UTF-8 text. "
            "Save the file as “CSV UTF-8” and try again."
        ) from None
    finally:
        text.detach()


def _begin(text: io.TextIOWrapper) -> tuple[list[str], "Lines"]:
    """The headings of a file, and the lines that follow."""
    header = text.readline()
    if not header.strip(' ,;\t\r\n"'):
        raise _refusal("The file is empty, or its first line is: that line names the columns.")
    delimiter = max(",;\t", key=header.count)
    lines = _numbered(csv.reader(chain([header], text), delimiter=delimiter, strict=True))
    _, names = next(lines)
    if isinstance(names, str):
        raise _refusal(f"Line 1: {names}")
    if len(names) > MOST_COLUMNS:
        raise _refusal(
            f"The first line names {len(names)} columns; at most {MOST_COLUMNS} can be read."
        )
    return [name.strip() for name in names], lines


def _read(
    lines: "Lines", width: int, columns: Mapping[str, int], report: Callable[[], None]
) -> ReadFile:
    rows: list[ReadRow] = []
    bad_rows: list[BadRow] = []
    for number, (line, cells) in enumerate(lines):
        if number % REPORT_EVERY == 0:
            report()
        row = _read_row(line, cells, width, columns)
        if isinstance(row, BadRow):
            bad_rows.append(row)
        else:
            rows.append(row)
    report()
    if not rows and not bad_rows:
        raise _nothing_in_it()
    rows.sort(key=_BY_ORGANISATION)
    bad_rows.extend(_twins(rows))
    bad_rows.sort(key=attrgetter("line"))
    return ReadFile(rows, bad_rows, frozenset(columns))


def _twins(rows: Iterable[ReadRow]) -> Iterator[BadRow]:
    """The rows whose project stands further up in the file already."""
    for _, own in groupby(rows, key=_BY_ORGANISATION):
        first_lines: dict[str, int] = {}
        for row in own:
            first = first_lines.setdefault(row.name, row.line)
            if first != row.line:
                yield BadRow(row.line, f"The same project stands on line {first} already.")


def _numbered(reader: "Reader") -> "Lines":
    """The line on which each row begins, and its cells; rows without any text are passed over.

    Where the file stops being CSV: the reason, and nothing after it.
    """
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"From here on it is no CSV ({error}); the rest was not read."
            return
        if line == 1 or "".join(cells).strip():
            yield line, cells


def _read_row(
    line: int, cells: list[str] | str, width: int, columns: Mapping[str, int]
) -> ReadRow | BadRow:
    """What a row says, or every reason why it cannot be used."""
    if isinstance(cells, str):
        return BadRow(line, cells)
    if len(cells) != width:
        return BadRow(line, f"The row has {len(cells)} cells, the header has {width}.")
    values: dict[str, Any] = {"contact_email": "", "plan": "", "plan_expires_on": None}
    reasons = []
    for column, place in columns.items():
        try:
            values[column] = CHECKS[column](cells[place])
        except InvalidInput as error:
            reasons.append(error.detail)
    if reasons:
        return BadRow(line, " ".join(reasons))
    values["plan_expires_on"] = _as_text(values["plan_expires_on"])
    text = project_search_text(values["name"], values["contact_email"])
    return ReadRow(line=line, search_text=text, **values)


def _as_text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _refuse_other_formats(file: BinaryIO) -> None:
    start = file.read(4)
    file.seek(0)
    if start in _WORKBOOKS:
        raise _refusal(
            "This is a workbook and not a CSV file. "
            "Open it in a spreadsheet program and save it as “CSV UTF-8”."
        )
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in start[:2]:
        raise _refusal("The file is UTF-16. Save it as “CSV UTF-8” and try again.")


def _first_line_not_utf_8(file: BinaryIO) -> int:
    file.seek(0)
    for number, line in enumerate(file, start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def _refusal(sentence: str) -> InvalidInput:
    return InvalidInput("file", sentence)


def _nothing_in_it() -> InvalidInput:
    return _refusal("There is nothing to import: the file has a header and no rows.")


def _portions(rows: Iterable[ReadRow]) -> Iterator[list[ReadRow]]:
    """Sorted rows, some thousands at a time; those of one organisation are kept together."""
    portion: list[ReadRow] = []
    for _, own in groupby(rows, key=_BY_ORGANISATION):
        portion.extend(own)
        if len(portion) >= WRITE_AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


@dataclass
class _Changes:
    """What some rows change.

    A new organisation is its first row; of an updated project there are its number, what it is
    and what it becomes.
    """

    organisations: dict[str, ReadRow] = field(default_factory=dict)
    created: list[ReadRow] = field(default_factory=list)
    updated: list[tuple[int, ReadRow, ReadRow]] = field(default_factory=list)
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
    changes = _Changes()
    for row in rows:
        if row.organisation_id not in known:
            changes.organisations.setdefault(row.organisation_id, row)
        found = projects.get((row.organisation_id, row.name))
        if found is None:
            changes.created.append(row)
            continue
        project_id, project = found
        updated = _updated(project, row, columns)
        if updated[3:] == project[3:]:
            changes.unchanged.append(row)
        else:
            changes.updated.append((project_id, project, updated))
    return changes


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
) -> dict[tuple[str, str], tuple[int, ReadRow]]:
    """The projects of these organisations, by Organisation ID and name, with their numbers."""
    fields = (Project.contact_email, Project.plan, Project.plan_expires_on, Project.search_text)
    query = select(Project.id, Project.organisation_id, Project.name, *fields)
    query = query.where(Project.organisation_id.in_(organisation_ids))
    if hold:
        # In the order of the index: by number, SQLite would read the whole table each time.
        in_order = query.order_by(Project.organisation_id, Project.name)
        query = in_order.with_for_update(of=Project)
    return {
        (organisation_id, name): (
            project_id,
            ReadRow(0, organisation_id, name, email, plan, _as_text(day), text),
        )
        for project_id, organisation_id, name, email, plan, day, text in session.execute(query)
    }


def _updated(project: ReadRow, row: ReadRow, columns: frozenset[str]) -> ReadRow:
    """What a known project becomes: a column that the file has not got stays as it is."""
    kept = [column for column in CHECKS if column not in columns]
    if not kept:
        return row
    row = row._replace(**{column: getattr(project, column) for column in kept})
    return row._replace(search_text=project_search_text(row.name, row.contact_email))


def _write(session: Session, changes: _Changes, now: datetime) -> None:
    """Organisations first, and the Feed, which holds them: the order in which everybody locks."""
    moment = _as_the_driver_takes_it(session, now)
    organisations = [_new_organisation(row, moment) for row in changes.organisations.values()]
    told = [
        (organisation_id, moment, kind.value, subject, feed_search_text(kind, subject))
        for organisation_id, kind, subject in _feed_lines(changes)
    ]
    created = [(*row[1:], USUAL_STATUS, moment, moment) for row in changes.created]
    updated = [(*row[3:], moment, project_id) for project_id, _, row in changes.updated]
    _execute(session, INSERT_ORGANISATION, organisations)
    _execute(session, INSERT_FEED_EVENT, told)
    _execute(session, INSERT_PROJECT, created)
    _execute(session, UPDATE_PROJECT, updated)


def _new_organisation(row: ReadRow, moment: object) -> tuple[object, ...]:
    # The name's folded form is there already, and folding it again is quick.
    text = organisation_search_text(row.search_text.partition("\n")[0], row.organisation_id)
    return row.organisation_id, row.name, text, moment


def _feed_lines(changes: _Changes) -> Iterator[tuple[str, FeedKind, str]]:
    """(Organisation ID, kind, subject) of what the Feed is told.

    Each organisation hears of each of its projects, or only how many if they are very many.
    """
    created, updated = FeedKind.PROJECT_CREATED, FeedKind.PROJECT_UPDATED
    lines = [(row.organisation_id, created, row.name) for row in changes.created]
    lines += [(row.organisation_id, updated, row.name) for *_, row in changes.updated]
    lines.sort(key=itemgetter(0))
    for organisation_id, grouped in groupby(lines, key=itemgetter(0)):
        own = list(grouped)
        if len(own) <= FEED_LINES:
            yield from own
        else:
            kinds = Counter(kind for _, kind, _ in own)
            summary = f"{kinds[created]} created, {kinds[updated]} changed"
            yield organisation_id, FeedKind.PROJECTS_IMPORTED, summary


def _execute(session: Session, statement: str, records: list[Any]) -> None:
    """Straight through the driver: it takes a tenth of the time, and others wait meanwhile."""
    if records:
        connection = session.connection()
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), records)


def _as_the_driver_takes_it(session: Session, now: datetime) -> object:
    dialect = session.connection().dialect
    convert = UTCDateTime().dialect_impl(dialect).bind_processor(dialect)
    return convert(now) if convert else now
