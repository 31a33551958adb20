"""The rows of a file as projects: which column is which, and what each row says.

No database is touched here: all that can be worked out is, before others have to wait.
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
BY_ORGANISATION = attrgetter("organisation_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow(ProjectFields):
    """A row that was checked. The header is line 1; `line` is where the row begins."""

    line: int
    search_text: str


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be imported. The header is line 1; `line` is where the row begins."""

    line: int
    reason: str


@dataclass(frozen=True)
class ReadFile:
    """What a file says. `columns` are the names of the fields that it has.

    The rows are sorted by Organisation ID, and stand within an organisation as in the file.
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
    """Read and check a file that `csv_file` can read.

    `columns` says where the fields are, the first column being 0. Without it `named_columns` says
    which heading stands for which; for one that is not named, or None, the usual headings are
    tried. `progress` is told the bytes read so far, now and then.
    Raises InvalidInput (field "file") for a file that cannot be read at all.
    """
    with open_table(file) as table:
        if columns is None:
            columns = choose_columns(table.headings, named_columns or {})
        return _read(table, columns, lambda: progress(file.tell()))


def choose_columns(
    headings: Sequence[str], named_columns: Mapping[str, str | None]
) -> dict[str, int]:
    """Where the imported fields are: as named, else by the usual headings.

    Raises InvalidInput, whose field is the one whose column was not found, was there twice, or is
    needed and could not be told.
    """
    columns = {}
    for field in IMPORTED:
        place = _place(field, named_columns.get(field.name), headings)
        if place is not None:
            columns[field.name] = place
        elif field.required:
            raise InvalidInput(
                field.name,
                f"No heading says which column holds {field.column.holds}: name one. "
                f"{_found(headings)}",
            )
    return columns


def guess_columns(headings: Sequence[str]) -> dict[str, int]:
    """Where the fields are by the usual headings; what cannot be told is left out."""
    columns = {}
    for field in IMPORTED:
        with suppress(InvalidInput):
            place = _place(field, None, headings)
            if place is not None:
                columns[field.name] = place
    return columns


def _place(field: Field, named: str | None, headings: Sequence[str]) -> int | None:
    """Where a field's column is: as named, else by the usual headings; None if it is not there.

    Raises InvalidInput if it is named and not there, or there twice.
    """
    if named is not None:
        return _position(field, named.strip(), headings, headings)
    plain = [re.sub(r"[^a-z0-9]", "", fold(heading)) for heading in headings]
    usual = next((usual for usual in field.column.headings if usual in plain), None)
    return None if usual is None else _position(field, usual, plain, headings)


def _position(field: Field, wanted: str, among: Sequence[str], headings: Sequence[str]) -> int:
    places = [place for place, heading in enumerate(among) if heading == wanted]
    if not places:
        raise InvalidInput(field.name, f"There is no column “{wanted}”. {_found(headings)}")
    if len(places) > 1:
        raise InvalidInput(
            field.name,
            f"“{headings[places[0]]}” heads {len(places)} columns: rename all but one of them.",
        )
    return places[0]


def _found(headings: Sequence[str]) -> str:
    shown = ", ".join(f"“{heading[:60]}”" for heading in headings[:30])
    more = f" and {len(headings) - 30} more" if len(headings) > 30 else ""
    return f"The first line of the file has: {shown}{more}."


def _read(table: Table, columns: Mapping[str, int], report: Callable[[], None]) -> ReadFile:
    rows: list[ReadRow] = []
    bad_rows: list[BadRow] = []
    places = [(field, columns[field.name]) for field in IMPORTED if field.name in columns]
    width = len(table.headings)
    for number, line in enumerate(table.lines):
        if number % REPORT_EVERY == 0:
            report()
        row = _read_row(line, width, places)
        if isinstance(row, BadRow):
            bad_rows.append(row)
        else:
            rows.append(row)
    report()
    if not rows and not bad_rows:
        raise nothing_to_import()
    rows.sort(key=BY_ORGANISATION)
    bad_rows.extend(_twins(rows))
    bad_rows.sort(key=attrgetter("line"))
    return ReadFile(rows, bad_rows, frozenset(columns))


def _read_row(line: Line, width: int, places: Iterable[tuple[Field, int]]) -> ReadRow | BadRow:
    """What a row says, or every reason why it cannot be used."""
    if line.fault:
        return BadRow(line.number, line.fault)
    if len(line.cells) != width:
        reason = f"The row has {len(line.cells)} cells, the header has {width}."
        return BadRow(line.number, reason)
    values: dict[str, Any] = {}
    reasons = []
    for field, place in places:
        try:
            values[field.name] = field.check(line.cells[place])
        except InvalidInput as error:
            reasons.append(error.detail)
    if reasons:
        return BadRow(line.number, " ".join(reasons))
    # An organisation that is not known yet is named by its first project.
    fields = {"organisation_name": values["name"]} | values
    search_text = project_search_text(values["name"], values.get("contact_email", ""))
    return ReadRow(line=line.number, search_text=search_text, **fields)


def _twins(rows: Iterable[ReadRow]) -> Iterator[BadRow]:
    """The rows whose project stands further up in the file already."""
    for _, own in groupby(rows, key=BY_ORGANISATION):
        first_lines: dict[str, int] = {}
        for row in own:
            first = first_lines.setdefault(row.name, row.line)
            if first != row.line:
                yield BadRow(row.line, f"The same project stands on line {first} already.")
