"""Opening a file, whatever its format."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from app.projects.csv_file import open_csv
from app.projects.tables import Layout, Recognise, Table, nothing_to_import
from app.projects.workbook import is_workbook, open_workbook


@dataclass(frozen=True)
class Head:
    """How a file begins: its table, and its first rows, whatever they hold.

    `more_lines` is how many lines follow.
    """

    table: Table
    rows: list[list[str]]
    more_lines: int

    @property
    def headings(self) -> list[str]:
        return self.table.headings


def open_table(
    file: BinaryIO, layout: Layout, recognise: Recognise
) -> AbstractContextManager[Table]:
    """What a CSV file or a sheet of a workbook holds; the file stays open.

    Raises InvalidInput (field "file" or "sheet") for one that cannot be read at all, also while
    its lines are read.
    """
    opened = open_workbook if is_workbook(file) else open_csv
    return opened(file, layout, recognise)


def read_head(file: BinaryIO, layout: Layout, recognise: Recognise, *, rows: int) -> Head:
    """The headings and at most `rows` rows of a file.

    Raises InvalidInput (field "file" or "sheet") for a file that cannot be read at all.
    """
    with open_table(file, layout, recognise) as table:
        first = list(islice(table.lines, rows))
        if not first:
            raise nothing_to_import()
        more_lines = table.count_rest()
    return Head(table, [line.cells for line in first if not line.fault], more_lines)
