"""What every screen owes people: on a phone, by keyboard, on paper, in their own time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from app.accounts.passwords import hash_password
from app.accounts.users import create_user, find_user
from app.core.clock import utcnow
from app.core.permissions import Role
from app.licenses.services import revoke_license
from app.models import TemporaryLicense
from tests.browser.conftest import Portal, stop_clock
from tests.browser.test_agents_tab import PASSWORD, Stage, machine, open_tab, set_stage

SMALL = """() => [...document.querySelectorAll("main :is(a[href], button, select, summary, input)")]
  .filter((e) => !e.closest("p") && !e.matches(".stretched-link, [type=hidden]"))
  .map((e) => [e.outerHTML.slice(0, 120), e.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 23.9 || box.height < 23.9))
  .map(([html]) => html)"""
OUTSIDE = """() => [...document.querySelectorAll("main .card")].flatMap((card) => {
  const right = card.getBoundingClientRect().right;
  return [...card.querySelectorAll("button, a, time, .badge")]
    .filter((e) => e.getBoundingClientRect().right > right).map((e) => e.textContent.trim());
})"""
SELECTED_WIDTH = """(select) => {
  const pen = document.createElement("canvas").getContext("2d");
  const style = getComputedStyle(select);
  pen.font = `${style.fontSize} ${style.fontFamily}`;
  const room = select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return [pen.measureText(select.selectedOptions[0].text).width, room];
}"""


@pytest.fixture
def stage(portal: Portal) -> Stage:
    return set_stage(portal)


@pytest.fixture
def auditor(portal: Portal) -> str:
    with portal.session() as session:
        if find_user(session, "audit@example.com") is None:
            admin = Stage(portal, 0).actor(session)
            create_user(
                session,
                email="audit@example.com",
                role=Role.AUDITOR,
                password_hash=hash_password(PASSWORD),
                actor=admin,
                now=utcnow(),
            )
    return "audit@example.com"


@pytest.mark.parametrize("width", [640, 700, 900, 1150, 1220])
def test_the_agents_tab_keeps_its_buttons_inside_its_box(
    stage: Stage, new_context: Callable[..., BrowserContext], width: int
) -> None:
    """Between 640 and 1,150 px Detach and what follows lay outside, and nothing hinted at them."""
    page = new_context(viewport={"width": width, "height": 3000}).new_page()
    open_tab(stage, page)
    for name in ("Detach", "Revoke license", "Dissociate"):
        button = machine(page, "LAPTOP-7").get_by_role("button", name=re.compile(f"^{name}"))
        expect(button).to_be_in_viewport()
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_auditors_agents_tab_is_accessible_at_any_width(
    stage: Stage, auditor: str, page: Page
) -> None:
    """A region that scrolls and holds nothing to focus could not be scrolled by keyboard."""
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/agents", auditor, PASSWORD)
    for width in (360, 900, 1300):
        page.set_viewport_size({"width": width, "height": 900})
        assert Axe().run(page).response["violations"] == []


def test_homes_tile_leads_to_who_is_signed_in_and_ends_it(stage: Stage, page: Page) -> None:
    stage.portal.sign_in(page)
    page.get_by_role("link", name=re.compile("partners? signed in now$")).click()
    assert page.url.endswith("/#signed-in")
    row = page.get_by_role("table", name="Signed in now").get_by_role("row")
    mine = row.filter(has_text=stage.partner)
    expect(mine).to_be_in_viewport()
    mine.get_by_role("button", name=re.compile("^End session")).click()
    page.get_by_role("dialog").get_by_role("button", name="End session").click()
    expect(page.get_by_text(f"The session of {stage.partner} was ended.")).to_be_visible()
    page.goto(stage.portal.url)
    expect(mine).to_have_count(0)


def test_home_learns_by_itself_who_has_come(stage: Stage, page: Page) -> None:
    stage.portal.sign_in(page)
    rows = page.get_by_role("table", name="Signed in now").get_by_role("row")
    before = rows.count()
    stage.sign_in(stage.partner, "02:00:00:00:00:71", stage.issue(3600), "NEW-BOX")
    expect(rows).to_have_count(before + 1)


def test_nothing_is_asked_for_while_nobody_can_see_the_page(stage: Stage, page: Page) -> None:
    page.clock.install()
    open_tab(stage, page)
    stop_clock(page)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    hide = "Object.defineProperty(document, 'visibilityState', {value: '%s', configurable: true})"
    page.evaluate(hide % "hidden")
    page.clock.run_for(10_000)
    page.evaluate(hide % "visible")
    with page.expect_request(re.compile(r"/agents\?seen=")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert len(polls) == 1


def test_enter_in_registration_key_logs_in(stage: Stage, page: Page) -> None:
    key = stage.issue(3600)
    page.goto(f"{stage.portal.url}/agent")
    page.get_by_role("textbox", name="Login ID").fill(stage.partner)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.keyboard.press("Control+F10")
    page.get_by_role("textbox", name="Registration Key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Temporary license")).to_be_visible()


def test_a_dialog_begins_on_its_way_out_and_is_described(stage: Stage, page: Page) -> None:
    """What is asked about can often not be undone: the least harmful answer has the focus."""
    page.clock.install()
    open_tab(stage, page)
    opener = machine(page, "LAPTOP-7").get_by_role("button", name=re.compile("^Revoke license"))
    opener.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog).to_have_accessible_description(re.compile("This cannot be undone"))
    stop_clock(page)
    with page.expect_response(re.compile(r"/agents\?seen=")):
        page.clock.run_for(3500)
    page.clock.resume()  # a refresh behind it leaves the focus alone
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_what_cannot_be_deleted_is_archived_from_the_same_dialog(stage: Stage, page: Page) -> None:
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/delete")
    page.get_by_role("link", name="Archive instead").click()
    page.get_by_role("button", name="Archive project").click()
    expect(page.get_by_text("This project is archived")).to_be_visible()


def test_forced_colours_show_the_page_one_is_on(
    stage: Stage, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(forced_colors="active").new_page()
    open_tab(stage, page)
    ground = "(e) => getComputedStyle(e).backgroundColor"
    tabs = page.get_by_role("navigation", name="Project")
    nav = page.get_by_role("navigation", name="Main")
    current = tabs.get_by_role("link", name="Agents").evaluate(ground)
    assert current != tabs.get_by_role("link", name="Feed").evaluate(ground)
    assert current == nav.get_by_role("button", name="Projects").evaluate(ground)
    assert current != nav.get_by_role("link", name="Home").evaluate(ground)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_has_no_controls_and_no_key_but_who_when_and_from_where(
    stage: Stage, new_context: Callable[..., BrowserContext], theme: str
) -> None:
    page = new_context(timezone_id="Europe/Berlin", color_scheme=theme).new_page()
    stage.issue(3600)
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/license")
    expect(page.get_by_role("textbox", name="License key")).to_be_visible()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for gone in ("#license-key", "#ttl", "#license-keys", "header", "#copy-key", ".nav-bordered"):
        expect(page.locator(gone)).to_be_hidden()
    line = page.locator(".print-line")
    expect(line).to_contain_text(stage.portal.admin_email)
    expect(line).to_contain_text("(Europe/Berlin)")
    expect(line).to_contain_text(page.url)
    expect(line).to_contain_text(str(utcnow().year))
    dark_on_light = "(e) => getComputedStyle(e).color.match(/\\d+/g).every((part) => part < 100)"
    assert line.evaluate(dark_on_light)


def test_on_the_smallest_phone_the_dropdown_shows_the_whole_countdown(
    stage: Stage, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(viewport={"width": 360, "height": 740}).new_page()
    stage.issue(86400)
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/license")
    keys = page.get_by_role("combobox", name="License keys")
    expect(keys).to_contain_text("Active for 23 hr 59 min")
    needed, room = keys.evaluate(SELECTED_WIDTH)
    assert needed <= room


@pytest.mark.parametrize("width", [360, 1440])
def test_whatever_can_be_pressed_is_large_enough(
    stage: Stage, new_context: Callable[..., BrowserContext], width: int
) -> None:
    """WCAG 2.2, 2.5.8: 24 by 24 CSS pixels; links within a sentence are excepted."""
    page = new_context(viewport={"width": width, "height": 900}).new_page()
    own = f"/projects/{stage.project_id}"
    stage.portal.sign_in(page)
    for path in (
        "/",
        "/projects",
        own,
        f"{own}/license",
        f"{own}/agents",
        "/audit",
        "/users",
        "/users/1",
        "/account",
    ):
        page.goto(stage.portal.url + path)
        assert page.evaluate(SMALL) == [], path


# Times


def test_an_instant_that_reads_like_another_carries_its_offset(
    portal: Portal, new_context: Callable[..., BrowserContext]
) -> None:
    """00:30Z and 01:30Z on 25 Oct 2026 both read 02:30 in Berlin."""
    page = new_context(timezone_id="Europe/Berlin").new_page()
    page.goto(f"{portal.url}/login")

    def shown(iso: str, style: str = "time") -> str:
        text: str = page.evaluate("([iso, style]) => times.local(iso, style)", [iso, style])
        return text

    assert shown("2026-10-25T00:30:00Z") == "02:30 (UTC+2)"
    assert shown("2026-10-25T01:30:00Z") == "02:30 (UTC+1)"
    assert shown("2026-10-25T01:30:00Z", "long") == "Sun 25 Oct 2026, 02:30 (UTC+1)"
    assert shown("2026-10-24T23:59:59Z") == "01:59"
    assert shown("2026-10-25T00:00:00Z") == "02:00 (UTC+2)"
    assert shown("2026-10-25T01:59:59Z") == "02:59 (UTC+1)"
    assert shown("2026-10-25T02:00:00Z") == "03:00"
    assert shown("2026-03-29T01:00:00Z") == "03:00"  # set forward: nothing is seen twice
    half = new_context(timezone_id="Australia/Lord_Howe").new_page()
    half.goto(f"{portal.url}/login")
    ask = "(iso) => times.local(iso, 'time')"
    assert half.evaluate(ask, "2026-04-04T14:45:00Z") == "01:45 (UTC+11)"
    assert half.evaluate(ask, "2026-04-04T15:15:00Z") == "01:45 (UTC+10:30)"
    assert half.evaluate(ask, "2026-04-04T15:30:00Z") == "02:00"


def test_utc_is_chosen_by_keyboard_in_the_account_menu_and_kept(
    stage: Stage, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(timezone_id="Asia/Kolkata").new_page()
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/feed")
    moment = page.locator("main time").first
    at = datetime.fromisoformat(moment.get_attribute("datetime") or "").astimezone(UTC)
    expect(moment).not_to_contain_text(f"{at:%H:%M:%S}")
    expect(page.get_by_role("contentinfo")).to_contain_text("(Asia/Calcutta)")
    account = page.get_by_role("button", name=re.compile("^Account"))
    account.press("ArrowDown")
    expect(page.get_by_role("button", name="This browser's time")).to_be_focused()
    expect(page.get_by_role("button", name="This browser's time", pressed=True)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(moment).to_contain_text(f"{at:%H:%M:%S} UTC")
    expect(page.get_by_role("button", name="UTC", pressed=True)).to_be_visible()
    page.reload()
    expect(moment).to_contain_text(f"{at:%H:%M:%S} UTC")
    expect(page.get_by_role("contentinfo")).to_contain_text("Times are in UTC.")
    account.click()
    page.get_by_role("button", name="This browser's time").click()
    expect(moment).not_to_contain_text("UTC")


def test_in_utc_the_dropdown_of_keys_is_in_utc_too(
    stage: Stage, new_context: Callable[..., BrowserContext]
) -> None:
    context = new_context(timezone_id="Asia/Kolkata")
    context.add_cookies([{"name": "times", "value": "utc", "url": stage.portal.url}])
    page = context.new_page()
    stage.issue(3600)
    with stage.portal.session() as session:
        license = session.query(TemporaryLicense).order_by(TemporaryLicense.id.desc()).first()
        assert license
        revoke_license(session, actor=stage.actor(session), key_id=license.key_id, now=utcnow())
        key_id, at = license.key_id, license.revoked_at
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/license?key={key_id}")
    expect(page.locator(f"#option-{key_id}")).to_contain_text(f"Revoked · {at:%-d %b %H:%M}")


# A new project


def test_a_new_project_says_whether_its_organisation_exists_and_offers_the_usual_words(
    stage: Stage, page: Page
) -> None:
    stage.portal.sign_in(page, "/projects/new")
    page.get_by_role("textbox", name="Organisation ID").press_sequentially(stage.organisation_id)
    known = page.get_by_role("status").filter(has_text="exists: the project will be added there.")
    expect(known).to_contain_text("& Söhne")
    page.get_by_role("textbox", name="Organisation ID").press_sequentially("-NEW")
    expect(known).to_be_hidden()
    status = page.get_by_role("textbox", name="Status")
    status.fill("")
    page.get_by_role("button", name="Active", exact=True).click()
    expect(status).to_have_value("Active")
    expect(status).to_be_focused()
    day = page.get_by_role("textbox", name="Plan expiry date")
    expect(day).to_have_attribute("type", "date")
    assert Axe().run(page).response["violations"] == []
