"""A file as a table: its headings and its numbered lines, whatever its format.

Nothing here knows what a project is: `rows` says what the lines mean.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from app.core.errors import InvalidInput
from app.core.text import tidied

MOST_COLUMNS = 1000
HEADINGS_AMONG = 20
"""The headings are looked for among so many lines that hold something."""

_CELLS_AMONG = 50_000
_CHARACTERS = 1000
"""Of a heading."""

Recognise = Callable[[Sequence[str]], int]
"""How many of these headings are known: what tells headings from a title, and delimiters apart."""


class Line(NamedTuple):
    """A row of cells and the line of the file on which it begins; of a sheet, its row.

    With a `fault` it cannot be read, and nothing comes after it.
    """

    number: int
    cells: list[str]
    fault: str = ""


@dataclass(frozen=True)
class Layout:
    """How a file is to be read where that was chosen; None: as it seems right."""

    delimiter: str | None = None
    sheet: str | None = None


AS_IT_SEEMS = Layout()


@dataclass(frozen=True)
class Table:
    """The headings of a file, and the lines that follow, which are read as they are asked for.

    `count_rest` says how many lines are left, about, and leaves none. `delimiter` is what parts
    the columns of a text file; `sheets` are what a workbook has, and `sheet` is the one read.
    `notes` are sentences on how the file was understood, where somebody should have a look.
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
    """Lines, parted into the headings and what follows; `notes` as in Table."""

    headings: list[str]
    lines: Iterator[Line]
    notes: tuple[str, ...]


def refusal(sentence: str) -> InvalidInput:
    """The refusal of a whole file."""
    return InvalidInput("file", sentence)


def nothing_to_import() -> InvalidInput:
    """The refusal of a file that has headings and nothing else."""
    return refusal("There is nothing to import: the file has a header and no rows.")


def part_headings(lines: Iterator[Line], recognise: Recognise) -> Body:
    """Find the headings among the first lines, of which none is blank.

    Raises InvalidInput (field "file") where there are none.
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
    """Which of a file's first rows has the headings: the one with the most that are known.

    Where fewer than two are known it is the first row with text in more than one cell.
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
