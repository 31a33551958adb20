"""The Import page in a real browser: with the mouse, by keyboard alone, without JavaScript."""

import itertools
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, FilePayload, Page, expect
from sqlalchemy import select

from app.models import Project
from tests.browser.conftest import Portal, Watch
from tests.workbooks import workbook

NUMBERS = itertools.count(1)
PAGE = "/projects/import"


@pytest.fixture
def prefix() -> str:
    """What the Organisation IDs of one test's own file begin with."""
    return f"IMP-{next(NUMBERS):04}"


@pytest.fixture
def at_page(portal: Portal, page: Page) -> Page:
    """The first super admin, on the Import page."""
    portal.sign_in(page, PAGE)
    return page


def csv_file(prefix: str, *more: str, name: str = "clients.csv") -> FilePayload:
    rows = (f"{prefix}-1,Größe & Söhne,Gold", f"{prefix}-1,<i>Uno</i>,Gold", f"{prefix}-2,شركة,")
    text = "\n".join(("CIK,Security,Tier", *rows, *more)) + "\n"
    return {"name": name, "mimeType": "text/csv", "buffer": text.encode()}


def preview(page: Page, file: FilePayload) -> None:
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Preview").click()


def choose(page: Page, name: str, label: str) -> None:
    page.get_by_role("combobox", name=name, exact=True).select_option(label=label)


def imported(portal: Portal, prefix: str) -> list[tuple[str, str]]:
    with portal.session() as session:
        query = select(Project.name, Project.plan).where(Project.organisation_id.contains(prefix))
        return [(name, plan) for name, plan in session.execute(query.order_by(Project.id))]


def all_of_it(plan: str) -> list[tuple[str, str]]:
    return [("Größe & Söhne", plan), ("<i>Uno</i>", plan), ("شركة", "")]


