"""The Agents tab in a real browser: what is asked before it is done, and the proof, live."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.accounts.passwords import hash_password
from app.accounts.users import create_user
from app.agents.heartbeats import heartbeat
from app.agents.registration import SignInRequest
from app.agents.sessions import sign_out
from app.agents.sign_in import SignedIn, sign_in
from app.core.clock import utcnow
from app.core.permissions import Role
from app.core.text import fold
from app.models import Organisation, Project
from app.models.engine import reading_only
from tests.agents.stage import LIMITS
from tests.browser.agent_stage import Stage as ConsoleStage
from tests.browser.conftest import Portal, Watch
from tests.conftest import Clock, authenticated

PASSWORD = "everybody's own password"
ORGANISATIONS = 0


class Stage(ConsoleStage):
    """A portal with an organisation of its own, three machines, and people."""

    organisation_id: str
    client: str
    partner: str
    tokens: dict[str, str]

    def sign_in(
        self, who: str, mac_id: str, key: str = "", hostname: str = "", version: str = "2.4.1"
    ) -> str:
        """Somebody on a desktop agent: their token."""
        now, config = utcnow(), self.portal.app.extensions["config"]
        with self.portal.session() as session:
            answer = sign_in(
                session,
                who=authenticated(session, who, PASSWORD, address="test", now=now),
                request=SignInRequest(key, mac_id, "", hostname, version),
                signing_keys=config.signing_keys,
                registrations=config.registrations,
                clock=lambda: now,
            )
            assert isinstance(answer, SignedIn), answer
            return answer.token

    def beat(self, token: str) -> None:
        with reading_only(), self.portal.session() as session:
            heartbeat(session, token=token, now=utcnow(), limits=LIMITS)

    def confirm(self, token: str) -> None:
        with self.portal.session() as session:
            sign_out(session, token=token, now=utcnow(), limits=LIMITS)


@pytest.fixture
def stage(portal: Portal) -> Stage:
    return set_stage(portal)


@pytest.fixture
def clocked_stage(clocked: Portal) -> Stage:
    return set_stage(clocked)


def set_stage(portal: Portal) -> Stage:
    global ORGANISATIONS  # noqa: PLW0603 (each test has an organisation of its own)
    ORGANISATIONS += 1
    number, now = ORGANISATIONS, utcnow()
    organisation_id, name = f"ORG-82{number:04}", f"Agents {number} & Söhne"
    with portal.session() as session:
        session.add(
            Organisation(id=organisation_id, name=name, search_text=fold(name), created_at=now)
        )
        session.flush()
        project = Project(
            organisation_id=organisation_id,
            name=f"Agents ERP {number}",
            search_text=fold(name),
            created_at=now,
            updated_at=now,
        )
        session.add(project)
        session.flush()
        stage = Stage(portal, project.id)
        stage.organisation_id = organisation_id
        stage.client, stage.partner = f"carla{number}@client.example", f"paul{number}@x.example"
        for email, role in ((stage.client, Role.CLIENT), (stage.partner, Role.PARTNER)):
            create_user(
                session,
                email=email,
                role=role,
                password_hash=hash_password(PASSWORD),
                actor=stage.actor(session),
                now=now,
                organisation_id=organisation_id if role is Role.CLIENT else None,
            )
    mac_ids = [f"00:1A:2B:{number:02X}:00:0{machine}" for machine in range(3)]
    hosts = ("WAREHOUSE-PC", "LAPTOP-7", "erp-integration-server-02.client.example")
    stage.tokens = {
        host: stage.sign_in(stage.client, mac_id, hostname=host)
        for host, mac_id in zip(hosts, mac_ids, strict=True)
    }
    stage.confirm(stage.tokens["WAREHOUSE-PC"])
    key = stage.issue(3600)
    stage.tokens["partner"] = stage.sign_in(stage.partner, mac_ids[1], key, hosts[1])
    return stage


def machine(page: Page, host: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=host))


def open_tab(stage: Stage, page: Page) -> None:
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/agents")


def test_detaching_asks_first_and_the_proof_comes_by_itself(
    clocked_stage: Stage, clock: Clock, page: Page
) -> None:
    stage = clocked_stage
    open_tab(stage, page)
    laptop = machine(page, "LAPTOP-7")
    expect(laptop).to_contain_text("Attached")
    expect(laptop).to_contain_text(stage.partner)
    laptop.get_by_role("button", name=re.compile("^Detach")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody can sign in on this machine any more")
    for who in (stage.client, stage.partner):
        expect(dialog.get_by_role("listitem").filter(has_text=who)).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(laptop).to_contain_text("Attached")
    laptop.get_by_role("button", name=re.compile("^Detach")).click()
    dialog.get_by_role("button", name="Detach").click()
    expect(page.get_by_text("2 people are being logged out")).to_be_visible()
    expect(laptop).to_contain_text("Detached")
    ended = page.get_by_role("table", name="Ended in the last 24 hours")
    of_partner = ended.get_by_role("row").filter(has_text=stage.partner)
    expect(of_partner).to_contain_text("Waiting for the agent, within 1 second")
    stage.beat(stage.tokens["partner"])
    expect(of_partner).to_contain_text(re.compile(r"Told at \d\d:\d\d:\d\d"))
    stage.confirm(stage.tokens["partner"])
    confirmed = re.compile(r"Confirmed logged out at \d\d:\d\d:\d\d")
    expect(of_partner).to_contain_text(confirmed)
    clock.advance(minutes=1)
    of_client = ended.get_by_role("row").filter(has_text="LAPTOP-7").filter(has_text=stage.client)
    expect(of_client).to_contain_text("Off-line: it will be told when it is back")
    laptop.get_by_role("button", name=re.compile("^Attach")).click()
    dialog.get_by_role("button", name="Attach").click()
    expect(laptop).to_contain_text("Attached")


@pytest.mark.parametrize(
    ("button", "confirm", "news"),
    [
        ("Revoke license", "Revoke license", "was revoked. 1 person is being logged out"),
        ("Dissociate", "Dissociate", "was dissociated. 2 people are being logged out"),
    ],
)
def test_revoking_and_dissociating(
    stage: Stage, page: Page, button: str, confirm: str, news: str
) -> None:
    open_tab(stage, page)
    laptop = machine(page, "LAPTOP-7")
    laptop.get_by_role("button", name=re.compile(f"^{button}")).click()
    page.get_by_role("dialog").get_by_role("button", name=confirm).click()
    expect(page.get_by_text(news)).to_be_visible()
    if button == "Dissociate":
        expect(laptop).to_have_count(0)
    else:
        expect(laptop).to_contain_text("Revoked")
        expect(laptop).to_contain_text(stage.partner)


def test_ending_all_temporary_sessions(stage: Stage, page: Page) -> None:
    open_tab(stage, page)
    page.get_by_role("button", name="End all temporary sessions").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    expect(dialog).to_contain_text(stage.partner)
    dialog.get_by_role("button", name="End all sessions").click()
    expect(page.get_by_text("All temporary sessions were ended.")).to_be_visible()
    expect(machine(page, "LAPTOP-7")).not_to_contain_text(stage.partner)
    expect(machine(page, "LAPTOP-7")).to_contain_text(stage.client)


def test_the_tab_refreshes_itself_and_keeps_the_focus(stage: Stage, page: Page) -> None:
    open_tab(stage, page)
    button = machine(page, "LAPTOP-7").get_by_role("button", name=re.compile("^Detach"))
    button.focus()
    stage.sign_in(stage.client, "00:1A:2B:FF:FF:01", hostname="NEW-PC")
    expect(machine(page, "NEW-PC")).to_be_visible()
    expect(button).to_be_focused()


def test_the_license_tab_shows_the_proof_live(
    stage: Stage, page: Page, new_context: Callable[..., BrowserContext], watch: Watch
) -> None:
    """The partner's agent is the one in a browser: it confirms by itself."""
    watch.expect(401)
    key = stage.issue(3600)
    agent = new_context().new_page()
    agent.goto(f"{stage.portal.url}/agent")
    agent.get_by_role("textbox", name="Login ID").fill(stage.partner)
    agent.get_by_role("textbox", name="Password").fill(PASSWORD)
    agent.keyboard.press("Control+F10")
    agent.get_by_role("textbox", name="Registration Key").fill(key)
    agent.get_by_role("button", name="Log in").click()
    key_id = agent.locator(".license-banner .key-id").inner_text()
    stage.portal.sign_in(page, f"/projects/{stage.project_id}/license?key={key_id}")
    page.get_by_role("button", name="Revoke", exact=True).click()
    page.get_by_role("button", name="Revoke key").click()
    proofs = page.get_by_role("list", name="Signed in when it was revoked")
    expect(proofs).to_contain_text(stage.partner)
    confirmed = re.compile(r"Confirmed logged out at \d\d:\d\d:\d\d")
    expect(proofs).to_contain_text(confirmed)
    expect(agent.get_by_text("Your temporary license was revoked at")).to_be_visible()


