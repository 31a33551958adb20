"""The portal behind the proxies of deploy/, over TLS, on ports that nobody guesses."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import APIRequestContext, BrowserContext, Page, Response, expect
from sqlalchemy import select

from app.config import ROOT
from app.models import AuditEvent
from tests.agents.stage import MAC
from tests.browser.conftest import Portal
from tests.browser.proxy_stage import DEPLOY, NAME, Ports, proxy
from tests.browser.test_seven_steps import CSV, PARTNER, PASSWORD, generate, to_license_tab
from tests.portal_process import free_port

NAMES = ("nginx.conf", "nginx-prefix.conf", "Caddyfile", "Caddyfile-prefix")
NO_CHECK = {"ignore_https_errors": True}
TEN_MEGABYTES = b"x" * (10 * 1024 * 1024)


@pytest.fixture(scope="module")
def stage(start_portal: Callable[..., Portal], tmp_path_factory: pytest.TempPathFactory) -> Portal:
    """A portal as the files say that it must be set, but for its public address: that comes from
    what the proxy passes on."""
    portal = start_portal(
        PORTAL_HTTPS="on", PORTAL_TRUSTED_PROXIES="1", PORTAL_HOSTS=f"{NAME},127.0.0.1"
    )
    csv = tmp_path_factory.mktemp("behind") / "projects.csv"
    csv.write_text(CSV, encoding="utf-8")
    portal.cli("projects", "import", str(csv))
    portal.cli(
        "users", "create", "--email", PARTNER, "--role", "partner", "--password-stdin",
        stdin=PASSWORD,
    )  # fmt: skip
    return portal


@pytest.fixture(scope="module", params=NAMES)
def behind(
    request: pytest.FixtureRequest, stage: Portal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    """The portal as it is reached through the proxy."""
    ports = Ports(free_port(), free_port(), int(stage.url.rpartition(":")[2]))
    prefix = "/portal" if "prefix" in request.param else ""
    with proxy(request.param, ports, tmp_path_factory.mktemp("proxy")):
        yield replace(stage, url=f"https://{NAME}:{ports.https}{prefix}")


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    return new_context(**NO_CHECK)


@pytest.fixture
def ask(behind: Portal, context: BrowserContext) -> Callable[..., Response]:
    """Ask through the proxy, not following: `ask("/audit", method="POST")`."""
    request: APIRequestContext = context.request

    def send(path: str, **options: object) -> Response:
        return request.fetch(behind.url + path, max_redirects=0, **options)

    return send


def prefix_of(portal: Portal) -> str:
    return "/portal" if portal.url.endswith("/portal") else ""


def test_the_seven_steps(
    behind: Portal, page: Page, new_context: Callable[..., BrowserContext]
) -> None:
    """Sign in, search by htmx, generate a key, log in with it: each address keeps scheme, name,
    port and prefix, and nothing that the pages ask for is missing."""
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    page.on("response", note)
    to_license_tab(behind, page)
    assert page.url.startswith(f"{behind.url}/projects/")
    key = generate(page, "1 hr")
    assert page.url.startswith(f"{behind.url}/projects/")
    text = page.get_by_role("button", name="Copy with instructions").get_attribute("data-copy-text")
    assert f"the one in the browser: {behind.url}/agent\n" in text
    partner = new_context(**NO_CHECK).new_page()
    partner.on("response", note)
    partner.goto(f"{behind.url}/agent")
    partner.get_by_role("textbox", name="Login ID").fill(PARTNER)
    partner.get_by_role("textbox", name="Password").fill(PASSWORD)
    partner.keyboard.press("Control+F10")
    partner.get_by_role("textbox", name="Registration Key").fill(key)
    partner.get_by_role("button", name="Log in").click()
    expect(partner.get_by_role("heading", name="Harbour & Söhne Shop")).to_be_visible()
    partner.get_by_role("button", name="Log out").click()
    expect(partner.get_by_text("You are logged out.")).to_be_visible()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{behind.url}/login")
    assert [answer.url for answer in answers if answer.status >= 400] == []
    assert len({answer.url for answer in answers if "/static/" in answer.url}) > 10
    assert [answer.url for answer in answers if not answer.url.startswith(behind.url)] == []


def test_the_browser_does_not_choose_the_id_of_its_request(ask: Callable[..., Response]) -> None:
    """Mallory gives her request the ID of somebody else's, to hide in the log."""
    answer = ask("/login", headers={"X-Request-ID": "somebody-elses"})
    said = answer.headers["x-request-id"]
    assert said
    assert said != "somebody-elses"
    assert re.fullmatch(r"[0-9a-f-]{32,36}", said), "it is the proxy's"


