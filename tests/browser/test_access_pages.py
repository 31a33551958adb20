"""The pages around keys: no page is wider than its window, and axe finds nothing wrong."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext

from app.core.clock import utcnow
from app.extensions import db
from app.models import Delivery
from tests.browser.conftest import Portal
from tests.conftest import Cast
from tests.security.stage import records_of_acme

LOOKS = [(360, "light", "none"), (1440, "dark", "none"), (1440, "light", "active")]


@pytest.fixture
def pages(clocked: Portal, cast: Cast) -> list[str]:
    """With something of everything on them: keys, a visit, a request, what was not delivered."""
    records = records_of_acme(clocked.app, cast)
    with clocked.session() as session:
        session.add(
            Delivery(
                message_id="msg_1",
                kind="key.revoked",
                happened_at=utcnow(),
                data={},
                address="somebody.with.a.very.long.name@" + "sub." * 20 + "example.com",
                created_at=utcnow(),
                given_up_at=utcnow(),
                answer="550 No such mailbox",
            )
        )
        db.session.commit()
    visits = f"/projects/{records['PROJECT']}/visits"
    return [
        *("/", "/keys", "/keys?state=revoked", "/search?q=acme", "/revoke?all=1"),
        *(visits, f"{visits}?q=nothing", f"{visits}/{records['VISIT']}"),
        *("/requests", f"/requests/{records['REQUEST']}", "/settings/policy"),
        *("/settings/webhooks", f"/projects/{records['PROJECT']}/license"),
    ]


@pytest.mark.parametrize(("width", "scheme", "forced"), LOOKS)
def test_each_is_accessible_and_no_wider_than_its_window(
    clocked: Portal,
    new_context: Callable[..., BrowserContext],
    pages: list[str],
    *,
    width: int,
    scheme: str,
    forced: str,
) -> None:
    context = new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, forced_colors=forced
    )
    page = context.new_page()
    clocked.sign_in(page)
    for path in pages:
        page.goto(clocked.url + path)
        found = Axe().run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
