"""The pages around keys: no wider than their window, nothing for axe, times as the reader's are."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, expect
from sqlalchemy import select

from app.access.requests import add_request
from app.core.clock import utcnow
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import Delivery, TemporaryLicense
from tests.browser.conftest import Portal, Watch
from tests.conftest import Cast
from tests.security.stage import records_of_acme

HOUR = 3600
ROWS = "selector => new Set([...document.querySelectorAll(selector)].map(e => e.offsetTop)).size"
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
        f"/keys?organisation={'X' * 64}",
    ]


@pytest.mark.parametrize(("width", "scheme", "forced"), LOOKS)
def test_each_is_accessible_and_no_wider_than_its_window(
    clocked: Portal,
    new_context: Callable[..., BrowserContext],
    pages: list[str],
    watch: Watch,
    *,
    width: int,
    scheme: str,
    forced: str,
) -> None:
    watch.expect(422)
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
    assert page.evaluate(ROWS, "header nav .navbar-nav > li") == 1
    page.goto(f"{clocked.url}/keys")
    page.emulate_media(media="print")
    expect(page.get_by_role("table")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)


def test_a_start_that_was_asked_for_is_shown_and_kept_in_the_readers_zone(
    clocked: Portal, cast: Cast, new_context: Callable[..., BrowserContext]
) -> None:
    """In UTC the same digits were another instant; what is half typed would be no end at all."""
    starts_at = utcnow().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    with clocked.session() as session:
        request = add_request(
            session,
            actor=cast.actor(cast.pat),
            organisation_id=cast.acme,
            options=KeyOptions(HOUR, starts_at=starts_at, recipient=cast.pat),
            length=HOUR,
            now=utcnow(),
        )
        address = f"/requests/{request.id}"
    page = new_context(timezone_id="Asia/Kolkata").new_page()
    clocked.sign_in(page, address)
    there = (starts_at + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M")
    expect(page.get_by_label("Starts")).to_have_value(there)
    page.get_by_label("Ends").press_sequentially("05")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("This is only half filled in.")).to_be_visible()
    expect(page.get_by_label("Ends")).to_be_focused()
    page.get_by_label("Ends").fill("")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("was approved.")).to_be_visible()
    with clocked.session() as session:
        assert session.scalars(select(TemporaryLicense.starts_at)).one() == starts_at
