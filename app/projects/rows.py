"""The rows of a file as projects: finding the columns, and checking each row.

Nothing here uses the database, so that no lock is held during this work.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, BinaryIO

from app.core.errors import InvalidInput
from app.core.text import counted, fold, shortened, tidied
from app.projects.fields import FIELDS, GUESSED, Field, ProjectFields
from app.projects.reading import open_table
from app.projects.rules import project_search_text
from app.projects.tables import AS_IT_SEEMS, Layout, Line, Table, nothing_to_import

REPORT_EVERY = 5000
"""After how many rows progress is reported."""
BY_ORGANISATION = attrgetter("organisation_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow(ProjectFields):
    """A row that passed the checks. It begins on line `line`; the header is line 1."""

    line: int
    search_text: str


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be imported. It begins on line `line`; the header is line 1."""

    line: int
    reason: str


@dataclass(frozen=True)
class ReadFile:
    """The content of a file. `columns` are the names of the fields that it has.

    The rows are sorted by Organisation ID, those of one organisation in the file's order.
    `unused` has the headings of the other columns, `notes` sentences on how the file was read.
    """

    rows: list[ReadRow]
    bad_rows: list[BadRow]
    columns: frozenset[str]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_projects(
    file: BinaryIO,
    *,
    named_columns: Mapping[str, str | None] | None = None,
    columns: Mapping[str, int] | None = None,
    layout: Layout = AS_IT_SEEMS,
    progress: Callable[[int], None] = lambda _: None,
) -> ReadFile:
    """Read and check a CSV file, or a sheet of a workbook.

    `columns` gives the position of each field's column, the first being 0. Without it,
    `named_columns` gives the heading of a field's column, or "" if there is none; for a field
    that is missing there, or None, the usual headings are tried. `progress` is called now and
    then with the number of bytes read so far. Raises InvalidInput (field "file" or "sheet") if the
    file cannot be read, and the errors of `choose_columns`.
    """
    named = named_columns or {}
    with open_table(file, layout, lambda headings: len(guess_columns(headings, named))) as table:
        if columns is None:
            columns = choose_columns(table.headings, named)
        return _read(table, columns, lambda: progress(file.tell()))


def choose_columns(
    headings: Sequence[str], named_columns: Mapping[str, str | None]
) -> dict[str, int]:
    """The positions of the fields' columns: those named, else those with the usual headings.

    Raises InvalidInput, with the field's name, if a named column is missing, a heading occurs
    twice, or a required field has no column.
    """
    columns: dict[str, int] = {}
    for field in GUESSED:
        named = named_columns.get(field.name)
        position = _find_column(field, named, headings, columns.values())
        if position is not None:
            columns[field.name] = position
        elif field.column.holds:
            raise InvalidInput(
                field.name,
                f"No heading says which column holds {field.column.holds}: name one. "
                f"{_list_headings(headings)}",
            )
    return columns


def guess_columns(
    headings: Sequence[str], named_columns: Mapping[str, str | None] | None = None
) -> dict[str, int]:
    """The positions of the fields' columns as `choose_columns` has them; unclear ones left out."""
    columns: dict[str, int] = {}
    for field in GUESSED:
        named = (named_columns or {}).get(field.name)
        with suppress(InvalidInput):
            position = _find_column(field, named, headings, columns.values())
            if position is not None:
                columns[field.name] = position
    return columns


def name_unused(headings: Sequence[str]) -> str:
    """A sentence that names the columns that are not used; blank if there are none."""
    if not headings:
        return ""
    verb = "is" if len(headings) == 1 else "are"
    return f"{counted(len(headings), 'column')} {verb} not used: {_listed(headings)}."


def _find_column(
    field: Field, named: str | None, headings: Sequence[str], taken: Collection[int]
) -> int | None:
    """The position of a field's column: the named one, else one with a usual heading, or None.

    Usual headings of columns `taken` by other fields do not count. Raises InvalidInput if a named
    column is missing, or if the heading occurs twice.
    """
    if named is not None:
        named = tidied(named)
        return _position_of(field, named, headings, headings) if named else None
    plain = [
        "" if position in taken else re.sub(r"[^a-z0-9]", "", fold(heading))
        for position, heading in enumerate(headings)
    ]
    usual = next((usual for usual in field.column.headings if usual in plain), None)
    return None if usual is None else _position_of(field, usual, plain, headings)


def _position_of(field: Field, wanted: str, among: Sequence[str], headings: Sequence[str]) -> int:
    positions = [position for position, heading in enumerate(among) if heading == wanted]
    if not positions:
        raise InvalidInput(field.name, f"There is no column “{wanted}”. {_list_headings(headings)}")
    if len(positions) > 1:
        raise InvalidInput(
            field.name,
            f"“{headings[positions[0]]}” heads {len(positions)} columns: "
            "rename all but one of them.",
        )
    return positions[0]


def _list_headings(headings: Sequence[str]) -> str:
    return f"The file's headings are: {_listed(headings)}."


def _listed(headings: Sequence[str]) -> str:
    shown = ", ".join(f"“{shortened(heading, 60)}”" for heading in headings[:30])
    more = f" and {len(headings) - 30} more" if len(headings) > 30 else ""
    return shown + more


def _read(table: Table, columns: Mapping[str, int], report: Callable[[], None]) -> ReadFile:
    rows: list[ReadRow] = []
    bad_rows: list[BadRow] = []
    positions = [(field, columns[field.name]) for field in FIELDS if field.name in columns]
    width = len(table.headings)
    for number, line in enumerate(table.lines):
        if number % REPORT_EVERY == 0:
            report()
        row = _read_row(line, width, positions)
        if isinstance(row, BadRow):
            bad_rows.append(row)
        else:
            rows.append(row)
    report()
    if not rows and not bad_rows:
        raise nothing_to_import()
    rows.sort(key=BY_ORGANISATION)
    bad_rows.extend(_duplicates(rows))
    bad_rows.sort(key=attrgetter("line"))
    used = set(columns.values())
    unused = (heading for position, heading in enumerate(table.headings) if position not in used)
    return ReadFile(rows, bad_rows, frozenset(columns), tuple(filter(None, unused)), table.notes)


def _read_row(line: Line, width: int, positions: Iterable[tuple[Field, int]]) -> ReadRow | BadRow:
    """The checked row, or all the reasons why it cannot be imported."""
    if line.fault:
        return BadRow(line.number, line.fault)
    cells = line.cells
    if len(cells) > width and "".join(cells[width:]).strip():
        reason = f"The row has {len(cells)} cells, the header has {width}."
        return BadRow(line.number, reason)
    values: dict[str, Any] = {}
    reasons = []
    for field, position in positions:
        try:
            # Spreadsheets leave out blank cells at the end of a row.
            text = cells[position] if position < len(cells) else ""
            values[field.name] = field.check(text if text.strip() else field.usual)
        except InvalidInput as error:
            reasons.append(error.detail)
    if reasons:
        return BadRow(line.number, " ".join(reasons))
    values.setdefault("organisation_name", "")
    search_text = project_search_text(values["name"], values.get("contact_email", ""))
    return ReadRow(line=line.number, search_text=search_text, **values)


def _duplicates(rows: Iterable[ReadRow]) -> Iterator[BadRow]:
    """The rows whose project is on an earlier line of the file as well."""
    for _, own in groupby(rows, key=BY_ORGANISATION):
        first_lines: dict[str, int] = {}
        for row in own:
            first = first_lines.setdefault(row.name, row.line)
            if first != row.line:
                yield BadRow(row.line, f"Same project as line {first}.")
