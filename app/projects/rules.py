"""Rules of organisations and projects: what text is accepted, and what searches look through."""

import re
import unicodedata
from datetime import date

from app.core.errors import InvalidInput
from app.core.text import EMAIL, fold, shortened

_NEVER = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that turn the reading direction around for what follows."""

_SIGNS_OF_A_FORMULA = re.compile(r"[=＝]|[-+@－＋＠].*[(|!]")
_NOT_IN_AN_ADDRESS = re.compile(r"[<>(),;:\"\[\]\\]")
"""What stands around an address that was copied with a name, or between several of them."""

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_QUOTED = 40


def organisation_search_text(name: str, organisation_id: str) -> str:
    """What searches look through for an organisation."""
    return f"{fold(name)}\n{fold(organisation_id)}"


def project_search_text(name: str, contact_email: str) -> str:
    """What searches look through for a project, its organisation apart."""
    return f"{fold(name)}\n{fold(contact_email)}"


def check_text(field: str, what: str, text: str, length: int) -> str:
    """`text` without space around it, in the one Unicode form that is stored (NFC).

    `what` is how sentences name the field. Raises InvalidInput, as all that follow.
    """
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    found = _NEVER.search(text)
    if found:
        raise InvalidInput(
            field,
            f"The {what} holds a control character (U+{ord(found[0]):04X}); take it out.",
        )
    if len(text) > length:
        raise InvalidInput(
            field, f"The {what} is too long: {len(text)} characters, and {length} are allowed."
        )
    if _SIGNS_OF_A_FORMULA.match(text):
        raise InvalidInput(
            field,
            f"The {what} is a spreadsheet formula ({_quoted(text)}); write it as plain text.",
        )
    return text


def check_identifier(field: str, what: str, text: str, length: int) -> str:
    """The identifier in `text`, all of whose characters can be seen."""
    text = check_text(field, what, text, length)
    if not text.isprintable():
        raise InvalidInput(field, f"The {what} holds an invisible character; type it anew.")
    return text


def check_email(field: str, what: str, text: str, length: int) -> str:
    """The one bare e-mail address in `text`, or nothing."""
    text = check_text(field, what, text, length)
    if text and (_NOT_IN_AN_ADDRESS.search(text) or not EMAIL.fullmatch(text)):
        raise InvalidInput(field, f"{_quoted(text)} is no e-mail address; write name@example.com.")
    return text


def check_day(field: str, text: str) -> date | None:
    """The day in `text`, written as ISO 8601 has it, or None."""
    text = text.strip()
    if not text:
        return None
    if not _ISO_DATE.fullmatch(text):
        raise InvalidInput(
            field, f"{_quoted(text)} is no date; write year-month-day, such as 2026-12-31."
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field, f"There is no day {text}.") from None


def _quoted(text: str) -> str:
    """`text` as a sentence quotes it: not the whole of something endless."""
    return f"“{shortened(text, _QUOTED)}”"
