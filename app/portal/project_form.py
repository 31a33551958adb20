"""The form that creates or edits a project."""

from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
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
"""The HTML attributes of an input, by the kind of its field."""


class ProjectForm(FlaskForm):
    """A form with an input for each field of FIELDS, added below."""

    version = HiddenField()

    @property
    def rows(self) -> list[list[Field]]:
        """The details in rows of the page: a day stands beside the field before it."""
        rows: list[list[Field]] = []
        for field in DETAILS:
            if field.kind is Kind.DAY and rows:
                rows[-1].append(field)
            else:
                rows.append([field])
        return rows

    def input_type(self, field: Field) -> str:
        """What a browser makes of an input; no date picker for what it would not even show."""
        if field.kind is not Kind.DAY:
            return "text"
        try:
            field.check(self[field.name].data or "")
        except InvalidInput:
            return "text"
        return "date"

    def checked(self) -> ProjectFields | None:
        """The checked values; None if any is wrong, with error messages at those fields."""
        values: dict[str, Any] = {}
        for field in FIELDS:
            try:
                values[field.name] = field.check(self[field.name].data or "")
            except InvalidInput as error:
                self.refuse(error)
        return ProjectFields(**values) if len(values) == len(FIELDS) else None

    def refuse(self, error: InvalidInput) -> None:
        """Show the message of `error` at its field."""
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


def form_of(project: Project, entered: MultiDict[str, str] | None) -> ProjectForm:
    """The form that changes `project`: as it is now, or with what was `entered`."""
    form = ProjectForm(formdata=entered, data=values_of(project) | {"version": version_of(project)})
    form.organisation_id.data = project.organisation_id
    return form


def values_of(project: Project) -> dict[str, str]:
    """The present values of `project` as text, by the names of the inputs."""
    return {field.name: as_text(getattr(project, field.name)) or "" for field in INPUTS}


def differences(form: ProjectForm, project: Project) -> list[tuple[str, str, str]]:
    """(label, present value, typed value) of each field where the two differ."""
    return [
        (form[name].label.text, theirs, form[name].data or "")
        for name, theirs in values_of(project).items()
        if (form[name].data or "").strip() != theirs
    ]
