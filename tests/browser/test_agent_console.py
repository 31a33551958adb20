"""The OP Agent in a real browser: its keys, its clock, and being logged out without a click."""

import re
from collections.abc import Callable
from urllib.parse import unquote_plus

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app.agents.machines import detach, machines_with
from app.core.clock import utcnow
from app.licenses.services import revoke_license
from tests.agents.stage import LIMITS
from tests.browser.agent_stage import (
    CLIENT,
    NAME,
    PARTNER,
    PASSWORD,
    Stage,
    fill_in,
    log_in,
    milliseconds_left,
    set_stage,
    wait_in_stopped_time,
)
from tests.browser.conftest import TEN_MINUTES, Portal, Watch, stop_clock, wait_until
from tests.conftest import PASSWORD as CAST_PASSWORD
from tests.conftest import Cast, Clock


@pytest.fixture(scope="session")
def stage(portal: Portal) -> Stage:
    """Once, like the portal: other tests may run between those of this file."""
    return set_stage(portal)


@pytest.fixture
def clocked_stage(clocked: Portal, cast: Cast) -> Stage:
    """The same with Acme and Pat of the cast, on a clock that the test turns."""
    return Stage(clocked, cast.acme_project, cast.acme, "Acme", cast.pat, CAST_PASSWORD)


def test_ctrl_f10_and_the_button_show_and_hide_the_fields_for_a_key(
    stage: Stage, page: Page
) -> None:
    page.goto(f"{stage.portal.url}/agent")
    key = page.get_by_role("textbox", name="Registration Key")
    mac = page.get_by_role("textbox", name="MAC ID")
    button = page.get_by_role("button", name="Registration key options", exact=True)
    expect(page.get_by_role("textbox", name="Login ID")).to_be_focused()
    for press in (lambda: page.keyboard.press("Control+F10"), button.click):
        expect(key).to_be_hidden()
        expect(button).to_have_attribute("aria-expanded", "false")
        press()
        expect(key).to_be_visible()
        expect(mac).to_be_visible()
        expect(key).to_be_focused()
        expect(button).to_have_attribute("aria-expanded", "true")
        press()
        expect(button).to_be_focused()


def test_with_anything_in_the_key_field_the_checkbox_is_unchecked_and_disabled(
    stage: Stage, page: Page
) -> None:
    page.goto(f"{stage.portal.url}/agent")
    checkbox = page.get_by_role("checkbox", name="Save configuration data in Cloud")
    checkbox.check()
    page.keyboard.press("Control+F10")
    key = page.get_by_role("textbox", name="Registration Key")
    key.press_sequentially("r")
    expect(checkbox).to_be_disabled()
    expect(checkbox).not_to_be_checked()
    key.fill("")
    expect(checkbox).to_be_enabled()


def test_a_pasted_key_is_inspected_at_once_and_the_password_stays_where_it_is(
    stage: Stage, page: Page
) -> None:
    page.goto(f"{stage.portal.url}/agent")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.keyboard.press("Control+F10")
    key = stage.issue(3 * 3600)
    with page.expect_request("**/agent/inspect") as asked:
        page.get_by_role("textbox", name="Registration Key").fill(key)
    expect(page.get_by_role("status").filter(has_text=f"{NAME}, ends")).to_contain_text(
        "2 hr 59 min left"
    )
    assert key in unquote_plus(asked.value.post_data or "")
    assert "password" not in (asked.value.post_data or "")


def test_while_checking_it_says_so(stage: Stage, page: Page, watch: Watch) -> None:
    watch.expect(422)
    page.goto(f"{stage.portal.url}/agent")
    page.get_by_role("textbox", name="Login ID").fill(PARTNER)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    checking = page.locator("#checking")
    expect(checking).to_be_hidden()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/agent", hold)
    page.get_by_role("button", name="Log in").click()
    expect(checking).to_be_visible()
    expect(checking).to_have_text("Checking login status...")
    expect(page.locator("#live")).to_have_text("Checking login status...")
    held[0].continue_()
    page.unroute("**/agent")
    key = page.get_by_role("textbox", name="Registration Key")
    expect(key).to_be_focused()
    expect(page.get_by_text("You need a registration key.")).to_be_visible()
    assert page.url == f"{stage.portal.url}/agent"


