"""What browser tests of the License tab share: a place of one's own, and what is on the page."""

import itertools
from dataclasses import dataclass
from datetime import timedelta

from playwright.sync_api import Locator, Page, expect

from app.accounts.passwords import hash_password
from app.accounts.users import create_user, find_user
from app.config import current_config
from app.core.actor import SYSTEM, Actor
from app.core.clock import utcnow
from app.core.durations import KeyLimits
from app.core.permissions import Role
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import licenses_of
from app.licenses.services import issue_license
from tests.browser.conftest import Portal

HOUR = 3600
PASSWORD = "a password of their own"
MOSCOW = {"timezone_id": "Europe/Moscow"}
NUMBERS = itertools.count(1)


@dataclass
class Place:
    """An organisation of one test's own, with a project."""

    portal: Portal
    organisation_id: str
    tab: str

    def issue(self, ttl: int = 3 * HOUR, ago: float = 0) -> str:
        """A key, as another admin makes it: its Key ID."""
        with self.portal.session() as session:
            admin = find_user(session, self.portal.admin_email)
            return issue_license(
                session,
                actor=Actor(admin.id, admin.email, admin.role, "elsewhere"),
                organisation_id=self.organisation_id,
                options=KeyOptions(ttl),
                limits=KeyLimits((ttl,), 7 * 86_400),
                signing_keys=current_config().signing_keys,
                now=utcnow() - timedelta(seconds=ago),
            )[0].key_id

    def count(self) -> int:
        with self.portal.session() as session:
            return len(licenses_of(session, self.organisation_id, utcnow()))


def person(portal: Portal, role: Role) -> str:
    """Somebody new, who knows PASSWORD: their e-mail."""
    email = f"{role.value}{next(NUMBERS)}@example.com"
    with portal.session() as session:
        create_user(
            session,
            email=email,
            role=role,
            password_hash=hash_password(PASSWORD),
            actor=SYSTEM,
            now=utcnow(),
        )
    return email


def ttl(page: Page) -> Locator:
    return page.get_by_role("combobox", name="TTL interval")


def keys(page: Page) -> Locator:
    return page.get_by_role("combobox", name="License keys")


def key_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="License key", exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def generate(page: Page, choice: str = "3 hrs") -> str:
    """Generate a key; gives its text."""
    before = key_box(page).input_value() if key_box(page).count() else ""
    ttl(page).select_option(label=choice)
    button(page, "Generate key").click()
    expect(key_box(page)).not_to_have_value(before)
    return key_box(page).input_value()


def groups(page: Page) -> dict[str, list[str]]:
    """The dropdown's groups with their options."""
    return {
        group.get_attribute("label"): group.locator("option").all_inner_texts()
        for group in keys(page).locator("optgroup").all()
    }


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")
