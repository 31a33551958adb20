"""The License tab in a real browser: revoking, without JavaScript, for everybody."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from app.accounts.users import find_user
from app.core.clock import utcnow
from app.core.permissions import Role
from app.models import AgentSession, Organisation, Project, TemporaryLicense
from tests.browser.conftest import Watch
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


class TestRevoking:
    def test_asks_first_says_who_is_signed_in_and_ends_the_key(
        self, at_tab: Page, place: Place
    ) -> None:
        generate(at_tab)
        key_id = keys(at_tab).input_value()
        email = person(place.portal, Role.PARTNER)
        with place.portal.session() as session:
            license = session.scalars(select(TemporaryLicense).filter_by(key_id=key_id)).one()
            session.add(
                AgentSession(
                    token_hash=key_id,
                    user_id=find_user(session, email).id,
                    organisation_id=place.organisation_id,
                    temporary_license_id=license.id,
                    mac_id="00:1A:2B:3C:4D:5E",
                    hostname="HARBOUR-01",
                    address="203.0.113.9",
                    started_at=utcnow(),
                    last_heard_at=utcnow(),
                )
            )
        button(at_tab, "Revoke").click()
        dialog = at_tab.get_by_role("dialog", name=f"Revoke {key_id}?")
        expect(dialog).to_contain_text(email)
        expect(dialog).to_contain_text("HARBOUR-01")
        expect(dialog).to_have_accessible_description(re.compile(f"cannot be undone.*{email}"))
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()
        expect(key_box(at_tab)).to_be_visible()
        button(at_tab, "Revoke").click()
        dialog.get_by_role("button", name="Revoke key").click()
        expect(dialog).to_be_hidden()
        expect(at_tab.locator("#keys .card .card-header")).to_contain_text("Revoked")
        expect(key_box(at_tab)).to_have_count(0)
        expect(at_tab.locator("#live")).to_have_text(
            f"{key_id} was revoked. 1 person is being logged out."
        )
        expect(keys(at_tab)).to_be_focused()
        assert re.fullmatch(
            rf"{key_id} · Revoked · \d+ \w+ \d\d:\d\d", groups(at_tab)["Expired"][0]
        )

    def test_the_page_that_asks_does_it_with_javascript_too(self, page: Page, place: Place) -> None:
        key_id = place.issue()
        place.portal.sign_in(page, f"{place.tab}/{key_id}/revoke")
        button(page, "Revoke key").click()
        expect(page).to_have_url(f"{place.portal.url}{place.tab}?key={key_id}")
        expect(page.get_by_text(f"{key_id} was revoked.")).to_be_visible()


def test_a_refusal_is_seen_though_a_dialog_is_open_and_the_page_scrolled(
    page: Page, place: Place, watch: Watch
) -> None:
    """The project is deleted while an admin reads the dialog."""
    watch.expect(404)
    place.issue()
    page.set_viewport_size({"width": 360, "height": 640})
    place.portal.sign_in(page, place.tab)
    button(page, "Revoke").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    with place.portal.session() as session:
        session.delete(session.get(Project, int(place.tab.split("/")[2])))
    button(page, "Revoke key").click()
    refusal = page.get_by_text("It may have been deleted")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(refusal).to_be_in_viewport()


class TestWithoutJavaScript:
    @pytest.fixture
    def plain(self, new_context: Callable[..., BrowserContext], place: Place) -> Page:
        page = new_context(java_script_enabled=False).new_page()
        place.portal.sign_in(page, place.tab)
        return page

    def test_generate_choose_and_revoke(self, plain: Page, place: Place) -> None:
        old = place.issue()
        ttl(plain).select_option(label="3 hrs")
        button(plain, "Generate key").click()
        key_id = keys(plain).input_value()
        assert key_id != old
        expect(plain).to_have_url(f"{place.portal.url}{place.tab}?key={key_id}&ttl=3h")
        expect(key_box(plain)).to_have_value(re.compile(r"^rw1\."))
        expect(plain.get_by_text(f"{key_id} was generated.")).to_be_visible()
        assert "Times are in UTC." in plain.content()
        expect(button(plain, "Copy")).to_be_hidden()
        keys(plain).select_option(value=old)
        button(plain, "Show key").click()
        expect(plain.locator("#keys .card .key-id")).to_have_text(old)
        button(plain, "Revoke").click()
        expect(plain.get_by_role("heading", level=1)).to_have_text(f"Revoke {old}?")
        button(plain, "Revoke key").click()
        expect(plain.locator("#keys .card .card-header")).to_contain_text("Revoked")
        expect(plain.get_by_text(f"{old} was revoked.")).to_be_visible()

    def test_with_javascript_show_key_is_not_there(self, page: Page, place: Place) -> None:
        place.issue()
        place.portal.sign_in(page, place.tab)
        expect(button(page, "Show key")).to_be_hidden()


def test_an_auditor_sees_key_ids_and_no_buttons(page: Page, place: Place) -> None:
    key_id = place.issue()
    place.portal.sign_in(page, place.tab, person(place.portal, Role.AUDITOR), PASSWORD)
    expect(keys(page)).to_have_value(key_id)
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    expect(page.locator("main").get_by_role("textbox")).to_have_count(0)
    assert "rw1." not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
class TestForEverybody:
    @pytest.fixture
    def seen(self, new_context: Callable[..., BrowserContext], place: Place, scheme: str) -> Page:
        page = new_context(color_scheme=scheme, reduced_motion="reduce").new_page()
        place.portal.sign_in(page, place.tab)
        return page

    def test_axe_finds_nothing_wrong_in_any_state(
        self, seen: Page, place: Place, watch: Watch
    ) -> None:
        watch.expect(404, 422)
        place.issue(ttl=HOUR, ago=2 * HOUR)
        expect(keys(seen)).to_be_visible()
        check(seen, "ended")
        generate(seen)
        check(seen, "active")
        button(seen, "Revoke").click()
        expect(seen.get_by_role("dialog")).to_be_visible()
        check(seen, "dialog")
        button(seen, "Revoke key").click()
        expect(seen.locator("#keys .card .card-header")).to_contain_text("Revoked")
        check(seen, "revoked")
        ttl(seen).locator("option").last.evaluate("option => { option.value = '99d'; }")
        ttl(seen).evaluate("select => { select.selectedIndex = select.length - 1; }")
        button(seen, "Generate key").click()
        expect(seen.locator("#ttl-error")).to_be_visible()
        check(seen, "refused")
        seen.goto(f"{place.portal.url}{place.tab}?key=K7QF-3MXP")
        check(seen, "unknown key")
        seen.goto(f"{place.portal.url}{place.tab}/all")
        check(seen, "all keys")
        key_id = place.issue()
        seen.goto(f"{place.portal.url}{place.tab}/{key_id}/revoke")
        check(seen, "revoke page")

    def test_nothing_is_wider_than_a_narrow_screen(
        self, seen: Page, place: Place, scheme: str
    ) -> None:
        with place.portal.session() as session:
            organisation = session.get(Organisation, place.organisation_id)
            organisation.name = "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 4
        seen.set_viewport_size({"width": 360, "height": 740})
        for path in ("", "/all", f"/{place.issue()}/revoke"):
            seen.goto(f"{place.portal.url}{place.tab}{path}")
            assert seen.evaluate("document.documentElement.scrollWidth") <= 360


def check(page: Page, state: str) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, f"{state}: {found.generate_report()}"