HEAR = """() => {
  window.heard = [];
  const { announce } = window;
  window.announce = (text) => { heard.push(text); announce(text); };
}"""


def test_the_page_logs_itself_out_at_the_expiry_and_says_when(
    clocked_stage: Stage,
    clock: Clock,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
) -> None:
    watch.expect(401)
    page = new_context(timezone_id="Asia/Kolkata").new_page()
    key = clocked_stage.issue()
    log_in(clocked_stage, page, key)
    banner = page.get_by_role("region", name="Temporary license")
    expect(banner).to_contain_text("Time left")
    fifth = banner.get_by_text("Less than a fifth of its time is left.")
    expect(fifth).to_be_hidden()
    page.evaluate(HEAR)
    clock.advance(seconds=TEN_MINUTES * 0.8 + 1)
    expect(fifth).to_be_visible()
    clock.advance(seconds=TEN_MINUTES * 0.2 - 11)
    expect(banner.get_by_text("It is about to end")).to_be_visible()
    expect(fifth).to_be_hidden()
    page.wait_for_function("heard.length >= 2")
    said = page.evaluate("heard.filter((text) => text.includes('temporary license ends in'))")
    assert len(said) == 2
    clock.advance(seconds=10)
    notice = page.get_by_role("alert").filter(has_text="You have been logged out.")
    expect(notice).to_have_text(
        "Your temporary license expired at 21:20. You have been logged out."
    )
    expect(notice.locator("time")).to_have_attribute("title", re.compile(r"15:50.* UTC$"))
    expect(page.get_by_role("textbox", name="Login ID")).to_be_focused()
    expect(page).to_have_title("OP Agent log-in · Rolling Window")


def test_every_window_of_a_browser_says_why(
    clocked_stage: Stage,
    clock: Clock,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
) -> None:
    watch.expect(401)
    context = new_context()
    confirmed: list[str] = []
    context.on("requestfinished", lambda request: confirmed.append(request.url))
    one, other = context.new_page(), context.new_page()
    log_in(clocked_stage, one, clocked_stage.issue())
    other.goto(f"{clocked_stage.portal.url}/agent")
    clock.advance(seconds=TEN_MINUTES)
    confirm = f"{clocked_stage.portal.url}/agent/confirm"
    wait_until(one, lambda: confirmed.count(confirm) == 2)
    for page in (one, other):
        expect(page.get_by_text("Your temporary license expired at")).to_be_visible()


@pytest.mark.parametrize("trouble", ["out of reach", "hangs"])
def test_within_two_seconds_of_the_expiry_it_logs_itself_out_even_if_the_portal(
    stage: Stage, browser: Browser, trouble: str
) -> None:
    """The network is down; or it swallows what is sent, with no answer and no error either."""
    page = browser.new_context().new_page()  # not watched: requests fail, and the console says so
    page.clock.install()
    log_in(stage, page, stage.issue())
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    if trouble == "hangs":
        page.route("**/agent", hold)
    else:
        page.context.set_offline(True)
    stop_clock(page)
    page.clock.fast_forward(milliseconds_left(page) - 1000)
    expect(page.get_by_role("heading", name=NAME, level=1)).to_be_visible()
    page.clock.run_for(1000 + 2000)
    expect(page.get_by_text("Your temporary license expired at")).to_be_visible()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.clock.resume()
    expect(page.get_by_role("textbox", name="Login ID")).to_be_focused()
    for route in held:
        route.abort()
    page.unroute_all()
    page.context.set_offline(False)
    fill_in(stage, page, stage.issue())
    page.context.close()


def test_the_viewers_clock_counts_for_nothing(stage: Stage, page: Page) -> None:
    """Set ahead by a day, the page asks the server, which knows better."""
    page.clock.install()
    log_in(stage, page, stage.issue(3600))
    stop_clock(page)

    asking = page.locator("#heartbeat.htmx-request")
    wait_in_stopped_time(page, lambda: asking.count() == 0)
    page.clock.fast_forward("24:00:00")
    wait_in_stopped_time(page, lambda: milliseconds_left(page) > 0)
    page.clock.run_for(3000)
    expect(page.get_by_role("heading", name=NAME, level=1)).to_be_visible()
    banner = page.get_by_role("region", name="Temporary license")
    expect(banner).to_contain_text(re.compile(r"5\d min"))


