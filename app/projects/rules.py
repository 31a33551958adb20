"""Checks of the text of organisations' and projects' fields, and the text for searches."""

import re
import unicodedata
from datetime import date

from app.core.errors import InvalidInput
from app.core.text import EMAIL, fold, shortened

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that change the reading direction."""

_SIGNS_OF_A_FORMULA = re.compile(r"[=＝]|[-+@－＋＠].*[(|!]")
_NOT_IN_AN_ADDRESS = re.compile(r"[<>(),;:\"\[\]\\]")
"""Characters around an address that was copied with a name, or between several addresses."""

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_QUOTED = 40


def organisation_search_text(name: str, organisation_id: str) -> str:
    """The text of an organisation that searches look through."""
    return f"{fold(name)}\n{fold(organisation_id)}"


def project_search_text(name: str, contact_email: str) -> str:
    """The text of a project that searches look through, besides its organisation's."""
    return f"{fold(name)}\n{fold(contact_email)}"


def check_text(field: str, what: str, text: str, length: int) -> str:
    """`text` without surrounding space, in Unicode NFC, as it is stored.

    `what` names the field in error messages. Raises InvalidInput if `text` has control
    characters, more than `length` characters, or the form of a spreadsheet formula.
    """
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        raise InvalidInput(
            field,
            f"The {what} holds a control character (U+{ord(forbidden[0]):04X}); take it out.",
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
    """As `check_text`. Raises InvalidInput also for invisible characters."""
    text = check_text(field, what, text, length)
    if not text.isprintable():
        raise InvalidInput(field, f"The {what} holds an invisible character; type it anew.")
    return text


def check_email(field: str, what: str, text: str, length: int) -> str:
    """As `check_text`. Raises InvalidInput also unless it is blank or one bare e-mail address."""
    text = check_text(field, what, text, length)
    if text and (_NOT_IN_AN_ADDRESS.search(text) or not EMAIL.fullmatch(text)):
        raise InvalidInput(
            field, f"{_quoted(text)} is not an e-mail address; write name@example.com."
        )
    return text


def check_day(field: str, text: str) -> date | None:
    """The day in `text` (ISO 8601), None if blank. Raises InvalidInput for anything else."""
    text = text.strip()
    if not text:
        return None
    if not _ISO_DATE.fullmatch(text):
        raise InvalidInput(
            field, f"{_quoted(text)} is not a date; write year-month-day, such as 2026-12-31."
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field, f"There is no day {text}.") from None


def _quoted(text: str) -> str:
    """`text` in quotation marks, shortened, for an error message."""
    return f"“{shortened(text, _QUOTED)}”"
