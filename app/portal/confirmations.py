"""What is asked before something is done: one value, shown in the dialog or as a page of its own.

A confirmation is asked for by GET and done by POST, at one address; its words stand in the view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from app.models import AgentSession
from app.web.htmx import render


@dataclass(frozen=True)
class Name:
    """A name that stands out in a sentence, whichever way it is written."""

    text: str


@dataclass(frozen=True)
class Link:
    text: str
    address: str


Sentence = str | tuple[str | Name | Link | datetime, ...]
"""Text, or its parts: the template escapes them, and writes an instant in the viewer's zone."""


@dataclass(frozen=True, kw_only=True)
class LogOuts:
    """Who would be logged out: `sessions` under a `heading`, or `nobody`, a sentence."""

    sessions: Sequence[AgentSession]
    heading: str
    nobody: str
    names_license: bool = True
    """Each session says which license it is under."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    title: str
    button: str
    crumbs: Sequence[tuple[str, str]]
    """Text and address of what stands above the page's title; the last is where Cancel leads."""
    sentences: Sequence[Sentence] = ()
    log_outs: LogOuts | None = None
    kept: Sentence = ""
    """What stays as it is, though people could think otherwise."""
    harmless: bool = False
    nothing_to_do: Sentence = ""
    """It is done already, or cannot be: this is said, and nothing is asked."""
    replaces: str = ""
    """The id of what the answer replaces on the page behind the dialog; else a new page follows."""
    sends: str = ""
    """The id of a field on that page whose value is sent along."""


def ask(confirmation: Confirmation) -> Response:
    return render("confirm/page.html", "confirm/_dialog.html", confirmation=confirmation)
