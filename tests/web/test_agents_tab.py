"""The Agents tab: machines, who is signed in on them, ending that, and the proof of it."""

import html
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from app.agents.sessions import confirm_end
from app.audit.tags import AuditTag
from app.extensions import db
from app.models import Agent, AgentSession, Project, TemporaryLicense
from tests.agents.stage import LIMITS, MAC, add_client, beat, events, issue, machine_of, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import words


@pytest.fixture(autouse=True)
def standing_still(clock: Clock) -> None:
    """Everybody signs in by the clock that the tests turn."""


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/agents"


@pytest.fixture
def pats_session(app: Flask, cast: Cast, clock: Clock) -> int:
    """Pat, signed in on an agent of Acme's a minute ago."""
    with app.app_context():
        license = issue(db.session(), cast)
        number = signed_in(db.session(), cast.pat, license).agent_session.id
    clock.advance(minutes=1)
    return number


def test_it_says_when_nobody_is_signed_in(ada: Visitor, tab: str) -> None:
    page = ada.get(tab)
    assert page.status_code == 200
    assert re.search(r"<h1[^>]*>\s*Acme ERP\s*</h1>", page.text)
    assert "No machines yet" in page.text
    assert "when a user of Acme first signs in on it" in page.text
    for absent in ("End session", "End all temporary sessions", "Ended in the last 24 hours"):
        assert absent not in page.text


def test_it_lists_the_sessions_that_live_now(
    app: Flask, ada: Visitor, tab: str, pats_session: int
) -> None:
    page = ada.get(tab)
    with app.app_context():
        key_id = db.session.scalar(select(TemporaryLicense.key_id))
    for part in (Cast.pat, "Partner", "00:1A:2B:3C:4D:5E", key_id, "Active for 59 min"):
        assert part in page.text
    assert 'datetime="2026-11-24T15:40:01Z"' in page.text
    assert "Signed in now 1 session" in words(page)
    assert "Not registered here" in words(page)
    assert re.search(r"<button[^>]*>\s*End session ", page.text)


def test_sessions_of_other_organisations_are_not_listed(
    ada: Visitor, cast: Cast, pats_session: int
) -> None:
    page = ada.get(f"/projects/{cast.bolt_project}/agents")
    assert cast.pat not in page.text


def test_what_has_ended_is_gone_at_the_next_refresh(
    ada: Visitor, tab: str, pats_session: int, clock: Clock
) -> None:
    assert "Signed in now" in ada.get(tab, htmx=True).text
    clock.instant = NOW + timedelta(minutes=15, seconds=1)
    later = ada.get(tab, htmx=True)
    assert "Signed in now" not in later.text
    assert "Not heard from" in words(later)
    clock.advance(days=1, minutes=1)
    # Ada's own sign-in is long over.
    assert Cast.pat not in ada.get(tab, htmx=True).text


def test_the_list_refreshes_itself_as_a_fragment(ada: Visitor, tab: str, pats_session: int) -> None:
    page = ada.get(tab)
    assert f'hx-get="{tab}"' in page.text
    assert "every 3s" in page.text
    assert '"X-Timer": "1"' in page.text
    fragment = ada.get(tab, htmx=True)
    assert "<html" not in fragment.text
    assert Cast.pat in fragment.text


def test_an_auditor_reads_and_has_no_buttons(audrey: Visitor, tab: str, pats_session: int) -> None:
    page = audrey.get(tab)
    assert page.status_code == 200
    assert Cast.pat in page.text
    assert "End session" not in page.text
    assert audrey.get(f"{tab}/{pats_session}/end").status_code == 403
    assert audrey.post(f"{tab}/{pats_session}/end").status_code == 403


