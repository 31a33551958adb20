"""The License tab in a real browser: with the mouse, by keyboard alone, without JavaScript."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sqlalchemy import select

from app.accounts.passwords import hash_password
from app.accounts.users import create_user, find_user
from app.config import current_config
from app.core.actor import SYSTEM, Actor
from app.core.clock import utcnow
from app.core.permissions import Role
from app.licenses.queries import licenses_of
from app.licenses.services import issue_license
from app.models import AgentSession, Organisation, Project, TemporaryLicense, WebSession
from tests.browser.conftest import (
    HOST_NAME,
    TEN_MINUTES,
    Portal,
    Watch,
    stop_clock,
    wait_until,
)
from tests.conftest import NOW, Cast, Clock

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
                ttl=ttl,
                choices=(ttl,),
                signing_keys=current_config().signing_keys,
                now=utcnow() - timedelta(seconds=ago),
            )[0].key_id

    def count(self) -> int:
        with self.portal.session() as session:
            return len(licenses_of(session, self.organisation_id, utcnow()))


@pytest.fixture
def place(portal: Portal) -> Place:
    number = next(NUMBERS)
    organisation_id = f"ORG-8{number:05}"
    now = utcnow()
    with portal.session() as session:
        name = f"Harbour & Söhne {number}"
        session.add(Organisation(id=organisation_id, name=name, search_text="", created_at=now))
        session.flush()
        project = Project(
            organisation_id=organisation_id,
            name=f"Shop {number}",
            search_text="",
            created_at=now,
            updated_at=now,
        )
        session.add(project)
        session.flush()
        return Place(portal, organisation_id, f"/projects/{project.id}/license")


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


@pytest.fixture
def ten(clocked: Portal, cast: Cast) -> Place:
    """Acme of the cast, where the test turns the clock and keys of ten minutes are offered."""
    return Place(clocked, cast.acme, f"/projects/{cast.acme_project}/license")


@pytest.fixture
def at_tab(place: Place, page: Page) -> Page:
    """The first super admin, on the License tab of a place without keys."""
    place.portal.sign_in(page, place.tab)
    return page


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


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


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
        at_tab.get_by_role("button", name="Sign in").click()
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
