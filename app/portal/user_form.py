"""The forms that create, invite or change a user."""

from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import EmailField, HiddenField, PasswordField, SelectField, StringField

from app.accounts.users import UserFields, fields_of
from app.core.errors import InvalidInput
from app.core.permissions import ROLE_LABELS, Role
from app.models import User
from app.web.htmx import fingerprint

CHOOSE = ("", "Choose a role")
PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class UserForm(FlaskForm):
    """What can be changed of a user; the service checks it."""

    name = StringField("Name", render_kw={"autocomplete": "off", "dir": "auto"})
    email = EmailField("E-mail", render_kw=PLAIN | {"aria-required": "true"})
    role = SelectField("Role", validate_choice=False, render_kw={"aria-required": "true"})
    organisation = StringField("Organisation", render_kw=PLAIN)
    version = HiddenField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roles = ((role.value, label) for role, label in ROLE_LABELS.items())
        self.role.choices = [CHOOSE, *roles]

    def fields(self) -> UserFields:
        """What was entered. Raises InvalidInput for a role that there is not."""
        try:
            role = Role(self.role.data or "")
        except ValueError:
            raise InvalidInput("role", "Choose a role.") from None
        return UserFields(
            email=self.email.data or "",
            name=self.name.data or "",
            role=role,
            organisation_id=(self.organisation.data or "").strip() or None,
        )

    def refuse(self, error: InvalidInput) -> None:
        """Show the message of `error` at its field."""
        self[error.field].errors = [error.detail]


class NewUserForm(UserForm):
    # With a password there, password managers want to know whose it is.
    email = EmailField(
        "E-mail", render_kw=PLAIN | {"aria-required": "true", "autocomplete": "username"}
    )
    password = PasswordField(
        "Password", render_kw={"autocomplete": "new-password", "aria-required": "true"}
    )


def form_of(user: User, entered: MultiDict[str, str] | None) -> UserForm:
    """The form that changes `user`: as they are now, or with what was `entered`."""
    values: dict[str, Any] = {
        "name": user.name,
        "email": user.email,
        "role": user.role.value,
        "organisation": user.organisation_id or "",
        "version": version_of(user),
    }
    return UserForm(formdata=entered, data=values)


def version_of(user: User) -> str:
    """Of what the form shows: a form that was opened before somebody else's change has another."""
    return fingerprint(fields_of(user))