def test_nobody_sees_it_without_signing_in(visitor: Visitor, tab: str) -> None:
    answer = visitor.get(tab)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?next=")
    assert visitor.post(f"{tab}/1/end").status_code == 401


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "dialog"])
def test_it_asks_first_and_says_what_will_happen_to_whom(
    ada: Visitor, tab: str, pats_session: int, htmx: bool
) -> None:
    answer = ada.get(f"{tab}/{pats_session}/end", htmx=htmx)
    assert answer.status_code == 200
    assert ("<html" in answer.text) is not htmx
    said = words(answer)
    assert f"End the session of {Cast.pat}?" in said
    assert f"Logged out at the next heartbeat, within 5 seconds: {Cast.pat} on" in said
    assert "stays active, so they can log in with it again" in said
    assert "Cancel" in said


def test_ending_a_session_ends_it_and_is_recorded(
    app: Flask, ada: Visitor, tab: str, pats_session: int
) -> None:
    ada.get(f"{tab}/{pats_session}/end")
    answer = ada.post(f"{tab}/{pats_session}/end")
    assert (answer.status_code, answer.location) == (303, tab)
    page = ada.get(tab)
    assert f"The session of {Cast.pat} was ended." in page.text
    assert "Ended by a super admin" in page.text
    assert "Signed in now" not in page.text
    with app.app_context():
        (event,) = events(db.session(), AuditTag.AGENT_SESSION_ENDED)
        assert (event.actor, event.data["cause"]) == (Cast.ada, "ended_by_admin")


def test_ending_it_twice_says_that_it_has_ended(
    ada: Visitor, grace: Visitor, tab: str, pats_session: int
) -> None:
    address = f"{tab}/{pats_session}/end"
    assert ada.post(address).status_code == 303
    assert "has ended already" in grace.get(address).text
    assert grace.post(address).status_code == 303
    assert f"The session of {Cast.pat} has ended already." in grace.get(tab).text


@pytest.mark.parametrize("number", [4711, 2**31, 10**30])
def test_a_session_that_never_was_is_not_found(
    ada: Visitor, tab: str, cast: Cast, number: int
) -> None:
    assert ada.get(f"{tab}/{number}/end").status_code == 404
    assert ada.post(f"{tab}/{number}/end").status_code == 404


def test_a_session_is_not_ended_through_another_organisations_project(
    app: Flask, ada: Visitor, cast: Cast, pats_session: int
) -> None:
    address = f"/projects/{cast.bolt_project}/agents/{pats_session}/end"
    assert ada.get(address).status_code == 404
    assert ada.post(address).status_code == 404
    with app.app_context():
        found = db.session.get(AgentSession, pats_session)
        assert found is not None
        assert found.ended_at is None


def test_a_project_that_was_deleted_is_not_found(ada: Visitor) -> None:
    assert ada.get("/projects/4711/agents").status_code == 404


def test_a_host_name_is_never_markup(app: Flask, ada: Visitor, tab: str, pats_session: int) -> None:
    with app.app_context():
        found = db.session.get(AgentSession, pats_session)
        assert found is not None
        found.hostname = "<script>alert(1)</script>"
        db.session.commit()
    assert "<script>alert" not in ada.get(tab).text


# Machines

OTHER_MAC = "02:00:00:00:00:07"
CHANGES = ("detach", "attach", "dissociate", "revoke-license")


@pytest.fixture
def machine(app: Flask, cast: Cast, clock: Clock) -> int:
    """Carl's machine, on which he and Pat, under a key, are signed in since a minute."""
    with app.app_context():
        here = signed_in(db.session(), cast.carl, hostname="LAPTOP-7")
        signed_in(db.session(), cast.pat, issue(db.session(), cast))
        number = machine_of(here).id
        db.session.commit()
    clock.advance(minutes=1)
    return number


def stored(app: Flask, number: int) -> Agent:
    with app.app_context():
        agent = db.session.get(Agent, number)
        assert agent is not None
        return agent


def row_of(answer: TestResponse, number: int) -> str:
    match = re.search(rf'<tr id="machine-{number}">(.*?)</tr>', answer.text, re.DOTALL)
    assert match
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", match[1])).split())


def buttons(answer: TestResponse) -> list[str]:
    found = re.findall(r"<button type=\"submit\"[^>]*>(.*?)</button>", answer.text, re.DOTALL)
    names = [" ".join(re.sub(r"<[^>]+>", " ", name).split()) for name in found]
    return [name for name in names if name not in ("Sign out", "Stay signed in")]


