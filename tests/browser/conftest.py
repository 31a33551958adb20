"""A real portal on a real port, and a browser that complains about what a person would not see.

Nothing here depends on how fast the machine is: whatever is to happen is waited for, for a minute
if need be, and where an instant counts, the clock is turned (the portal's, in `clocked`; the page's
own, with `page.clock`).
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect
from sqlalchemy.orm import Session

from app import create_app
from app.config import ROOT, load_config
from app.extensions import db
from tests.agents.api_stage import serving
from tests.conftest import PASSWORD, Cast, Clock, missing
from tests.portal_process import ADMIN_EMAIL, ADMIN_PASSWORD, FLASK, PATIENCE, served_portal

CHROMIUM = next(
    filter(Path.exists, map(Path, ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium"))), None
)
"""The one without windows takes two thirds of the work."""
HOST_NAME = "portal.test"
"""Another name of this machine, for the browser only: plain http by host name is less trusted."""
OWN_HOSTS = ("127.0.0.1", "localhost", HOST_NAME)
TEN_MINUTES = 600

expect.set_options(timeout=PATIENCE * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Portal:
    """A portal that serves; `app` is the same one for this process, to set a stage quickly."""

    url: str
    app: Flask
    environ: dict[str, str] = field(default_factory=dict)
    admin_email: str = ADMIN_EMAIL
    admin_password: str = ADMIN_PASSWORD

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `flask --app wsgi ...` against this portal; fails the test unless it ends with 0."""
        answer = subprocess.run(
            [*FLASK, *arguments],
            cwd=ROOT,
            env=os.environ | self.environ,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        return answer

    @contextmanager
    def session(self) -> Iterator[Session]:
        """The portal's database: what is done in it is committed."""
        with self.app.app_context():
            yield db.session()
            db.session.commit()

    def sign_in(
        self, page: Page, path: str = "/", email: str | None = None, password: str | None = None
    ) -> None:
        """Sign in by the form, as the first super admin unless said otherwise, and go to `path`."""
        page.goto(f"{self.url}/login?next={path}")
        page.get_by_role("textbox", name="E-mail").fill(email or self.admin_email)
        page.get_by_role("textbox", name="Password").fill(password or self.admin_password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{self.url}{path}")


@pytest.fixture(scope="session")
def start_portal(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Portal]]:
    """Start another portal, with its own empty database: `start_portal(PORTAL_X="value")`."""
    portals: list[Portal] = []

    with ExitStack() as processes:

        def start(**settings: str) -> Portal:
            folder = tmp_path_factory.mktemp("portal")
            server = processes.enter_context(served_portal(folder, **settings))
            app = create_app(load_config(server.environ))
            portals.append(Portal(server.url, app, server.environ))
            return portals[-1]

        yield start
    for portal in portals:
        with portal.app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="session")
def portal(start_portal: Callable[..., Portal]) -> Portal:
    """The portal that most browser tests share: each makes the projects and people it needs."""
    return start_portal()


@pytest.fixture
def clocked(app: Flask, cast: Cast, clock: Clock) -> Iterator[Portal]:
    """A portal with the cast whose clock stands still until the test turns it.

    It offers keys of ten minutes, within which nobody's sign-in ends for want of activity.
    """
    config = replace(
        app.extensions["config"],
        heartbeat_seconds=1,
        license_ttls=(TEN_MINUTES, 3600),
        license_ttl_default=TEN_MINUTES,
    )
    portal = create_app(config)
    with serving(portal) as port:
        url = f"http://127.0.0.1:{port}"
        yield Portal(url, portal, admin_email=cast.ada, admin_password=PASSWORD)
    with portal.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    if CHROMIUM is None:
        missing("Chromium", "apt-get install chromium-headless-shell")
    return browser_type_launch_args | {
        "executable_path": str(CHROMIUM),
        "args": [
            "--no-sandbox",
            "--disable-background-networking",
            f"--host-resolver-rules=MAP {HOST_NAME} 127.0.0.1",
        ],
    }


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    """Let the page go on until `condition` holds."""
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to that"
        page.wait_for_timeout(50)


def stop_clock(page: Page) -> None:
    """From here the page's time passes as the test says; `page.clock.install()` came before."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)


class Watch:
    """What a browser says and asks for behind its person's back."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.expected: set[int] = set()

    def expect(self, *statuses: int) -> None:
        """Chromium notes every 4xx and 5xx in its console: these are meant to happen."""
        self.expected.update(statuses)

    def follow(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"error: {error.error}"))
        context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        notes = [f"responded with a status of {status}" for status in self.expected]
        # Whoever types at once is there before the page has put the focus anywhere.
        notes.append("Autofocus processing was blocked because a document already has a focused")
        if not any(note in message.text for note in notes):
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.hostname not in OWN_HOSTS:
            self.problems.append(f"request to another origin: {request.url}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test at its end on any unexpected console message, error or foreign request."""
    watch = Watch()
    yield watch
    assert watch.problems == []


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], watch: Watch
) -> Callable[..., BrowserContext]:
    """pytest-playwright's, so that each further person's browser is watched too."""

    def watched(**options: object) -> BrowserContext:
        context = new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        watch.follow(context)
        return context

    return watched
