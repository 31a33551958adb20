"""A partner asks, collects, works, asks for more and is logged out: all of it, from both chairs."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from app.config import ROOT
from tests.browser.conftest import TEN_MINUTES, Portal, Watch
from tests.conftest import PASSWORD, Cast, Clock

CLIENTS = ROOT / "clients" / "src"


def decide(portal: Portal, page: Page) -> None:
    """The super admin approves the one request that waits, from the link that says so."""
    page.goto(portal.url)
    requests = page.get_by_role("link", name="Requests", exact=True)
    expect(requests).to_have_accessible_description("1 waiting")
    requests.click()
    waiting = page.get_by_role("region", name="Waiting")
    waiting.get_by_role("link", name=re.compile(r"Request \d+")).click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("was approved.")).to_be_visible()


def ask(page: Page) -> None:
    """The partner asks for access to Acme."""
    page.get_by_role("button", name="Ask for access").click()
    organisation = page.get_by_role("textbox", name="Organisation ID")
    expect(organisation).to_be_focused()
    organisation.fill(Cast.acme)
    page.get_by_role("textbox", name="Reason").fill("Year-end import")
    page.get_by_role("button", name="Send request").click()
    expect(page.get_by_text("Waiting for approval")).to_be_visible()


def checked_off_line(record: Path, keys: Path) -> str:
    """What `license-check visit` says of a record that it takes for good."""
    program = "import sys; from rolling_window_client.license_check import main; sys.exit(main())"
    checked = subprocess.run(
        [sys.executable, "-c", program, "visit", "--keys", keys],
        input=record.read_text(),
        env=os.environ | {"PYTHONPATH": str(CLIENTS)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    return checked.stdout


def test_a_partner_asks_collects_works_goes_on_and_is_logged_out(
    clocked: Portal,
    clock: Clock,
    cast: Cast,
    *,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
    tmp_path: Path,
) -> None:
    watch.expect(401)
    admin, partner = new_context().new_page(), new_context().new_page()
    clocked.sign_in(partner, "/access", Cast.pat, PASSWORD)
    expect(partner.get_by_text("No keys yet")).to_be_visible()
    ask(partner)

    clocked.sign_in(admin)
    decide(clocked, admin)

    key = partner.get_by_role("textbox", name="License key")
    expect(key).to_have_value(re.compile(r"^rw1\."))
    partner.get_by_role("button", name="Copy", exact=True).click()
    expect(partner.get_by_role("button", name="Copied")).to_be_visible()

    agent = partner.context.new_page()
    agent.goto(f"{clocked.url}/agent")
    to_the_workspace = [
        lambda: agent.get_by_role("textbox", name="Login ID").fill(Cast.pat),
        lambda: agent.get_by_role("textbox", name="Password").fill(PASSWORD),
        lambda: agent.keyboard.press("Control+F10"),
        lambda: agent.get_by_role("textbox", name="Registration Key").fill(key.input_value()),
        lambda: agent.get_by_role("button", name="Log in").click(),
    ]
    assert len(to_the_workspace) <= 5
    for interact in to_the_workspace:
        interact()
    banner = agent.get_by_role("region", name="Temporary license")
    clock.advance(seconds=TEN_MINUTES * 0.85)
    expect(banner.get_by_text("Less than a fifth of its time is left.")).to_be_visible()

    with partner.context.expect_page() as opened:
        banner.get_by_role("link", name="Ask for more time").click()
    more = opened.value
    expect(more.get_by_role("combobox", name="More time")).to_be_focused()
    more.get_by_role("region", name="Ask for more time with").get_by_role(
        "button", name="Send request"
    ).click()
    expect(more.get_by_text("Waiting for approval")).to_be_visible()
    decide(clocked, admin)

    expect(banner.get_by_text("Less than a fifth of its time is left.")).to_be_hidden()
    expect(banner).to_contain_text("11 min")
    clock.advance(seconds=TEN_MINUTES * 1.15)
    expect(agent.get_by_text("Your temporary license expired at")).to_be_visible()
    partner.reload()
    expect(partner.get_by_text("Key expired")).to_be_visible()
    expect(key).to_have_count(0)

    admin.goto(f"{clocked.url}/projects/{cast.acme_project}/visits")
    row = admin.get_by_role("row").filter(has_text=Cast.pat)
    expect(row).to_contain_text("Year-end import")
    expect(row).to_contain_text("Key expired")
    admin.get_by_role("main").get_by_role("link", name="24 Nov").first.click()
    with admin.expect_download() as record:
        admin.get_by_role("button", name="Download signed record").click()
    keys = tmp_path / "license-keys.json"
    keys.write_text(admin.request.get(f"{clocked.url}/.well-known/license-keys.json").text())
    assert "Year-end import" in checked_off_line(record.value.path(), keys)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible_and_no_wider_than_a_telephone(
    clocked: Portal, new_context: Callable[..., BrowserContext], theme: str
) -> None:
    context = new_context(viewport={"width": 360, "height": 800}, color_scheme=theme)
    page = context.new_page()

    def check(state: str) -> None:
        result = Axe().run(page)
        assert result.violations_count == 0, (state, result.generate_report())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, state

    clocked.sign_in(page, "/access", Cast.pat, PASSWORD)
    check("empty")
    page.get_by_role("button", name="Ask for access").press("Enter")
    page.get_by_role("textbox", name="Organisation ID").fill("منظمة-" + "x" * 58)
    page.get_by_role("textbox", name="Reason").fill("ت" * 400)
    page.get_by_role("textbox", name="Reason").press("Enter")
    expect(page.get_by_text("Waiting for approval")).to_be_visible()
    check("waiting")
    page.get_by_role("button", name="Withdraw", exact=True).click()
    expect(page.get_by_text("Withdrawn", exact=True)).to_be_visible()


def test_it_works_without_javascript(
    clocked: Portal, new_context: Callable[..., BrowserContext], watch: Watch
) -> None:
    watch.expect(422)
    page = new_context(java_script_enabled=False).new_page()
    clocked.sign_in(page, "/access", Cast.dev, PASSWORD)
    expect(page.get_by_role("button", name="Ask for access")).to_be_hidden()
    page.get_by_role("button", name="Send request").click()
    field = page.get_by_role("textbox", name="Organisation ID")
    expect(field).to_have_accessible_description(re.compile("Enter the Organisation ID"))
    field.fill(Cast.bolt)
    page.get_by_role("button", name="Send request").click()
    expect(page.get_by_text("Waiting for approval")).to_be_visible()
