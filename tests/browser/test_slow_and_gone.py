"""What a page says on a slow line and without the portal: true, once, and nothing typed is lost."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from app.core.clock import utcnow
from app.licenses.services import revoke_license
from app.models import AgentSession, WebSession
from tests.browser.agent_stage import Stage, log_in, milliseconds_left
from tests.browser.conftest import TEN_MINUTES, Portal, Watch, stop_clock, wait_until
from tests.browser.license_tab.stage import Place, button, generate, groups, key_box, keys, ttl
from tests.conftest import PASSWORD as CAST_PASSWORD
from tests.conftest import Cast, Clock

GONE = "The portal cannot be reached."


@pytest.fixture
def ten(clocked: Portal, cast: Cast) -> Place:
    return Place(clocked, cast.acme, f"/projects/{cast.acme_project}/license")


@pytest.fixture
def stage(clocked: Portal, cast: Cast) -> Stage:
    return Stage(clocked, cast.acme_project, cast.acme, "Acme", cast.pat, CAST_PASSWORD)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Not watched: requests fail here, and the console says so."""
    context = browser.new_context(timezone_id="Europe/Berlin")
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def hold(page: Page, pattern: str, method: str = "GET") -> list[Route]:
    """Let requests of a method wait until the test lets them go."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        if route.request.method == method:
            held.append(route)
        else:
            route.fallback()

    page.route(pattern, keep)
    return held


def gone(page: Page) -> None:
    expect(page.get_by_text(GONE)).to_be_visible()


class TestTheLicenseTab:
    def test_the_sentence_follows_the_choice_without_a_request(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page, ten.tab)
        page.context.set_offline(True)
        ttl(page).select_option(label="1 hr")
        preview = page.locator("#ttl-preview")
        expect(preview).to_contain_text("until Tue 24 Nov 2026, 17:40 (1 hr from now)")
        expect(preview.locator("time")).to_have_attribute("title", re.compile("16:40 UTC$"))
        expect(page).to_have_url(re.compile(r"\?ttl=1h$"))
        expect(button(page, "Generate key")).to_be_enabled()

    def test_what_cannot_be_worked_out_is_dimmed_and_generate_held(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page, ten.tab)
        ttl(page).evaluate("select => select.add(new Option('9 days', '9d'))")
        ttl(page).select_option(label="9 days")
        expect(page.locator("#ttl-preview")).to_have_class(re.compile("is-unknown"))
        expect(button(page, "Generate key")).to_be_disabled()
        ttl(page).select_option(label="1 hr")
        expect(page.locator("#ttl-preview")).not_to_have_class(re.compile("is-unknown"))
        expect(button(page, "Generate key")).to_be_enabled()

    def test_a_key_ends_in_the_page_though_the_portal_is_down(
        self, ten: Place, page: Page, clock: Clock
    ) -> None:
        page.clock.install()
        ten.portal.sign_in(page, ten.tab)
        key = generate(page, "10 min")
        key_id = keys(page).input_value()
        expect(page.get_by_text(f"{key_id} was generated.").first).to_be_visible()
        expect(button(page, "Copy")).to_be_focused()
        page.context.set_offline(True)
        stop_clock(page)
        page.clock.fast_forward((TEN_MINUTES - 5) * 1000)
        expect(key_box(page)).to_have_value(key)
        page.clock.run_for(8000)
        expect(key_box(page)).to_have_count(0)
        assert key not in page.content()
        for name in ("Copy", "Copy with instructions", "Revoke"):
            expect(button(page, name)).to_have_count(0)
        expect(page.locator("#license").get_by_text("was generated")).to_have_count(0)
        assert groups(page) == {"Expired": [f"{key_id} · Key expired · 24 Nov 16:50"]}
        expect(keys(page)).to_have_value(key_id)
        expect(keys(page)).to_be_focused()
        expect(page.locator("#keys dt").filter(has_text="Ended")).to_be_visible()
        expect(page.locator("#live")).to_have_text(f"{key_id} has expired.")

    def test_the_notice_goes_too_when_somebody_else_revokes_the_key(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page, ten.tab)
        generate(page, "10 min")
        key_id = keys(page).input_value()
        with ten.portal.session() as session:
            actor = Stage(ten.portal, 0).actor(session)
            revoke_license(session, actor=actor, key_id=key_id, now=utcnow())
        expect(page.locator("#keys .card .card-header")).to_contain_text("Revoked")
        expect(page.locator("#license").get_by_text("was generated")).to_have_count(0)

    def test_slow_the_button_says_so_and_after_a_while_a_sentence(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page, ten.tab)
        held = hold(page, f"**{ten.tab}", "POST")
        button(page, "Generate key").click()
        expect(button(page, "Generating...")).to_be_visible()
        expect(page.locator("#slow-notice")).to_contain_text("This is taking longer than usual.")
        assert "another change" not in page.content()
        held[0].continue_()
        expect(key_box(page)).to_have_value(re.compile("^rw1"))
        expect(button(page, "Generate key")).to_be_visible()
        expect(page.locator("#slow-notice")).to_be_hidden()

    def test_generating_off_line_is_tried_again_when_the_network_is_back(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page, ten.tab)
        ttl(page).select_option(label="1 hr")
        page.context.set_offline(True)
        button(page, "Generate key").click()
        gone(page)
        expect(button(page, "Generate key")).to_be_enabled()
        expect(ttl(page)).to_have_value("1h")
        page.context.set_offline(False)
        expect(key_box(page)).to_have_value(re.compile("^rw1"))
        expect(page.get_by_text(GONE)).to_be_hidden()
        assert ten.count() == 1

    def test_timers_stop_while_the_page_is_hidden(self, ten: Place, page: Page) -> None:
        page.clock.install()
        ten.portal.sign_in(page, ten.tab)
        asked: list[Request] = []

        def note(request: Request) -> None:
            if ten.tab in request.url:
                asked.append(request)

        page.on("request", note)
        stop_clock(page)
        see(page, "hidden")
        page.clock.run_for(10_000)
        assert asked == []
        with page.expect_response(lambda answer: ten.tab in answer.url) as answer:
            see(page, "visible")
        assert answer.value.status == 204
        assert answer.value.request.headers["x-timer"] == "1"


def see(page: Page, state: str) -> None:
    """The browser shows another tab, or this one again."""
    page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


class TestTheSearch:
    def test_old_results_are_marked_and_renewed(self, ten: Place, page: Page) -> None:
        ten.portal.sign_in(page, "/projects")
        expect(page.get_by_role("link", name="Bolt Shop")).to_be_visible()
        search = page.get_by_role("searchbox", name="Search projects")
        page.context.set_offline(True)
        search.fill("acme")
        gone(page)
        expect(page.get_by_text("this is what an earlier search found")).to_be_visible()
        expect(page.locator("#results")).to_have_class(re.compile("is-old"))
        button(page, "Retry").click()
        expect(search).to_have_value("acme")
        expect(page.get_by_role("link", name="Bolt Shop")).to_be_visible()
        page.context.set_offline(False)
        expect(page.get_by_role("link", name="Bolt Shop")).to_have_count(0)
        expect(page.get_by_role("link", name="Acme ERP")).to_be_visible()
        expect(page.get_by_text("this is what an earlier search found")).to_be_hidden()
        expect(page.get_by_text(GONE)).to_be_hidden()

    def test_on_home_what_was_found_is_marked_and_enter_leads_to_no_error_page(
        self, ten: Place, page: Page
    ) -> None:
        ten.portal.sign_in(page)
        search = page.get_by_role("searchbox", name="Search projects")
        search.fill("bolt")
        expect(page.get_by_role("link", name="Bolt Shop")).to_be_visible()
        page.context.set_offline(True)
        search.fill("acme erp")
        gone(page)
        expect(page.locator("#hits")).to_have_class(re.compile("is-old"))
        search.press("Enter")
        expect(search).to_have_value("acme erp")
        page.context.set_offline(False)
        expect(page).to_have_title(re.compile("^License · Acme ERP"))

    def test_try_again_does(self, ten: Place, page: Page) -> None:
        ten.portal.sign_in(page, "/projects")
        page.route("**/projects?q=acme*", lambda route: route.abort())
        page.get_by_role("searchbox", name="Search projects").fill("acme")
        gone(page)
        page.unroute("**/projects?q=acme*")
        button(page, "Try again").click()
        expect(page.get_by_role("link", name="Bolt Shop")).to_have_count(0)
        expect(page.get_by_text(GONE)).to_be_hidden()


class TestAFormThatTheBrowserSends:
    def typed(self, ten: Place, page: Page) -> None:
        ten.portal.sign_in(page, "/projects/new")
        page.get_by_role("textbox", name="Project name").fill("Harbour")
        page.get_by_role("textbox", name="Organisation name").fill("Harbour & Co")
        page.get_by_role("textbox", name="Organisation ID").fill("ORG-7")

    def test_is_kept_off_line_and_sent_when_the_network_is_back(
        self, ten: Place, page: Page
    ) -> None:
        self.typed(ten, page)
        page.context.set_offline(True)
        button(page, "Save").click()
        gone(page)
        expect(page.get_by_role("textbox", name="Project name")).to_have_value("Harbour")
        page.context.set_offline(False)
        expect(page.get_by_role("heading", level=1, name="Harbour")).to_be_visible()

    def test_is_not_sent_behind_the_back_of_somebody_who_types_on(
        self, ten: Place, page: Page
    ) -> None:
        self.typed(ten, page)
        page.context.set_offline(True)
        button(page, "Save").click()
        gone(page)
        page.get_by_role("textbox", name="Project name").fill("Harbour in")
        page.context.set_offline(False)
        page.evaluate("fetch('/login')")  # the browser knows by now that it is back
        expect(page).to_have_url(re.compile("/projects/new$"))
        button(page, "Try again").click()
        expect(page.get_by_role("heading", level=1, name="Harbour in")).to_be_visible()


class TestTheAgent:
    def test_log_out_off_line_shuts_the_window_at_once_and_tells_the_portal_later(
        self, stage: Stage, page: Page
    ) -> None:
        log_in(stage, page, stage.issue())
        page.context.set_offline(True)
        button(page, "Log out").click()
        expect(page.locator("#agent").get_by_text("You are logged out.")).to_be_visible()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        expect(page.get_by_text("The portal cannot be reached. It is told")).to_be_visible()
        assert self.live(stage) == 1
        page.context.set_offline(False)
        wait_until(page, lambda: self.live(stage) == 0)
        expect(page.get_by_text("The portal cannot be reached. It is told")).to_be_hidden()
        page.reload()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        log_in(stage, page, stage.issue())
        page.reload()
        expect(page.get_by_role("heading", name="Acme", level=1)).to_be_visible()

    def test_a_page_loaded_before_the_portal_was_told_does_not_open_the_session(
        self, stage: Stage, page: Page
    ) -> None:
        log_in(stage, page, stage.issue())
        page.route("**/agent/logout", lambda route: route.abort())
        button(page, "Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        expect(page.get_by_role("heading", name="Acme", level=1)).to_have_count(0)
        page.unroute("**/agent/logout")
        wait_until(page, lambda: self.live(stage) == 0)

    def live(self, stage: Stage) -> int:
        with stage.portal.session() as session:
            return session.query(AgentSession).filter_by(ended_at=None).count()

    def test_an_unchanged_window_costs_204(self, stage: Stage, page: Page) -> None:
        log_in(stage, page, stage.issue())
        with page.expect_response(lambda answer: "x-seen" in answer.request.headers) as answer:
            pass
        assert answer.value.status == 204

    def test_after_the_end_the_login_id_is_kept_and_the_key_options_are_open(
        self, stage: Stage, page: Page, clock: Clock
    ) -> None:
        log_in(stage, page, stage.issue())
        clock.advance(seconds=TEN_MINUTES)
        expect(page.get_by_text("Your temporary license expired at")).to_be_visible()
        self.ready_to_go_on(stage, page)

    def test_and_so_they_are_without_the_portal(self, stage: Stage, page: Page) -> None:
        page.clock.install()
        log_in(stage, page, stage.issue())
        page.context.set_offline(True)
        stop_clock(page)
        page.clock.fast_forward(milliseconds_left(page) - 1000)
        page.clock.run_for(3000)
        expect(page.get_by_text("Your temporary license expired at")).to_be_visible()
        self.ready_to_go_on(stage, page)

    def ready_to_go_on(self, stage: Stage, page: Page) -> None:
        expect(page.get_by_role("textbox", name="Login ID")).to_have_value(stage.partner)
        expect(page.get_by_role("textbox", name="Password")).to_have_value("")
        expect(page.get_by_role("textbox", name="Registration Key")).to_be_visible()
        expect(page.get_by_text("ask for a new key for Acme (ORG-000123)")).to_be_visible()
        page.keyboard.press("Control+F10")
        expect(page.get_by_role("textbox", name="Registration Key")).to_be_focused()
        page.keyboard.press("Control+F10")
        expect(page.get_by_role("textbox", name="Registration Key")).to_be_hidden()


class TestAnIdleEnd:
    @pytest.fixture
    def idle(self, ten: Place, page: Page) -> Page:
        """The page of a new project, in the 28th minute without activity."""
        page.clock.install()
        ten.portal.sign_in(page, "/projects/new")
        page.get_by_role("textbox", name="Project name").fill("Harbour")
        stop_clock(page)
        page.clock.fast_forward("27:30")
        page.clock.run_for(2000)
        expect(page.locator("#idle-notice")).to_be_hidden()
        page.clock.fast_forward("01:00")
        page.clock.run_for(2000)
        return page

    def test_is_told_two_minutes_before_and_stay_signed_in_stays(
        self, idle: Page, ten: Place, clock: Clock
    ) -> None:
        clock.advance(minutes=28, seconds=34)
        expect(idle.get_by_text("You will be signed out in 2 minutes")).to_be_visible()
        button(idle, "Stay signed in").click()
        expect(idle.locator("#idle-notice")).to_be_hidden()
        expect(idle.get_by_role("textbox", name="Project name")).to_have_value("Harbour")
        clock.advance(minutes=29)
        with ten.portal.session() as session:
            last = session.query(WebSession).order_by(WebSession.id.desc()).first()
            assert clock.now() - last.last_active_at == timedelta(minutes=29)

    def test_a_form_sent_after_it_comes_back_filled_in(
        self, idle: Page, ten: Place, clock: Clock
    ) -> None:
        clock.advance(minutes=31)
        idle.clock.fast_forward("02:00")
        idle.clock.run_for(2000)
        expect(idle.get_by_text("You were signed out because")).to_be_visible()
        expect(button(idle, "Stay signed in")).to_be_hidden()
        idle.clock.resume()
        button(idle, "Save").click()
        expect(idle.get_by_text("30 min. Sign in to go on; nothing was done.")).to_be_visible()
        idle.get_by_role("link", name="Sign in", exact=True).click()
        idle.get_by_role("textbox", name="E-mail").fill(ten.portal.admin_email)
        idle.get_by_role("textbox", name="Password").fill(ten.portal.admin_password)
        button(idle, "Sign in").click()
        expect(idle.get_by_role("textbox", name="Project name")).to_have_value("Harbour")
        expect(idle.get_by_text("You are signed in again.")).to_be_visible()

    def test_without_javascript_nothing_is_lost_either(
        self, ten: Place, new_context: Callable[..., BrowserContext], clock: Clock, watch: Watch
    ) -> None:
        watch.expect(401)
        plain = new_context(java_script_enabled=False).new_page()
        ten.portal.sign_in(plain, "/projects/new")
        plain.get_by_role("textbox", name="Project name").fill("Harbour")
        clock.advance(minutes=31)
        button(plain, "Save").click()
        plain.get_by_role("link", name="Sign in", exact=True).click()
        plain.get_by_role("textbox", name="E-mail").fill(ten.portal.admin_email)
        plain.get_by_role("textbox", name="Password").fill(ten.portal.admin_password)
        button(plain, "Sign in").click()
        expect(plain.get_by_role("textbox", name="Project name")).to_have_value("Harbour")


def test_the_second_of_two_sign_in_tabs_leads_on(
    ten: Place, new_context: Callable[..., BrowserContext]
) -> None:
    context = new_context()
    one, other = context.new_page(), context.new_page()
    other.goto(f"{ten.portal.url}/login?next=/audit")
    ten.portal.sign_in(one)
    other.get_by_role("textbox", name="E-mail").fill(ten.portal.admin_email)
    other.get_by_role("textbox", name="Password").fill(ten.portal.admin_password)
    button(other, "Sign in").click()
    other.wait_for_url(f"{ten.portal.url}/audit")


def test_a_timers_answer_that_a_sign_out_has_overtaken_leads_nowhere(
    portal: Portal, page: Page
) -> None:
    """Home asks for its own news; the answer, that nobody is signed in, comes while the browser
    still waits for the answer to the sign-out."""
    portal.sign_in(page)
    held: list[Route] = []
    page.route("**/*", lambda route: held.append(route) if _is_timer(route) else route.continue_())
    page.evaluate("htmx.trigger(document.querySelector('[hx-trigger*=every]'), 'check')")
    while not held:
        page.wait_for_timeout(20)
    sign_outs: list[Route] = []
    page.route("**/logout", lambda route: sign_outs.append(route))  # noqa: PLW0108 (Playwright looks at it)
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click(no_wait_after=True)
    while not sign_outs:
        page.wait_for_timeout(20)
    with page.expect_response(lambda answer: "x-timer" in answer.request.headers):
        held[0].fulfill(status=401, headers={"HX-Redirect": "/login?next=/elsewhere"}, body="")
    sign_outs[0].continue_()
    page.wait_for_url(f"{portal.url}/login")


def _is_timer(route: Route) -> bool:
    return "x-timer" in route.request.headers
