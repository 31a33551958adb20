"""Checks of the text of organisations' and projects' fields, and the text for searches."""

import re
from datetime import date

from app.core.errors import InvalidInput
from app.core.text import EMAIL, fold, shortened, tidied

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that change the reading direction."""

_FORMULA = re.compile(
    r"""[=＝]
    | [-+@－＋＠].* (?:
        \w\(                                     # SUM(A1): a function is called
      | \b(?:HYPERLINK|WEBSERVICE|IMPORT\w+|IMAGE|DDE|RTD|CALL|EXEC|REGISTER(?:\.ID)?)\s*\(
      | \|.*!                                    # cmd|' /C calc'!A0: another program is started
      | ['\]]!                                   # '\\evil\[x.xls]S'!A1: another file is read
      | !\s*\$?[A-Z]{1,3}\$?[0-9]                # Sheet1!A1
    )""",
    re.VERBOSE | re.IGNORECASE,
)
"""What Excel, LibreOffice or Google Sheets would run: all that begins with "=", and expressions
that begin with another sign. They show "@Home (NL)" and "+31 (20) 555" as they are. Tabs and line
breaks before a sign have been stripped or refused."""

_ERRORS = frozenset(
    ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
)
"""What spreadsheets show, and save, where a formula failed."""

_NOT_IN_AN_ADDRESS = re.compile(r"[<>(),;:\"\[\]\\]")
"""Characters around an address that was copied with a name, or between several addresses."""

_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ](\S+))?")
_MIDNIGHT = re.compile(r"00:00(:00([.,]0+)?)?(Z|[+-]00:?00)?")
_QUOTED = 40
_MOST_TIDIED = 2000


def organisation_search_text(name: str, organisation_id: str) -> str:
    """The text of an organisation that searches look through."""
    return f"{fold(name)}\n{fold(organisation_id)}"


def project_search_text(name: str, contact_email: str) -> str:
    """The text of a project that searches look through, besides its organisation's."""
    return f"{fold(name)}\n{fold(contact_email)}"


def check_text(field: str, what: str, text: str, length: int) -> str:
    """`text` as it is stored: `tidied`, without surrounding space.

    `what` names the field in error messages. Raises InvalidInput if `text` has control
    characters, more than `length` characters, or the form of a spreadsheet formula.
    """
    text = text.strip()
    # Endless text is refused below as too long; tidying it first would only cost time.
    text = tidied(text) if len(text) < _MOST_TIDIED else text
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
    if text in _ERRORS:
        raise InvalidInput(
            field, f"The {what} is {text}, a spreadsheet's error; put right what it stands for."
        )
    if _FORMULA.match(text):
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
    """The day in `text` (ISO 8601, with or without a time at midnight), None if blank.

    Raises InvalidInput for anything else.
    """
    text = tidied(text.strip()[:_MOST_TIDIED])
    if not text:
        return None
    found = _ISO_DATE.fullmatch(text)
    if not found:
        raise InvalidInput(
            field, f"{_quoted(text)} is not a date; write year-month-day, such as 2026-12-31."
        )
    day, time = found.groups()
    if time and not _MIDNIGHT.fullmatch(time):
        raise InvalidInput(
            field,
            f"{_quoted(text)} has a time of day; write year-month-day alone, such as 2026-12-31.",
        )
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise InvalidInput(field, f"There is no day {day}.") from None


def _quoted(text: str) -> str:
    """`text` in quotation marks, shortened, for an error message."""
    return f"“{shortened(text, _QUOTED)}”"
