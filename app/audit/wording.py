"""The wording of an event's data on pages."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.core.durations import format_length

Wording = Callable[[Any], str | datetime]
"""Turns a stored value into text, or into an instant that a page shows in local time.

Must accept any stored value: the event may have been written by another version.
"""


def text(value: Any) -> str:
    """Any value as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {part}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def code(**words: str) -> Wording:
    """A wording for codes: the given words, or else the code itself without underscores."""
    return lambda value: words.get(str(value), str(value).replace("_", " "))


def ttl(value: Any) -> str:
    """A TTL in seconds, as "3 hrs"."""
    return format_length(value) if isinstance(value, int) and value > 0 else text(value)


def instant(value: Any) -> str | datetime:
    """An instant stored in ISO 8601 with its offset from UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return text(value)
    return moment if moment.tzinfo else text(value)


class Datum(NamedTuple):
    """One item of an event's data: its label on pages, and the wording of its value.

    `in_subject`: the subject may say it too, and then it is not said again; `unless_said`: the same
    of the items before it.
    """

    label: str
    wording: Wording = text
    in_subject: bool = False
    unless_said: bool = False


def details(
    data: Mapping[str, Any], known: Mapping[str, Datum | None], subject: str = ""
) -> list[tuple[str, str | datetime]]:
    """(label, value) of each item of an event's data that pages show.

    `known` is what the event's tag defines: items defined as None are left out, items that it
    does not define are shown as they are.
    """
    items = [
        (known.get(name, Datum(name.replace("_", " "))), value)
        for name, value in data.items()
        if value not in (None, "")
    ]
    shown: list[tuple[str, str | datetime]] = []
    said: list[str] = []
    for datum, value in items:
        if datum is None or (datum.in_subject and str(value) in subject):
            continue
        if not (datum.unless_said and str(value) in said):
            shown.append((datum.label, datum.wording(value)))
        said.append(str(value))
    return shown
