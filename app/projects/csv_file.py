"""Reading a CSV file: its encoding, its delimiter, its headings and its lines.

Nothing here knows what a project is: `rows` interprets the lines.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from app.core.errors import InvalidInput

if TYPE_CHECKING:
    from _csv import Reader

MOST_COLUMNS = 1000
_DELIMITERS = ",;\t"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of spreadsheet programs' own files."""


class Line(NamedTuple):
    """A row of cells, and the number of the line on which it begins (the headings are line 1).

    A line with a `fault`, a sentence, could not be read, and no line follows it.
    """

    number: int
    cells: list[str]
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """The headings of a file, and an iterator over the lines below them.

    `count_rest` consumes the lines that are left and returns about how many there were.
    """

    headings: list[str]
    lines: Iterator[Line]
    count_rest: Callable[[], int]


@dataclass(frozen=True)
class Head:
    """The beginning of a file: its headings and its first rows, not checked.

    `more_lines` is how many lines follow, approximately.
    """

    headings: list[str]
    rows: list[list[str]]
    more_lines: int


@contextmanager
def open_table(file: BinaryIO) -> Iterator[Table]:
    """The table in a CSV file (UTF-8, with or without BOM); `file` is not closed.

    Raises InvalidInput (field "file") if the file cannot be read, possibly only while its lines
    are being read.
    """
    _refuse_other_formats(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        yield _table(text)
    except UnicodeDecodeError:
        raise _refusal(
            f"Line {_first_line_not_utf_8(file)} is not UTF-8 text. "
            "Save the file as “CSV UTF-8” and try again."
        ) from None
    finally:
        text.detach()


def read_head(file: BinaryIO, *, rows: int) -> Head:
    """The headings and at most `rows` rows of a file, which is read to its end.

    Raises InvalidInput (field "file") if the file cannot be read or has no rows.
    """
    with open_table(file) as table:
        first = list(islice(table.lines, rows))
        if not first:
            raise nothing_to_import()
        more_lines = table.count_rest()
    return Head(table.headings, [line.cells for line in first if not line.fault], more_lines)


def nothing_to_import() -> InvalidInput:
    """The error for a file that has headings and nothing else."""
    return _refusal("There is nothing to import: the file has a header and no rows.")


def _refusal(sentence: str) -> InvalidInput:
    return InvalidInput("file", sentence)


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


def _table(text: io.TextIOWrapper) -> Table:
    header = text.readline()
    if not header.strip(' ,;\t\r\n"'):
        raise _refusal("The file is empty, or its first line is: that line names the columns.")
    delimiter = max(_DELIMITERS, key=header.count)
    lines = _numbered(csv.reader(chain([header], text), delimiter=delimiter, strict=True))
    first = next(lines)
    if first.fault:
        raise _refusal(f"Line 1: {first.fault}")
    if len(first.cells) > MOST_COLUMNS:
        raise _refusal(
            f"The first line names {len(first.cells)} columns; at most {MOST_COLUMNS} can be read."
        )
    return Table([name.strip() for name in first.cells], lines, lambda: _count_lines(text))


def _numbered(reader: "Reader") -> Iterator[Line]:
    """The rows of a file, without blank ones.

    Where the file stops being valid CSV, a last line gives the reason as its `fault`.
    """
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, [], f"From here on it is no CSV ({error}); the rest was not read.")
            return
        if number == 1 or "".join(cells).strip():
            yield Line(number, cells)


def _count_lines(text: io.TextIOWrapper) -> int:
    return sum(part.count("\n") for part in iter(lambda: text.read(1 << 16), ""))