def test_without_javascript_it_is_asked_on_a_page(
    stage: Stage, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    open_tab(stage, page)
    laptop = machine(page, "LAPTOP-7")
    laptop.get_by_role("button", name=re.compile("^Detach")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Detach LAPTOP-7")
    expect(page.get_by_role("listitem").filter(has_text=stage.partner)).to_be_visible()
    page.get_by_role("button", name="Detach").click()
    expect(laptop).to_contain_text("Detached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1440])
def test_every_state_is_accessible_and_fits(
    stage: Stage, new_context: Callable[..., BrowserContext], scheme: str, width: int
) -> None:
    context = new_context(
        color_scheme=scheme, reduced_motion="reduce", viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    stage.sign_in(stage.partner, "02:00:00:00:00:99", stage.issue(120))
    open_tab(stage, page)
    check(page, "machines", width)
    machine(page, "LAPTOP-7").get_by_role("button", name=re.compile("^Revoke license")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "question", width)
    page.get_by_role("dialog").get_by_role("button", name="Revoke license").click()
    expect(page.get_by_text("1 person is being logged out")).to_be_visible()
    check(page, "ended", width)


def check(page: Page, state: str, width: int) -> None:
    found = Axe().run(page).response["violations"]
    assert found == [], f"{state}: {[violation['id'] for violation in found]}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, state
