"""The sign-in form."""

from flask_wtf import FlaskForm
from wtforms import EmailField, HiddenField, PasswordField
from wtforms.validators import InputRequired, Length


class SignInForm(FlaskForm):
    email = EmailField(
        "E-mail",
        validators=[InputRequired("Enter your e-mail."), Length(max=254, message="Too long.")],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Enter your password."), Length(max=1000, message="Too long.")],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()
