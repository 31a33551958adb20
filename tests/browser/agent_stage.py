"""What browser tests of the OP Agent share: an organisation with a partner, and logging in."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from app.accounts.passwords import hash_password
from app.accounts.users import create_user, find_user
from app.config import current_config
from app.core.actor import Actor
from app.core.clock import utcnow
from app.core.durations import KeyLimits
from app.core.permissions import Role
from app.core.text import fold
from app.licenses.option_rules import KeyOptions
from app.licenses.services import issue_license, key_text
from app.models import Organisation, Project
from tests.browser.conftest import TEN_MINUTES, Portal, wait_until

PARTNER = "robin@partner.example"
CLIENT = "chris@client.example"
PASSWORD = "robin's own password"
ACME = "ORG-810001"
NAME = "Acme Console & Söhne"


@dataclass
class Stage:
    """A portal with an organisation, a project and a partner."""

    portal: Portal
    project_id: int
    organisation_id: str = ACME
    name: str = NAME
    partner: str = PARTNER
    password: str = PASSWORD

    def actor(self, session: object) -> Actor:
        user = find_user(session, self.portal.admin_email)  # type: ignore[arg-type]
        assert user
        return Actor(user.id, user.email, user.role, "test")

    def issue(self, seconds: int = TEN_MINUTES) -> str:
        """A new key of so many seconds."""
        with self.portal.session() as session:
            license = issue_license(
                session,
                actor=self.actor(session),
                organisation_id=self.organisation_id,
                options=KeyOptions(seconds),
                limits=KeyLimits((seconds,), 7 * 86_400),
                signing_keys=current_config().signing_keys,
                now=utcnow(),
            )[0]
            return key_text(license, self.portal.app.extensions["config"].signing_keys)


def set_stage(portal: Portal) -> Stage:
    """An organisation with a project, a partner and a client user."""
    now = utcnow()
    with portal.session() as session:
        admin = find_user(session, portal.admin_email)
        assert admin
        actor = Actor(admin.id, admin.email, admin.role, "test")
        session.add(
            Organisation(id=ACME, name=NAME, search_text=fold(f"{NAME}\n{ACME}"), created_at=now)
        )
        session.flush()
        project = Project(
            organisation_id=ACME,
            name="Console ERP",
            search_text=fold("Console ERP\n"),
            created_at=now,
            updated_at=now,
        )
        session.add(project)
        for email, role in ((PARTNER, Role.PARTNER), (CLIENT, Role.CLIENT)):
            create_user(
                session,
                email=email,
                role=role,
                password_hash=hash_password(PASSWORD),
                actor=actor,
                now=now,
                organisation_id=ACME if role is Role.CLIENT else None,
            )
        session.flush()
        return Stage(portal, project.id)


def log_in(stage: Stage, page: Page, key: str) -> None:
    page.goto(f"{stage.portal.url}/agent")
    fill_in(stage, page, key)


def fill_in(stage: Stage, page: Page, key: str) -> None:
    page.get_by_role("textbox", name="Login ID").fill(stage.partner)
    page.get_by_role("textbox", name="Password").fill(stage.password)
    if not page.get_by_role("textbox", name="Registration Key").is_visible():
        page.keyboard.press("Control+F10")
    page.get_by_role("textbox", name="Registration Key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name=stage.name, level=1)).to_be_visible()


def milliseconds_left(page: Page) -> int:
    """Until the license ends, as the page knows it."""
    ends = page.locator("#heartbeat").get_attribute("data-ends")
    left: float = page.evaluate("ends => Date.parse(ends) - window.serverNow()", ends)
    return int(left)


def wait_in_stopped_time(page: Page, holds: Callable[[], bool]) -> None:
    """For what the network brings; too little time passes for the page to lose patience."""

    def look() -> bool:
        page.clock.run_for(1)
        return holds()

    wait_until(page, look)
