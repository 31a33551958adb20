"""Signing in at a real OpenID provider, in a browser."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Portal, Watch
from tests.provider_process import Running, running_provider

ADMIN = "nia@example.com"


@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    with running_provider() as provider:
        provider.person(ADMIN, roles=["admins"])
        yield provider


@pytest.fixture(scope="module")
def portal(start_portal: Callable[..., Portal], provider: Running) -> Portal:
    return start_portal(**provider.settings(), PORTAL_LOCAL_SIGN_IN="off")


def sign_in_there(page: Page, subject: str) -> None:
    page.locator("input[name=sub]").fill(subject)
    page.get_by_role("button", name="Authorize").click()


@pytest.mark.parametrize("javascript", [True, False])
def test_from_the_button_to_home_and_back_to_where_one_wanted_to_go(
    portal: Portal, new_context: Callable[..., BrowserContext], watch: Watch, javascript: bool
) -> None:
    watch.expect(404)  # the provider has no icon
    page = new_context(java_script_enabled=javascript).new_page()
    page.goto(f"{portal.url}/users")
    expect(page.get_by_role("textbox", name="Password")).to_have_count(0)
    page.get_by_role("button", name="Sign in with Example Login").click()
    sign_in_there(page, ADMIN)
    page.wait_for_url(f"{portal.url}/users")
    page.get_by_role("link", name=ADMIN).click()
    expect(page.get_by_text("Signs in with")).to_be_visible()
    expect(page.get_by_role("button", name="Untie from Example Login")).to_be_visible()


def test_who_has_no_role_reads_why(
    portal: Portal, page: Page, provider: Running, watch: Watch
) -> None:
    watch.expect(403, 404)
    provider.person("eve@example.com", roles=["staff"])
    page.goto(f"{portal.url}/login")
    page.get_by_role("button", name="Sign in with Example Login").click()
    sign_in_there(page, "eve@example.com")
    expect(page.get_by_role("alert")).to_contain_text("Example Login gives you no role")
    expect(page.get_by_role("button", name="Sign in with Example Login")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_pages_are_accessible_and_no_wider_than_the_window(
    portal: Portal,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
    width: int,
    theme: str,
) -> None:
    watch.expect(404)
    page = new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()

    def check(where: str) -> None:
        assert Axe().run(page).response["violations"] == [], where
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where

    page.goto(f"{portal.url}/login")
    check("sign-in")
    page.get_by_role("button", name="Sign in with Example Login").click()
    sign_in_there(page, ADMIN)
    page.wait_for_url(f"{portal.url}/")
    for path in ("/account", "/prove"):
        page.goto(portal.url + path)
        check(path)