def test_a_machine_says_whose_it_is_and_who_is_signed_in_on_it(
    app: Flask, ada: Visitor, tab: str, machine: int
) -> None:
    row = row_of(ada.get(tab), machine)
    key_id = stored(app, machine).license.key_id
    for part in (
        "LAPTOP-7",
        MAC,
        "Attached",
        key_id,
        f"by {Cast.carl}",
        Cast.carl,
        Cast.pat,
    ):
        assert part in row
    assert "Revoked" not in row


def test_who_is_signed_in_stands_first_on_registered_machines_too(
    ada: Visitor, tab: str, machine: int
) -> None:
    """Who is in is what one comes for; the machines and their states come after."""
    said = words(ada.get(tab))
    first = said[said.index("Signed in now 2 sessions") : said.index("Machines 1 machine")]
    assert f"{Cast.carl} Client user LAPTOP-7 {MAC} Permanent" in first
    assert f"{Cast.pat} Partner LAPTOP-7 {MAC}" in first
    assert "Active for 59 min" in first
    assert "Not registered here" not in first


def test_without_machines_those_who_are_in_stand_above_one_plain_sentence(
    ada: Visitor, tab: str, pats_session: int
) -> None:
    said = words(ada.get(tab))
    assert said.index(Cast.pat) < said.index("No machines registered")
    assert "No machines yet" not in said
    assert "A machine is registered, and gets its license, when" in said


# The refresh


def poll(visitor: Visitor, address: str, page: TestResponse) -> TestResponse:
    found = re.search(r'name="seen" value="([0-9a-f]+)"', page.text)
    assert found
    join = "&" if "?" in address else "?"
    return visitor.get(f"{address}{join}seen={found[1]}", htmx=True)


def test_a_refresh_says_nothing_while_nothing_has_changed(
    app: Flask, ada: Visitor, tab: str, machine: int, clock: Clock
) -> None:
    page = ada.get(tab)
    clock.advance(seconds=30)
    answer = poll(ada, tab, page)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "X-Server-Now" in answer.headers


@pytest.mark.parametrize(
    "change", ["signed in", "detached", "renamed", "ended", "heard from", "told", "registered"]
)
def test_a_refresh_brings_whatever_has_changed(
    app: Flask, ada: Visitor, tab: str, machine: int, change: str
) -> None:
    if change == "told":
        ada.post(f"{tab}/machines/{machine}/detach")
    page = ada.get(tab)
    with app.app_context():
        session = db.session()
        live = session.scalars(select(AgentSession).order_by(AgentSession.id)).all()
        agent = session.get(Agent, machine)
        assert agent is not None
        if change == "signed in":
            signed_in(session, Cast.carl)
        elif change == "registered":
            signed_in(session, Cast.carl, mac_id="02:00:00:00:00:33")
        elif change == "detached":
            agent.detached_at = NOW
        elif change == "renamed":
            agent.hostname = "LAPTOP-8"
        elif change == "ended":
            live[0].ended_at = NOW
        elif change == "heard from":
            live[0].last_heard_at = NOW + timedelta(minutes=1)
        elif change == "told":
            live[0].told_at = NOW
        session.commit()
    assert poll(ada, tab, page).status_code == 200


def test_the_end_of_a_key_is_brought_to_the_second(
    ada: Visitor, tab: str, pats_session: int, clock: Clock, app: Flask
) -> None:
    with app.app_context():
        db.session.scalars(select(AgentSession)).one().last_heard_at = NOW + timedelta(minutes=59)
        db.session.commit()
    clock.instant = NOW + timedelta(minutes=29)
    page = ada.get(tab)
    assert poll(ada, tab, page).status_code == 204
    clock.instant = NOW + timedelta(hours=1)
    ada.sign_in(Cast.ada)
    assert "Key expired" in words(poll(ada, tab, page))


