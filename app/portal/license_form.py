"""The form on the License tab that generates a key."""

import re

from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField

from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import MalformedTTL

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class GenerateForm(FlaskForm):
    """How long a new key is to work. The service checks that the TTL is offered."""

    ttl = SelectField("TTL interval", validate_choice=False)
    form_token = HiddenField()

    @property
    def token(self) -> str | None:
        """Identifies the form if it is sent again; None if the token is malformed."""
        text: str = self.form_token.data or ""
        return text if TOKEN.fullmatch(text) else None

    def offer(self, choices: tuple[int, ...], default: int) -> int:
        """Fill the dropdown with `choices` and return the selected TTL, in seconds.

        That is the submitted TTL if it is one of `choices`, else `default`.
        """
        try:
            ttl = parse_ttl(self.ttl.data or "")
        except MalformedTTL:
            ttl = default
        if ttl not in choices:
            ttl = default
        self.ttl.choices = [(short_ttl(choice), format_ttl(choice)) for choice in choices]
        self.ttl.data = short_ttl(ttl)
        return ttl
