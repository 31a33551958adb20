"""The command palette and the shortcuts in a real browser, by keyboard."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import Portal
from tests.browser.license_tab.stage import Place, clipboard, key_box


def palette(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Search or jump to")


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search or jump to")


def test_from_the_sign_in_page_to_copied_in_six_interactions(
    page: Page, place: Place, context: BrowserContext
) -> None:
    """Two fields, Enter, the search, Enter, Enter: what a keyboard needs, and no more."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    interactions = 0
    page.goto(f"{place.portal.url}/login")
    page.get_by_role("textbox", name="E-mail").fill(place.portal.admin_email)
    page.get_by_role("textbox", name="Password").fill(place.portal.admin_password)
    page.keyboard.press("Enter")
    interactions += 3
    search = page.get_by_role("searchbox", name="Search projects")
    expect(search).to_be_focused()
    page.keyboard.type(place.organisation_id)
    page.keyboard.press("Enter")
    interactions += 2
    expect(page.get_by_role("button", name="Generate and copy")).to_be_focused()
    page.keyboard.press("Enter")
    interactions += 1
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert clipboard(page) == key_box(page).input_value()
    assert interactions <= 6


def test_the_palette_by_keyboard(page: Page, place: Place) -> None:
    place.portal.sign_in(page, "/audit")
    page.get_by_role("textbox", name="Person").focus()
    page.keyboard.press("Control+k")
    expect(box(page)).to_be_focused()
    expect(palette(page).get_by_role("option", name="Home", exact=True)).to_be_visible()
    # Enter before the answer is there goes where the answer leads.
    page.keyboard.type(place.organisation_id)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{place.tab}")
    page.keyboard.press("Control+k")
    page.keyboard.type("policy")
    expect(palette(page).get_by_role("option")).to_have_count(1)
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("Escape")
    expect(palette(page)).to_be_hidden()


def test_the_arrows_walk_and_escape_gives_the_focus_back(page: Page, portal: Portal) -> None:
    portal.sign_in(page, "/projects")
    opener = page.get_by_role("button", name="Search or jump to")
    opener.focus()
    page.keyboard.press("Enter")
    options = palette(page).get_by_role("option")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(box(page)).to_have_attribute("aria-activedescendant", re.compile("^palette-"))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_shortcuts_of_single_keys_leave_text_fields_alone(page: Page, portal: Portal) -> None:
    portal.sign_in(page, "/projects")
    search = page.get_by_role("searchbox", name="Search projects")
    page.locator("#main").focus()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("g h?/")
    expect(search).to_have_value("g h?/")
    page.locator("#main").focus()
    page.keyboard.press("Shift+?")
    shortcuts = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(shortcuts).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/audit")
    page.locator("#main").focus()
    page.keyboard.press("Shift+?")
    shortcuts.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.locator("#main").focus()
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.keyboard.press("Control+k")
    expect(box(page)).to_be_focused()
    expect(page).to_have_url(f"{portal.url}/audit")
