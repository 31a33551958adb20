"""Rules of organisations and projects: pure functions."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from app.core.errors import InvalidInput
from app.core.text import fold

NAME_LENGTH = 200
ORGANISATION_ID_LENGTH = 64
EMAIL_LENGTH = 254
PLAN_LENGTH = 50
STATUS_LENGTH = 50
USUAL_STATUS = "Active"

_NEVER = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that turn the reading direction around for what follows."""

_SIGNS_OF_A_FORMULA = re.compile(r"[=＝]|[-+@－＋＠].*[(|!]")
_EMAIL = re.compile(r"[^@\s<>(),;:\"\[\]\\]+@[^@\s<>(),;:\"\[\]\\]+")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def organisation_search_text(name: str, organisation_id: str) -> str:
    """What searches look through for an organisation."""
    return f"{fold(name)}\n{fold(organisation_id)}"


def project_search_text(name: str, contact_email: str) -> str:
    """What searches look through for a project, its organisation apart."""
    return f"{fold(name)}\n{fold(contact_email)}"


@dataclass(frozen=True, slots=True)
class ProjectFields:
    """What a person or a file says about a project, each checked by the functions below."""

    organisation_id: str
    organisation_name: str
    name: str
    contact_email: str = ""
    plan: str = ""
    plan_expires_on: date | None = None
    status: str = USUAL_STATUS


def check_organisation_id(text: str) -> str:
    """The Organisation ID in `text`. Raises InvalidInput, as all that follow."""
    text = _clean("organisation_id", "Organisation ID", text, ORGANISATION_ID_LENGTH)
    if not text.isprintable():
        raise InvalidInput(
            "organisation_id", "The Organisation ID holds an invisible character; type it anew."
        )
    return _required("organisation_id", "Organisation ID", text)


def check_organisation_name(text: str) -> str:
    """The organisation's name in `text`; it may be blank, for one that is known already."""
    return _clean("organisation_name", "organisation name", text, NAME_LENGTH)


def check_project_name(text: str) -> str:
    text = _clean("name", "project name", text, NAME_LENGTH)
    return _required("name", "project name", text)


def check_contact_email(text: str) -> str:
    """The e-mail address in `text`, or nothing: a project may have none."""
    text = _clean("contact_email", "contact e-mail", text, EMAIL_LENGTH)
    if text and not _EMAIL.fullmatch(text):
        raise InvalidInput(
            "contact_email", f"{_shortened(text)} is no e-mail address; write name@example.com."
        )
    return text


def check_plan(text: str) -> str:
    return _clean("plan", "plan", text, PLAN_LENGTH)


def check_plan_expiry(text: str) -> date | None:
    """The day in `text`, written as ISO 8601 has it, or None: a plan may never end."""
    text = text.strip()
    if not text:
        return None
    if not _ISO_DATE.fullmatch(text):
        raise InvalidInput(
            "plan_expires_on",
            f"{_shortened(text)} is no date; write year-month-day, such as 2026-12-31.",
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("plan_expires_on", f"There is no day {text}.") from None


def check_status(text: str) -> str:
    text = _clean("status", "status", text, STATUS_LENGTH)
    return _required("status", "status", text)


def _clean(field: str, what: str, text: str, length: int) -> str:
    """`text` without space around it, in the one Unicode form that is stored (NFC)."""
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
            f"The {what} is a spreadsheet formula ({_shortened(text)}); write it as plain text.",
        )
    return text


def _required(field: str, what: str, text: str) -> str:
    if not text:
        article = "an" if what[0] in "Oo" else "a"
        raise InvalidInput(field, f"Enter {article} {what}.")
    return text


def _shortened(text: str) -> str:
    """`text` as a sentence quotes it: not the whole of something endless."""
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"
