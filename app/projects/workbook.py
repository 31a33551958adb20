"""Reading a sheet of an .xlsx workbook, as Excel, LibreOffice and others save it.

Workbooks come from outside. The unpacked size is checked before anything is unpacked, and one row
is read at a time, so that a small file that is huge inside costs little.
"""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import islice
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from app.core.errors import InvalidInput
from app.projects.tables import Layout, Line, Recognise, Table, part_headings, refusal

MOST_UNPACKED = 200 * 1024 * 1024
_MOST_PARTS = 5000
_MOST_ROWS = 1_048_576
"""The most rows that a sheet can have."""

_ZIP = b"PK\x03\x04"
_OLD = b"\xd0\xcf\x11\xe0"
_PADDED = re.compile("0{2,}")

warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")


def is_workbook(file: BinaryIO) -> bool:
    """Whether a file begins like a workbook, new or old."""
    start = file.read(4)
    file.seek(0)
    return start in (_ZIP, _OLD)


def unpacked_size(file: BinaryIO) -> int:
    """A workbook's unpacked size in bytes, as its directory states it.

    `zipfile` never unpacks more than that. Raises InvalidInput (field "file") if it is no workbook.
    """
    start = file.read(4)
    file.seek(0)
    if start == _OLD:
        raise refusal(
            "This is a workbook of an old Excel, or one with a password. "
            "Save it as .xlsx without a password, or as “CSV UTF-8”."
        )
    try:
        with ZipFile(file) as archive:
            parts = archive.infolist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        raise _damaged() from None
    finally:
        file.seek(0)
    if not any(part.filename == "[Content_Types].xml" for part in parts):
        raise refusal(
            "This is neither a CSV file nor an .xlsx workbook. "
            "Open it in a spreadsheet program and save it as .xlsx or “CSV UTF-8”."
        )
    if len(parts) > _MOST_PARTS:
        raise _too_large()
    return sum(part.file_size for part in parts)


@contextmanager
def open_workbook(file: BinaryIO, layout: Layout, recognise: Recognise) -> Iterator[Table]:
    """The table in a sheet, the chosen one or the first with rows; `file` is not closed.

    Raises InvalidInput (field "file") if the workbook cannot be read, possibly only while its rows
    are being read, and (field "sheet") if the chosen sheet is missing.
    """
    if unpacked_size(file) > MOST_UNPACKED:
        raise _too_large()
    book = _opened(file)
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        sheet = _chosen(layout.sheet, sheets, book.worksheets)
        lines = _numbered(sheet.iter_rows())
        body = part_headings(lines, recognise)
        yield Table(
            body.headings,
            body.lines,
            lambda: sum(1 for _ in body.lines),
            sheets=tuple(sheet.title for sheet in sheets),
            sheet=sheet.title,
            notes=body.notes,
        )
    finally:
        book.close()


def _opened(file: BinaryIO) -> Any:
    from openpyxl import load_workbook  # noqa: PLC0415 (ten megabytes that few processes need)

    try:
        return load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except Exception:
        # A forged workbook can raise almost anything here: KeyError, ParseError, ...
        raise _damaged() from None


def _chosen(name: str | None, visible: list[Any], all_sheets: list[Any]) -> Any:
    if name is None:
        if not (visible or all_sheets):
            raise refusal("The workbook has no sheet.")
        some = visible or all_sheets
        return next((sheet for sheet in some if _has_rows(sheet)), some[0])
    for sheet in all_sheets:
        if sheet.title == name:
            return sheet
    names = ", ".join(f"“{sheet.title}”" for sheet in visible[:30])
    raise InvalidInput("sheet", f"There is no sheet “{name}”. The workbook has: {names}.")


def _has_rows(sheet: Any) -> bool:
    """Whether a sheet has more than a title or headings."""
    return len(list(islice(_numbered(sheet.iter_rows()), 2))) > 1


def _numbered(rows: Iterable[tuple[Any, ...]]) -> Iterator[Line]:
    """The rows of a sheet, without blank ones."""
    numbered = enumerate(rows, start=1)
    while True:
        try:
            number, row = next(numbered, (0, ()))
            cells = [_text(cell) for cell in row]
        except Exception:
            raise _damaged() from None
        if number == 0:
            return
        if number > _MOST_ROWS:
            raise _too_large()
        if "".join(cells).strip():
            yield Line(number, cells)


def _text(cell: Any) -> str:
    """The text of a cell; dates in ISO 8601."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return str(value.date() if value.time() == time() else value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    # Customer numbers such as 00042 are often a number and a format of as many zeros.
    padded = isinstance(value, int) and _PADDED.fullmatch(cell.number_format)
    return text.zfill(len(cell.number_format)) if padded else text


def _damaged() -> InvalidInput:
    return refusal(
        "The workbook is damaged and cannot be read. "
        "Open it in a spreadsheet program and save it as .xlsx or “CSV UTF-8”."
    )


def _too_large() -> InvalidInput:
    megabytes = MOST_UNPACKED // 1024 // 1024
    return refusal(
        f"The workbook is too large: at most {megabytes} MB are unpacked. Save the sheet as "
        "“CSV UTF-8” and try again."
    )
