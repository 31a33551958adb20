"""The Agents tab: who is signed in now, and ending their sessions."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app.audit.tags import AuditTag
from app.extensions import db
from app.models import AgentSession, TemporaryLicense
from tests.agents.stage import issue, signed_in
from tests.agents.test_sign_in import events
from tests.conftest import NOW, Cast, Clock, Visitor


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
    assert "Nobody is signed in" in page.text
    assert "End session" not in page.text


def test_it_lists_the_sessions_that_live_now(
    app: Flask, ada: Visitor, tab: str, pats_session: int
) -> None:
    page = ada.get(tab)
    with app.app_context():
        key_id = db.session.scalar(select(TemporaryLicense.key_id))
    for part in (Cast.pat, "Partner", "00:1A:2B:3C:4D:5E", key_id, "Active for 59 min"):
        assert part in page.text
    assert 'datetime="2026-11-24T15:40:01Z"' in page.text
    assert "1 session on" in page.text
    assert re.search(r"<button[^>]*>\s*End session ", page.text)


def test_sessions_of_other_organisations_are_not_listed(
    ada: Visitor, cast: Cast, pats_session: int
) -> None:
    page = ada.get(f"/projects/{cast.bolt_project}/agents")
    assert cast.pat not in page.text


def test_what_has_ended_is_gone_at_the_next_refresh(
    ada: Visitor, tab: str, pats_session: int, clock: Clock
) -> None:
    assert Cast.pat in ada.get(tab, htmx=True).text
    clock.instant = NOW + timedelta(minutes=15, seconds=1)
    assert Cast.pat not in ada.get(tab, htmx=True).text


def test_the_list_refreshes_itself_as_a_fragment(ada: Visitor, tab: str, pats_session: int) -> None:
    page = ada.get(tab)
    assert f'hx-get="{tab}"' in page.text
    assert "every 5s" in page.text
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
    words = " ".join(re.sub(r"<[^>]+>", "", answer.text).split())
    assert f"{Cast.pat} will be logged out at the next heartbeat, within 5 seconds" in words
    assert "End session" in words
    assert "Cancel" in words


def test_ending_a_session_ends_it_and_is_recorded(
    app: Flask, ada: Visitor, tab: str, pats_session: int
) -> None:
    ada.get(f"{tab}/{pats_session}/end")
    answer = ada.post(f"{tab}/{pats_session}/end")
    assert (answer.status_code, answer.location) == (303, tab)
    page = ada.get(tab)
    assert f"The session of {Cast.pat} was ended." in page.text
    assert "Nobody is signed in" in page.text
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
