"""How the data of an event is put into words."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.core.durations import format_ttl

Wording = Callable[[Any], str | datetime]
"""From a value as it is stored to a text, or to an instant that a page shows as one.

Whatever is stored can be given: an event may be another version's.
"""


def text(value: Any) -> str:
    """As it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {part}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def code(**words: str) -> Wording:
    """A code: in the words given for it, else in its own, without underscores."""
    return lambda value: words.get(str(value), str(value).replace("_", " "))


def ttl(value: Any) -> str:
    """Seconds: "3 hrs"."""
    return format_ttl(value) if isinstance(value, int) and value > 0 else text(value)


def instant(value: Any) -> str | datetime:
    """An instant in ISO 8601 with its offset from UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return text(value)
    return moment if moment.tzinfo else text(value)


class Datum(NamedTuple):
    """One thing that events of a tag say: its label on a page, and how its value is worded."""

    label: str
    wording: Wording = text


def details(
    data: Mapping[str, Any], known: Mapping[str, Datum | None]
) -> list[tuple[str, str | datetime]]:
    """(label, value) of each thing that an event's data says, worded as its tag knows it.

    What is `known` as None is not shown; what is not known is shown as it is.
    """
    said = [
        (known.get(name, Datum(name.replace("_", " "))), value)
        for name, value in data.items()
        if value not in (None, "")
    ]
    return [(datum.label, datum.wording(value)) for datum, value in said if datum]
