"""The form on the License tab that generates a key, and what every form of a key has."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, SelectField, StringField

from app.access.policy_rules import PolicyInForce
from app.core.clock import utc_text
from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import InvalidInput, MalformedTTL
from app.core.instants import UTC_ZONE, NoInstant, read_local, zone_named
from app.licenses.key_records import KeyRecord
from app.licenses.option_rules import MOST_SIGN_INS, USE_WITHIN, KeyOptions

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
ANYBODY = "Any partner or developer"
UNTIL = "until"
"""What the TTL is while an end is given in its place."""
PLAIN = {"autocomplete": "off"}


class KeyForm(FlaskForm):
    """What is said of any key that somebody wants: how long, from when, and why."""

    ttl = SelectField("TTL interval", validate_choice=False)
    form_token = HiddenField()
    zone = HiddenField()
    """The browser's time zone; blank without JavaScript: UTC."""
    reason = StringField("Reason", render_kw=PLAIN | {"dir": "auto"})
    ticket = StringField("Ticket", render_kw=PLAIN | {"dir": "auto"})
    starts_at = StringField("Starts", name="starts", render_kw={"type": "datetime-local"})

    @property
    def token(self) -> str | None:
        """Identifies the form if it is sent again; None if the token is malformed."""
        text: str = self.form_token.data or ""
        return text if TOKEN.fullmatch(text) else None

    def show(self, error: InvalidInput) -> None:
        """Put the sentence of `error` beside the field that it is about."""
        field = getattr(self, error.field, self.ttl)
        field.errors = [error.detail]

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

    def obey(self, holds: PolicyInForce) -> None:
        """Say what the policy in force asks for, as far as the form has it."""
        for name in ("reason", "ticket", "recipient"):
            if getattr(holds, f"{name}_required").value and name in self:
                self[name].render_kw = {**self[name].render_kw, "aria-required": "true"}

    @property
    def shown_in(self) -> ZoneInfo:
        """The zone in which sentences are told: UTC if this portal does not know the browser's."""
        try:
            return zone_named(self.zone.data or "")
        except NoInstant:
            return UTC_ZONE

    def _instant(self, name: str) -> datetime | None:
        text = (self[name].data or "").strip()
        try:
            return read_local(text, zone_named(self.zone.data or "")) if text else None
        except NoInstant as error:
            raise InvalidInput(name, str(error)) from None


