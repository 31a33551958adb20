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
    """The beginning of a file: its table and its first rows, not checked.

    `more_lines` is how many lines follow, approximately.
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
    """The table in a CSV file or in a sheet of a workbook; `file` is not closed.

    Raises InvalidInput (field "file" or "sheet") if the file cannot be read, possibly only while
    its lines are being read.
    """
    opened = open_workbook if is_workbook(file) else open_csv
    return opened(file, layout, recognise)


def read_head(file: BinaryIO, layout: Layout, recognise: Recognise, *, rows: int) -> Head:
    """The headings and at most `rows` rows of a file, which is read to its end.

    Raises InvalidInput (field "file" or "sheet") if the file cannot be read or has no rows.
    """
    with open_table(file, layout, recognise) as table:
        first = list(islice(table.lines, rows))
        if not first:
            raise nothing_to_import()
        more_lines = table.count_rest()
    return Head(table, [line.cells for line in first if not line.fault], more_lines)
