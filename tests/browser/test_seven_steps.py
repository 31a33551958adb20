"""The seven steps of the user guide, in their own words, from both chairs."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ADMIN_EMAIL, TEN_MINUTES, Portal, Watch, stop_clock
from tests.conftest import PASSWORD as CAST_PASSWORD
from tests.conftest import Cast, Clock

PARTNER = "paula@partner.example"
PASSWORD = "a partner's own password"
CSV = (
    "Organisation ID,Name,E-mail\n"
    "ORG-700001,Северный Ветер ERP,it@veter.example\n"
    "ORG-700002,Harbour & Söhne Shop,it@harbour.example\n"
)


@pytest.fixture(scope="module")
def stage(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Portal:
    """Two projects and a partner, made as the person who installs the portal would."""
    csv = tmp_path_factory.mktemp("seven") / "projects.csv"
    csv.write_text(CSV, encoding="utf-8")
    portal.cli("projects", "import", str(csv))
    portal.cli(
        "users", "create", "--email", PARTNER, "--role", "partner", "--password-stdin",
        stdin=PASSWORD,
    )  # fmt: skip
    return portal


def to_license_tab(
    portal: Portal, page: Page, search: str = "sohne shop", name: str = "Harbour & Söhne Shop"
) -> None:
    """Steps 1 to 3: sign in, Home, Projects, Manage Projects, search, License."""
    page.goto(portal.url)
    page.get_by_role("textbox", name="E-mail").fill(portal.admin_email)
    page.get_by_role("textbox", name="Password").fill(portal.admin_password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    projects = page.get_by_role("button", name="Projects")
    if projects.is_visible():
        projects.click()
    page.get_by_role("link", name="Manage Projects").click()
    expect(page.get_by_role("heading", name="Manage Projects")).to_be_visible()
    page.get_by_role("searchbox", name="Search projects").fill(search)
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="License", exact=True).click()


def generate(page: Page, ttl: str) -> str:
    """Steps 4 and 5: select the TTL, generate the key, and give what "License key" shows."""
    page.get_by_role("combobox", name="TTL interval").select_option(label=ttl)
    page.get_by_role("button", name="Generate key").click()
    key = page.get_by_role("textbox", name="License key")
    expect(key).to_have_value(re.compile(r"^rw1\."))
    return key.input_value()


def copy_key(page: Page) -> None:
    """Press "Copy", which has the focus; it says "Copied" until the page's time goes on."""
    copy = page.get_by_role("button", name="Copy", exact=True)
    expect(copy).to_be_focused()
    stop_clock(page)
    copy.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.clock.resume()


def log_in(portal: Portal, page: Page, key: str) -> None:
    """Steps 6 and 7: Ctrl+F10, paste the key, log in."""
    page.goto(f"{portal.url}/agent")
    page.get_by_role("textbox", name="Login ID").fill(Cast.pat)
    page.get_by_role("textbox", name="Password").fill(CAST_PASSWORD)
    page.keyboard.press("Control+F10")
    page.get_by_role("textbox", name="Registration Key").fill(key)
    page.get_by_role("button", name="Log in").click()


def test_a_partner_works_under_a_generated_key_until_it_expires(
    clocked: Portal,
    clock: Clock,
    page: Page,
    watch: Watch,
    new_context: Callable[..., BrowserContext],
) -> None:
    watch.follow(page.context)
    watch.expect(401, 403, 422)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    to_license_tab(clocked, page, "acme", "Acme ERP")
    key = generate(page, "10 min")
    copy_key(page)
    assert page.evaluate("navigator.clipboard.readText()") == key

    partner = new_context().new_page()
    log_in(clocked, partner, f'  "{key[:80]}\n{key[80:]}" ')
    expect(partner.get_by_role("heading", name="Acme", level=1)).to_be_visible()
    expect(partner.get_by_text("Time left")).to_be_visible()
    expect(partner.get_by_role("button", name="Save configuration")).to_be_disabled()

    # Nobody clicks: the license ends, and so does the partner's session.
    clock.advance(seconds=TEN_MINUTES)
    expect(partner.get_by_text("Your temporary license expired at")).to_be_visible()
    expect(partner.get_by_role("textbox", name="Login ID")).to_be_visible()
    expect(page.get_by_role("textbox", name="License key")).to_have_count(0)

    # The old key opens nothing any more.
    log_in(clocked, partner, key)
    expect(partner.get_by_text(re.compile("This registration key expired"))).to_be_visible()

    page.goto(f"{clocked.url}/audit")
    for sentence in ("generated a temporary key", "signed in on an OP Agent"):
        expect(page.get_by_role("cell").get_by_text(sentence).first).to_be_visible()