class GenerateForm(KeyForm):
    """How long a new key is to work, and what it is to carry. The service checks what may be."""

    recipient = StringField(
        "For", name="for", render_kw=PLAIN | {"placeholder": ANYBODY, "list": "recipients"}
    )
    ends_at = StringField("Ends", name="ends", render_kw={"type": "datetime-local"})
    sign_ins = StringField(
        "Sign-ins",
        render_kw=PLAIN | {"type": "number", "min": 1, "max": MOST_SIGN_INS, "placeholder": "Any"},
    )
    first_machine = BooleanField("Only the first machine")
    use_within = SelectField("Use within", validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        within = [(short_ttl(seconds), format_ttl(seconds)) for seconds in USE_WITHIN]
        self.use_within.choices = [("", "No limit"), *within]

    @property
    def options_used(self) -> bool:
        """Whether something besides the TTL is filled in, or has to be looked at again."""
        optional = [
            *(self.reason, self.ticket, self.recipient, self.starts_at, self.ends_at),
            *(self.sign_ins, self.first_machine, self.use_within),
        ]
        return any(field.data or field.errors for field in optional)

    def options(self) -> KeyOptions:
        """What the form asks for. Raises InvalidInput with the name of a field of the form."""
        ends_at = self._instant("ends_at")
        recipient = (self.recipient.data or "").strip()
        return KeyOptions(
            ttl=0 if ends_at else parse_ttl(self.ttl.data or ""),
            reason=self.reason.data or "",
            ticket=self.ticket.data or "",
            recipient="" if recipient.lower() == ANYBODY.lower() else recipient,
            starts_at=self._instant("starts_at"),
            ends_at=ends_at,
            sign_ins=self._number_of_sign_ins(),
            first_machine=bool(self.first_machine.data),
            use_within=self._use_within(),
        )

    def fill_instants(self, starts_at: datetime | None, ends_at: datetime | None) -> None:
        """Fill in a start and an end, in UTC; in a browser times.js tells them in its zone."""
        for field, moment in ((self.starts_at, starts_at), (self.ends_at, ends_at)):
            if moment is not None:
                field.data = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}"
                field.render_kw = {**field.render_kw, "data-utc": f"{field.data}:00Z"}

    def obey(self, holds: PolicyInForce) -> None:
        """Offer what the policy in force allows, and say what it asks for."""
        within = holds.use_within.value
        if within is not None:
            lengths = [length for length in USE_WITHIN if length <= within]
            self.use_within.choices = [(short_ttl(one), format_ttl(one)) for one in lengths]
            self.use_within.data = self.use_within.data or short_ttl(within)
        super().obey(holds)

    def _number_of_sign_ins(self) -> int | None:
        text = (self.sign_ins.data or "").strip()
        if text and not re.fullmatch(r"[0-9]{1,4}", text):
            raise InvalidInput("sign_ins", f"Write a whole number from 1 to {MOST_SIGN_INS}.")
        return int(text) if text else None

    def _use_within(self) -> int | None:
        try:
            return parse_ttl(self.use_within.data) if self.use_within.data else None
        except MalformedTTL as error:
            raise InvalidInput("use_within", error.detail) from None

    def offer(self, choices: tuple[int, ...], default: int) -> int:
        """As every form of a key; while an end is given, the dropdown says so in a TTL's place."""
        ttl = super().offer(choices, default)
        if until := self._until():
            self.ttl.choices.insert(0, (UNTIL, until))
            self.ttl.data = UNTIL
        return ttl

    def _until(self) -> str:
        """ "Until Thu 26 Nov 2026, 12:00", as it was typed; "" if no end is given."""
        try:
            ends_at = self._instant("ends_at")
        except InvalidInput:
            return ""
        return f"Until {utc_text(ends_at.astimezone(self.shown_in))}" if ends_at else ""


def form_like(license: KeyRecord, choices: tuple[int, ...], now: datetime) -> GenerateForm:
    """The form, filled in with what a key carries; a start or an end that is over is left out.

    The end stands there only if its length is none of the TTLs on offer, `choices`.
    """
    first_ttl = license.first_ttl_seconds or license.ttl_seconds
    ends_at = license.starts_at + timedelta(seconds=first_ttl)
    within = 0
    if license.use_by:
        within = int((license.use_by - license.starts_at).total_seconds())
    form = GenerateForm(
        formdata=None,
        ttl=short_ttl(first_ttl),
        reason=license.reason,
        ticket=license.ticket,
        recipient=license.recipient or "",
        sign_ins=str(license.sign_ins_allowed or ""),
        first_machine=license.first_machine,
        use_within=short_ttl(within) if within else "",
    )
    form.fill_instants(
        license.starts_at if license.starts_at > now else None,
        ends_at if ends_at > now and first_ttl not in choices else None,
    )
    return form


def form_for(options: KeyOptions) -> GenerateForm:
    """The form, filled in with what a key is to carry; its times in UTC, and the browser's."""
    form = GenerateForm(
        formdata=None,
        ttl=short_ttl(options.ttl) if options.ttl else "",
        reason=options.reason,
        ticket=options.ticket,
        recipient=options.recipient,
        sign_ins=str(options.sign_ins or ""),
        first_machine=options.first_machine,
        use_within=short_ttl(options.use_within) if options.use_within else "",
    )
    form.fill_instants(options.starts_at, options.ends_at)
    return form
