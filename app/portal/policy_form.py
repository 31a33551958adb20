"""The form of a policy, of the installation's own and of one organisation's."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, HiddenField, SelectField, StringField

from app.access.policies import version_of
from app.access.policy_rules import LONGEST_LEAST, RULES, Policy
from app.access.policy_texts import LENGTHS, read, written
from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import InvalidInput, MalformedTTL
from app.licenses.option_rules import USE_WITHIN

PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
AS_INSTALLATION = "As the installation"
SWITCHES = ("reason_required", "ticket_required", "recipient_required", "partners_may_ask")
UNSET_SWITCHES = {name: name == "partners_may_ask" for name in SWITCHES}
"""How a checkbox stands where nothing is set; the other way it tightens."""


class PolicyForm(FlaskForm):
    """What both have; the service checks it."""

    ceiling = SelectField("Ceiling", validate_choice=False)
    default_ttl = SelectField("Default TTL", validate_choice=False)
    use_within = SelectField("Use within", validate_choice=False)
    approval_above = SelectField("Approval above", validate_choice=False)
    reason_length = StringField(
        "Least length", render_kw=PLAIN | {"type": "number", "min": 0, "max": LONGEST_LEAST}
    )
    ticket_pattern = StringField("Ticket pattern", render_kw=PLAIN | {"dir": "ltr"})
    try_ticket = StringField("Try a ticket", render_kw=PLAIN | {"dir": "auto"})
    version = HiddenField()

    def policy(self) -> Policy:
        """What was entered. Raises InvalidInput with a rule's name."""
        return Policy(**{name: read(name, self._text(name)) for name in RULES})

    def refuse(self, error: InvalidInput) -> None:
        """Show the message of `error` at its field."""
        self[error.field].errors = [error.detail]

    def _text(self, name: str) -> str:
        return self[name].data or ""

    def offer(self, ttls: tuple[int, ...], first: dict[str, str]) -> None:
        """Fill the dropdowns; `first` has the words of each first choice, which sets nothing."""
        offered = {"ceiling": ttls, "default_ttl": ttls, "use_within": USE_WITHIN}
        offered["approval_above"] = ttls
        for name in LENGTHS:
            field: Field = self[name]
            choices = [(short_ttl(length), format_ttl(length)) for length in offered[name]]
            if name == "approval_above":
                choices = [("never", "Never"), *choices, ("always", "Always")]
            if field.data and field.data not in dict(choices):
                choices.append((field.data, _in_words(field.data)))
            field.choices = [("", first[name]), *choices] if first[name] else choices


class InstallationForm(PolicyForm):
    reason_required = BooleanField("Reason required")
    ticket_required = BooleanField("Ticket required")
    recipient_required = BooleanField("Recipient required")
    partners_may_ask = BooleanField("Partners may ask")

    def _text(self, name: str) -> str:
        if name in SWITCHES:
            checked = bool(self[name].data)
            return "" if checked is UNSET_SWITCHES[name] else written(name, checked)
        return super()._text(name)


class OrganisationForm(PolicyForm):
    reason_required = SelectField("Reason required", validate_choice=False)
    ticket_required = SelectField("Ticket required", validate_choice=False)
    recipient_required = SelectField("Recipient required", validate_choice=False)
    partners_may_ask = SelectField("Partners may ask", validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in SWITCHES:
            self[name].choices = [("", AS_INSTALLATION), ("on", "Yes"), ("off", "No")]


def _in_words(text: str) -> str:
    """A length that commands have set, and that is not on offer."""
    try:
        return format_ttl(parse_ttl(text))
    except MalformedTTL:
        return text


def values_of(policy: Policy) -> dict[str, Any]:
    """A policy as the fields of its form have it."""
    texts: dict[str, Any] = {name: written(name, getattr(policy, name)) for name in RULES}
    return texts | {"version": version_of(policy)}


def values_of_installation(policy: Policy) -> dict[str, Any]:
    """The same where switches are checkboxes."""
    switches = {name: getattr(policy, name) for name in SWITCHES}
    set_ones = {name: value for name, value in switches.items() if value is not None}
    return values_of(policy) | UNSET_SWITCHES | set_ones
