"""Users, one-time links and one's own account, in a browser."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Portal

GOOD = "velvet harbour 42"


def test_an_invited_person_chooses_a_password_changes_it_and_is_disabled(
    portal: Portal, page: Page, new_context: Callable[..., BrowserContext]
) -> None:
    email = "nina@example.com"
    portal.sign_in(page, "/users")
    page.get_by_role("link", name="Invite").click()
    page.get_by_role("textbox", name="Name").fill("Nina Novak")
    page.get_by_role("textbox", name="E-mail").fill(email)
    page.get_by_role("combobox", name="Role").select_option("Super admin")
    page.get_by_role("button", name="Create invitation").click()
    link = page.get_by_role("textbox", name="One-time link")
    expect(link).to_have_attribute("readonly", "")
    nina = new_context().new_page()
    nina.goto(link.input_value())
    nina.get_by_role("textbox", name="New password").fill(GOOD)
    nina.get_by_role("button", name="Set password").click()
    expect(nina.get_by_text("Your password is set.")).to_be_visible()
    portal.sign_in(nina, "/account", email, GOOD)
    expect(nina.get_by_role("heading", name="Your account")).to_be_visible()
    expect(nina.get_by_text("This browser", exact=True)).to_be_visible()
    nina.get_by_role("textbox", name="Current password").fill(GOOD)
    nina.get_by_role("textbox", name="New password").fill(f"another {GOOD}")
    nina.get_by_role("button", name="Change password").click()
    expect(nina.get_by_text("Your password is changed.")).to_be_visible()
    nina.get_by_role("combobox", name="Theme").select_option("Dark")
    nina.get_by_role("button", name="Save").click()
    expect(nina.locator("html")).to_have_attribute("data-bs-theme", "dark")

    page.goto(f"{portal.url}/users")
    page.get_by_role("searchbox", name="Search users").fill("novak")
    expect(page.get_by_role("link", name=portal.admin_email)).to_have_count(0)
    page.get_by_role("link", name=email).click()
    page.get_by_role("button", name="Disable").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("checkbox", name="Revoke what they issued")).not_to_be_checked()
    dialog.get_by_role("button", name="Disable").click()
    expect(page.get_by_text(f"{email} is disabled and signed out everywhere.")).to_be_visible()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    nina.goto(f"{portal.url}/account")
    expect(nina.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1440, "light")])
def test_the_pages_are_accessible_and_no_wider_than_the_window(
    portal: Portal, new_context: Callable[..., BrowserContext], width: int, theme: str
) -> None:
    page = new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
    portal.sign_in(page, "/users")
    page.get_by_role("link", name=portal.admin_email).click()
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    own = page.url.removeprefix(portal.url)
    for path in ("/users", own, f"{own}/reset-password", "/users/new", "/users/invite", "/account"):
        page.goto(portal.url + path)
        assert Axe().run(page).response["violations"] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_without_javascript_everything_can_be_done(
    portal: Portal, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    portal.sign_in(page, "/users")
    page.get_by_role("link", name=portal.admin_email).click()
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("heading", name=re.compile("^Reset the password"))).to_be_visible()
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("textbox", name="One-time link")).to_have_value(
        re.compile("/password/")
    )
    page.get_by_role("link", name="Your account").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