def test_revoking_the_key_logs_out_at_the_next_heartbeat(
    stage: Stage, new_context: Callable[..., BrowserContext], watch: Watch
) -> None:
    watch.expect(401)
    page = new_context().new_page()
    log_in(stage, page, stage.issue(3600))
    key_id = page.locator(".license-banner .key-id").inner_text()
    with stage.portal.session() as session:
        revoke_license(session, actor=stage.actor(session), key_id=key_id, now=utcnow())
    expect(page.get_by_text("Your temporary license was revoked at")).to_be_visible()


def test_a_super_admin_ends_a_session_on_the_agents_tab(
    stage: Stage, page: Page, new_context: Callable[..., BrowserContext], watch: Watch
) -> None:
    watch.expect(401)
    partner = new_context().new_page()
    log_in(stage, partner, stage.issue(3600))
    key_id = partner.locator(".license-banner .key-id").inner_text()
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/agents")
    here = page.get_by_role("table", name="Signed in now")
    row = here.get_by_role("row").filter(has_text=key_id)
    expect(row).to_contain_text(PARTNER)
    button = row.get_by_role("button", name=re.compile("^End session"))
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Logged out at the next heartbeat, within 1 second:")
    expect(dialog.get_by_role("listitem")).to_contain_text(PARTNER)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    button.click()
    dialog.get_by_role("button", name="End session").click()
    expect(page.get_by_text(f"The session of {PARTNER} was ended.")).to_be_visible()
    expect(row).to_have_count(0)
    expect(partner.get_by_text("A super admin ended your session at")).to_be_visible()
    ended = page.get_by_role("table", name="Ended in the last 24 hours").get_by_role("row")
    expect(ended.filter(has_text=key_id)).to_contain_text("Confirmed logged out at")


def log_in_as_client(stage: Stage, page: Page) -> None:
    page.goto(f"{stage.portal.url}/agent")
    page.get_by_role("textbox", name="Login ID").fill(CLIENT)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name=NAME, level=1)).to_be_visible()


def test_a_client_user_registers_the_browser_and_saves_configuration_data(
    stage: Stage, page: Page
) -> None:
    log_in_as_client(stage, page)
    expect(page.get_by_text(f"This machine is registered with {NAME} now.")).to_be_visible()
    expect(page.get_by_text("Time left")).to_have_count(0)
    page.get_by_role("button", name="Save configuration").click()
    expect(page.get_by_text("The configuration data was saved in Cloud.")).to_be_visible()
    with page.expect_response("**/agent"):
        pass
    with page.expect_response("**/agent/logout"):  # the window does not wait for it
        page.get_by_role("button", name="Log out").click()
    log_in_as_client(stage, page)
    expect(page.get_by_text("is registered with")).to_have_count(0)


def test_a_detached_browser_is_logged_out_and_blocked(
    stage: Stage, page: Page, watch: Watch
) -> None:
    watch.expect(401, 422)
    log_in_as_client(stage, page)
    mac_id = page.locator("dd .font-monospace").last.inner_text().strip()
    with stage.portal.session() as session:
        (agent,) = machines_with(session, mac_id=mac_id)
        detach(
            session,
            actor=stage.actor(session),
            agent_id=agent.id,
            now=utcnow(),
            limits=LIMITS,
        )
    expect(page.get_by_text("Agent is Blocked. It was detached at")).to_be_visible()
    page.get_by_role("textbox", name="Login ID").fill(CLIENT)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("textbox", name="MAC ID")).to_have_accessible_description(
        re.compile(r"^Agent is Blocked\.")
    )


