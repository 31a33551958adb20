"""The form of the License tab."""

import re

from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField

from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import MalformedTTL

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class GenerateForm(FlaskForm):
    """How long a new key shall work. Which choices count is for the service to say."""

    ttl = SelectField("TTL interval", validate_choice=False)
    form_token = HiddenField()

    @property
    def token(self) -> str | None:
        """What makes this form the same one when it is sent again; None if that is not ours."""
        text: str = self.form_token.data or ""
        return text if TOKEN.fullmatch(text) else None

    def offer(self, choices: tuple[int, ...], default: int) -> int:
        """Fill the dropdown; the seconds of the choice that stands: what was chosen, or `default`.

        Whatever was asked for and is not offered gives way to `default`.
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
