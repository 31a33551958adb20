"""A file of any format as a table: finding its headings, and numbering its lines.

Nothing here knows what a project is: `rows` interprets the lines.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from app.core.errors import InvalidInput
from app.core.text import tidied

MOST_COLUMNS = 1000
HEADINGS_AMONG = 20
"""Among how many lines with text the headings are looked for."""

_CELLS_AMONG = 50_000
_CHARACTERS = 1000
"""Of a heading."""

Recognise = Callable[[Sequence[str]], int]
"""How many of a line's cells are known headings; finds the headings and the delimiter."""


class Line(NamedTuple):
    """A row of cells, and the number of the line on which it begins; of a sheet, its row number.

    A line with a `fault`, a sentence, could not be read, and no line follows it.
    """

    number: int
    cells: list[str]
    fault: str = ""


@dataclass(frozen=True)
class Layout:
    """The delimiter and the sheet that a user chose; None to find them."""

    delimiter: str | None = None
    sheet: str | None = None


AS_IT_SEEMS = Layout()


@dataclass(frozen=True)
class Table:
    """The headings of a file, and an iterator over the lines below them.

    `count_rest` consumes the lines that are left and returns about how many there were. A text
    file has a `delimiter`; a workbook has `sheets`, of which `sheet` is read. `notes` are
    sentences on how the file was read, for the user to check.
    """

    headings: list[str]
    lines: Iterator[Line]
    count_rest: Callable[[], int]
    delimiter: str = ""
    sheets: tuple[str, ...] = ()
    sheet: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Body:
    """The headings and the lines below them; `notes` as in Table."""

    headings: list[str]
    lines: Iterator[Line]
    notes: tuple[str, ...]


def refusal(sentence: str) -> InvalidInput:
    """The error for a file that cannot be read."""
    return InvalidInput("file", sentence)


def nothing_to_import() -> InvalidInput:
    """The error for a file that has headings and nothing else."""
    return refusal("There is nothing to import: the file has a header and no rows.")


def part_headings(lines: Iterator[Line], recognise: Recognise) -> Body:
    """Find the headings among the first lines; `lines` has no blank ones.

    Raises InvalidInput (field "file") if there are no lines or too many columns.
    """
    first: list[Line] = []
    cells = 0
    for line in lines:
        first.append(line)
        cells += len(line.cells)
        if line.fault or len(first) == HEADINGS_AMONG or cells > _CELLS_AMONG:
            break
    if not first:
        raise refusal("The file is empty.")
    if first[0].fault:
        raise refusal(f"Line {first[0].number}: {first[0].fault}")
    place = heading_place([line.cells for line in first], recognise)
    heading = first[place]
    if len(heading.cells) > MOST_COLUMNS:
        raise refusal(
            f"Line {heading.number} names {len(heading.cells)} columns; "
            f"at most {MOST_COLUMNS} can be read."
        )
    notes = () if place == 0 else (_passed_over(heading.number, place),)
    headings = [tidied(cell[:_CHARACTERS]) for cell in heading.cells]
    return Body(headings, chain(first[place + 1 :], lines), notes)


def heading_place(rows: Sequence[Sequence[str]], recognise: Recognise) -> int:
    """The index of the headings among a file's first rows: the row with the most known headings.

    If no row has two, it is the first row with text in more than one cell.
    """
    known = [recognise(row[:MOST_COLUMNS]) for row in rows]
    most = max(known)
    if most > 1:
        return known.index(most)
    filled = (sum(1 for cell in row[:MOST_COLUMNS] if cell.strip()) for row in rows)
    return next((place for place, count in enumerate(filled) if count > 1), 0)


def _passed_over(number: int, count: int) -> str:
    lines = "The line above them is" if count == 1 else f"The {count} lines above them are"
    return f"Line {number} has the headings. {lines} passed over."
