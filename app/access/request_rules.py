"""Requests for a key: their states, and how what is asked for is stored. Pure functions."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.core.clock import whole_second
from app.core.durations import format_length
from app.core.errors import InvalidInput
from app.licenses.option_rules import KeyOptions

LAPSES_AFTER = timedelta(days=7)
RECIPIENT_ID = "recipient_id"


class RequestState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


def stored_options(options: KeyOptions, recipient_id: int | None = None) -> dict[str, Any]:
    """Options as JSON has them; `read_options` reads them again.

    `recipient_id` is the user whose e-mail they have: an e-mail may be somebody else's one day.
    """
    stored = {**asdict(options), RECIPIENT_ID: recipient_id}
    for name in ("starts_at", "ends_at"):
        stored[name] = stored[name] and stored[name].isoformat()
    return stored


def read_options(stored: dict[str, Any]) -> KeyOptions:
    """What was asked for, as it was said then."""
    stored = {name: value for name, value in stored.items() if name != RECIPIENT_ID}
    instants = {
        name: stored[name] and datetime.fromisoformat(stored[name])
        for name in ("starts_at", "ends_at")
    }
    return KeyOptions(**stored | instants)


def asked_length(asked: KeyOptions, asked_at: datetime) -> int:
    """How many seconds the key was to work."""
    if asked.ends_at is None:
        return asked.ttl
    asked_at = whole_second(asked_at)
    start = max(asked.starts_at or asked_at, asked_at)
    return int((asked.ends_at - start).total_seconds())


def as_of_now(asked: KeyOptions, now: datetime) -> KeyOptions:
    """What was asked for, a start that is over meaning at once."""
    late = asked.starts_at is not None and asked.starts_at < now
    return replace(asked, starts_at=None) if late else asked


def check_given(asked: KeyOptions, given: KeyOptions, *, most: int, length: int) -> None:
    """Raise InvalidInput if what is given, of `length` seconds, is more than was asked for.

    Else one super admin alone could have any key, under the name of somebody's harmless request.
    Fields have no seconds, so those of a start do not matter.
    """
    if length > most:
        raise InvalidInput(
            "ends_at" if given.ends_at else "ttl",
            f"No more than was asked for: {format_length(most)}.",
        )
    if asked.starts_at is not None and (
        given.starts_at is None or given.starts_at < asked.starts_at.replace(second=0)
    ):
        raise InvalidInput("starts_at", "This is sooner than was asked for.")
    if asked.recipient and given.recipient.lower() != asked.recipient.lower():
        raise InvalidInput("recipient", f"It was asked for {asked.recipient}, and nobody else.")
    for name in ("sign_ins", "use_within"):
        before, after = getattr(asked, name), getattr(given, name)
        if before is not None and (after is None or after > before):
            raise InvalidInput(name, "This is more than was asked for.")
    if asked.first_machine and not given.first_machine:
        raise InvalidInput("first_machine", "It was asked for the first machine only.")