def test_its_buttons_begin_with_what_they_do(ada: Visitor, tab: str, machine: int) -> None:
    name = f"LAPTOP-7 {MAC}"
    assert buttons(ada.get(tab)) == [
        "End all temporary sessions",
        f"End session of {Cast.pat} on {name}",
        f"End session of {Cast.carl} on {name}",
        f"Detach {name}",
        f"Revoke license of {name}",
        f"Dissociate {name}",
    ]


def test_an_auditor_sees_machines_and_no_buttons(audrey: Visitor, tab: str, machine: int) -> None:
    page = audrey.get(tab)
    assert "LAPTOP-7" in row_of(page, machine)
    assert buttons(page) == []


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_without_the_right_changes_a_machine(
    app: Flask, audrey: Visitor, tab: str, machine: int, change: str
) -> None:
    address = f"{tab}/machines/{machine}/{change}"
    assert audrey.get(address).status_code == audrey.post(address).status_code == 403
    nobody = Visitor(app.test_client())
    assert nobody.post(address).status_code == 401
    assert nobody.get(address).status_code == 303
    agent = stored(app, machine)
    assert agent.detached_at is agent.dissociated_at is agent.license.revoked_at is None


def test_nobody_without_the_right_ends_all_temporary_sessions(
    audrey: Visitor, visitor: Visitor, tab: str, machine: int
) -> None:
    address = f"{tab}/end-temporary"
    assert audrey.get(address).status_code == audrey.post(address).status_code == 403
    assert visitor.post(address).status_code == 401


@pytest.mark.parametrize("change", CHANGES)
def test_a_machine_is_not_changed_through_another_organisations_project(
    app: Flask, ada: Visitor, cast: Cast, machine: int, change: str
) -> None:
    address = f"/projects/{cast.bolt_project}/agents/machines/{machine}/{change}"
    assert ada.get(address).status_code == ada.post(address).status_code == 404
    assert stored(app, machine).detached_at is None


@pytest.mark.parametrize("number", [4711, 2**31, 10**30])
@pytest.mark.parametrize("change", CHANGES)
def test_a_machine_that_never_was_is_404(ada: Visitor, tab: str, change: str, number: int) -> None:
    address = f"{tab}/machines/{number}/{change}"
    assert ada.get(address).status_code == ada.post(address).status_code == 404


