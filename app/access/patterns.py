"""Patterns that a ticket's reference must fit, held against it for a tenth of a second at most."""

import regex

from app.core.errors import InvalidInput

LONGEST_PATTERN = 200
PATTERN_SECONDS = 0.1
"""How long a ticket may be held against a pattern."""


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
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        sentence = f"This is no pattern that can be read ({str(error)[:100]})."
        raise InvalidInput("ticket_pattern", sentence) from None
