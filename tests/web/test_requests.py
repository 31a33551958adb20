"""Requests on the pages: made on the License tab, decided by another super admin."""

import re
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select

from app.access.policy_rules import Policy
from app.extensions import db
from app.models import Request
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.license_tab.stage import generate, stored
from tests.web.test_policy import set_policy

HOUR = 3600


@pytest.fixture(autouse=True)
def _stage(app: Flask, cast: Cast, clock: Clock) -> None:
    """Above four hours a second super admin must approve."""
    set_policy(app, cast, Policy(approval_above=4 * HOUR))


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


def words(text: str) -> str:
    return " ".join(unescape(text).split())


def ask(app: Flask, visitor: Visitor, tab: str, **fields: str) -> str:
    """The address of a new request."""
    assert generate(visitor, tab, "1d", **fields).status_code == 303
    with app.app_context():
        newest = select(Request.id).order_by(Request.id.desc()).limit(1)
        return f"/requests/{db.session.scalar(newest)}"


def test_the_tab_says_that_it_waits_and_who_has_to_approve(
    app: Flask, ada: Visitor, tab: str
) -> None:
    preview = words(ada.post(f"{tab}/preview", {"ttl": "1d"}).text)
    assert "(another super admin must approve: the policy)" in preview
    assert "must approve" not in ada.post(f"{tab}/preview", {"ttl": "3h"}).text
    ask(app, ada, tab)
    assert "Waiting for approval: request" in ada.get(tab).text
    assert stored(app) == []
    answer = generate(ada, tab, "1d", htmx=True)
    assert answer.headers["HX-Redirect"] == tab


def test_another_super_admin_approves(app: Flask, ada: Visitor, grace: Visitor, tab: str) -> None:
    address = ask(app, ada, tab, reason="Migration")
    listed = grace.get("/requests").text
    assert f'href="{address}"' in listed
    assert re.search(r'aria-describedby="requests-waiting">', listed)
    assert "1 waiting</span>" in listed
    page = grace.get(address).text
    assert "Migration" in page
    assert '<option selected value="1d">' in page
    answer = grace.post(f"{address}/approve", {"ttl": "6h", "reason": "Migration"})
    assert answer.headers["Location"] == address
    [license] = stored(app)
    assert (license.ttl_seconds, license.reason) == (6 * HOUR, "Migration")
    decided = grace.get(address).text
    assert f"approved. {license.key_id} works until Tue 24 Nov 2026, 21:40 UTC." in decided
    assert "rw1." not in decided
    assert "waiting</span>" not in decided


def test_more_than_was_asked_for_is_refused_beside_its_field(
    app: Flask, ada: Visitor, grace: Visitor, tab: str
) -> None:
    address = ask(app, ada, tab)
    answer = grace.post(f"{address}/approve", {"ttl": "3d"})
    assert answer.status_code == 422
    assert "No more than was asked for: 1 day." in answer.text
    assert 'aria-describedby="ttl-error' in answer.text
    assert stored(app) == []


def test_ones_own_has_no_button_and_is_403(app: Flask, ada: Visitor, tab: str) -> None:
    address = ask(app, ada, tab)
    assert ">Approve<" not in ada.get(address).text
    assert ada.post(f"{address}/approve", {"ttl": "1d"}).status_code == 403
    assert stored(app) == []


def test_an_end_that_was_asked_for_is_told_in_the_browsers_zone_and_gives_way_to_a_ttl(
    app: Flask, ada: Visitor, grace: Visitor, tab: str
) -> None:
    """Grace shortens it by the dropdown; the end that stood there filled in would be obeyed."""
    typed = {"ends": "2026-11-25T15:40", "sign_ins": "2", "ticket": "OPS-1"}
    address = ask(app, ada, tab, **typed)
    page = grace.get(address).text
    assert 'data-utc="2026-11-25T15:40:00Z"' in page
    assert "data-zone-field" in page
    assert '<option selected value="until">' in page
    assert '<datalist id="recipients">' in page
    shown = words(re.sub("<[^>]+>", " ", page))
    assert "How long 1 day Ends Wed 25 Nov 2026, 15:40 UTC Sign-ins 2 Ticket OPS-1" in shown
    answer = grace.post(f"{address}/approve", typed | {"ttl": "3h"})
    assert answer.status_code == 303
    [license] = stored(app)
    assert license.ttl_seconds == 3 * HOUR


def test_another_end_may_be_typed_in_the_browsers_zone(
    app: Flask, ada: Visitor, grace: Visitor, tab: str
) -> None:
    address = ask(app, ada, tab, ends="2026-11-25T15:40")
    earlier = {"ttl": "1h", "ends": "2026-11-25T10:00", "zone": "Europe/Berlin"}
    assert grace.post(f"{address}/approve", earlier).status_code == 303
    [license] = stored(app)
    assert license.expires_at == NOW.replace(day=25, hour=9, minute=0)


def test_a_ceiling_that_cuts_is_said_before(
    app: Flask, cast: Cast, ada: Visitor, grace: Visitor, tab: str
) -> None:
    address = ask(app, ada, tab)
    assert "are cut to" not in grace.get(address).text
    set_policy(app, cast, Policy(approval_above=4 * HOUR, ceiling=6 * HOUR))
    cut = "Longer ones are cut to 6 hrs: the policy's ceiling."
    assert cut in words(grace.get(address).text)


def test_refusing_asks_why_and_tells_it(app: Flask, ada: Visitor, grace: Visitor, tab: str) -> None:
    address = ask(app, ada, tab)
    assert grace.post(f"{address}/refuse", {"reason": ""}).status_code == 422
    assert grace.post(f"{address}/refuse", {"reason": "Too long"}).status_code == 303
    assert "Too long" in ada.get(address).text
    for what in ("approve", "refuse"):
        again = grace.post(f"{address}/{what}", {"ttl": "1d", "reason": "x"})
        assert again.status_code == 409
        assert "was refused by grace@example.com already" in again.text


def test_an_auditor_reads_and_has_no_buttons(
    app: Flask, ada: Visitor, audrey: Visitor, tab: str
) -> None:
    address = ask(app, ada, tab)
    assert address in audrey.get("/requests").text
    page = audrey.get(address).text
    assert "<button" not in page.partition('id="main"')[2].partition("</main>")[0]
    assert audrey.post(f"{address}/refuse", {"reason": "x"}).status_code == 403


def test_extending_beyond_it_waits_too(app: Flask, ada: Visitor, grace: Visitor, tab: str) -> None:
    generate(ada, tab, "3h")
    [license] = stored(app)
    ada.post(f"{tab}/{license.key_id}/extend", {"ends": "2026-11-25T15:40"})
    assert "Waiting for approval" in ada.get(tab).text
    with app.app_context():
        address = f"/requests/{db.session.scalar(select(Request.id))}"
    assert license.key_id in grace.get(address).text
    assert grace.post(f"{address}/approve").status_code == 303
    [longer] = stored(app)
    assert longer.ttl_seconds == 24 * HOUR


def test_an_unknown_request_is_404(ada: Visitor) -> None:
    assert ada.get("/requests/999999").status_code == 404
    assert ada.post("/requests/999999/approve").status_code == 404
