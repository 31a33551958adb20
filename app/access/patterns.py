"""Patterns that a ticket's reference must fit, held against it for a tenth of a second at most."""

import re
from math import prod

import regex

from app.core.errors import InvalidInput
from app.core.text import TICKET_LENGTH

LONGEST_PATTERN = 200
PATTERN_SECONDS = 0.1
"""How long a ticket may be held against a pattern."""
MOST_REPEATS = 1000
"""How often groups may be repeated in all: each repetition is written out when a pattern is read,
and one within another multiplies, to gigabytes."""
_LEAST_COUNT = re.compile(r"\{\s*([0-9]+)")
_OF_A_GROUP = re.compile(r"\)\s*\{\s*([0-9]+)")


def fits(ticket: str, pattern: str) -> bool:
    """Whether the whole of `ticket` fits a pattern.

    Raises InvalidInput (field "ticket_pattern") if the pattern cannot be read, or takes longer than
    a tenth of a second with this ticket.
    """
    try:
        return compiled(pattern).fullmatch(ticket, timeout=PATTERN_SECONDS) is not None
    except TimeoutError:
        raise InvalidInput(
            "ticket_pattern",
            "The pattern takes too long with this ticket: write it without repetitions within "
            "repetitions.",
        ) from None


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The pattern, read. Raises InvalidInput (field "ticket_pattern") if it cannot be."""
    if len(pattern) > LONGEST_PATTERN:
        sentence = f"A pattern has at most {LONGEST_PATTERN} characters."
        raise InvalidInput("ticket_pattern", sentence)
    _check_repetitions(pattern)
    try:
        return regex.compile(pattern)
    except (regex.error, ValueError, RecursionError, OverflowError, MemoryError) as error:
        sentence = f"This is no pattern that can be read ({str(error)[:100]})."
        raise InvalidInput("ticket_pattern", sentence) from None


def _check_repetitions(pattern: str) -> None:
    """Raise InvalidInput for counts that no ticket is long enough for, before they are written out.

    It does not read patterns as `regex` does: what only looks like a count is counted too. Without
    line breaks no comment hides what a count belongs to.
    """
    if not pattern.isprintable():
        raise InvalidInput("ticket_pattern", "Something here cannot be shown. Type the pattern.")
    if any(int(count) > TICKET_LENGTH for count in _LEAST_COUNT.findall(pattern)):
        raise InvalidInput(
            "ticket_pattern", f"A ticket has at most {TICKET_LENGTH} characters: repeat less."
        )
    if prod(max(int(count), 1) for count in _OF_A_GROUP.findall(pattern)) > MOST_REPEATS:
        raise InvalidInput("ticket_pattern", "Repeated groups multiply to too much: repeat less.")
