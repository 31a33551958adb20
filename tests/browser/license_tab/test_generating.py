"""Generating and copying a key in a real browser: with the mouse, and by keyboard alone."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from app.models import AuditEvent
from tests.browser.conftest import HOST_NAME, Watch, stop_clock, wait_until
from tests.browser.license_tab.stage import (
    MOSCOW,
    Place,
    button,
    clipboard,
    generate,
    groups,
    key_box,
    keys,
    ttl,
)


class TestGenerating:
    def test_shows_the_key_focuses_copy_announces_it_and_updates_the_address(
        self, at_tab: Page, place: Place
    ) -> None:
        key = generate(at_tab)
        assert key.startswith("rw1.")
        key_id = keys(at_tab).input_value()
        expect(button(at_tab, "Copy")).to_be_focused()
        expect(at_tab.locator("#live")).to_have_text(f"{key_id} was generated. It works for 3 hrs.")
        expect(at_tab).to_have_url(f"{place.portal.url}{place.tab}?key={key_id}&ttl=3h")
        assert list(groups(at_tab)) == ["Active"]
        assert re.fullmatch(
            rf"{key_id} · Active for (3 hr|2 hr \d+ min)", groups(at_tab)["Active"][0]
        )
        at_tab.reload()
        expect(key_box(at_tab)).to_have_value(key)

    def test_a_second_one_is_focused_and_announced_too(self, at_tab: Page) -> None:
        generate(at_tab, "1 hr")
        ttl(at_tab).focus()
        generate(at_tab, "1 day")
        expect(button(at_tab, "Copy")).to_be_focused()
        expect(at_tab.locator("#live")).to_contain_text("It works for 1 day.")
        assert len(groups(at_tab)["Active"]) == 2

    def test_a_double_click_generates_one_key(self, at_tab: Page, place: Place) -> None:
        button(at_tab, "Generate key").dblclick()
        expect(key_box(at_tab)).to_have_value(re.compile("^rw1"))
        at_tab.wait_for_load_state("networkidle")
        assert place.count() == 1

    def test_by_keyboard_alone(self, at_tab: Page, context: BrowserContext) -> None:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        keyboard = at_tab.keyboard
        at_tab.locator("body").focus()
        for _ in range(40):
            keyboard.press("Tab")
            if ttl(at_tab).evaluate("element => element === document.activeElement"):
                break
        keyboard.press("ArrowDown")
        expect(ttl(at_tab)).to_have_value("3h")
        expect(at_tab.locator("#ttl-preview")).to_contain_text("(3 hrs from now)")
        keyboard.press("Tab")
        expect(button(at_tab, "Generate key")).to_be_focused()
        keyboard.press("Enter")
        expect(button(at_tab, "Copy")).to_be_focused()
        keyboard.press("Enter")
        wait_until(at_tab, lambda: clipboard(at_tab) == key_box(at_tab).input_value())
        expect(at_tab.locator("#copy-key")).to_be_focused()
        keyboard.press("Tab")
        expect(button(at_tab, "Copy with instructions")).to_be_focused()
        keyboard.press("Tab")
        expect(button(at_tab, "Revoke")).to_be_focused()
        keyboard.press("Enter")
        expect(at_tab.get_by_role("dialog")).to_be_visible()
        keyboard.press("Escape")
        expect(at_tab.get_by_role("dialog")).to_be_hidden()
        expect(button(at_tab, "Revoke")).to_be_focused()

    def test_a_ttl_that_was_tampered_with_is_refused_beside_the_field(
        self, at_tab: Page, place: Place, watch: Watch
    ) -> None:
        watch.expect(422)
        ttl(at_tab).locator("option").last.evaluate("option => { option.value = '99d'; }")
        ttl(at_tab).evaluate("select => { select.selectedIndex = select.length - 1; }")
        button(at_tab, "Generate key").click()
        expect(at_tab.locator("#ttl-error")).to_contain_text("Choose one of the TTL intervals")
        expect(ttl(at_tab)).to_have_accessible_description(re.compile("Choose one of"))
        assert place.count() == 0
        generate(at_tab)


class TestCopying:
    @pytest.fixture(autouse=True)
    def _allowed(self, context: BrowserContext) -> None:
        context.grant_permissions(["clipboard-read", "clipboard-write"])

    def test_puts_exactly_the_key_on_the_clipboard_and_says_so_for_two_seconds(
        self, at_tab: Page
    ) -> None:
        at_tab.clock.install()
        at_tab.reload()
        key = generate(at_tab)
        stop_clock(at_tab)
        button(at_tab, "Copy").click()
        expect(button(at_tab, "Copied")).to_be_visible()
        at_tab.clock.run_for(1999)
        expect(at_tab.locator("#live")).to_have_text("Copied")
        expect(button(at_tab, "Copied")).to_be_visible()
        at_tab.clock.run_for(1)
        expect(button(at_tab, "Copy")).to_be_visible()
        assert clipboard(at_tab) == key

    @pytest.mark.browser_context_args(**MOSCOW)
    def test_with_instructions_is_ready_for_an_e_mail_with_both_zones(
        self, at_tab: Page, place: Place
    ) -> None:
        key = generate(at_tab)
        button(at_tab, "Copy with instructions").click()
        wait_until(at_tab, lambda: key in clipboard(at_tab))
        text = clipboard(at_tab)
        assert key in text.splitlines()
        assert f"({place.organisation_id})" in text
        assert keys(at_tab).input_value() in text
        here = re.search(r"Works until: \w+ \d+ \w+ 20\d\d, (\d\d):(\d\d) \(Europe/Moscow\)", text)
        utc = re.search(r"In UTC: \w+ \d+ \w+ 20\d\d, (\d\d):(\d\d)", text)
        assert (int(here[1]) - int(utc[1])) % 24 == 3
        assert here[2] == utc[2]
        assert 'field "Registration Key"' in text
        assert f"{place.portal.url}/agent" in text

    @pytest.mark.parametrize("how", ["Copy", "Copy with instructions", "Ctrl+C"])
    def test_is_reported_to_the_portal(self, at_tab: Page, place: Place, how: str) -> None:
        generate(at_tab)
        with at_tab.expect_response(re.compile("/copied$")) as report:
            if how == "Ctrl+C":
                key_box(at_tab).press("Control+c")
            else:
                button(at_tab, how).click()
        assert report.value.status == 204
        with place.portal.session() as session:
            event = session.scalars(
                select(AuditEvent)
                .where(AuditEvent.organisation_id == place.organisation_id)
                .order_by(AuditEvent.id.desc())
            ).first()
            assert event
            assert (event.tag, event.subject) == ("license.copied", keys(at_tab).input_value())

    @pytest.mark.parametrize("host", ["127.0.0.1", HOST_NAME])
    def test_in_one_go_with_generating(self, page: Page, place: Place, host: str) -> None:
        page.clock.install()
        url = place.portal.url.replace("127.0.0.1", host)
        replace(place.portal, url=url).sign_in(page, place.tab)
        ttl(page).select_option(label="1 hr")
        stop_clock(page)
        button(page, "Generate and copy").click()
        expect(key_box(page)).to_have_value(re.compile("^rw1"))
        page.clock.run_for(100)
        expect(button(page, "Copied")).to_be_focused()
        page.clock.run_for(100)
        expect(page.locator("#live")).to_contain_text("It works for 1 hr. Copied")
        ttl(page).evaluate("select => select.insertAdjacentHTML('afterend', '<textarea id=t>')")
        page.locator("#t").press("Control+v")
        expect(page.locator("#t")).to_have_value(key_box(page).input_value())

    def test_works_over_plain_http_by_host_name(self, page: Page, place: Place) -> None:
        """There the browser withholds the clipboard interface."""
        page.clock.install()
        url = place.portal.url.replace("127.0.0.1", HOST_NAME)
        replace(place.portal, url=url).sign_in(page, place.tab)
        assert page.evaluate("navigator.clipboard") is None
        key = generate(page)
        stop_clock(page)
        button(page, "Copy").click()
        expect(button(page, "Copied")).to_be_visible()
        ttl(page).evaluate("select => select.insertAdjacentHTML('afterend', '<textarea id=t>')")
        page.locator("#t").press("Control+v")
        expect(page.locator("#t")).to_have_value(key)


class TestThePreview:
    @pytest.mark.browser_context_args(**MOSCOW)
    def test_follows_the_choice_in_the_viewers_zone(self, page: Page, ten: Place) -> None:
        ten.portal.sign_in(page, ten.tab)
        ttl(page).select_option(label="1 hr")
        preview = page.locator("#ttl-preview")
        expect(preview).to_contain_text("until Tue 24 Nov 2026, 19:40 (1 hr from now)")
        expect(preview.locator("time")).to_have_attribute("title", re.compile("16:40 UTC$"))
        expect(page).to_have_url(f"{ten.portal.url}{ten.tab}?ttl=1h")

    def test_moves_on_while_the_page_stands_open(self, page: Page, place: Place) -> None:
        page.clock.install()
        place.portal.sign_in(page, place.tab)
        instant = page.locator("#ttl-preview time")
        stop_clock(page)
        before = instant.inner_text()
        page.clock.fast_forward("02:00")
        expect(instant).not_to_have_text(before)
