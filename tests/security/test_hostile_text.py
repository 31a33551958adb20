"""Markup, line ends and formulas in every text that somebody types or sends."""

import csv
import logging
import re
from html.parser import HTMLParser
from io import StringIO
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import String, update
from werkzeug.test import TestResponse

from app.audit.feed import FeedKind, add_entry
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.extensions import db
from app.models import Base
from tests.agents.stage import issue, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.security.stage import LINES, PORTAL_LINES, path_of, records_of_acme, with_role

MARKUP = "=1+1'\"></textarea></title></script></option><x-evil onevil=1>{{7*7}}\u2028"
NO_TEXT = re.compile(
    r"\bid|_id|hash|token|salt|kid|mac_id|role|kind|tag|end_code|\bstate|search_text|by_\w+|text"
)
"""Columns that hold no text that somebody typed: what is looked up, counted or computed."""
NOT_CHANGED = ("audit_events", "feed_events", "project_search", "installation", "signing_keys")


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.fields: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag in ("input", "select", "textarea", "button") and (name := dict(attrs).get("name")):
            self.fields[name] = tag


def check(answer: TestResponse, what: str) -> None:
    """Nothing that was typed has become an element, an attribute, the address of a link, or a
    formula of a spreadsheet."""
    if answer.mimetype == "text/csv":
        for row in csv.reader(StringIO(answer.text)):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    if answer.mimetype != "text/html":
        assert answer.headers["X-Content-Type-Options"] == "nosniff", what
        return
    page = Page(answer.text)
    assert "x-evil" not in page.tags, what
    assert not [name for name, _ in page.attributes if name.startswith("on")], what
    for name, value in page.attributes:
        if name in ("href", "src", "action", "formaction"):
            assert re.match(r"[/?#]|https?://|mailto:|data:image/|$", value or ""), (what, value)


@pytest.fixture
def records(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    """Acme's records, with markup in every text of every row; besides, every kind of event."""
    found = records_of_acme(app, cast)
    with app.app_context():
        session = db.session()
        signed_in(session, cast.pat, issue(session, cast), mac_id="00:1A:2B:00:00:02")
        actor = Actor(None, MARKUP, None, MARKUP[:45])
        for tag in AuditTag:
            data = dict.fromkeys(tag.data, MARKUP)
            log_event(
                session,
                tag,
                actor=actor,
                now=NOW,
                organisation_id=cast.acme,
                subject=MARKUP,
                **data,
            )
        for kind in FeedKind:
            add_entry(
                session, kind, organisation_id=cast.acme, subject=MARKUP, now=NOW, client=MARKUP
            )
        for table in Base.metadata.sorted_tables:
            if table.name not in NOT_CHANGED:
                texts = [c for c in table.columns if isinstance(c.type, String) and is_text(c.name)]
                key = next(iter(table.primary_key.columns))
                for column in texts:  # some must differ from row to row
                    value = MARKUP + key.cast(String)
                    session.execute(update(table).values({column: value}))
        session.commit()
    return found


def is_text(name: str) -> bool:
    return not NO_TEXT.search(name)


def test_the_texts_that_are_changed() -> None:
    """A text that the models gain is among them by itself."""
    names = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if table.name not in NOT_CHANGED and isinstance(column.type, String)
        if is_text(column.name)
    }
    assert names >= {
        "organisations.name",
        "projects.name",
        "projects.contact_email",
        "projects.plan",
        "projects.status",
        "users.email",
        "agents.hostname",
        "agents.agent_version",
        "agent_sessions.hostname",
        "import_drafts.file_name",
    }


def test_whatever_is_stored_is_text_on_every_page(
    ada: Visitor, audrey: Visitor, records: dict[str, str]
) -> None:
    """Mallory names a project, a machine, a file, herself, with markup, and waits until somebody
    looks."""
    for visitor, pages in ((ada, 20), (audrey, 8)):
        showing = 0
        for line in PORTAL_LINES:
            if line.method == "GET":
                for htmx in (False, True):
                    answer = visitor.get(path_of(line.address, records), htmx=htmx)
                    assert answer.status_code < 500, line
                    check(answer, line.address)
                    showing += "x-evil" in answer.text
        assert showing > pages


