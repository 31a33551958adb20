"""The forms of an import: the file, and which of its columns is which."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import SelectField

from app.core.errors import InvalidInput
from app.projects.importing import REQUIRED, WORDS, ImportResult, guess_columns

MOST_MEGABYTES = 10
MOST_BYTES = MOST_MEGABYTES * 1024 * 1024
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
    """Which column of a file is which, by their positions; blank: it is not in the file."""

    class Meta:
        csrf = False

    organisation_id = SelectField("Organisation ID", validate_choice=False)
    name = SelectField("Project name", validate_choice=False)
    contact_email = SelectField("Contact e-mail", validate_choice=False)
    plan = SelectField("Plan", validate_choice=False)
    plan_expires_on = SelectField("Plan expiry date", validate_choice=False)

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


def columns_form(args: Mapping[str, str], headings: Sequence[str]) -> ColumnsForm:
    """The form as `args` fill it in; of what they say nothing about, as the headings suggest."""
    guessed = guess_columns(headings)
    labels = heading_labels(headings)
    form = ColumnsForm(formdata=None)
    for field in form:
        asked = args.get(field.name)
        place = guessed.get(field.name) if asked is None else _position(asked, len(headings))
        nothing = "Choose a column" if field.name in REQUIRED else "Not in the file"
        field.choices = [("", nothing), *((str(n), label) for n, label in enumerate(labels))]
        field.data = "" if place is None else str(place)
        if place is None and field.name in REQUIRED:
            field.errors = [f"Choose the column that holds {WORDS[field.name]}."]
    return form


def heading_labels(headings: Sequence[str]) -> list[str]:
    """The headings as a page names columns: each has a name of its own, and none is endless."""
    plain = ["".join(c for c in heading[:60] if c.isprintable()).strip() for heading in headings]
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
