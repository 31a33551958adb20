"""The License tab of a place without keys."""

import pytest
from playwright.sync_api import Page
from sqlalchemy import update

from app.core.clock import utcnow
from app.models import Organisation, Project, User
from app.projects.rules import organisation_search_text, project_search_text
from tests.browser.conftest import Portal
from tests.browser.license_tab.stage import NUMBERS, Place
from tests.conftest import Cast


@pytest.fixture
def place(portal: Portal) -> Place:
    number = next(NUMBERS)
    organisation_id = f"ORG-8{number:05}"
    now = utcnow()
    with portal.session() as session:
        name = f"Harbour & Söhne {number}"
        organisation = Organisation(id=organisation_id, name=name, created_at=now)
        organisation.search_text = organisation_search_text(name, organisation_id)
        session.add(organisation)
        session.flush()
        project = Project(
            organisation_id=organisation_id,
            name=f"Shop {number}",
            search_text=project_search_text(f"Shop {number}", ""),
            created_at=now,
            updated_at=now,
        )
        session.add(project)
        session.flush()
        return Place(portal, organisation_id, f"/projects/{project.id}/license")


@pytest.fixture
def ten(clocked: Portal, cast: Cast) -> Place:
    """Acme of the cast, where the test turns the clock and keys of ten minutes are offered."""
    return Place(clocked, cast.acme, f"/projects/{cast.acme_project}/license")


@pytest.fixture
def at_tab(place: Place, page: Page) -> Page:
    """The first super admin, on the License tab of a place without keys, the options shut."""
    with place.portal.session() as session:
        session.execute(update(User).values(more_options=False, last_ttl=None))
    place.portal.sign_in(page, place.tab)
    return page
