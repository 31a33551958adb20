"""The forms of an import: the upload, and the choice of columns."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import SelectField

from app.core.errors import InvalidInput
from app.core.text import printable
from app.projects.fields import IMPORTED, Kind
from app.projects.importing import ImportResult
from app.projects.rows import guess_columns

MOST_MEGABYTES = 10
MOST_BYTES = MOST_MEGABYTES * 1024 * 1024
CHARACTERS_SHOWN = 60
"""The most characters shown of a heading or a cell."""

MOST_LINES = 500_000
"""Ten megabytes can hold millions of very short lines, each of which takes memory."""


class FileTooLarge(InvalidInput):
    """A file that can only be imported with the command."""

    status = 413

    def __init__(self) -> None:
        super().__init__(
            "file",
            f"The file is too large: up to {MOST_MEGABYTES} MB and {MOST_LINES:,} lines can be "
            "imported here. Import it on the portal's machine, in the folder where the portal is "
            "installed, with the command “.venv/bin/flask --app wsgi projects import FILE”.",
        )


class UploadForm(FlaskForm):
    file = FileField("CSV file")

    def content(self) -> bytes:
        """The content of the uploaded file. Raises InvalidInput (field "file"), FileTooLarge."""
        if not self.file.data:
            raise InvalidInput("file", "Choose a CSV file.")
        content: bytes = self.file.data.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FileTooLarge
        return content

    def refuse(self, error: InvalidInput) -> None:
        """Show the message of `error` at the file input."""
        self.file.errors = [error.detail]


class ColumnsForm(FlaskForm):
    """The position of each field's column in a file; blank if the file does not have it.

    It has a choice for each field of IMPORTED, added below.
    """

    class Meta:
        csrf = False

    @property
    def chosen(self) -> dict[str, str]:
        """The choices as query arguments of an address."""
        return {field.name: field.data for field in self}

    @property
    def columns(self) -> dict[str, int]:
        """The positions of the chosen columns, by the fields' names."""
        return {name: int(position) for name, position in self.chosen.items() if position}

    @property
    def used_for(self) -> dict[int, list[str]]:
        """The labels of the fields that each chosen column is used for, by its position."""
        labels: dict[int, list[str]] = {}
        for name, position in self.columns.items():
            labels.setdefault(position, []).append(self[name].label.text)
        return labels


for field in IMPORTED:
    setattr(ColumnsForm, field.name, SelectField(field.label, validate_choice=False))


def columns_form(args: Mapping[str, str], headings: Sequence[str]) -> ColumnsForm:
    """The form filled in from `args`; fields missing there are guessed from the headings."""
    guessed = guess_columns(headings)
    labels = heading_labels(headings)
    form = ColumnsForm(formdata=None)
    for field in IMPORTED:
        choice, asked = form[field.name], args.get(field.name)
        position = (
            guessed.get(field.name) if asked is None else _column_position(asked, len(headings))
        )
        nothing = "Choose a column" if field.required else "Not in the file"
        choice.choices = [("", nothing), *((str(n), label) for n, label in enumerate(labels))]
        choice.data = "" if position is None else str(position)
        if position is None and field.required:
            choice.errors = [f"Choose the column that holds {field.column.holds}."]
    return form


def optional_columns() -> str:
    """The optional fields of a file, as part of a sentence."""
    words = [
        f"{field.what} (as 2026-12-31)" if field.kind is Kind.DAY else field.what
        for field in IMPORTED
        if not field.required
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
