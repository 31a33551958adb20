"""Passkeys with Chromium's virtual authenticator, and an authenticator app by its secret."""

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, expect

from tests.browser.conftest import Portal


@pytest.fixture(scope="module")
def strict(start_portal: Callable[..., Portal]) -> Portal:
    """A portal for real use, by its name: super admins need a second factor."""
    portal = start_portal(PORTAL_SECOND_FACTOR="super_admin", PORTAL_WORKERS="2")
    portal.url = portal.url.replace("127.0.0.1", "localhost")
    return portal


def virtual_authenticator(page: Page) -> tuple[CDPSession, str]:
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options: dict[str, Any] = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return devtools, added["authenticatorId"]


def enter_password(portal: Portal, page: Page) -> None:
    page.goto(f"{portal.url}/login")
    page.get_by_role("textbox", name="E-mail").fill(portal.admin_email)
    page.get_by_role("textbox", name="Password").fill(portal.admin_password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(portal: Portal, page: Page) -> None:
    page.context.clear_cookies()
    page.goto(f"{portal.url}/login")


def test_from_the_first_sign_in_to_a_passkey_alone(strict: Portal, context: BrowserContext) -> None:
    page = context.new_page()
    devtools, authenticator = virtual_authenticator(page)
    enter_password(strict, page)

    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    secret = page.get_by_role("textbox", name="Secret").input_value()
    page.get_by_role("textbox", name="Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    codes = page.get_by_role("main").get_by_role("listitem")
    expect(codes).to_have_count(10)
    recovery_code = codes.first.inner_text()
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    page.goto(f"{strict.url}/account")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()
    expect(page.get_by_text(re.compile("^Passkey "))).to_be_visible()

    sign_out(strict, page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    sign_out(strict, page)
    enter_password(strict, page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    sign_out(strict, page)
    enter_password(strict, page)
    page.get_by_role("link", name="Use a recovery code").click()
    page.get_by_role("textbox", name="Recovery code").fill(recovery_code.lower())
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    # The device is lost, and its user not verified on another one.
    devtools.send(
        "WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False}
    )
    sign_out(strict, page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("main").get_by_text("No passkey was used")).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_by_a_bare_ip_address_the_button_says_why_not(strict: Portal, page: Page) -> None:
    page.goto(f"{strict.url.replace('localhost', '127.0.0.1')}/login")
    button = page.get_by_role("button", name="Sign in with a passkey")
    expect(button).to_be_disabled()
    expect(page.get_by_text("an IP address has none")).to_be_visible()