def test_cookies_are_the_portals_alone(behind: Portal, page: Page) -> None:
    prefix = prefix_of(behind)
    page.goto(f"{behind.url}/agent")
    page.get_by_role("button", name=re.compile("Theme")).first.click()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    session = "rolling_window" if prefix else "__Host-rolling_window"
    paths = {session: prefix or "/", "op_agent_mac": f"{prefix}/agent", "theme": prefix or "/"}
    assert {name: cookie["path"] for name, cookie in cookies.items()} == paths
    assert all(cookie["secure"] for cookie in cookies.values())


def test_redirects_keep_where_one_is(
    behind: Portal, page: Page, ask: Callable[..., Response]
) -> None:
    prefix = prefix_of(behind)
    way = f"{prefix}/login?next={prefix.replace('/', '%2F')}%2Faudit"
    answer = ask("/audit")
    assert (answer.status, answer.headers["location"]) == (303, way)
    here = {"HX-Request": "true", "HX-Current-URL": f"{behind.url}/audit"}
    answer = ask("/audit", headers=here)
    assert (answer.status, answer.headers["hx-redirect"]) == (401, way)
    page.goto(f"{behind.url}/audit")
    assert page.url == behind.url.removesuffix(prefix) + way


def test_what_is_read_without_signing_in(behind: Portal, ask: Callable[..., Response]) -> None:
    assert ask("/healthz").text() == "ok"
    assert ask("/agent").status == 200
    assert ask("/api/openapi.json").json()["servers"] == [{"url": prefix_of(behind) or "/"}]
    docs = ask("/api/docs").text()
    assert f"curl -s {behind.url}/api/agent/v1/sessions" in docs
    assert "PORTAL_PUBLIC_URL" not in docs


def test_a_browser_cannot_speak_for_the_proxy(behind: Portal, ask: Callable[..., Response]) -> None:
    """An attacker sends the proxy's own headers along, to be counted under another address, or to
    have a cache in front keep a page that leads to their site."""
    lies = {
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-For": "203.0.113.6",
    }
    answer = ask("/audit", headers=lies)
    assert answer.headers["location"].startswith(f"{prefix_of(behind)}/login?")
    assert f"curl -s {behind.url}/api" in ask("/api/docs", headers=lies).text()
    credentials = {"login_id": "nobody@lies.example", "password": "wrong", "mac_id": MAC}
    answer = ask("/api/agent/v1/sessions", method="POST", data=credentials, headers=lies)
    assert answer.status == 401
    with behind.session() as session:
        newest = select(AuditEvent.address).order_by(AuditEvent.id.desc())
        assert session.scalars(newest).first() == "127.0.0.1"


def test_a_file_of_ten_megabytes_is_let_through(ask: Callable[..., Response]) -> None:
    upload = {"file": {"name": "a.csv", "mimeType": "text/csv", "buffer": TEN_MEGABYTES}}
    answer = ask("/projects/import", method="POST", multipart=upload)
    assert answer.status == 401
    assert "Please sign in" in answer.text()


@pytest.mark.parametrize("name", NAMES)
def test_the_guide_names_the_file(name: str) -> None:
    guide = (ROOT / "docs" / "operators-guide.md").read_text(encoding="utf-8")
    assert f"deploy/{name}" in guide
    assert (DEPLOY / name).is_file()


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_plain_http_leads_to_https(name: str, stage: Portal, tmp_path: Path, page: Page) -> None:
    ports = Ports(free_port(), free_port(), int(stage.url.rpartition(":")[2]))
    with proxy(name, ports, tmp_path):
        answer = page.context.request.fetch(
            f"http://{NAME}:{ports.http}/audit?page=2", max_redirects=0
        )
    assert answer.status in (301, 308)
    assert re.fullmatch(
        rf"https://{NAME}(:{ports.https})?/audit\?page=2", answer.headers["location"]
    )
