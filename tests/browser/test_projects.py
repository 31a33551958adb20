"""Manage Projects and a project's pages in a real browser: typing, going back, no JavaScript."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.core.actor import Actor
from app.core.clock import utcnow
from app.core.permissions import Role
from app.projects.fields import ProjectFields
from app.projects.services import create_project
from tests.browser.conftest import Portal, Watch

ADMIN = Actor(None, "tests", Role.SUPER_ADMIN, "")


@pytest.fixture(scope="module")
def cargo(portal: Portal) -> int:
    """The number of one of thirty projects that only these tests search for."""
    with portal.session() as session:
        made = [
            create_project(
                session,
                actor=ADMIN,
                fields=ProjectFields(
                    organisation_id=f"CARGO-{number:02}",
                    organisation_name="Ångström Fracht",
                    name=f"Cargo {number:02}",
                    plan="Freight" if number == 7 else "Growth",
                    contact_email=f"cargo{number}@client.example",
                ),
                now=utcnow(),
            ).project
            for number in range(30)
        ]
        return made[7].id


def cards(page: Page) -> Locator:
    return page.locator(".project-card h2 a")


def address(portal: Portal, query: str) -> re.Pattern[str]:
    return re.compile(re.escape(f"{portal.url}/projects{query}") + "$")


def test_results_follow_what_is_typed_and_the_address_too(
    portal: Portal, page: Page, cargo: int
) -> None:
    portal.sign_in(page, "/projects")
    box = page.get_by_role("searchbox", name="Search projects")
    expect(box).to_have_attribute("placeholder", "Find projects...")
    box.press_sequentially("angstrom 07", delay=30)
    expect(page).to_have_url(address(portal, "?q=angstrom+07"))
    expect(cards(page)).to_have_text(["Cargo 07"])
    expect(box).to_be_focused()
    page.reload()
    expect(cards(page)).to_have_text(["Cargo 07"])
    expect(box).to_have_value("angstrom 07")
    page.get_by_role("link", name="Cargo 07", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cargo 07")
    page.go_back()
    expect(page).to_have_url(address(portal, "?q=angstrom+07"))
    expect(box).to_have_value("angstrom 07")
    box.fill("")
    expect(page).to_have_url(address(portal, ""))


def test_back_undoes_a_filter_and_a_page(portal: Portal, page: Page, cargo: int) -> None:
    portal.sign_in(page, "/projects?q=cargo")
    page.get_by_role("link", name="Page 2", exact=True).click()
    expect(page).to_have_url(address(portal, "?q=cargo&page=2"))
    expect(page.locator(".project-card")).to_have_count(6)
    page.get_by_label("Plan", exact=True).select_option("Freight")
    expect(page).to_have_url(address(portal, "?q=cargo&plan=Freight"))
    expect(page.locator(".project-card")).to_have_count(1)
    page.go_back()
    expect(page).to_have_url(address(portal, "?q=cargo&page=2"))
    expect(page.locator(".project-card")).to_have_count(6)
    expect(page.get_by_label("Plan", exact=True)).to_have_value("")
    page.go_back()
    expect(page).to_have_url(address(portal, "?q=cargo"))
    expect(page.locator(".project-card")).to_have_count(24)


def test_nothing_found_is_said_and_left_by_a_click(portal: Portal, page: Page, cargo: int) -> None:
    portal.sign_in(page, "/projects")
    page.get_by_role("searchbox").fill("zzz%_'\"🚀")
    expect(page.get_by_text("No projects match")).to_be_visible()
    page.get_by_role("link", name="Clear the search").click()
    expect(page).to_have_url(address(portal, ""))
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_five_thousand_characters_do_not_break_the_page(
    portal: Portal, page: Page, cargo: int
) -> None:
    portal.sign_in(page, "/projects")
    page.get_by_role("searchbox").fill("x" * 5000)
    expect(page.get_by_text("No projects match")).to_be_visible()
    page.goto(f"{portal.url}/projects?q=" + "x" * 5000)
    expect(page.get_by_text("at most 200 characters")).to_be_visible()


def test_a_project_is_made_changed_and_deleted_without_javascript(
    portal: Portal, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    portal.sign_in(page, "/projects")
    page.get_by_role("link", name="New project").click()
    for label, text in (
        ("Project name", "Plain"),
        ("Organisation name", "Plain & Co"),
        ("Organisation ID", "PLAIN-1"),
        ("Contact e-mail", "plain@client.example"),
        ("Plan expiry date", "2030-12-31"),
    ):
        page.get_by_role("textbox", name=label, exact=True).fill(text)
    page.get_by_role("textbox", name="Plan", exact=True).fill("Trial")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plain")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="Organisation ID")).not_to_be_editable()
    page.get_by_role("textbox", name="Project name").fill("Plainer")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Manage Projects").first.click()
    page.get_by_role("searchbox", name="Search projects").fill("plain-1")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("link", name="Plainer", exact=True).click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete project").click()
    expect(page.get_by_text("Plainer was deleted.")).to_be_visible()


def test_archiving_is_asked_in_a_dialog_and_can_be_undone(portal: Portal, page: Page) -> None:
    with portal.session() as session:
        fields = ProjectFields("ATTIC-1", "Attic", "Attic")
        number = create_project(session, actor=ADMIN, fields=fields, now=utcnow()).project.id
    portal.sign_in(page, f"/projects/{number}")
    page.get_by_role("link", name="Archive").click()
    dialog = page.get_by_role("dialog", name="Archive this project?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Archive").click()
    dialog.get_by_role("button", name="Archive project").click()
    expect(page.get_by_text("This project is archived")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Attic is no longer archived.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_as_narrow_as_a_phone(
    portal: Portal,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
    cargo: int,
    scheme: str,
) -> None:
    context = new_context(color_scheme=scheme, viewport={"width": 360, "height": 800})
    page = context.new_page()
    portal.sign_in(page)
    watch.expect(422)
    one = f"/projects/{cargo}"
    pages = ["/projects", "/projects?q=zzz", "/projects/new", "/projects/import", one]
    pages += [f"{one}/{end}" for end in ("edit", "feed", "archive", "delete")]
    for path in pages:
        page.goto(portal.url + path)
        check(page, path)
    page.goto(f"{portal.url}/projects")
    expect(page.get_by_role("combobox", name="Plan", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Filters").click()
    expect(page.get_by_role("combobox", name="Plan", exact=True)).to_be_visible()
    check(page, "with its filters")
    page.goto(f"{portal.url}/projects/new")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    check(page, "a refused form")


def check(page: Page, what: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, what
    found = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in found] == [], what
