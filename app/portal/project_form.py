"""The form of a project: what was typed, and what is wrong with it."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField

from app.core.errors import InvalidInput
from app.models import Project
from app.projects.rules import (
    USUAL_STATUS,
    ProjectFields,
    check_contact_email,
    check_organisation_id,
    check_organisation_name,
    check_plan,
    check_plan_expiry,
    check_project_name,
    check_status,
)
from app.projects.services import version_of

CHECKS = {
    "name": check_project_name,
    "organisation_name": check_organisation_name,
    "organisation_id": check_organisation_id,
    "contact_email": check_contact_email,
    "plan": check_plan,
    "plan_expires_on": check_plan_expiry,
    "status": check_status,
}


class ProjectForm(FlaskForm):
    name = StringField("Project name")
    organisation_name = StringField("Organisation name")
    organisation_id = StringField("Organisation ID")
    contact_email = StringField("Contact e-mail")
    plan = StringField("Plan")
    plan_expires_on = StringField("Plan expiry date")
    status = StringField("Status", default=USUAL_STATUS)
    version = HiddenField()

    def checked(self) -> ProjectFields | None:
        """What was typed; None if something is wrong, with a sentence beside each such field."""
        values: dict[str, Any] = {}
        for name, check in CHECKS.items():
            try:
                values[name] = check(self[name].data or "")
            except InvalidInput as error:
                self.refuse(error)
        return ProjectFields(**values) if len(values) == len(CHECKS) else None

    def refuse(self, error: InvalidInput) -> None:
        """Put the sentence of `error` beside its field."""
        self[error.field].errors = [error.detail]


def form_of(project: Project) -> ProjectForm:
    """The form that changes `project`, as it is now."""
    return ProjectForm(formdata=None, data=typed(project) | {"version": version_of(project)})


def typed(project: Project) -> dict[str, str]:
    """What is in the form's fields when they say what `project` says."""
    last_day = project.plan_expires_on
    return {
        "name": project.name,
        "organisation_name": project.organisation.name,
        "organisation_id": project.organisation_id,
        "contact_email": project.contact_email,
        "plan": project.plan,
        "plan_expires_on": last_day.isoformat() if last_day else "",
        "status": project.status,
    }


def differences(form: ProjectForm, project: Project) -> list[tuple[str, str, str]]:
    """(label, what `project` says now, what was typed) of each field where they are not alike."""
    return [
        (form[name].label.text, theirs, form[name].data or "")
        for name, theirs in typed(project).items()
        if (form[name].data or "").strip() != theirs
    ]
