"""Manage Projects: searching, filters, sorting, paging, and what an address asks for."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import delete, event

from app.extensions import db
from app.models import Organisation, Project, User
from app.models.kept import forget_all
from app.projects.fields import ProjectFields
from app.projects.services import archive_project, create_project
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import issued

TYPING = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Source": "input#search-text"}
CHOOSING = TYPING | {"HX-Source": "form#search"}


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


def make(app: Flask, cast: Cast, *names: str, **more: object) -> list[int]:
    numbers = []
    with app.app_context():
        for name in names:
            values = {"organisation_id": f"ID {name}"[:64], "organisation_name": "Other", **more}
            made = create_project(
                db.session(),
                actor=cast.actor(cast.ada),
                fields=ProjectFields(name=name, **values),  # type: ignore[arg-type]
                now=NOW,
            )
            numbers.append(made.project.id)
        db.session.commit()
    return numbers


def cards(text: str) -> list[str]:
    """The names of the links that the cards are."""
    found = re.findall(r'<h2 class="card-title mb-2">\s*<a[^>]*>(.*?)</a>', text, re.S)
    return [unescape(name) for name in found]


def card(text: str, name: str) -> str:
    """The words of one card."""
    (found,) = [part for part in text.split('project-card">') if f">{name}</a>" in part]
    return " ".join(re.sub(r"<[^>]+>", " ", found.split("</li>")[0]).split())


def test_a_card_says_what_the_contract_names(app: Flask, ada: Visitor, cast: Cast) -> None:
    issued(app, cast, cast.acme)
    today = NOW.date()
    make(app, cast, "Past", plan_expires_on=today - timedelta(days=1), status="On hold")
    make(app, cast, "Last day", plan_expires_on=today, contact_email="x@y.de")
    page = ada.get("/projects")
    assert page.status_code == 200
    assert cards(page.text) == ["Acme ERP", "Bolt Shop", "Last day", "Past"]
    assert card(page.text, "Acme ERP") == (
        "Growth Active Acme ERP Acme ORG-000123 No expiry date License "
        "acme@client.example 1 active key"
    )
    assert "On hold Past Other ID Past Expired On : 23 Nov 2026" in card(page.text, "Past")
    assert "Expiry On : 24 Nov 2026" in card(page.text, "Last day")
    assert "No active keys" in card(page.text, "Bolt Shop")
    assert f'href="/projects/{cast.acme_project}"' in page.text


def test_the_page_has_its_words_and_a_form_that_works_without_javascript(ada: Visitor) -> None:
    text = ada.get("/projects?q=erp").text
    assert re.search(r"<title>\s*Manage Projects · Rolling Window", text)
    assert re.search(r"<h1[^>]*>\s*Manage Projects", text)
    (form,) = re.findall(r'<form class="card card-body mb-3 folds".*?</form>', text, re.S)
    assert 'action="/projects"' in form
    assert re.search(r'<label[^>]*for="search-text">\s*Search projects', form)
    for part in ('type="search"', 'placeholder="Find projects..."', 'value="erp"', ">Search<"):
        assert part in form


def test_who_may_manage_projects_is_offered_to(ada: Visitor, audrey: Visitor) -> None:
    for visitor, offered in ((ada, True), (audrey, False)):
        text = visitor.get("/projects").text
        assert ('href="/projects/new"' in text) is offered
        assert ('href="/projects/import"' in text) is offered


def test_a_fragment_is_what_the_page_itself_includes(ada: Visitor) -> None:
    page, fragment = ada.get("/projects?q=erp"), ada.get("/projects?q=erp", htmx=True)
    assert "<html" not in fragment.text
    assert cards(fragment.text) == cards(page.text) == ["Acme ERP"]
    assert 'data-announce="1 found"' in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]


def test_typing_replaces_the_address_and_choosing_adds_one(ada: Visitor) -> None:
    asked = "/projects?q=erp&plan=&expiry=&sort=name"
    typed = ada.client.get(asked, headers=TYPING)
    assert typed.headers["HX-Replace-Url"] == "/projects?q=erp"
    assert "HX-Push-Url" not in typed.headers
    chosen = ada.client.get("/projects?keys=active&sort=newest&q=", headers=CHOOSING)
    assert chosen.headers["HX-Push-Url"] == "/projects?keys=active&sort=newest"
    here = CHOOSING | {"HX-Current-URL": "http://localhost/projects?q=erp"}
    assert ada.client.get(asked, headers=here).headers["HX-Replace-Url"] == "/projects?q=erp"


def test_the_address_holds_the_search_in_any_script(ada: Visitor) -> None:
    for text in ("50% & more #1", "القاهرة", "🚀", "a+b"):
        address = ada.client.get(f"/projects?q={quote(text)}", headers=TYPING).headers[
            "HX-Replace-Url"
        ]
        assert address.isascii()
        assert f'value="{text.replace("&", "&amp;")}"' in ada.get(address).text


def test_history_asks_for_the_whole_page(ada: Visitor) -> None:
    whole = {"HX-Request": "true", "HX-Request-Type": "full"}
    assert "<html" in ada.client.get("/projects?q=erp", headers=whole).text


@pytest.mark.parametrize(
    "text",
    ["%", "_", "'", '"', "''; --", "\\", "🚀", "مشروع", "\u202eemca", "\x00", "%00", "x" * 5000],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_any_search_is_answered_in_the_products_own_look(
    ada: Visitor, text: str, htmx: bool
) -> None:
    answer = ada.get("/projects", htmx=htmx, query_string={"q": text})
    assert answer.status_code == 200
    assert cards(answer.text) or "No projects match" in answer.text


def test_bytes_that_are_no_text_are_answered_too(ada: Visitor) -> None:
    answer = ada.get("/projects?q=%ff%fe%ed%a0%80")
    assert answer.status_code == 200
    assert "No projects match" in answer.text


def test_a_search_is_text_and_never_markup(app: Flask, ada: Visitor, cast: Cast) -> None:
    """Somebody is sent a link whose search is a script, or imports a client called like one."""
    evil = '"><script>alert(1)</script>'
    make(app, cast, evil)
    for address in (f"/projects?q={quote(evil)}", "/projects", f"/projects?plan={quote(evil)}"):
        text = ada.get(address).text
        assert "<script>alert" not in text
    assert cards(ada.get("/projects?q=alert").text) == [evil]


def test_a_search_without_end_is_told_its_limit(ada: Visitor) -> None:
    answer = ada.get("/projects?q=" + "x" * 201)
    assert "at most 200 characters" in answer.text
    assert 'maxlength="200"' in answer.text
    assert "x" * 201 in answer.text


def test_nothing_found_has_a_way_out(ada: Visitor) -> None:
    text = ada.get("/projects?q=zzz&plan=Trial").text
    assert "No projects match" in text
    assert re.search(r'href="/projects">\s*Clear the search', text)
    assert 'href="/projects?q=zzz&amp;archived=yes"' in text
    assert 'value="zzz"' in text


def test_the_very_first_visit_says_how_to_begin(app: Flask, ada: Visitor, audrey: Visitor) -> None:
    with app.app_context():
        db.session.execute(delete(User).where(User.email == Cast.carl))
        db.session.execute(delete(Project))
        db.session.execute(delete(Organisation))
        db.session.commit()
    assert "No projects yet" in ada.get("/projects").text
    assert ada.get("/projects").text.count('href="/projects/new"') == 1
    assert 'href="/projects/new"' not in audrey.get("/projects").text


@pytest.mark.parametrize(
    "query",
    [
        "expiry=never&sort=best&keys=1&archived=maybe&page=x",
        "page=0",
        "page=-1",
        "page=999999999",
        "page=99999999999999999999",
        "page=1.5",
        "page=%00",
        "sort=name;DROP",
        "sort=&expiry=&plan=",
        "plan=" + "x" * 500,
        "q=&q=zzz",
        "unknown=1",
    ],
)
def test_what_makes_no_sense_in_an_address_is_as_if_it_were_not_there(
    ada: Visitor, query: str
) -> None:
    answer = ada.get(f"/projects?{query}")
    assert answer.status_code == 200
    assert cards(answer.text) == ["Acme ERP", "Bolt Shop"]


def test_filters_and_sorting_stay_chosen(app: Flask, ada: Visitor, cast: Cast) -> None:
    make(app, cast, "Trial run", plan="Trial", plan_expires_on=NOW.date())
    text = ada.get("/projects?plan=Trial&expiry=current&sort=newest").text
    assert cards(text) == ["Trial run"]
    for value in ("Trial", "current", "newest"):
        assert re.search(rf'<option value="{value}"\s+selected>', text), value


def test_a_plan_that_no_project_has_is_shown_as_chosen(ada: Visitor) -> None:
    text = ada.get("/projects?plan=Gone").text
    assert "No projects match" in text
    assert re.search(r'<option value="Gone"\s+selected>', text)


def test_has_active_keys_and_archived_are_filters(app: Flask, ada: Visitor, cast: Cast) -> None:
    issued(app, cast, cast.bolt)
    with app.app_context():
        ada_actor = cast.actor(cast.ada)
        archive_project(db.session(), actor=ada_actor, project_id=cast.acme_project, now=NOW)
        db.session.commit()
    assert cards(ada.get("/projects?keys=active").text) == ["Bolt Shop"]
    archived = ada.get("/projects?archived=yes").text
    assert cards(archived) == ["Acme ERP"]
    assert "Archived" in card(archived, "Acme ERP")


def test_a_key_id_read_out_over_the_phone_finds_the_project(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    key_id = issued(app, cast, cast.bolt)
    spoken = key_id.lower().replace("-", " ")
    assert cards(ada.get(f"/projects?q={quote(spoken)}").text) == ["Bolt Shop"]


def test_there_are_twenty_four_on_a_page(app: Flask, ada: Visitor, cast: Cast) -> None:
    make(app, cast, *(f"Cargo {number:02}" for number in range(50)))
    first = ada.get("/projects?q=cargo")
    assert len(cards(first.text)) == 24
    assert "1–24 of 50 projects" in first.text
    assert 'href="/projects?q=cargo&amp;page=3"' in first.text
    assert cards(ada.get("/projects?q=cargo&page=3").text) == ["Cargo 48", "Cargo 49"]
    beyond = ada.client.get("/projects?q=cargo&page=99", headers=CHOOSING)
    assert cards(beyond.text) == ["Cargo 48", "Cargo 49"]
    assert beyond.headers["HX-Push-Url"] == "/projects?q=cargo&page=3"


def test_a_page_takes_as_many_queries_with_sixty_projects_as_with_two(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append(statement)

    numbers = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", count)
    try:
        for more in (0, 60):
            make(app, cast, *(f"Cargo {number}" for number in range(more)))
            statements.clear()
            ada.get("/projects")
            numbers.append(len(statements))
    finally:
        with app.app_context():
            event.remove(db.engine, "before_cursor_execute", count)
    # Who asks; the totals; which projects; their cards; how many requests wait, in the navigation.
    assert numbers == [5, 5]


def test_nobody_sees_it_without_signing_in(visitor: Visitor) -> None:
    answer = visitor.get("/projects?q=erp")
    assert answer.status_code == 303
    assert answer.location == "/login?next=%2Fprojects%3Fq%3Derp"
    assert visitor.get("/projects", htmx=True).status_code == 401


def test_of_many_projects_pages_are_counted_from_either_end(
    app: Flask, ada: Visitor, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a number that nobody needs."""
    make(app, cast, *(f"Cargo {number:03}" for number in range(60)))
    monkeypatch.setattr("app.projects.totals.CHEAP", 50)
    monkeypatch.setattr("app.projects.finding.FEW", 50)
    forget_all()
    first, last = ada.get("/projects"), ada.get("/projects?page=-1")
    assert "1–24 of about 62 projects" in words_of(first.text)
    assert pages(first.text) == [("Next", "/projects?page=2"), ("Last", "/projects?page=-1")]
    assert "The last of about 62 projects" in words_of(last.text)
    assert cards(last.text)[-1] == "Cargo 059"
    assert pages(last.text) == [("First", "/projects"), ("Previous", "/projects?page=-2")]
    middle = ada.get("/projects?page=-2&q=cargo").text
    assert "25–48 from the end of more than 2,000 projects" in words_of(middle)
    assert [word for word, _ in pages(middle)] == ["First", "Previous", "Next", "Last"]
    beyond = ada.get("/projects?page=99")
    assert cards(beyond.text) == cards(last.text)


def words_of(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def pages(text: str) -> list[tuple[str, str]]:
    """The words and addresses of the links to other pages."""
    (nav,) = re.findall(r'<nav aria-label="Pages">.*?</nav>', text, re.S)
    links = re.findall(
        r'href="([^"]*)".*?>(?:<svg.*?</svg>)?(\w+)(?:<svg.*?</svg>)?</a>', nav, re.S
    )
    return [(word, unescape(address)) for address, word in links]


def test_rows_or_cards_is_kept_for_the_person_and_the_search_goes_on(
    ada: Visitor, audrey: Visitor, cast: Cast
) -> None:
    tab = f'href="/projects/{cast.acme_project}/license"'
    assert tab in ada.get("/projects?q=acme").text
    answer = ada.post("/projects/shown-as", {"rows": "1", "q": "acme", "sort": "newest"})
    assert (answer.status_code, answer.location) == (303, "/projects?q=acme&sort=newest")
    page = ada.get(answer.location).text
    assert "project-card" not in page
    assert tab in page
    assert "1 found" in page
    assert "project-card" in audrey.get("/projects").text
    ada.post("/projects/shown-as", {"rows": "0"})
    assert "project-card" in ada.get("/projects").text
