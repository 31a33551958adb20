"""Importing projects from a CSV file, whatever its columns are called: all of it or nothing.

Reading and checking (`read_projects`) touch no database and come first; `import_projects` writes
what was read in the caller's transaction, as fast as it can, because other writers wait.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.actor import Actor
from app.audit.services import record
from app.audit.tags import AuditTag
from app.errors import Conflict, InvalidInput
from app.models import Organisation, Project
from app.models.types import UTCDateTime
from app.permissions import Permission
from app.projects.rules import (
    USUAL_STATUS,
    check_contact_email,
    check_organisation_id,
    check_plan,
    check_plan_expiry,
    check_project_name,
    fold,
    organisation_search_text,
    project_search_text,
)

if TYPE_CHECKING:
    from _csv import Reader

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

_BY_ORGANISATION = attrgetter("organisation_id")
REPORT_EVERY = 5000
WRITE_AT_ONCE = 5000

INSERT_ORGANISATION = (
    "INSERT INTO organisations (id, name, search_text, created_at) VALUES (?, ?, ?, ?)"
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

    created: int
    updated: int
    unchanged: int
    organisations_created: int


def read_projects(
    file: BinaryIO,
    *,
    named_columns: Mapping[str, str | None],
    progress: Callable[[int], None] = lambda _: None,
) -> ReadFile:
    """Read and check a CSV file (UTF-8, with or without BOM).

    `named_columns` says which heading stands for which of CHECKS; for one that is not named, or
    None, the usual headings are tried. `progress` is told the bytes read so far, now and then.
    Raises InvalidInput (field "file") for a file that cannot be read at all.
    """
    _refuse_utf_16(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        return _read(text, named_columns, lambda: progress(file.tell()))
    except UnicodeDecodeError:
        raise _refusal(
            f"Line {_first_line_not_utf_8(file)} is not UTF-8 text. "
            "Save the file as “CSV UTF-8” and try again."
        ) from None
    finally:
        text.detach()


def import_projects(
    session: Session,
    *,
    actor: Actor,
    file: ReadFile,
    file_name: str,
    now: datetime,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportResult:
    """Make or update the projects of a file without bad rows; with `dry_run` only count them.

    A known organisation keeps its name; a new one is named by its first row. A project that is
    there already, by Organisation ID and name, gets what the file's columns say. `progress` is
    told the rows done so far, now and then. Raises NotAllowed, and Conflict if somebody else made
    the same organisation or project at the same moment.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    moment = _as_the_driver_takes_it(session, now)
    counts: Counter[str] = Counter()
    done = 0
    try:
        for rows in _portions(file.rows):
            changes = _compare(session, rows, file.columns, moment)
            counts["created"] += len(changes.projects)
            counts["updated"] += len(changes.updates)
            counts["organisations"] += len(changes.organisations)
            if not dry_run:
                _write(session, INSERT_ORGANISATION, [*changes.organisations.values()])
                _write(session, INSERT_PROJECT, changes.projects)
                _write(session, UPDATE_PROJECT, changes.updates)
            done += len(rows)
            progress(done)
    except IntegrityError:
        raise Conflict(
            "Somebody else made one of these organisations or projects at the same moment. "
            "Nothing was imported; import the file again."
        ) from None
    result = ImportResult(
        created=counts["created"],
        updated=counts["updated"],
        unchanged=len(file.rows) - counts["created"] - counts["updated"],
        organisations_created=counts["organisations"],
    )
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
    plain = [re.sub(r"[^a-z0-9]", "", fold(heading)) for heading in headings]
    for column in CHECKS:
        named = named_columns.get(column)
        if named is not None:
            columns[column] = _position(column, named.strip(), headings, headings)
            continue
        usual = next((usual for usual in USUAL_HEADINGS[column] if usual in plain), None)
        if usual is not None:
            columns[column] = _position(column, usual, plain, headings)
        elif column in REQUIRED:
            raise InvalidInput(
                column,
                f"No heading says which column holds {WORDS[column]}: name one. {_found(headings)}",
            )
    return columns


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


