"""The forms of an import: the upload, and the choice of columns."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from io import BytesIO

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import SelectField

from app.core.errors import InvalidInput
from app.core.text import printable, shortened
from app.projects.csv_file import DELIMITERS
from app.projects.fields import FIELDS, Kind
from app.projects.importing import ImportResult
from app.projects.reading import Head
from app.projects.rows import guess_columns
from app.projects.tables import Layout
from app.projects.workbook import is_workbook, unpacked_size

MOST_MEGABYTES = 10
MOST_BYTES = MOST_MEGABYTES * 1024 * 1024
CHARACTERS_SHOWN = 60
"""The most characters shown of a heading or a cell."""

MOST_UNPACKED = 2 * MOST_BYTES
"""The most bytes of an unpacked workbook, which is slower to read than a CSV file."""

MOST_LINES = 500_000
"""Ten megabytes can hold millions of very short lines, each of which takes memory."""


class FileTooLarge(InvalidInput):
    """A file that can only be imported with the command."""

    status = 413

    def __init__(self) -> None:
        super().__init__(
            "file",
            f"The file is too large: up to {MOST_MEGABYTES} MB and {MOST_LINES:,} lines can be "
            f"imported here, of a workbook {2 * MOST_MEGABYTES} MB unpacked. Import it on the "
            "portal's machine, in the folder where the portal is installed, with the command "
            "“.venv/bin/rolling-window projects import FILE”.",
        )


class UploadForm(FlaskForm):
    file = FileField("CSV file")

    def content(self) -> bytes:
        """The content of the uploaded file. Raises InvalidInput (field "file"), FileTooLarge."""
        if not self.file.data:
            raise InvalidInput("file", "Choose a CSV file or an .xlsx workbook.")
        content: bytes = self.file.data.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FileTooLarge
        file = BytesIO(content)
        if is_workbook(file) and unpacked_size(file) > MOST_UNPACKED:
            raise FileTooLarge
        return content

    def refuse(self, error: InvalidInput) -> None:
        """Show the message of `error` at the file input."""
        self.file.errors = [error.detail]


class ColumnsForm(FlaskForm):
    """The position of each field's column in a file; blank if the file does not have it.

    It has a choice for each field of FIELDS, added below, and one for the delimiter or the sheet.
    """

    class Meta:
        csrf = False

    delimiter = SelectField("Delimiter", validate_choice=False)
    sheet = SelectField("Sheet", validate_choice=False)

    @property
    def chosen(self) -> dict[str, str]:
        """The choices as query arguments of an address."""
        return {field.name: field.data for field in self if field.data is not None}

    @property
    def columns(self) -> dict[str, int]:
        """The positions of the chosen columns, by the fields' names."""
        positions = {field.name: self[field.name].data for field in FIELDS}
        return {name: int(position) for name, position in positions.items() if position}

    @property
    def used_for(self) -> dict[int, list[str]]:
        """The labels of the fields that each chosen column is used for, by its position."""
        labels: dict[int, list[str]] = {}
        for name, position in self.columns.items():
            labels.setdefault(position, []).append(self[name].label.text)
        return labels


for field in FIELDS:
    setattr(ColumnsForm, field.name, SelectField(field.label, validate_choice=False))

_CHARACTERS = {name: character for character, name in DELIMITERS.items()}


def layout_of(args: Mapping[str, str]) -> Layout:
    """The delimiter or sheet chosen in `args`."""
    return Layout(_CHARACTERS.get(args.get("delimiter", "")), args.get("sheet"))


def columns_form(args: Mapping[str, str], head: Head) -> ColumnsForm:
    """The form filled in from `args`; fields missing there are guessed from the headings.

    `read_with` in `args` is the delimiter or sheet with which the columns were chosen; if the
    file is now read with another one, all columns are guessed again.
    """
    headings = head.headings
    guessed = guess_columns(headings)
    labels = heading_labels(headings)
    form = ColumnsForm(formdata=None)
    _fill_layout(form, head)
    same = args.get("read_with", read_with(head)) == read_with(head)
    for field in FIELDS:
        choice, asked = form[field.name], args.get(field.name) if same else None
        position = (
            guessed.get(field.name) if asked is None else _column_position(asked, len(headings))
        )
        nothing = "Choose a column" if field.column.holds else "Not in the file"
        choice.choices = [("", nothing), *((str(n), label) for n, label in enumerate(labels))]
        choice.data = "" if position is None else str(position)
        if position is None and field.column.holds:
            choice.errors = [f"Choose the column that holds {field.column.holds}."]
    return form


def read_with(head: Head) -> str:
    """The delimiter or sheet with which a file was read."""
    return head.table.sheet or DELIMITERS[head.table.delimiter]


def _fill_layout(form: ColumnsForm, head: Head) -> None:
    """Fill in the sheet of a workbook, or the delimiter of any other file."""
    table = head.table
    if table.sheet:
        names = dict.fromkeys((*table.sheets, table.sheet))
        form.sheet.choices = [(name, shortened(name, CHARACTERS_SHOWN)) for name in names]
        form.sheet.data = table.sheet
        form.delimiter.data = None
    else:
        form.delimiter.choices = [(name, name.capitalize()) for name in _CHARACTERS]
        form.delimiter.data = DELIMITERS[table.delimiter]
        form.sheet.data = None


def optional_columns() -> str:
    """The optional fields of a file, as part of a sentence."""
    words = [
        f"{field.what} (as 2026-12-31)" if field.kind is Kind.DAY else field.what
        for field in FIELDS
        if not field.column.holds
    ]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def heading_labels(headings: Sequence[str]) -> list[str]:
    """A short and unique label for each column, made from its heading."""
    plain = [printable(heading[:CHARACTERS_SHOWN]) for heading in headings]
    seen = Counter(plain)
    return [
        label if seen[label] == 1 and label else f"{label} (column {number})".lstrip()
        for number, label in enumerate(plain, start=1)
    ]


def expectation(result: ImportResult) -> str:
    """A preview's result as a hidden field's value, to be sent with the import."""
    return "-".join(map(str, astuple(result)))


def read_expectation(text: str) -> ImportResult | None:
    """The inverse of `expectation`; None for any other text."""
    if not re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9}){3}", text):
        return None
    return ImportResult(*map(int, text.split("-")))


def _column_position(text: str, count: int) -> int | None:
    position = int(text) if re.fullmatch(r"[0-9]{1,4}", text) else count
    return position if position < count else None
