"""The forms of "My access"."""

from flask_wtf import FlaskForm
from wtforms import SelectField, StringField

from app.core.durations import parse_ttl
from app.licenses.option_rules import KeyOptions
from app.portal.license_form import PLAIN, KeyForm


class AskForm(KeyForm):
    """What partners and developers ask for."""

    organisation_id = StringField(
        "Organisation ID",
        render_kw=PLAIN | {"dir": "auto", "aria-required": "true"},
    )

    def options(self) -> KeyOptions:
        """What the form asks for. Raises InvalidInput with the name of a field of the form."""
        return KeyOptions(
            ttl=parse_ttl(self.ttl.data or ""),
            reason=self.reason.data or "",
            ticket=self.ticket.data or "",
            starts_at=self._instant("starts_at"),
        )


class MoreTimeForm(FlaskForm):
    """How much longer a key is to work, and why."""

    ttl = SelectField("More time", id="more-ttl", validate_choice=False)
    reason = StringField("Reason", id="more-reason", render_kw=PLAIN | {"dir": "auto"})