QUESTIONS = [
    ("detach", f"Detach LAPTOP-7 ({MAC})?", [Cast.carl, Cast.pat], "Detach"),
    ("dissociate", "is revoked, and it is free", [Cast.carl, Cast.pat], "Dissociate"),
    ("revoke-license", f"and staying: {Cast.pat}", [Cast.carl], "Revoke license"),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("htmx", [False, True], ids=["page", "dialog"])
def test_it_is_said_before_what_will_happen_to_whom(
    ada: Visitor,
    tab: str,
    machine: int,
    question: tuple[str, str, list[str], str],
    htmx: bool,
) -> None:
    change, said, logged_out, button = question
    answer = ada.get(f"{tab}/machines/{machine}/{change}", htmx=htmx)
    assert answer.status_code == 200
    assert ("<html" in answer.text) is not htmx
    assert said in words(answer)
    listed = re.findall(r'<li>\s*<span class="text-break">(.*?)</span>', answer.text)
    assert sorted(listed) == logged_out
    assert buttons(answer)[-1] == button


def test_attaching_harms_nobody_and_says_so(ada: Visitor, tab: str, machine: int) -> None:
    address = f"{tab}/machines/{machine}/attach"
    assert "attached already" in words(ada.get(address))
    ada.post(f"{tab}/machines/{machine}/detach")
    said = words(ada.get(address))
    assert "can sign in on this machine again" in said
    assert "has to sign in again" in said


def test_detaching_and_attaching(app: Flask, ada: Visitor, tab: str, machine: int) -> None:
    answer = ada.post(f"{tab}/machines/{machine}/detach")
    assert (answer.status_code, answer.location) == (303, tab)
    page = ada.get(tab)
    assert f"LAPTOP-7 ({MAC}) was detached. 2 people are being logged out" in words(page)
    assert "Detached" in row_of(page, machine)
    assert f"Attach LAPTOP-7 {MAC}" in buttons(page)
    assert words(page).count("Machine detached") == 2
    ada.post(f"{tab}/machines/{machine}/detach")
    page = ada.get(tab)
    assert f"The machine {MAC} is detached already." in words(page)
    ada.post(f"{tab}/machines/{machine}/attach")
    page = ada.get(tab)
    assert "was attached. People can sign in on it again." in words(page)
    assert "Attached" in row_of(page, machine)
    assert "Nobody" in row_of(page, machine)


def test_dissociating(app: Flask, ada: Visitor, tab: str, machine: int) -> None:
    assert ada.post(f"{tab}/machines/{machine}/dissociate").status_code == 303
    page = ada.get(tab)
    assert "was dissociated. 2 people are being logged out" in words(page)
    assert "No machines yet" in page.text
    assert ada.post(f"{tab}/machines/{machine}/dissociate").status_code == 404


def test_revoking_a_license(app: Flask, ada: Visitor, tab: str, machine: int) -> None:
    assert ada.post(f"{tab}/machines/{machine}/revoke-license").status_code == 303
    page = ada.get(tab)
    key_id = stored(app, machine).license.key_id
    assert f"License {key_id} was revoked. 1 person is being logged out" in words(page)
    row = row_of(page, machine)
    assert f"{key_id} Revoked" in row
    assert Cast.pat in row
    assert not [name for name in buttons(page) if name.startswith("Revoke license")]
    ada.post(f"{tab}/machines/{machine}/revoke-license")
    assert "is revoked already" in words(ada.get(tab))
    assert "is revoked already" in words(ada.get(f"{tab}/machines/{machine}/revoke-license"))


def test_ending_all_temporary_sessions(app: Flask, ada: Visitor, tab: str, machine: int) -> None:
    with app.app_context():
        license = db.session.scalars(select(TemporaryLicense)).one()
        signed_in(db.session(), Cast.dev, license, mac_id=OTHER_MAC)
    question = ada.get(f"{tab}/end-temporary", htmx=True)
    listed = re.findall(r'<li>\s*<span class="text-break">(.*?)</span>', question.text)
    assert sorted(listed) == [Cast.dev, Cast.pat]
    assert ada.post(f"{tab}/end-temporary").status_code == 303
    page = ada.get(tab)
    assert "All temporary sessions were ended. 2 people are being logged out" in words(page)
    assert Cast.carl in row_of(page, machine)
    assert "End all temporary sessions" not in page.text
    ada.post(f"{tab}/end-temporary")
    assert "Nobody was signed in under a temporary key." in words(ada.get(tab))


def test_an_ended_subscription_is_said(app: Flask, ada: Visitor, cast: Cast, tab: str) -> None:
    assert "The subscription has ended" not in ada.get(tab).text
    with app.app_context():
        project = db.session.get(Project, cast.acme_project)
        assert project is not None
        project.plan_expires_on = (NOW - timedelta(days=1)).date()
        db.session.commit()
    assert "The subscription has ended" in ada.get(tab).text


# LogoutStatus


def test_the_proof_is_told_then_confirmed(
    app: Flask, ada: Visitor, tab: str, cast: Cast, clock: Clock
) -> None:
    with app.app_context():
        here = signed_in(db.session(), cast.pat, issue(db.session(), cast), now=clock.now())
        token, number = here.token, here.agent_session.id
    ada.post(f"{tab}/{number}/end")
    assert "Waiting for the agent, within 5 seconds" in words(ada.get(tab))
    clock.advance(seconds=2)
    with app.app_context():
        beat(db.session(), token, clock.now())
    assert "Told at 15:40:02 UTC , not confirmed yet" in words(ada.get(tab))
    clock.advance(seconds=1)
    with app.app_context():
        confirm_end(db.session(), token=token, now=clock.now(), limits=LIMITS)
        db.session.commit()
    assert "Confirmed logged out at 15:40:03 UTC" in words(ada.get(tab))


def test_off_line_it_is_said_when_it_ends_by_itself(
    ada: Visitor, tab: str, machine: int, clock: Clock
) -> None:
    ada.post(f"{tab}/machines/{machine}/detach")
    clock.advance(minutes=1)
    said = words(ada.get(tab))
    assert "Off-line: ends by itself at 16:40 UTC at the latest" in said
    assert "Off-line: it will be told when it is back" in said
    clock.instant = NOW + timedelta(hours=1)
    ada.sign_in(Cast.ada)
    assert "ended by itself at 16:40 UTC at the latest" in words(ada.get(tab))


def test_the_license_tab_shows_the_proof_of_a_revocation(
    app: Flask, ada: Visitor, audrey: Visitor, cast: Cast, clock: Clock
) -> None:
    with app.app_context():
        license = issue(db.session(), cast)
        token = signed_in(db.session(), cast.pat, license, now=clock.now()).token
        key_id = license.key_id
    tab = f"/projects/{cast.acme_project}/license"
    answer = ada.post(f"{tab}/{key_id}/revoke", htmx=True)
    assert f"{Cast.pat} on {MAC} Waiting for the agent, within 5 seconds" in words(answer)
    page = audrey.get(f"{tab}?key={key_id}")
    assert "Signed in when it was revoked" in page.text
    seen = re.search(r'id="seen"[^>]*value="(\w+)"', page.text)
    assert seen
    refresh = f"{tab}?key={key_id}&seen={seen[1]}"
    assert audrey.get(refresh, htmx=True).status_code == 204
    clock.advance(seconds=2)
    with app.app_context():
        beat(db.session(), token, clock.now())
    for viewer in (ada, audrey):
        changed = viewer.get(refresh, htmx=True)
        assert changed.status_code == 200
        assert "Told at 15:40:02 UTC" in words(changed)


def test_a_key_under_which_nobody_was_signed_in_needs_no_proof(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    with app.app_context():
        key_id = issue(db.session(), cast).key_id
    answer = ada.post(f"/projects/{cast.acme_project}/license/{key_id}/revoke", htmx=True)
    assert "Signed in when it was revoked" not in answer.text


# Many


def test_many_machines_are_shown_page_by_page_in_a_few_queries(
    app: Flask, ada: Visitor, tab: str, cast: Cast
) -> None:
    with app.app_context():
        others = [f"carl{number}@example.com" for number in range(2)]
        people = [cast.carl, *(add_client(db.session(), cast, one, cast.acme) for one in others)]
        for number in range(53):
            mac_id, who = f"02:00:00:00:01:{number:02X}", people[number % 3]
            signed_in(db.session(), who, mac_id=mac_id, hostname=f"PC-{number}")
    asked: list[str] = []

    def note(*details: object) -> None:
        asked.append(str(details[2]))

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", note)
    try:
        page = ada.get(tab, htmx=True)
    finally:
        with app.app_context():
            event.remove(db.engine, "before_cursor_execute", note)
    assert page.text.count('<tr id="machine-') == 50
    assert "Signed in now 53 sessions" in words(page)
    assert "Machines 53 machines registered" in words(page)
    assert len([one for one in asked if one.startswith("SELECT")]) <= 8
    second = ada.get(f"{tab}?page=2")
    assert second.text.count('<tr id="machine-') == 3
    assert f'hx-get="{tab}?page=2"' in second.text
    assert "Not registered here" not in second.text


def test_a_refresh_writes_nothing_and_is_no_activity(ada: Visitor, tab: str, clock: Clock) -> None:
    for _ in range(40):
        clock.advance(minutes=1)
        ada.client.get(tab, headers={"HX-Request": "true", "X-Timer": "1"})
    assert ada.get(tab).status_code == 303


def test_names_from_machines_are_never_markup(
    app: Flask, ada: Visitor, tab: str, cast: Cast
) -> None:
    nasty = '"><script>alert(1)</script>'
    with app.app_context():
        number = machine_of(signed_in(db.session(), cast.carl, hostname=nasty)).id
        db.session.commit()
    for address in (tab, f"{tab}/machines/{number}/detach"):
        assert "<script>alert" not in ada.get(address).text
    ada.post(f"{tab}/machines/{number}/detach")
    assert "<script>alert" not in ada.get(tab).text
