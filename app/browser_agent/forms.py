"""The OP Agent's sign-in form. Its fields are named as in the agents' JSON interface."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, PasswordField, StringField, TextAreaField, ValidationError
from wtforms.validators import DataRequired, InputRequired, Length

from app.agents.mac import normalise_mac
from app.core.errors import InvalidInput
from app.core.text import EMAIL_LENGTH


class AgentSignInForm(FlaskForm):
    login_id = StringField(
        "Login ID",
        validators=[
            DataRequired("Enter your login ID: the e-mail of your account."),
            Length(
                max=EMAIL_LENGTH,
                message=f"This is too long for a login ID: {EMAIL_LENGTH} characters at most.",
            ),
        ],
    )
    password = PasswordField(
        "Password",
        validators=[
            InputRequired("Enter your password."),
            Length(max=1000, message="This is too long for a password: 1000 characters at most."),
        ],
    )
    registration_key = TextAreaField("Registration Key")
    mac_id = StringField("MAC ID")
    save_configuration = BooleanField("Save configuration data in Cloud")

    @property
    def has_key(self) -> bool:
        """Whether the registration key is not blank."""
        return bool((self.registration_key.data or "").strip())

    def validate_save_configuration(self, field: Field) -> None:
        """Ignored if a registration key is given."""
        field.data = field.data and not self.has_key

    def validate_mac_id(self, field: Field) -> None:
        """Normalise the MAC ID. Blank is allowed: the browser's own MAC ID is used."""
        if not (field.data or "").strip():
            field.data = ""
            return
        try:
            field.data = normalise_mac(field.data)
        except InvalidInput as error:
            raise ValidationError(error.detail) from None
