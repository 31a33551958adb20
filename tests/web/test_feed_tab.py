"""The Feed tab: the newest first, searched, page by page."""

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.audit.feed import FeedKind, add_entry
from app.extensions import db
from tests.conftest import NOW, Cast, Clock, Visitor

MACHINE = "Büro-PC (00:1A:2B:3C:4D:5E)"
TYPING = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Source": "input#search-text"}
CHOOSING = TYPING | {"HX-Source": "form#search"}


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/feed"


@pytest.fixture
def told(app: Flask, cast: Cast) -> None:
    """Three lines of Acme's, and one of Bolt's."""
    tell_of(app, cast.acme, FeedKind.MACHINE_REGISTERED, MACHINE, cast.carl)
    tell_of(app, cast.acme, FeedKind.CLIENT_SIGNED_IN, MACHINE, cast.carl)
    tell_of(app, cast.acme, FeedKind.PROJECT_UPDATED, "Acme ERP")
    tell_of(app, cast.bolt, FeedKind.PROJECT_CREATED, "Bolt only")


def tell_of(
    app: Flask, organisation_id: str, kind: FeedKind, subject: str, client: str = ""
) -> None:
    with app.app_context():
        add_entry(
            db.session(),
            kind,
            organisation_id=organisation_id,
            subject=subject,
            now=NOW - timedelta(minutes=5),
            client=client,
        )
        db.session.commit()


def lines(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200
    found = re.findall(r'<p class="mb-0">(.*?)</p>', answer.text, re.DOTALL)
    return [unescape(" ".join(re.sub(r"<.*?>", "", line).split())) for line in found]


@pytest.mark.usefixtures("told")
class TestLines:
    def test_the_newest_stands_first_and_none_of_another_organisation(
        self, ada: Visitor, tab: str
    ) -> None:
        answer = ada.get(tab)
        assert lines(answer) == [
            "A project was changed: Acme ERP",
            f"Signed in on an OP Agent: {MACHINE}",
            f"A machine was registered: {MACHINE}",
        ]
        assert answer.text.count("<bdi>carl@example.com</bdi>") == 2
        assert 'datetime="2026-11-24T15:35:00Z"' in answer.text
        assert re.search(r'<ol [^>]*aria-label="Feed, newest first">', answer.text)

    def test_an_auditor_reads_it_too(self, audrey: Visitor, tab: str) -> None:
        assert len(lines(audrey.get(tab))) == 3

    def test_nobody_else_does(self, visitor: Visitor, tab: str) -> None:
        assert visitor.get(tab).headers["Location"] == f"/login?next={tab.replace('/', '%2F')}"

    def test_of_a_project_that_is_not_there_is_not_found(self, ada: Visitor) -> None:
        assert ada.get("/projects/999999/feed").status_code == 404

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("q=BURO", 2),
            ("q=signed+carl", 1),
            ("kind=machine.registered", 1),
            ("kind=machine.registered&q=erp", 0),
            ("kind=nonsense", 3),
            ("kind=license.issued", 3),
            ("q=%00changed", 1),
            ("q=%25", 0),
            ("page=99", 3),
            ("page=-1", 3),
        ],
    )
    def test_is_searched_by_words_and_kind(
        self, ada: Visitor, tab: str, query: str, found: int
    ) -> None:
        assert len(lines(ada.get(f"{tab}?{query}"))) == found

    def test_what_was_asked_for_stands_in_the_form(self, ada: Visitor, tab: str) -> None:
        page = ada.get(f"{tab}?q=b%C3%BCro&kind=agent.signed_in").text
        assert 'value="büro"' in page
        assert '<option value="agent.signed_in" selected>' in page

    def test_where_nothing_matches_there_is_a_way_out(self, ada: Visitor, tab: str) -> None:
        page = ada.get(f"{tab}?q=zebra").text
        assert "Nothing matches" in page
        assert f'href="{tab}">Show everything</a>' in page

    def test_an_endless_search_is_cut(self, ada: Visitor, tab: str) -> None:
        assert lines(ada.get(f"{tab}?q={'x' * 5000}")) == []


def test_before_anything_has_happened_it_says_so(ada: Visitor, tab: str) -> None:
    page = ada.get(tab).text
    assert "Nothing has happened yet" in page
    assert "Temporary keys and sign-ins with them never appear here." in page


def test_more_than_a_page_is_shown_page_by_page(
    app: Flask, ada: Visitor, cast: Cast, tab: str
) -> None:
    for number in range(51):
        tell_of(app, cast.acme, FeedKind.PROJECT_UPDATED, f"Change {number}")
    first, second = ada.get(f"{tab}?q=change"), ada.get(f"{tab}?q=change&page=2")
    assert "1–50 of 51 events" in first.text
    assert f'href="{tab}?q=change&amp;page=2"' in first.text
    assert lines(first)[0] == "A project was changed: Change 50"
    assert lines(second) == ["A project was changed: Change 0"]


@pytest.mark.usefixtures("told")
class TestByHtmx:
    def test_typing_replaces_the_address_and_choosing_is_a_step_back(
        self, ada: Visitor, tab: str
    ) -> None:
        typed = ada.client.get(f"{tab}?q=carl&kind=", headers=TYPING)
        assert typed.headers["HX-Replace-Url"] == f"{tab}?q=carl"
        assert "<html" not in typed.text
        assert 'data-announce="2 found"' in typed.text
        chosen = ada.client.get(f"{tab}?q=carl&kind=agent.signed_in", headers=CHOOSING)
        assert chosen.headers["HX-Push-Url"] == f"{tab}?q=carl&kind=agent.signed_in"

    def test_nothing_found_is_announced_too(self, ada: Visitor, tab: str) -> None:
        assert 'data-announce="Nothing found"' in ada.get(f"{tab}?q=zebra", htmx=True).text


def test_what_a_machine_calls_itself_is_text(
    app: Flask, ada: Visitor, cast: Cast, tab: str
) -> None:
    """A client names their machine so that a script runs where a super admin reads the Feed."""
    tell_of(app, cast.acme, FeedKind.MACHINE_REGISTERED, "<script>alert(1)</script>", "<b>@x.y")
    page = ada.get(tab).text
    assert "<script>alert(1)" not in page
    assert "<b>@" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
