"""Reading a CSV file: its encoding, its delimiter, its headings and its lines."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import TYPE_CHECKING, BinaryIO

from app.projects.encodings import WINDOWS, find_encoding
from app.projects.tables import (
    HEADINGS_AMONG,
    Layout,
    Line,
    Recognise,
    Table,
    heading_place,
    part_headings,
    refusal,
)

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""The delimiters, and their names."""

_SAMPLE = 1 << 16
"""How many characters are looked at to find the delimiter."""

_LINES_COMPARED = 50
_SAYS_DELIMITER = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*\s*', re.IGNORECASE)
"""A first line that tells Excel the delimiter; some programs write it."""

_READ_AS_WINDOWS = (
    "The file is not UTF-8 and was read as Windows-1252. If letters with accents are wrong, save "
    "it as “CSV UTF-8”."
)


@contextmanager
def open_csv(file: BinaryIO, layout: Layout, recognise: Recognise) -> Iterator[Table]:
    """The table in a CSV file; `file` is not closed.

    Raises InvalidInput (field "file") if the file cannot be read.
    """
    encoding = find_encoding(file)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield _table(text, layout, recognise, encoding)
    finally:
        text.detach()


def _table(text: io.TextIOWrapper, layout: Layout, recognise: Recognise, encoding: str) -> Table:
    sample = text.read(_SAMPLE)
    text.seek(0)
    _refuse_what_has_no_cells(sample)
    said = _SAYS_DELIMITER.fullmatch(next(iter(io.StringIO(sample, newline="")), ""))
    if said:
        text.readline()
        sample = sample[said.end() :]
    delimiter = layout.delimiter or (said[1] if said else find_delimiter(sample, recognise))
    lines = _numbered(_reader(text, delimiter), 1 if said else 0)
    body = part_headings(lines, recognise)
    notes = body.notes + ((_READ_AS_WINDOWS,) if encoding == WINDOWS else ())
    return Table(body.headings, body.lines, lambda: _count_lines(text), delimiter, notes=notes)


def _refuse_what_has_no_cells(sample: str) -> None:
    """Refuse a file of delimiters alone, and the web pages and XML that some call Excel files."""
    if not sample.strip('",;|\t\r\n '):
        raise refusal("The file is empty.")
    if re.match(r"\s*<(!doctype|html|table|\?xml|head|meta)\b", sample, re.IGNORECASE):
        raise refusal(
            "This is a web page or XML and not a CSV file, whatever its name says. Open it in a "
            "spreadsheet program and save it as .xlsx or “CSV UTF-8”."
        )


def find_delimiter(sample: str, recognise: Recognise) -> str:
    """The delimiter that gives the most known headings, and even rows."""
    return max(DELIMITERS, key=lambda delimiter: _merit(sample, delimiter, recognise))


def _merit(sample: str, delimiter: str, recognise: Recognise) -> tuple[float, ...]:
    """How well a delimiter suits the beginning of a file; greater is better."""
    numbered = _numbered(_reader(io.StringIO(sample, newline=""), delimiter))
    lines = list(islice(numbered, _LINES_COMPARED))
    if len(sample) == _SAMPLE:
        lines = lines[:-1] or lines
    rows = [line.cells for line in lines if not line.fault]
    if not rows:
        return (0,)
    place = heading_place(rows[:HEADINGS_AMONG], recognise)
    headings, following = rows[place], lines[place + 1 :]
    width = len(headings)
    even = sum(1 for line in following if 1 < _filled(line.cells) <= width)
    prose = sample.count(f"{delimiter} ")
    return (recognise(headings), even / len(following) if following else 0, width, -prose)


def _filled(cells: list[str]) -> int:
    """How many cells a row has, without blank ones at its end."""
    blank = takewhile(lambda cell: not cell.strip(), reversed(cells))
    return len(cells) - sum(1 for _ in blank)


def _reader(text: io.TextIOBase, delimiter: str) -> "Reader":
    return csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=True)


def _numbered(reader: "Reader", lines_before: int = 0) -> Iterator[Line]:
    """The rows of a file, without blank ones.

    Where the file stops being valid CSV, a last line gives the reason as its `fault`.
    """
    while True:
        number = reader.line_num + 1 + lines_before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(
                number, [], f"From here on it is not valid CSV ({error}); the rest was not read."
            )
            return
        if "".join(cells).strip():
            yield Line(number, cells)


def _count_lines(text: io.TextIOWrapper) -> int:
    """How many line endings are left: those of Unix, Windows or old Macintoshes."""
    portions = iter(lambda: text.read(1 << 16), "")
    return sum(max(portion.count("\n"), portion.count("\r")) for portion in portions)
