"""Two who decide at once: the second waits for the first, and is told."""

import threading
from collections.abc import Callable

from flask import Flask
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.extensions import db
from app.models.engine import writing


def refusal_of_second(
    app: Flask, first: Callable[[Session], object], second: Callable[[Session], object]
) -> str:
    """What the second is refused with, who begins while the first is under way; "" if with none."""
    outcomes: list[str] = []

    def begin_second() -> None:
        with app.app_context(), writing(), Session(db.engine) as own, own.begin():
            try:
                second(own)
                outcomes.append("")
            except Conflict as told:
                outcomes.append(told.detail)

    waiting = threading.Thread(target=begin_second)
    with app.app_context(), writing(), Session(db.engine) as own, own.begin():
        first(own)
        waiting.start()
        waiting.join(timeout=0.3)
        assert outcomes == []
    waiting.join()
    [told] = outcomes
    return told
