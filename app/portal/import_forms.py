"""The forms of an import: the file, and which of its columns is which."""

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
"""Of a heading or a cell."""

MOST_LINES = 500_000
"""Of very short lines ten megabytes hold millions, each of which costs memory to look at."""


class FileTooLarge(InvalidInput):
    """A file that has to be imported by the command instead."""

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
        """The bytes of the file that was sent. Raises InvalidInput if there is none."""
        if not self.file.data:
            raise InvalidInput("file", "Choose a CSV file.")
        content: bytes = self.file.data.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FileTooLarge
        return content

    def refuse(self, error: InvalidInput) -> None:
        """Put the sentence of `error` beside the file."""
        self.file.errors = [error.detail]


class ColumnsForm(FlaskForm):
    """Which column of a file is which, by their positions; blank: it is not in the file.

    A choice for each of IMPORTED, which are added below.
    """

    class Meta:
        csrf = False

    @property
    def chosen(self) -> dict[str, str]:
        """What was chosen, as an address carries it."""
        return {field.name: field.data for field in self}

    @property
    def columns(self) -> dict[str, int]:
        """Where the columns are that were chosen."""
        return {name: int(place) for name, place in self.chosen.items() if place}

    @property
    def used_for(self) -> dict[int, list[str]]:
        """What each column that was chosen stands for, in words."""
        words: dict[int, list[str]] = {}
        for name, place in self.columns.items():
            words.setdefault(place, []).append(self[name].label.text)
        return words


for field in IMPORTED:
    setattr(ColumnsForm, field.name, SelectField(field.label, validate_choice=False))


def columns_form(args: Mapping[str, str], headings: Sequence[str]) -> ColumnsForm:
    """The form as `args` fill it in; of what they say nothing about, as the headings suggest."""
    guessed = guess_columns(headings)
    labels = heading_labels(headings)
    form = ColumnsForm(formdata=None)
    for field in IMPORTED:
        choice, asked = form[field.name], args.get(field.name)
        place = guessed.get(field.name) if asked is None else _position(asked, len(headings))
        nothing = "Choose a column" if field.required else "Not in the file"
        choice.choices = [("", nothing), *((str(n), label) for n, label in enumerate(labels))]
        choice.data = "" if place is None else str(place)
        if place is None and field.required:
            choice.errors = [f"Choose the column that holds {field.column.holds}."]
    return form


def optional_columns() -> str:
    """What a file may hold besides what it must, in words."""
    words = [
        f"{field.what} (as 2026-12-31)" if field.kind is Kind.DAY else field.what
        for field in IMPORTED
        if not field.required
    ]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def heading_labels(headings: Sequence[str]) -> list[str]:
    """The headings as a page names columns: each has a name of its own, and none is endless."""
    plain = [printable(heading[:CHARACTERS_SHOWN]) for heading in headings]
    seen = Counter(plain)
    return [
        label if seen[label] == 1 and label else f"{label} (column {number})".lstrip()
        for number, label in enumerate(plain, start=1)
    ]


def expectation(result: ImportResult) -> str:
    """What a preview promised, as the form of the import carries it."""
    return "-".join(map(str, astuple(result)))


def read_expectation(text: str) -> ImportResult | None:
    """What `expectation` wrote; None for anything else."""
    if not re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9}){3}", text):
        return None
    return ImportResult(*map(int, text.split("-")))


def _position(text: str, count: int) -> int | None:
    place = int(text) if re.fullmatch(r"[0-9]{1,4}", text) else count
    return place if place < count else None