def _read(
    text: io.TextIOWrapper, named_columns: Mapping[str, str | None], report: Callable[[], None]
) -> ReadFile:
    header = text.readline()
    if not header.strip(' ,;\t\r\n"'):
        raise _refusal("The file is empty, or its first line is: that line names the columns.")
    delimiter = max(",;\t", key=header.count)
    lines = _numbered(csv.reader(chain([header], text), delimiter=delimiter, strict=True))
    _, names = next(lines)
    if isinstance(names, str):
        raise _refusal(f"Line 1: {names}")
    columns = choose_columns([name.strip() for name in names], named_columns)
    rows: list[ReadRow] = []
    bad_rows: list[BadRow] = []
    for number, (line, cells) in enumerate(lines):
        if number % REPORT_EVERY == 0:
            report()
        row = _read_row(line, cells, len(names), columns)
        if isinstance(row, BadRow):
            bad_rows.append(row)
        else:
            rows.append(row)
    report()
    if not rows and not bad_rows:
        raise _refusal("There is nothing to import: the file has a header and no rows.")
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


def _numbered(reader: "Reader") -> Iterator[tuple[int, list[str] | str]]:
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


def _refuse_utf_16(file: BinaryIO) -> None:
    start = file.read(2)
    file.seek(0)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\x00" in start:
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
    """What some rows change, as the three statements take it."""

    organisations: dict[str, tuple[object, ...]] = field(default_factory=dict)
    projects: list[tuple[object, ...]] = field(default_factory=list)
    updates: list[tuple[object, ...]] = field(default_factory=list)


def _compare(
    session: Session, rows: list[ReadRow], columns: frozenset[str], moment: object
) -> _Changes:
    known = _known_organisations(session, {row.organisation_id for row in rows})
    projects = _projects_of(session, known)
    changes = _Changes()
    for row in rows:
        if row.organisation_id not in known and row.organisation_id not in changes.organisations:
            changes.organisations[row.organisation_id] = _new_organisation(row, moment)
        found = projects.get((row.organisation_id, row.name))
        if found is None:
            changes.projects.append((*row[1:], USUAL_STATUS, moment, moment))
            continue
        project_id, project = found
        updated = _updated(project, row, columns)
        if updated[3:] != project[3:]:
            changes.updates.append((*updated[3:], moment, project_id))
    return changes


def _known_organisations(session: Session, organisation_ids: Collection[str]) -> set[str]:
    """Those that are there already, held until the commit."""
    query = select(Organisation.id).where(Organisation.id.in_(organisation_ids))
    held = query.order_by(Organisation.id).with_for_update(key_share=True)
    return set(session.scalars(held))


def _projects_of(
    session: Session, organisation_ids: Collection[str]
) -> dict[tuple[str, str], tuple[int, ReadRow]]:
    """The projects of these organisations, by Organisation ID and name, with their numbers.

    They are held until the commit: what somebody edits meanwhile is not undone.
    """
    fields = (Project.contact_email, Project.plan, Project.plan_expires_on, Project.search_text)
    query = select(Project.id, Project.organisation_id, Project.name, *fields)
    own = query.where(Project.organisation_id.in_(organisation_ids))
    # In the order of the index: by number, SQLite would read the whole table for each portion.
    held = own.order_by(Project.organisation_id, Project.name).with_for_update(of=Project)
    return {
        (organisation_id, name): (
            project_id,
            ReadRow(0, organisation_id, name, email, plan, _as_text(day), text),
        )
        for project_id, organisation_id, name, email, plan, day, text in session.execute(held)
    }


def _new_organisation(row: ReadRow, moment: object) -> tuple[object, ...]:
    # The name's folded form is there already, and folding it again is quick.
    text = organisation_search_text(row.search_text.partition("\n")[0], row.organisation_id)
    return row.organisation_id, row.name, text, moment


def _updated(project: ReadRow, row: ReadRow, columns: frozenset[str]) -> ReadRow:
    """What a known project becomes: a column that the file has not got stays as it is."""
    kept = [column for column in CHECKS if column not in columns]
    if not kept:
        return row
    row = row._replace(**{column: getattr(project, column) for column in kept})
    return row._replace(search_text=project_search_text(row.name, row.contact_email))


def _write(session: Session, statement: str, records: list[tuple[object, ...]]) -> None:
    """Straight through the driver: it takes a tenth of the time, and others wait meanwhile."""
    if records:
        connection = session.connection()
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), records)


def _as_the_driver_takes_it(session: Session, now: datetime) -> object:
    dialect = session.connection().dialect
    convert = UTCDateTime().dialect_impl(dialect).bind_processor(dialect)
    return convert(now) if convert else now