def test_whatever_is_typed_is_text_where_it_is_shown_again(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """Mallory fills every field of every form, and sends it on Ada's behalf, or lets her be asked
    for what is wrong with it."""
    records, shown = records_of_acme(app, cast), 0
    for role in ("nobody", "super_admin"):
        visitor = with_role(app, cast, role)
        for line in LINES:
            path = path_of(line.address, records)
            closed = line.answers.get(role) == 401 or line.address == "/logout"
            if line.method != "POST" or path.startswith("/api/") or closed:
                continue
            fields = Page(visitor.get(path).text).fields
            typed = dict.fromkeys([*fields, "name", "next", "key", "ttl", "page"], MARKUP)
            # With a token that is out of date the form is shown again.
            for token, htmx in ((None, False), (None, True), ("old", False)):
                sent = typed | {"csrf_token": token or visitor.csrf_token}
                answer = visitor.post(path, sent, htmx=htmx)
                assert answer.status_code < 500, line
                check(answer, line.address)
                shown += "x-evil" in answer.text
    assert shown > 10


@pytest.mark.parametrize("role", ["nobody", "super_admin"])
def test_whatever_stands_in_an_address_is_text(
    app: Flask, cast: Cast, clock: Clock, role: str
) -> None:
    """Mallory's link leads Ada to the portal, with markup in its query and in its path."""
    records = records_of_acme(app, cast)
    names = ("q", "key", "ttl", "page", "next", "organisation", "draft", "sort", "sheet", "kind")
    visitor = with_role(app, cast, role)
    for line in PORTAL_LINES:
        if line.method == "GET":
            path = path_of(line.address, records)
            for address in (path, below(path, MARKUP)):
                for htmx in (False, True):
                    query = dict.fromkeys(names, MARKUP)
                    answer = visitor.get(address, htmx=htmx, query_string=query)
                    assert answer.status_code < 500, line
                    check(answer, line.address)


def below(path: str, text: str) -> str:
    return f"{path.rstrip('/')}/{quote(text)}"


LINE_ENDS = ("\r\n", "\n", "\r", "\u2028", "\x85", "\x0b", "\x0c", "\x1e", "\x1b[2J", "\x00")
FORGED = "2026-11-24 15:40:00 INFO ada@example.com signed in"


@pytest.mark.parametrize("ends", [LINE_ENDS[:-1], LINE_ENDS], ids=["without NUL", "with NUL"])
def test_a_line_end_makes_no_header_and_no_line_of_the_log(
    app: Flask, cast: Cast, caplog: pytest.LogCaptureFixture, clock: Clock, ends: tuple[str, ...]
) -> None:
    """Mallory puts line ends and her own next line into whatever she can send."""
    records = records_of_acme(app, cast)
    text = "x" + "".join(f"{end}Set-Cookie: evil=1{end}{FORGED}" for end in ends)
    visitor = with_role(app, cast, "super_admin")
    caplog.set_level(logging.DEBUG)
    for line in PORTAL_LINES:
        if line.address == "/logout":
            continue
        path = path_of(line.address, records)
        fields = dict.fromkeys(
            ("email", "password", "next", "name", "ttl", "key", "contact_email", "q"), text
        )
        if line.method == "GET":
            answer = visitor.get(path, query_string=fields)
        else:
            answer = visitor.post(path, fields)
        answers = (answer, visitor.get(below(path, text)))
        for given in answers:
            assert given.status_code < 500, line
            assert "evil" not in " ".join(given.headers.getlist("Set-Cookie")), line
            for name, value in given.headers:
                assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028]", name + value), (line, name)
    for record in caplog.records:
        said = record.getMessage()
        assert not [end for end in ends if f"{end}{FORGED}" in said], said


def test_an_error_at_a_forged_address_is_one_line_of_the_log(
    ada: Visitor,
    cast: Cast,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mallory has found an address that makes the portal fail, and writes her own line after it."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.portal.licenses.find_license", fail)
    tab = f"/projects/{cast.acme_project}/license"
    for end in LINE_ENDS:
        answer = ada.get(f"{tab}/{quote(f'x{end}{FORGED}')}/revoke")
        assert answer.status_code == 500
    assert len(caplog.records) == len(LINE_ENDS)
    for record in caplog.records:
        assert not [end for end in LINE_ENDS if f"{end}{FORGED}" in record.getMessage()]
