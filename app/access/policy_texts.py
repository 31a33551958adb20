"""How commands, forms and the audit log write a policy's rules. Pure functions."""

from typing import Any

from app.access.policy_rules import ALWAYS, LONGEST_LEAST, NEVER
from app.core.durations import parse_ttl, short_ttl
from app.core.errors import InvalidInput, MalformedTTL


def read(name: str, text: str) -> Any:
    """The value of a rule as commands and forms write it; None for a blank one.

    Lengths are TTLs ("4h"), `approval_above` also "never" and "always", the rest "on" and "off", a
    whole number, or a pattern. Raises InvalidInput with the rule's name.
    """
    text = text.strip()
    if not text:
        return None
    if name == "ticket_pattern":
        return text
    if name == "reason_length":
        return _whole_number(name, text)
    if name in LENGTHS:
        return _length(name, text)
    if text not in SWITCH:
        raise InvalidInput(name, f"{text[:40]!r} is not understood; write on or off.")
    return SWITCH[text]


def written(name: str, value: int | bool | str | None) -> str:
    """A rule's value as `read` reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if name in LENGTHS and isinstance(value, int):
        return WORDS.get(value) or short_ttl(value)
    return str(value)


LENGTHS = ("ceiling", "default_ttl", "use_within", "approval_above")
WORDS = {ALWAYS: "always", NEVER: "never"}
SWITCH = {"on": True, "off": False}


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput(name, f"Write a whole number from 0 to {LONGEST_LEAST}.")
    return int(text)


def _length(name: str, text: str) -> int:
    words = {word: value for value, word in WORDS.items()}
    if name == "approval_above" and text in words:
        return words[text]
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise InvalidInput(name, error.detail) from None
