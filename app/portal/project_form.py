"""The form of a project: what was typed, and what is wrong with it."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField

from app.core.errors import InvalidInput
from app.models import Project
from app.projects.fields import BY_NAME, DETAILS, FIELDS, Field, Kind, ProjectFields, as_text
from app.projects.services import version_of

ATTRIBUTES: dict[Kind, dict[str, str]] = {
    Kind.TEXT: {"dir": "auto"},
    Kind.IDENTIFIER: {"spellcheck": "false", "autocapitalize": "off"},
    Kind.EMAIL: {"inputmode": "email", "spellcheck": "false", "autocapitalize": "off"},
    Kind.DAY: {"spellcheck": "false"},
}
"""What a browser is told of an input."""


class ProjectForm(FlaskForm):
    """An input for each of FIELDS, which are added below."""

    version = HiddenField()

    @property
    def rows(self) -> list[list[Field]]:
        """A project's details as they stand beside one another: a day beside the one before it."""
        rows: list[list[Field]] = []
        for field in DETAILS:
            if field.kind is Kind.DAY and rows:
                rows[-1].append(field)
            else:
                rows.append([field])
        return rows

    def checked(self) -> ProjectFields | None:
        """What was typed; None if something is wrong, with a sentence beside each such field."""
        values: dict[str, Any] = {}
        for field in FIELDS:
            try:
                values[field.name] = field.check(self[field.name].data or "")
            except InvalidInput as error:
                self.refuse(error)
        return ProjectFields(**values) if len(values) == len(FIELDS) else None

    def refuse(self, error: InvalidInput) -> None:
        """Put the sentence of `error` beside its field."""
        self[error.field].errors = [error.detail]


INPUTS = (BY_NAME["name"], BY_NAME["organisation_name"], BY_NAME["organisation_id"], *DETAILS)
"""The fields in the form's order."""


def _input(field: Field) -> StringField:
    attributes = {"autocomplete": "off"} | ATTRIBUTES[field.kind]
    if field.required:
        attributes["aria-required"] = "true"
    return StringField(field.label, default=field.usual, render_kw=attributes)


for field in INPUTS:
    setattr(ProjectForm, field.name, _input(field))


def form_of(project: Project) -> ProjectForm:
    """The form that changes `project`, as it is now."""
    return ProjectForm(formdata=None, data=typed(project) | {"version": version_of(project)})


def typed(project: Project) -> dict[str, str]:
    """What is in the form's inputs when they say what `project` says."""
    return {field.name: as_text(getattr(project, field.name)) or "" for field in INPUTS}


def differences(form: ProjectForm, project: Project) -> list[tuple[str, str, str]]:
    """(label, what `project` says now, what was typed) of each field where they are not alike."""
    return [
        (form[name].label.text, theirs, form[name].data or "")
        for name, theirs in typed(project).items()
        if (form[name].data or "").strip() != theirs
    ]
