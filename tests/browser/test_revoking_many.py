"""Revoking many keys in a browser."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Portal, Watch


@pytest.fixture
def organisation(portal: Portal, tmp_path: Path) -> str:
    """One with two active keys."""
    organisation_id = f"ORG-{secrets.token_hex(4).upper()}"
    file = tmp_path / "projects.csv"
    file.write_text(f"Organisation ID,Name,E-mail,Plan\n{organisation_id},東京,a@b.example,Trial\n")
    portal.cli("projects", "import", str(file))
    for _ in range(2):
        issued = ("licenses", "issue", "--organisation", organisation_id, "--ttl", "1h")
        portal.cli(*issued, "--as", portal.admin_email)
    return organisation_id


@pytest.mark.parametrize("options", [(360, "light", True), (1440, "dark", True), (1440, "", False)])
def test_chosen_seen_revoked_and_proved(
    portal: Portal,
    organisation: str,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
    options: tuple[int, str, bool],
) -> None:
    watch.expect(422)
    width, theme, javascript = options
    page = new_context(
        viewport={"width": width, "height": 900},
        color_scheme=theme or None,
        java_script_enabled=javascript,
    ).new_page()

    def check(where: str) -> None:
        if javascript:
            assert Axe().run(page).response["violations"] == [], where
            assert page.evaluate("document.documentElement.scrollWidth") <= width, where

    portal.sign_in(page, "/revoke")
    check("empty")
    page.get_by_role("combobox", name="Organisation").fill(organisation)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="2 keys")).to_be_visible()
    check("preview")
    page.get_by_role("button", name="Revoke 2 keys").click()
    expect(page.get_by_text("Write why")).to_be_visible()
    check("no reason")
    page.get_by_role("textbox", name="Reason").fill("The laptop was stolen")
    page.get_by_role("button", name="Revoke 2 keys").click()
    expect(page.get_by_role("heading", name="Keys revoked")).to_be_visible()
    expect(page.get_by_text("Nobody was signed in.")).to_be_visible()
    check("proof")
