"""Asking before something is done, in a dialog or on a page of its own.

A GET shows the confirmation, a POST to the same address does it; the view has the wording.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from app.models import AgentSession
from app.web.htmx import render


@dataclass(frozen=True)
class Name:
    """A name in a sentence, which is emphasised and may be in any writing direction."""

    text: str


@dataclass(frozen=True)
class Link:
    text: str
    address: str


Sentence = str | tuple[str | Name | Link | datetime, ...]
"""Text or its parts, which the template escapes; instants are shown in local time."""


@dataclass(frozen=True, kw_only=True)
class LogOuts:
    """Who would be logged out: `sessions` with their `heading`, or the sentence `nobody`."""

    sessions: Sequence[AgentSession]
    heading: str
    nobody: str
    names_license: bool = True
    """Whether each session is listed with its license."""


@dataclass(frozen=True)
class Choice:
    """A checkbox in a confirmation, not checked at first."""

    name: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    title: str
    button: str
    crumbs: Sequence[tuple[str, str]]
    """Text and address of the links above the title; Cancel leads to the last one."""
    sentences: Sequence[Sentence] = ()
    log_outs: LogOuts | None = None
    kept: Sentence = ""
    """What does not change, though people may expect it to."""
    choice: Choice | None = None
    harmless: bool = False
    instead: Link | None = None
    """What can be asked for where there is `nothing_to_do`."""
    nothing_to_do: Sentence = ""
    """If it is done already, or impossible: the sentence to show instead of the question."""
    replaces: str = ""
    """The id of the element that the response replaces; if blank, a new page is loaded."""
    sends: str = ""
    """A selector of fields on the page behind the dialog whose values are sent as well."""


def ask(confirmation: Confirmation, status: int = 200) -> Response:
    """The question, as a page or in the dialog, wherever the form that asks for it stands."""
    page, dialog = "confirm/page.html", "confirm/_dialog.html"
    response = render(page, dialog, status, confirmation=confirmation)
    response.headers["HX-Retarget"] = "#dialog"
    return response