def check(page: Page) -> None:
    """Nothing that axe finds in a page, and nothing wider than it."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def check_all(page: Page) -> None:
    """That at any width and in either theme, of a page whose address holds all of its state."""
    for width, theme in itertools.product((360, 1440), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        # While colours change, each is between two.
        page.reload()
        check(page)


def test_a_file_is_previewed_its_columns_chosen_and_imported(
    portal: Portal, at_page: Page, prefix: str
) -> None:
    preview(at_page, csv_file(prefix))
    expect(
        at_page.get_by_role("heading", name="clients.csv: which column is which")
    ).to_be_visible()
    expect(
        at_page.get_by_text("3 projects will be created, in 2 new organisations")
    ).to_be_visible()
    choose(at_page, "Plan", "Tier")
    expect(at_page.locator("#live")).to_have_text("3 will be created, 0 updated, 0 left alone.")
    expect(at_page).to_have_url(re.compile(r"&plan=2(&|$)"))
    at_page.reload()
    expect(at_page.get_by_role("combobox", name="Plan", exact=True)).to_have_value("2")
    check_all(at_page)
    assert imported(portal, prefix) == []
    at_page.get_by_role("button", name="Import", exact=True).click()
    expect(at_page.get_by_role("status").filter(has_text="was imported")).to_have_text(
        "clients.csv was imported: 3 created, 0 updated, 0 left alone."
    )
    expect(at_page.get_by_role("heading", name="Manage Projects")).to_be_visible()
    expect(at_page.get_by_role("link", name="<i>Uno</i>").first).to_be_visible()
    assert imported(portal, prefix) == all_of_it("Gold")


def test_refused_rows_are_corrected_and_the_columns_need_not_be_chosen_again(
    portal: Portal, at_page: Page, prefix: str
) -> None:
    preview(at_page, csv_file(prefix, f"{prefix}-3,=1+1,", f"{prefix}-3,x,,y"))
    choose(at_page, "Plan", "Tier")
    expect(at_page).to_have_url(re.compile(r"&plan=2(&|$)"))
    expect(
        at_page.locator("#preview").get_by_text(
            "2 rows are refused, so nothing can be imported yet"
        )
    ).to_be_visible()
    expect(at_page.get_by_text("Line 6: The row has 4 cells, the header has 3.")).to_be_visible()
    expect(at_page.get_by_role("button", name="Import", exact=True)).to_have_count(0)
    check_all(at_page)
    preview(at_page, csv_file(prefix, name="corrected.csv"))
    expect(at_page.get_by_role("heading", name="corrected.csv")).to_be_visible()
    expect(at_page.get_by_role("combobox", name="Plan", exact=True)).to_have_value("2")
    at_page.get_by_role("button", name="Import", exact=True).click()
    expect(at_page.get_by_text("corrected.csv was imported: 3 created")).to_be_visible()
    assert imported(portal, prefix) == all_of_it("Gold")


def test_a_file_that_is_none_is_refused_beside_the_field(at_page: Page, watch: Watch) -> None:
    watch.expect(422)
    preview(at_page, {"name": "x.xlsx", "mimeType": "x", "buffer": b"PK\x03\x04\x14\x00"})
    field = at_page.get_by_label("CSV file")
    expect(field).to_have_accessible_description(re.compile("The workbook is damaged"))
    expect(field).to_have_attribute("aria-invalid", "true")
    check(at_page)


def test_another_delimiter_is_chosen_and_the_columns_are_guessed_anew(
    at_page: Page, prefix: str
) -> None:
    preview(at_page, csv_file(prefix))
    choose(at_page, "Delimiter", "Semicolon")
    expect(
        at_page.get_by_text("Everything stands in one column: choose another delimiter.")
    ).to_be_visible()
    expect(at_page.get_by_role("button", name="Import", exact=True)).to_have_count(0)
    check_all(at_page)
    choose(at_page, "Delimiter", "Comma")
    expect(at_page.get_by_text("3 projects will be created")).to_be_visible()
    expect(at_page.get_by_role("combobox", name="Delimiter")).to_have_value("comma")


def test_a_sheet_of_a_workbook_is_chosen_and_imported(
    portal: Portal, at_page: Page, prefix: str
) -> None:
    notes = [["Nr", "Note"], [1, "x"]]
    clients = [["CIK", "Name", "Plan", "Region"], [f"{prefix}-1", "Größe & Söhne", "Gold", "EU"]]
    content = workbook({"Notes": notes, "Our clients": clients})
    preview(at_page, {"name": "clients.xlsx", "mimeType": "x", "buffer": content})
    choose(at_page, "Sheet", "Our clients")
    expect(at_page.get_by_text("1 project will be created, in 1 new organisation")).to_be_visible()
    expect(at_page.get_by_text("1 column is not used: “Region”.")).to_be_visible()
    check_all(at_page)
    at_page.get_by_role("button", name="Import", exact=True).click()
    expect(at_page.get_by_text("clients.xlsx was imported: 1 created")).to_be_visible()
    assert imported(portal, prefix) == [("Größe & Söhne", "Gold")]


def test_a_file_that_is_too_large_is_told_of_the_command(at_page: Page, watch: Watch) -> None:
    watch.expect(413)
    large: FilePayload = {"name": "x.csv", "mimeType": "text/csv", "buffer": b"x," * 6_000_000}
    preview(at_page, large)
    expect(at_page.get_by_label("CSV file")).to_have_accessible_description(
        re.compile(
            "up to 10 MB and 500,000 lines can be imported.*rolling-window.* projects import FILE"
        )
    )


def test_it_can_be_done_by_keyboard_alone_and_the_focus_stays_where_it_is(
    portal: Portal, at_page: Page, prefix: str
) -> None:
    at_page.get_by_label("CSV file").set_input_files(csv_file(prefix))
    at_page.get_by_label("CSV file").focus()
    at_page.keyboard.press("Tab")
    expect(at_page.locator("summary")).to_be_focused()
    at_page.keyboard.press("Tab")
    expect(at_page.get_by_role("button", name="Preview")).to_be_focused()
    at_page.keyboard.press("Enter")
    plan = at_page.get_by_role("combobox", name="Plan", exact=True)
    plan.focus()
    for _ in range(3):
        at_page.keyboard.press("ArrowDown")
    expect(at_page).to_have_url(re.compile(r"&plan=2(&|$)"))
    expect(at_page.locator("th").filter(has_text="Tier")).to_contain_text("Plan")
    expect(plan).to_be_focused()
    expect(plan).to_have_value("2")
    at_page.get_by_role("button", name="Import", exact=True).focus()
    at_page.keyboard.press("Enter")
    expect(at_page.get_by_text("clients.csv was imported: 3 created")).to_be_visible()
    assert imported(portal, prefix) == all_of_it("Gold")


def test_it_works_without_javascript(
    portal: Portal, new_context: Callable[..., BrowserContext], prefix: str
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    portal.sign_in(page, PAGE)
    preview(page, csv_file(prefix))
    choose(page, "Plan", "Tier")
    page.get_by_role("button", name="Use these columns").click()
    expect(page.get_by_role("combobox", name="Plan", exact=True)).to_have_value("2")
    page.get_by_text("3 projects will be created").click()
    expect(page.get_by_text("Line 2: Größe & Söhne")).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).dblclick()
    expect(page.get_by_text(re.compile("was imported( before)?: 3 created"))).to_be_visible()
    assert imported(portal, prefix) == all_of_it("Gold")


TELL = """() => {
  const notice = document.getElementById("slow-notice");
  new MutationObserver(() => window.tell(notice.textContent)).observe(notice, { childList: true });
}"""


def test_whoever_waits_is_told_what_for(portal: Portal, at_page: Page, prefix: str) -> None:
    """Another program holds the database until the page has said so."""
    preview(at_page, csv_file(prefix))
    expect(at_page.get_by_text("3 projects will be created")).to_be_visible()
    database = portal.app.extensions["config"].database_file
    told: list[str] = []
    with closing(sqlite3.connect(database, isolation_level=None)) as other:

        def let_go(text: str) -> None:
            told.append(text)
            other.rollback()

        at_page.expose_function("tell", let_go)
        at_page.evaluate(TELL)
        other.execute("BEGIN IMMEDIATE")
        at_page.get_by_role("button", name="Import", exact=True).click()
        expect(at_page.get_by_text("clients.csv was imported: 3 created")).to_be_visible()
    assert told[0] == "The projects are being imported. Please wait."


def test_a_browser_that_is_closed_after_the_preview_leaves_nothing_half_done(
    portal: Portal, new_context: Callable[..., BrowserContext], prefix: str
) -> None:
    context = new_context()
    page = context.new_page()
    portal.sign_in(page, PAGE)
    preview(page, csv_file(prefix))
    expect(page.get_by_text("3 projects will be created")).to_be_visible()
    address = page.url
    page.close()
    assert imported(portal, prefix) == []
    again = context.new_page()
    again.goto(address)
    again.get_by_role("button", name="Import", exact=True).click()
    expect(again.get_by_text("clients.csv was imported: 3 created")).to_be_visible()


def test_the_feed_of_what_was_imported_is_searched_as_one_types(
    portal: Portal, at_page: Page, prefix: str
) -> None:
    preview(at_page, csv_file(prefix))
    at_page.get_by_role("button", name="Import", exact=True).click()
    at_page.get_by_role("link", name="Größe & Söhne").first.click()
    at_page.get_by_role("link", name="Feed", exact=True).click()
    lines = at_page.get_by_role("list", name="Feed, newest first").get_by_role("listitem")
    expect(lines).to_have_count(2)
    at_page.get_by_role("searchbox", name="Search the Feed").fill("GROSSE sohne")
    expect(lines).to_have_count(1)
    expect(at_page).to_have_url(re.compile(r"/feed\?q=GROSSE\+sohne$"))
    check_all(at_page)
    at_page.get_by_role("combobox", name="Kind").select_option(label="A machine was detached")
    expect(at_page.get_by_text("Nothing matches")).to_be_visible()
    check_all(at_page)
    at_page.go_back()
    expect(lines).to_have_count(1)
    at_page.get_by_role("combobox", name="Kind").select_option(label="A machine was detached")
    at_page.get_by_role("link", name="Show everything").click()
    expect(lines).to_have_count(2)
