"""A project's own pages: Overview, Feed, archiving, deleting; and the page about importing."""

import re

import pytest
from flask import Flask

from app.extensions import db
from app.models import Organisation, Project
from tests.conftest import Cast, Clock, Visitor
from tests.web.pages import issued, words
from tests.web.test_project_edit import FIELDS, flashed


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


@pytest.fixture
def acme(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}"


@pytest.fixture
def bolt(cast: Cast) -> str:
    return f"/projects/{cast.bolt_project}"


# Overview and Feed


def test_overview_says_what_is_known(app: Flask, ada: Visitor, cast: Cast, acme: str) -> None:
    issued(app, cast, cast.acme)
    page = ada.get(acme)
    assert page.status_code == 200
    assert re.search(r"<h1[^>]*>\s*Acme ERP\s*</h1>", page.text)
    assert re.search(r"<title>\s*Acme ERP · Rolling Window", page.text)
    for part in ("Acme · ORG-000123", "Contact e-mail acme@client.example", "1 active key"):
        assert part in words(page.text)
    assert "No expiry date" in page.text


def test_the_tabs_are_links(ada: Visitor, acme: str) -> None:
    ends = {
        "Overview": "",
        "License": "/license",
        "Agents": "/agents",
        "Visits": "/visits",
        "Feed": "/feed",
    }
    for current, end in ends.items():
        text = ada.get(acme + end).text
        tabs = re.search(r'<nav [^>]*aria-label="Project".*?</nav>', text, re.S)
        assert tabs is not None, current
        found = re.findall(r'<a class="nav-link[^"]*"\s+href="([^"]+)"([^>]*)>(\w+)</a>', tabs[0])
        assert [(name, address) for address, _, name in found] == [
            (name, acme + end) for name, end in ends.items()
        ]
        assert [name for _, state, name in found if "aria-current" in state] == [current]


def test_overview_names_the_organisations_other_projects(
    ada: Visitor, cast: Cast, acme: str
) -> None:
    assert "This is its only project." in ada.get(acme).text
    for number in range(13):
        ada.post("/projects/new", FIELDS | {"organisation_id": cast.acme, "name": f"N{number:02}"})
    text = ada.get(acme).text
    assert len(re.findall(r'dir="auto">N\d\d</a>', text)) == 12
    assert f'href="/projects?q={cast.acme}"' in text


def test_the_feed_says_that_nothing_has_happened(
    app: Flask, ada: Visitor, cast: Cast, acme: str
) -> None:
    issued(app, cast, cast.acme)
    text = ada.get(f"{acme}/feed").text
    assert "Nothing has happened yet" in text
    assert re.search(r"<h1[^>]*>\s*Acme ERP\s*</h1>", text)


@pytest.mark.parametrize("number", ["0", "4711", str(2**31), str(2**63), "9" * 40, "-1", "x"])
def test_a_project_that_is_not_there_is_a_page_of_our_own(ada: Visitor, number: str) -> None:
    for end in ("", "/feed", "/edit", "/archive", "/delete", "/license", "/agents"):
        answer = ada.get(f"/projects/{number}{end}")
        assert answer.status_code == 404, end
        assert "Rolling Window" in answer.text
        assert re.search(
            r'<a class="btn btn-primary"\s+href="/projects">Manage Projects', answer.text
        )
    for end in ("/edit", "/archive", "/restore", "/delete"):
        assert ada.post(f"/projects/{number}{end}", FIELDS).status_code == 404, end


def test_an_auditor_reads_and_is_offered_nothing(audrey: Visitor, acme: str) -> None:
    text = audrey.get(acme).text
    assert audrey.get(f"{acme}/feed").status_code == 200
    for end in ("/edit", "/archive", "/delete", "/restore"):
        assert f'{acme}{end}"' not in text


# Archiving


def test_archiving_asks_first_in_a_dialog_or_on_a_page(ada: Visitor, acme: str) -> None:
    text = ada.get(acme).text
    assert f'href="{acme}/archive"' in text
    assert f'hx-get="{acme}/archive"' in text
    page, dialog = ada.get(f"{acme}/archive"), ada.get(f"{acme}/archive", htmx=True)
    assert re.search(r"<h1[^>]*>\s*Archive this project\?", page.text)
    assert "<html" not in dialog.text
    assert 'id="dialog-title">Archive this project?' in dialog.text
    for text in (page.text, dialog.text):
        assert f'action="{acme}/archive"' in text
        assert "Archive project" in text


def test_a_project_is_archived_and_restored(ada: Visitor, acme: str) -> None:
    assert flashed(ada, ada.post(f"{acme}/archive")) == "Acme ERP is archived."
    text = ada.get(acme).text
    assert "This project is archived" in text
    assert f'action="{acme}/restore"' in text
    assert "Acme ERP" not in ada.get("/projects").text
    for end in ("/license", "/agents", "/feed", "/edit"):
        assert ada.get(acme + end).status_code == 200, end
    assert flashed(ada, ada.post(f"{acme}/restore")) == "Acme ERP is no longer archived."
    assert "Acme ERP" in ada.get("/projects").text


# Deleting


def test_deleting_asks_first_and_says_what_goes_with_it(
    app: Flask, ada: Visitor, cast: Cast, bolt: str
) -> None:
    assert f'hx-get="{bolt}/delete"' in ada.get(bolt).text
    page = ada.get(f"{bolt}/delete")
    assert "Bolt Shop will be gone for good, and with it the organisation" in words(page.text)
    assert "<html" not in ada.get(f"{bolt}/delete", htmx=True).text
    answer = ada.post(f"{bolt}/delete")
    assert answer.location == "/projects"
    assert flashed(ada, answer) == "Bolt Shop was deleted."
    assert ada.get(bolt).status_code == 404
    assert ada.post(f"{bolt}/delete").status_code == 404
    with app.app_context():
        assert db.session.get(Organisation, cast.bolt) is None
        db.session.remove()


def test_a_project_with_a_past_is_only_archived(
    app: Flask, ada: Visitor, cast: Cast, acme: str, bolt: str
) -> None:
    issued(app, cast, cast.bolt)
    for address, what in ((acme, "users"), (bolt, "license keys")):
        assert f"{address}/delete" not in ada.get(address).text
        page = ada.get(f"{address}/delete")
        assert f"has {what} on record" in page.text
        assert "Delete project" not in page.text
        answer = ada.post(f"{address}/delete")
        assert answer.status_code == 409
        assert f"has {what} on record" in answer.text
        for refused in (page, answer, ada.get(f"{address}/delete", htmx=True)):
            assert re.search(rf'href="{address}/archive"[^>]*>Archive instead</a>', refused.text)
        ada.post(f"{address}/archive")
        assert "Archive instead" not in ada.get(f"{address}/delete").text
    with app.app_context():
        assert db.session.get(Project, cast.acme_project)
        db.session.remove()


def test_a_key_issued_while_the_question_stands_stops_the_deletion(
    app: Flask, ada: Visitor, cast: Cast, bolt: str
) -> None:
    assert "Delete project" in ada.get(f"{bolt}/delete").text
    issued(app, cast, cast.bolt)
    assert ada.post(f"{bolt}/delete", htmx=True).status_code == 409
    assert ada.get(bolt).status_code == 200
