"""Sentences for the OP Agent's window."""

from datetime import datetime

from flask import get_template_attribute
from markupsafe import escape

from app.agents.codes import AT
from app.core.clock import utcnow


def with_instant(sentence: str, at: datetime | None) -> str:
    """A sentence as HTML, with its instant in the viewer's time zone (UTC on hover)."""
    if at is None:
        return sentence
    near_time = get_template_attribute("macros/time.html", "near_time")
    return escape(sentence).replace(AT, near_time(at, utcnow()))
