"""Answers that are true until an instant: one that would arrive too late is replaced."""

from collections.abc import Callable
from datetime import datetime, timedelta
from time import sleep

from flask import Response, g

from app.core.clock import utcnow

ON_THE_WAY = timedelta(milliseconds=50)
"""What an answer may take from here to whoever asked, on a busy machine."""


def answer_before(instant: datetime, otherwise: Callable[[], Response]) -> None:
    """Give this request's answer before `instant`; from then on, what `otherwise` makes.

    Waiting for the commit takes time, and what was true before it may have ended meanwhile.
    """
    g.deadline = instant, otherwise


def late_answer() -> Response | None:
    """After the commit: the other answer if the instant has passed, else None.

    If it is about to pass, this waits for it: the answer would be true when it is sent, and not any
    more when it arrives.
    """
    if "deadline" not in g:
        return None
    instant, otherwise = g.deadline
    left = instant - utcnow()
    if left > ON_THE_WAY:
        return None
    sleep(max(0.0, left.total_seconds()))
    late: Response = otherwise()
    return late
