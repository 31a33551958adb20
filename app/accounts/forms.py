"""The sign-in form."""

from flask_wtf import FlaskForm
from wtforms import EmailField, HiddenField, PasswordField
from wtforms.validators import InputRequired, Length

from app.accounts.passwords import MAX_LENGTH


class SignInForm(FlaskForm):
    email = EmailField(
        "E-mail",
        validators=[
            InputRequired("Enter your e-mail."),
            Length(max=254, message="An e-mail address has at most 254 characters."),
        ],
        render_kw={"autocomplete": "username"},
    )
    password = PasswordField(
        "Password",
        validators=[
            InputRequired("Enter your password."),
            Length(max=MAX_LENGTH, message=f"A password has at most {MAX_LENGTH} characters."),
        ],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()