def test_a_page_that_comes_late_confirms_too(stage: Stage, page: Page, watch: Watch) -> None:
    """The session ended while no window was open."""
    watch.expect(401)
    log_in(stage, page, stage.issue(3600))
    key_id = page.locator(".license-banner .key-id").inner_text()
    page.goto("about:blank")
    with stage.portal.session() as session:
        revoke_license(session, actor=stage.actor(session), key_id=key_id, now=utcnow())
    with page.expect_response("**/agent/confirm") as confirmed:
        page.goto(f"{stage.portal.url}/agent")
    assert confirmed.value.status == 204
    expect(page.get_by_text("Your temporary license was revoked at")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Your temporary license was revoked at")).to_have_count(0)


def test_the_list_of_sessions_refreshes_itself_and_keeps_the_focus(
    stage: Stage, page: Page, new_context: Callable[..., BrowserContext]
) -> None:
    one, other = new_context().new_page(), new_context().new_page()
    log_in(stage, one, stage.issue(3600))
    key_id = one.locator(".license-banner .key-id").inner_text()
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/agents")
    button = page.get_by_role("row").filter(has_text=key_id).get_by_role("button")
    button.focus()
    log_in(stage, other, stage.issue(3600))
    key_of_other = other.locator(".license-banner .key-id").inner_text()
    expect(page.get_by_role("row").filter(has_text=key_of_other)).to_be_visible()
    expect(button).to_be_focused()


def test_signing_in_to_the_portal_in_the_same_browser_breaks_nothing(
    stage: Stage, page: Page
) -> None:
    """The portal's sign-in makes the tokens of older forms void; the heartbeat brings new ones."""
    log_in(stage, page, stage.issue(3600))
    token = page.locator("form[action$=logout] input[name=csrf_token]")
    before = token.input_value()
    portal = page.context.new_page()
    stage.portal.sign_in(portal)
    valid = portal.locator("input[name=csrf_token]").first.input_value().partition(".")[0]
    assert not before.startswith(valid)
    expect(token).to_have_value(re.compile(rf"^{re.escape(valid)}\."))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    portal.reload()
    expect(portal.get_by_role("heading", name="Home", level=1)).to_be_visible()


def test_without_javascript_the_fields_are_there_and_the_expiry_logs_out(
    clocked_stage: Stage,
    clock: Clock,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
) -> None:
    watch.expect(401)
    key = clocked_stage.issue()
    clock.advance(seconds=TEN_MINUTES - 1)
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{clocked_stage.portal.url}/agent")
    expect(page.get_by_role("textbox", name="Registration Key")).to_be_visible()
    expect(page.get_by_role("textbox", name="MAC ID")).to_be_visible()
    log_in(clocked_stage, page, key)
    clock.advance(seconds=1)
    expect(page.get_by_text("Your temporary license expired at 15:50 UTC")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_telephone(
    clocked_stage: Stage,
    clock: Clock,
    new_context: Callable[..., BrowserContext],
    watch: Watch,
    scheme: str,
) -> None:
    watch.expect(401, 422)
    context = new_context(
        color_scheme=scheme, reduced_motion="reduce", viewport={"width": 360, "height": 800}
    )
    page = context.new_page()
    page.goto(f"{clocked_stage.portal.url}/agent")
    check(page, "sign-in window")
    page.keyboard.press("Control+F10")
    page.get_by_role("textbox", name="Registration Key").fill("rw1.wrong")
    check(page, "with the key options")
    page.get_by_role("textbox", name="Login ID").fill(clocked_stage.partner)
    page.get_by_role("textbox", name="Password").fill(clocked_stage.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This registration key is not valid here.")).to_be_visible()
    check(page, "with an error")
    key = clocked_stage.issue()
    log_in(clocked_stage, page, key)
    check(page, "workspace")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.").first).to_be_visible()
    clock.advance(seconds=TEN_MINUTES - 10)
    log_in(clocked_stage, page, key)
    expect(page.get_by_text("It is about to end")).to_be_visible()
    check(page, "near the end")
    clock.advance(seconds=10)
    expect(page.get_by_text("Your temporary license expired at")).to_be_visible()
    check(page, "logged out")


def check(page: Page, state: str) -> None:
    found = Axe().run(page).response["violations"]
    assert found == [], f"{state}: {[violation['id'] for violation in found]}"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, state
