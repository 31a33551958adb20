"""Makes the pictures of the README and the user guide from a portal with sample data.

Run it as `make screenshots`. It starts a portal of its own, walks the seven steps, and writes
docs/images/*.png.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from shutil import which
from urllib.error import URLError
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
PASSWORD = "for the pictures only"
SIZE = {"width": 1200, "height": 800}
CLIENTS = """\
Organisation ID,Company,E-mail,Plan,Plan expiry,Region
ORG-000001,Northwind Order Hub,integration@northwind.example,Enterprise,2028-06-30,North
ORG-000001,Northwind Analytics,data@northwind.example,Trial,2027-01-31,North
ORG-000301,Løvstad Bokhandel,it@lovstad.example,Growth,2027-12-31,North
ORG-000302,Açúcar & Filhos,ti@acucar.example,Growth,2027-09-30,South
"""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as instance, closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        environ = os.environ | {
            "PORTAL_INSTANCE": instance,
            "PORTAL_BIND": address,
            "PORTAL_SAMPLE_DATA": "on",
            "PORTAL_SAMPLE_PASSWORD": PASSWORD,
            "PORTAL_LICENSE_TTLS": "4s,1h,3h,6h,12h,1d,3d,7d",
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve"]
        server = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
        try:
            _wait_for(f"http://{address}/login")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=which("chromium-headless-shell") or which("chromium"),
                    args=["--no-sandbox"],
                )
                _take(browser, f"http://{address}")
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _take(browser: Browser, url: str) -> None:
    portal = _window(browser)
    portal.goto(url)
    _shoot(portal, "1-sign-in")
    portal.get_by_role("textbox", name="E-mail").fill("admin@example.com")
    portal.get_by_role("textbox", name="Password").fill(PASSWORD)
    portal.get_by_role("button", name="Sign in", exact=True).click()
    expect(portal.get_by_role("heading", name="Home")).to_be_visible()
    _shoot(portal, "2-home")
    portal.get_by_role("link", name="Home", exact=True).click()
    portal.get_by_role("button", name="Projects").click()
    portal.get_by_role("link", name="Manage Projects").click()
    portal.get_by_role("button", name="Projects").click()
    _shoot(portal, "3-manage-projects")
    portal.keyboard.press("Escape")
    portal.locator(".project-card a").first.click()
    portal.get_by_role("link", name="License", exact=True).click()
    _shoot(portal, "4-license-tab")
    ttl = portal.get_by_role("combobox", name="TTL interval")
    ttl.select_option(label="3 hrs")
    expect(portal.get_by_text("3 hrs from now")).to_be_visible()
    _shoot(portal, "5-ttl")
    portal.get_by_role("button", name="Generate key").click()
    key = _key(portal)
    _shoot(portal, "6-generated")

    agent = _window(browser)
    _log_in(agent, url, key, shoot=True)
    expect(agent.get_by_text("Time left")).to_be_visible()
    _shoot(agent, "8-workspace")
    portal.get_by_role("button", name="Revoke", exact=True).click()
    expect(portal.get_by_role("button", name="Revoke key")).to_be_visible()
    _shoot(portal, "10-revoke")
    portal.get_by_role("button", name="Revoke key").click()
    expect(portal.get_by_role("textbox", name="License key")).to_have_count(0)

    ttl.select_option(label="4 sec")
    portal.get_by_role("button", name="Generate key").click()
    short = _window(browser)
    _log_in(short, url, _key(portal))
    expect(short.get_by_text("Your temporary license expired at")).to_be_visible(timeout=8000)
    _shoot(short, "9-logged-out")
    portal.goto(f"{url}/audit")
    _shoot(portal, "11-audit")
    _take_agents(browser, portal, url)
    _take_visits(portal, url)
    _take_own_access(browser, portal, url)
    _take_import(portal, url)


def _take_agents(browser: Browser, portal: Page, url: str) -> None:
    """The Agents tab: three machines, two sessions, one revoked just now."""
    portal.goto(f"{url}/projects?q=ORG-000001")
    portal.locator(".project-card a").first.click()
    portal.get_by_role("link", name="License", exact=True).click()
    license_tab = portal.url
    tokens = [
        _sign_in(url, "client@example.com", f"00:1A:2B:3C:4D:0{number}", host)
        for number, host in enumerate(("ERP-SERVER", "WAREHOUSE-PC", "LAPTOP-7"))
    ]
    for token in tokens[1:]:
        _call(url, "DELETE", "/session", token=token)
    _generate(portal, "1 hr")
    revoked = _window(browser)
    _log_in(revoked, url, _key(portal))
    expect(revoked.get_by_text("Time left")).to_be_visible()
    key_id = revoked.locator(".license-banner .key-id").inner_text()
    _generate(portal, "3 hrs")
    working = _window(browser)
    _log_in(working, url, _key(portal), "developer@example.com", "00:1A:2B:3C:4D:02")
    expect(working.get_by_text("Time left")).to_be_visible()
    portal.goto(f"{license_tab}?key={key_id}")
    portal.get_by_role("button", name="Revoke", exact=True).click()
    portal.get_by_role("button", name="Revoke key").click()
    expect(portal.get_by_text("Confirmed logged out at")).to_be_visible(timeout=15000)
    _shoot(portal, "revoke-with-proof")
    portal.get_by_role("link", name="Agents", exact=True).click()
    expect(portal.get_by_text("Key revoked")).to_be_visible()
    portal.get_by_role("button", name="Revoke license of WAREHOUSE-PC").click()
    portal.get_by_role("dialog").get_by_role("button", name="Revoke license").click()
    expect(portal.get_by_text("Nobody was signed in.")).to_be_visible()
    portal.reload()
    portal.screenshot(path=IMAGES / "agents-tab.png", animations="disabled", full_page=True)
    portal.get_by_role("button", name="Detach LAPTOP-7").click()
    expect(portal.get_by_role("dialog")).to_be_visible()
    _shoot(portal, "detach")


def _take_visits(portal: Page, url: str) -> None:
    """The Visits tab of the organisation in which people were, then all keys and the palette."""
    portal.goto(f"{url}/projects?q=ORG-000001")
    portal.locator(".project-card a").first.click()
    portal.get_by_role("link", name="Visits", exact=True).click()
    expect(portal.get_by_role("img", name="Timeline of visits")).to_be_visible()
    _shoot(portal, "visits")
    portal.goto(f"{url}/keys")
    _shoot(portal, "keys")
    portal.keyboard.press("Control+k")
    portal.keyboard.type("north")
    expect(portal.get_by_role("dialog").get_by_text("Northwind Order Hub")).to_be_visible()
    _shoot(portal, "palette")


def _take_own_access(browser: Browser, portal: Page, url: str) -> None:
    """My access: one key that was asked for and approved, one request that waits."""
    partner = _window(browser)
    partner.goto(f"{url}/login")
    partner.get_by_role("textbox", name="E-mail").fill("partner@example.com")
    partner.get_by_role("textbox", name="Password").fill(PASSWORD)
    partner.get_by_role("button", name="Sign in", exact=True).click()
    for number, reason in enumerate(("Debug the ERP connector", "Year-end import")):
        partner.get_by_role("button", name="Ask for access").click()
        partner.get_by_role("textbox", name="Organisation ID").fill(f"ORG-00000{number + 1}")
        partner.get_by_role("textbox", name="Reason").fill(reason)
        partner.get_by_role("button", name="Send request").click()
        expect(partner.get_by_text(reason)).to_be_visible()
    portal.goto(f"{url}/requests/1")
    portal.get_by_role("button", name="Approve").click()
    expect(portal.get_by_text("was approved.")).to_be_visible()
    partner.reload()
    expect(partner.get_by_role("textbox", name="License key")).to_be_visible()
    _shoot(partner, "my-access")


def _take_import(portal: Page, url: str) -> None:
    """The Import page: what a file would do."""
    portal.goto(f"{url}/projects/import")
    file = {"name": "clients.csv", "mimeType": "text/csv", "buffer": CLIENTS.encode()}
    portal.get_by_label("CSV file").set_input_files(file)
    portal.get_by_role("button", name="Preview").click()
    portal.get_by_text("will be created").click()
    portal.get_by_text("will be updated").click()
    portal.evaluate("window.scrollTo(0, 0)")
    portal.screenshot(path=IMAGES / "12-import.png", animations="disabled", full_page=True)


def _generate(portal: Page, ttl: str) -> None:
    portal.get_by_role("combobox", name="TTL interval").select_option(label=ttl)
    portal.get_by_role("button", name="Generate key").click()
    expect(portal.get_by_role("button", name="Copy", exact=True)).to_be_focused()


def _sign_in(url: str, login_id: str, mac_id: str, hostname: str) -> str:
    """A client user signs in on a desktop agent: the session's token."""
    fields = {"login_id": login_id, "password": PASSWORD, "mac_id": mac_id}
    body = fields | {"hostname": hostname, "agent_version": "2.4.1"}
    answer = json.loads(_call(url, "POST", "/sessions", body))
    return str(answer["session_token"])


def _call(
    url: str, method: str, path: str, body: dict[str, str] | None = None, token: str = ""
) -> bytes:
    request = Request(
        f"{url}/api/agent/v1{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def _window(browser: Browser) -> Page:
    return browser.new_context(
        viewport=SIZE, locale="en-GB", timezone_id="Europe/Berlin"
    ).new_page()


def _key(page: Page) -> str:
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_focused()
    return page.get_by_role("textbox", name="License key").input_value()


def _log_in(
    page: Page,
    url: str,
    key: str,
    login_id: str = "partner@example.com",
    mac_id: str = "",
    *,
    shoot: bool = False,
) -> None:
    page.goto(f"{url}/agent")
    page.get_by_role("textbox", name="Login ID").fill(login_id)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.keyboard.press("Control+F10")
    page.get_by_role("textbox", name="Registration Key").fill(key)
    page.get_by_role("textbox", name="MAC ID").fill(mac_id)
    if shoot:
        expect(page.get_by_role("status").filter(has_text=" left")).to_be_visible()
        _shoot(page, "7-agent-key")
    page.get_by_role("button", name="Log in").click()


def _shoot(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("The portal did not start.")


if __name__ == "__main__":
    main()
