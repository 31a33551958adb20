"""The list of keys in a real browser, which keeps itself up to date."""

import re
from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from app.core.clock import utcnow
from app.core.permissions import Role
from app.models import WebSession
from tests.browser.conftest import TEN_MINUTES, Watch, stop_clock
from tests.browser.license_tab.stage import (
    HOUR,
    PASSWORD,
    Place,
    button,
    generate,
    groups,
    key_box,
    keys,
    person,
    ttl,
)
from tests.conftest import NOW, Clock


class TestTheListByItself:
    def test_a_key_moves_to_expired_at_its_end(self, ten: Place, page: Page, clock: Clock) -> None:
        ten.portal.sign_in(page, ten.tab)
        generate(page, "10 min")
        key_id = keys(page).input_value()
        badge = page.locator("#keys .card .card-header")
        clock.advance(seconds=TEN_MINUTES - 5)
        expect(badge).to_contain_text(re.compile(r"Active for \d sec"))
        clock.advance(seconds=5)
        expect(badge).to_contain_text("Key expired")
        expect(keys(page).locator("optgroup[label=Expired] option")).to_have_text(
            f"{key_id} · Key expired · 24 Nov 15:50"
        )
        assert list(groups(page)) == ["Expired"]
        expect(key_box(page)).to_have_count(0)
        for name in ("Copy", "Copy with instructions", "Revoke"):
            expect(button(page, name)).to_have_count(0)
        expect(keys(page)).to_have_value(key_id)
        expect(keys(page)).to_be_focused()

    def test_two_admins_see_each_others_keys(
        self, at_tab: Page, place: Place, new_context: Callable[..., BrowserContext]
    ) -> None:
        mine = generate(at_tab)
        other = new_context().new_page()
        email = person(place.portal, Role.SUPER_ADMIN)
        place.portal.sign_in(other, place.tab, email, PASSWORD)
        expect(key_box(other)).to_have_value(mine)
        generate(other, "1 hr")
        theirs = keys(other).input_value()
        expect(keys(at_tab).locator("option")).to_have_count(2)
        assert groups(at_tab)["Active"][0].startswith(theirs)
        expect(key_box(at_tab)).to_have_value(mine)

    def test_keeps_the_viewers_choice_focus_and_the_very_dropdown(
        self, page: Page, place: Place
    ) -> None:
        first, second = place.issue(), place.issue()
        place.portal.sign_in(page, place.tab)
        expect(keys(page)).to_have_value(second)
        keys(page).select_option(value=first)
        expect(page.locator("#keys .card .key-id")).to_have_text(first)
        keys(page).focus()
        keys(page).evaluate("select => { select.mark = 'the same one'; }")
        third = place.issue()
        expect(keys(page).locator("option")).to_have_count(3)
        assert groups(page)["Active"][0].startswith(third)
        expect(keys(page)).to_have_value(first)
        expect(keys(page)).to_be_focused()
        assert keys(page).evaluate("select => select.mark") == "the same one"
        expect(page.locator("#keys .card .key-id")).to_have_text(first)

    def test_keeps_a_choice_that_an_ending_key_stands_above(
        self, ten: Place, page: Page, clock: Clock
    ) -> None:
        """The options change their order and their group; the choice is somebody's all the same."""
        kept = ten.issue()
        ten.portal.sign_in(page, ten.tab)
        ten.issue(ttl=TEN_MINUTES)
        expect(keys(page).locator("option")).to_have_count(2)
        keys(page).select_option(value=kept)
        expect(page.locator("#keys .card .key-id")).to_have_text(kept)
        clock.advance(seconds=TEN_MINUTES)
        expect(keys(page).locator("optgroup[label=Expired] option")).to_have_count(1)
        expect(keys(page)).to_have_value(kept)
        expect(page.locator("#keys .card .key-id")).to_have_text(kept)

    def test_what_is_marked_in_the_key_stays_marked(self, page: Page, place: Place) -> None:
        place.issue()
        place.portal.sign_in(page, place.tab)
        key_box(page).focus()
        place.issue()
        expect(keys(page).locator("option")).to_have_count(2)
        expect(key_box(page)).to_be_focused()
        chosen = key_box(page).evaluate("box => box.selectionEnd - box.selectionStart")
        assert chosen == len(key_box(page).input_value())

    def test_an_open_dialog_stays_open(self, page: Page, place: Place) -> None:
        place.issue()
        place.portal.sign_in(page, place.tab)
        button(page, "Revoke").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        place.issue()
        expect(page.locator("#license-keys option")).to_have_count(2)
        expect(page.get_by_role("dialog")).to_be_visible()

    def test_countdowns_run_on_the_servers_clock(self, page: Page, ten: Place) -> None:
        """The viewer's clock is five hours fast."""
        page.clock.install(time=NOW + timedelta(hours=5))
        ten.issue(ttl=3 * HOUR, ago=90)
        ten.portal.sign_in(page, ten.tab)
        stop_clock(page)
        page.clock.run_for(3000)
        expect(page.locator("#keys .card .card-header")).to_contain_text("Active for 2 hr 58 min")

    def test_leads_to_the_sign_in_page_when_the_sign_in_has_ended_and_back(
        self, at_tab: Page, place: Place, watch: Watch
    ) -> None:
        watch.expect(401)
        ttl(at_tab).select_option(label="6 hrs")
        expect(at_tab).to_have_url(re.compile("ttl=6h"))
        with place.portal.session() as session:
            for signed_in in session.scalars(select(WebSession)):
                signed_in.ended_at = utcnow()
        at_tab.wait_for_url(re.compile("/login"))
        at_tab.get_by_role("textbox", name="E-mail").fill(place.portal.admin_email)
        at_tab.get_by_role("textbox", name="Password").fill(place.portal.admin_password)
        at_tab.get_by_role("button", name="Sign in", exact=True).click()
        at_tab.wait_for_url(f"{place.portal.url}{place.tab}?ttl=6h")
        expect(ttl(at_tab)).to_have_value("6h")
        expect(at_tab.locator("#ttl-preview")).to_contain_text("(6 hrs from now)")


class TestChoosing:
    def test_another_key_shows_it_and_updates_the_address(self, page: Page, place: Place) -> None:
        first, second = place.issue(), place.issue(ttl=HOUR)
        ended = place.issue(ttl=HOUR, ago=2 * HOUR)
        place.portal.sign_in(page, place.tab)
        expect(keys(page)).to_have_value(second)
        shown = key_box(page).input_value()
        keys(page).select_option(value=first)
        expect(page.locator("#keys .card .key-id")).to_have_text(first)
        expect(key_box(page)).not_to_have_value(shown)
        expect(page).to_have_url(re.compile(rf"\?key={first}"))
        keys(page).select_option(value=ended)
        expect(page.locator("#keys .card .card-header")).to_contain_text("Key expired")
        expect(key_box(page)).to_have_count(0)

    def test_show_all_lists_them_and_leads_back_to_one(self, page: Page, place: Place) -> None:
        ended = place.issue(ttl=HOUR, ago=2 * HOUR)
        place.issue()
        place.portal.sign_in(page, place.tab)
        page.get_by_role("link", name="Show all").click()
        expect(page.get_by_role("row")).to_have_count(3)
        page.get_by_role("link", name=ended).click()
        expect(keys(page)).to_have_value(ended)
