"""The rows of a CSV file as projects: finding the columns, and checking each row.

Nothing here uses the database, so that no lock is held during this work.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, BinaryIO

from app.core.errors import InvalidInput
from app.core.text import fold
from app.projects.csv_file import Line, Table, nothing_to_import, open_table
from app.projects.fields import IMPORTED, Field, ProjectFields
from app.projects.rules import project_search_text

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
    """

    rows: list[ReadRow]
    bad_rows: list[BadRow]
    columns: frozenset[str]


def read_projects(
    file: BinaryIO,
    *,
    named_columns: Mapping[str, str | None] | None = None,
    columns: Mapping[str, int] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> ReadFile:
    """Read and check a CSV file.

    `columns` gives the position of each field's column, the first being 0. Without it,
    `named_columns` gives the heading of a field's column; for a field that is missing there, or
    None, the usual headings are tried. `progress` is called now and then with the number of bytes
    read so far. Raises InvalidInput (field "file") if the file cannot be read, and the errors of
    `choose_columns`.
    """
    with open_table(file) as table:
        if columns is None:
            columns = choose_columns(table.headings, named_columns or {})
        return _read(table, columns, lambda: progress(file.tell()))


def choose_columns(
    headings: Sequence[str], named_columns: Mapping[str, str | None]
) -> dict[str, int]:
    """The positions of the fields' columns: those named, else those with the usual headings.

    Raises InvalidInput, with the field's name, if a named column is missing, a heading occurs
    twice, or a required field has no column.
    """
    columns = {}
    for field in IMPORTED:
        position = _find_column(field, named_columns.get(field.name), headings)
        if position is not None:
            columns[field.name] = position
        elif field.required:
            raise InvalidInput(
                field.name,
                f"No heading says which column holds {field.column.holds}: name one. "
                f"{_list_headings(headings)}",
            )
    return columns


def guess_columns(headings: Sequence[str]) -> dict[str, int]:
    """The positions of the fields' columns by the usual headings; unclear ones are left out."""
    columns = {}
    for field in IMPORTED:
        with suppress(InvalidInput):
            position = _find_column(field, None, headings)
            if position is not None:
                columns[field.name] = position
    return columns


def _find_column(field: Field, named: str | None, headings: Sequence[str]) -> int | None:
    """The position of a field's column: the named one, else one with a usual heading, or None.

    Raises InvalidInput if a named column is missing, or if the heading occurs twice.
    """
    if named is not None:
        return _position_of(field, named.strip(), headings, headings)
    plain = [re.sub(r"[^a-z0-9]", "", fold(heading)) for heading in headings]
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
    shown = ", ".join(f"“{heading[:60]}”" for heading in headings[:30])
    more = f" and {len(headings) - 30} more" if len(headings) > 30 else ""
    return f"The first line of the file has: {shown}{more}."


def _read(table: Table, columns: Mapping[str, int], report: Callable[[], None]) -> ReadFile:
    rows: list[ReadRow] = []
    bad_rows: list[BadRow] = []
    positions = [(field, columns[field.name]) for field in IMPORTED if field.name in columns]
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
    return ReadFile(rows, bad_rows, frozenset(columns))


def _read_row(line: Line, width: int, positions: Iterable[tuple[Field, int]]) -> ReadRow | BadRow:
    """The checked row, or all the reasons why it cannot be imported."""
    if line.fault:
        return BadRow(line.number, line.fault)
    if len(line.cells) != width:
        reason = f"The row has {len(line.cells)} cells, the header has {width}."
        return BadRow(line.number, reason)
    values: dict[str, Any] = {}
    reasons = []
    for field, position in positions:
        try:
            values[field.name] = field.check(line.cells[position])
        except InvalidInput as error:
            reasons.append(error.detail)
    if reasons:
        return BadRow(line.number, " ".join(reasons))
    # A new organisation is named after its first project.
    fields = {"organisation_name": values["name"]} | values
    search_text = project_search_text(values["name"], values.get("contact_email", ""))
    return ReadRow(line=line.number, search_text=search_text, **fields)


def _duplicates(rows: Iterable[ReadRow]) -> Iterator[BadRow]:
    """The rows whose project is on an earlier line of the file as well."""
    for _, own in groupby(rows, key=BY_ORGANISATION):
        first_lines: dict[str, int] = {}
        for row in own:
            first = first_lines.setdefault(row.name, row.line)
            if first != row.line:
                yield BadRow(row.line, f"Same project as line {first}.")