def test_generating_again_after_copying_leaves_the_console_silent(
    stage: Portal, page: Page, watch: Watch
) -> None:
    watch.follow(page.context)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    to_license_tab(stage, page)
    first = generate(page, "1 hr")
    copy_key(page)
    page.get_by_role("button", name="Generate key").click()
    expect(page.get_by_role("textbox", name="License key")).not_to_have_value(first)
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_focused()


def test_the_path_works_without_javascript(
    stage: Portal, new_context: Callable[..., BrowserContext], watch: Watch
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    to_license_tab_without_script(stage, page)
    key = generate(page, "1 hr")
    partner = new_context(java_script_enabled=False).new_page()
    partner.goto(f"{stage.url}/agent")
    partner.get_by_role("textbox", name="Login ID").fill(PARTNER)
    partner.get_by_role("textbox", name="Password").fill(PASSWORD)
    partner.get_by_role("textbox", name="Registration Key").fill(key)
    partner.get_by_role("button", name="Log in").click()
    expect(partner.get_by_role("heading", name="Harbour & Söhne Shop", level=1)).to_be_visible()
    partner.get_by_role("button", name="Log out").click()
    expect(partner.get_by_role("textbox", name="Login ID")).to_be_visible()


def to_license_tab_without_script(portal: Portal, page: Page) -> None:
    page.goto(portal.url)
    page.get_by_role("textbox", name="E-mail").fill(ADMIN_EMAIL)
    page.get_by_role("textbox", name="Password").fill(portal.admin_password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Manage Projects").click()
    page.get_by_role("searchbox", name="Search projects").fill("sohne shop")
    page.get_by_role("searchbox", name="Search projects").press("Enter")
    page.get_by_role("link", name="Harbour & Söhne Shop", exact=True).click()
    page.get_by_role("link", name="License", exact=True).click()


def test_the_path_works_by_keyboard_alone(
    stage: Portal, page: Page, watch: Watch, new_context: Callable[..., BrowserContext]
) -> None:
    watch.follow(page.context)
    page.goto(stage.url)
    keys = page.keyboard
    expect(page.get_by_role("textbox", name="E-mail")).to_be_focused()
    keys.type(ADMIN_EMAIL)
    keys.press("Tab")
    keys.type(stage.admin_password)
    keys.press("Enter")
    expect(page.get_by_role("searchbox", name="Search projects")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Projects"), back=True)
    keys.press("Enter")
    tab_to(page, page.get_by_role("link", name="Manage Projects"))
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Manage Projects")).to_be_visible()
    tab_to(page, page.get_by_role("searchbox", name="Search projects"))
    keys.type("ветер")
    link = page.get_by_role("link", name="Северный Ветер ERP", exact=True)
    expect(page.get_by_role("link", name="Harbour & Söhne Shop", exact=True)).to_have_count(0)
    tab_to(page, link)
    keys.press("Enter")
    tab_to(page, page.get_by_role("link", name="License", exact=True))
    keys.press("Enter")
    tab_to(page, page.get_by_role("combobox", name="TTL interval"))
    keys.type("3 h")
    tab_to(page, page.get_by_role("button", name="Generate key"))
    keys.press("Enter")
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_focused()
    key = page.get_by_role("textbox", name="License key").input_value()

    partner = new_context().new_page()
    partner.goto(f"{stage.url}/agent")
    expect(partner.get_by_role("textbox", name="Login ID")).to_be_focused()
    partner.keyboard.type(PARTNER)
    partner.keyboard.press("Tab")
    partner.keyboard.type(PASSWORD)
    partner.keyboard.press("Control+F10")
    expect(partner.get_by_role("textbox", name="Registration Key")).to_be_focused()
    partner.keyboard.insert_text(key)
    tab_to(partner, partner.get_by_role("button", name="Log in"))
    partner.keyboard.press("Enter")
    expect(partner.get_by_role("heading", name="Северный Ветер ERP", level=1)).to_be_visible()


def tab_to(page: Page, target: object, *, back: bool = False) -> None:
    """Press Tab, or to go `back` Shift+Tab, until `target` has the focus; forty times at most."""
    for _ in range(40):
        if target.evaluate("element => element === document.activeElement"):  # type: ignore[attr-defined]
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError("the keyboard does not get there")
