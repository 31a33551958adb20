"""What a temporary key may carry, and from when to when it works. Pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from app.core.clock import utc_text, whole_second
from app.core.durations import KeyLimits, format_ttl
from app.core.errors import InvalidInput
from app.core.text import REASON_LENGTH, TICKET_LENGTH, one_line, tidied
from app.keyformat.license_keys import KEY_LIKE

MOST_AHEAD = timedelta(days=30)
"""How far ahead a key may start."""
AT_ONCE = timedelta(seconds=60)
"""A start so little in the past means at once."""
MOST_SIGN_INS = 100
USE_WITHIN = (900, 3600, 4 * 3600, 86_400)
"""In seconds: within how long of its start a key may have to be used."""


@dataclass(frozen=True)
class KeyOptions:
    """What somebody asks a new key to carry; only the length must be given.

    `ttl` and `use_within` are in seconds; `ends_at` stands in the place of `ttl`. `recipient` is an
    e-mail, "" for any partner or developer. None: at once, or no limit.
    """

    ttl: int
    reason: str = ""
    ticket: str = ""
    recipient: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    sign_ins: int | None = None
    first_machine: bool = False
    use_within: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the length alone decides who may sign in, where, when and how often."""
        return self == KeyOptions(self.ttl, self.reason, self.ticket)


class KeyWindow(NamedTuple):
    """From when to when a key works, in whole seconds; not used before `use_by`, it ends then."""

    starts_at: datetime
    expires_at: datetime
    use_by: datetime | None = None

    @property
    def ttl(self) -> int:
        """Its length in seconds."""
        return int((self.expires_at - self.starts_at).total_seconds())

    @property
    def ends_at(self) -> datetime:
        """When it ends if nobody uses it."""
        return self.use_by or self.expires_at


def checked_options(options: KeyOptions) -> KeyOptions:
    """`options` as they are stored: texts on one line, without what cannot be seen.

    Raises InvalidInput with the field "reason", "ticket", "sign_ins" or "use_within".
    """
    reason = checked_reason(options.reason)
    ticket = _checked_text("ticket", options.ticket, TICKET_LENGTH)
    if options.sign_ins is not None and not 1 <= options.sign_ins <= MOST_SIGN_INS:
        raise InvalidInput("sign_ins", f"Write a whole number from 1 to {MOST_SIGN_INS}.")
    if options.use_within is not None and options.use_within not in USE_WITHIN:
        offered = ", ".join(map(format_ttl, USE_WITHIN))
        raise InvalidInput("use_within", f"Choose one of these: {offered}.")
    starts_at = options.starts_at and whole_second(options.starts_at)
    ends_at = options.ends_at and whole_second(options.ends_at)
    return KeyOptions(
        options.ttl,
        reason,
        ticket,
        options.recipient.strip(),
        starts_at,
        ends_at,
        options.sign_ins,
        options.first_machine,
        options.use_within,
    )


def checked_reason(text: str) -> str:
    """A reason as it is stored. Raises InvalidInput (field "reason")."""
    return _checked_text("reason", text, REASON_LENGTH)


def _checked_text(field: str, text: str, most: int) -> str:
    text = tidied(one_line(text))
    if len(text) > most:
        raise InvalidInput(field, f"This has {len(text)} characters; a {field} has at most {most}.")
    if KEY_LIKE.search(text):
        raise InvalidInput(
            field, f"This holds a license key. Leave it out: a {field} is read by many people."
        )
    if not text.isprintable():
        raise InvalidInput(
            field,
            "Something here cannot be shown, or turns the direction of writing. "
            "Type it, in place of pasting it.",
        )
    return text


def key_window(options: KeyOptions, limits: KeyLimits, now: datetime) -> KeyWindow:
    """From when to when a key with these options works if it is generated at `now`.

    Raises InvalidInput with the field "ttl", "starts_at" or "ends_at".
    """
    starts_at = _start(options.starts_at, whole_second(now))
    if options.ends_at is None:
        if options.ttl not in limits.choices:
            offered = ", ".join(format_ttl(choice) for choice in limits.choices)
            raise InvalidInput("ttl", f"Choose one of the TTL intervals offered: {offered}.")
        expires_at = starts_at + timedelta(seconds=options.ttl)
    else:
        expires_at = options.ends_at
        if expires_at <= starts_at:
            raise InvalidInput("ends_at", "It must end after it starts.")
        check_ceiling(starts_at, expires_at, limits)
    return KeyWindow(starts_at, expires_at, last_use(starts_at, expires_at, options.use_within))


def _start(asked: datetime | None, now: datetime) -> datetime:
    if asked is None:
        return now
    if asked < now - AT_ONCE:
        raise InvalidInput(
            "starts_at", "This instant is over. Leave the field blank to start at once."
        )
    if asked > now + MOST_AHEAD:
        raise InvalidInput(
            "starts_at",
            f"A key starts at most {MOST_AHEAD.days} days ahead: "
            f"by {utc_text(now + MOST_AHEAD)} UTC.",
        )
    return max(asked, now)


def last_use(starts_at: datetime, expires_at: datetime, within: int | None) -> datetime | None:
    """By when a key must be used so as not to end then; one not before its end has no effect."""
    use_by = starts_at + timedelta(seconds=within) if within else expires_at
    return use_by if use_by < expires_at else None


def check_ceiling(starts_at: datetime, expires_at: datetime, limits: KeyLimits) -> None:
    """Raise InvalidInput (field "ends_at") if a key would be longer than the ceiling."""
    latest = starts_at + timedelta(seconds=limits.ceiling)
    if expires_at > latest:
        raise InvalidInput(
            "ends_at",
            f"A key works for at most {format_ttl(limits.ceiling)}: {limits.set_by}. "
            f"So it ends by {utc_text(latest)} UTC.",
        )


def check_extension(
    *, starts_at: datetime, expires_at: datetime, ends_at: datetime, limits: KeyLimits
) -> None:
    """Raise InvalidInput (field "ends_at") if a key may not be extended until `ends_at`.

    `expires_at` is its present end; the ceiling counts from its start.
    """
    if ends_at < expires_at:
        raise InvalidInput(
            "ends_at",
            f"This is before its present end, {utc_text(expires_at, 'full')} UTC. "
            "To end it earlier, revoke it.",
        )
    check_ceiling(starts_at, ends_at, limits)
