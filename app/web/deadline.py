"""Answers that are true until an instant: one that comes too late is replaced."""

from collections.abc import Callable
from datetime import datetime

from flask import Response, g

from app.core.clock import utcnow


def answer_before(instant: datetime, otherwise: Callable[[], Response]) -> None:
    """Give this request's answer before `instant`; from then on, what `otherwise` makes.

    Waiting for the commit takes time, and what was true before it may have ended meanwhile.
    """
    g.deadline = instant, otherwise


def late_answer() -> Response | None:
    """After the commit: the other answer if the instant has passed, else None."""
    if "deadline" not in g:
        return None
    instant, otherwise = g.deadline
    return otherwise() if utcnow() >= instant else None
