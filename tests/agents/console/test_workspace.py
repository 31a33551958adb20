"""The OP Agent in the browser: client users on their machines, partners under a key."""

import html
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.agents.configuration import configuration_of, save_configuration
from app.agents.machines import detach, dissociate, revoke_permanent_license
from app.audit.tags import AuditTag
from app.extensions import db
from app.models import Agent, AgentSession, Project, TemporaryLicense
from tests.agents.console.stage import beside, log_in, told
from tests.agents.stage import BEA, HOUR, LIMITS, add_bea, events, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor

A_MINUTE_LATER = NOW + timedelta(minutes=1)


def client_logs_in(visitor: Visitor, **fields: object) -> TestResponse:
    return log_in(visitor, "", login_id=Cast.carl, **fields)


def test_a_client_user_registers_the_browser_and_is_told_so_once(
    app: Flask, partner: Visitor
) -> None:
    answer = client_logs_in(partner)
    assert (answer.status_code, answer.location) == (303, "/agent")
    page = partner.get("/agent")
    assert "This machine is registered with Acme now." in page.text
    with app.app_context():
        (agent,) = db.session.scalars(select(Agent))
        assert agent.agent_version == "browser"
        key_id = agent.license.key_id
    assert f'Permanent, <span class="key-id">{key_id}</span>' in page.text
    assert "Client user" in page.text
    assert "rw1." not in page.text
    partner.post("/agent/logout")
    client_logs_in(partner)
    assert "is registered with" not in partner.get("/agent").text


def test_under_a_permanent_license_nothing_counts_down(partner: Visitor, clock: Clock) -> None:
    client_logs_in(partner)
    page = partner.get("/agent").text
    assert ">What you can do here</h2>" in page
    for absent in ("Time left", "data-ends", 'http-equiv="refresh"', 'id="logged-out"'):
        assert absent not in page
    assert 'hx-trigger="every 5s, check"' in page
    clock.advance(minutes=14)
    assert partner.get("/agent", htmx=True).status_code == 200


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
def test_a_client_user_saves_the_configuration_and_is_told_so(
    app: Flask, partner: Visitor, htmx: bool
) -> None:
    client_logs_in(partner)
    button = re.search(
        r"<button[^>]*>(?:(?!</button>).)*Save configuration", partner.get("/agent").text, re.S
    )
    assert button
    assert "disabled" not in button[0].rsplit("<button", 1)[1]
    answer = partner.post("/agent/configuration", htmx=htmx)
    assert answer.headers["HX-Redirect" if htmx else "Location"] == "/agent"
    assert "The configuration data was saved in Cloud." in partner.get("/agent").text
    with app.app_context():
        assert configuration_of(db.session(), Cast.acme) == {"agent": "browser"}
        (event,) = events(db.session(), AuditTag.CONFIGURATION_SAVED)
        assert event.actor == Cast.carl


def test_what_other_agents_saved_is_kept(app: Flask, partner: Visitor) -> None:
    client_logs_in(partner)
    with app.app_context():
        here = db.session.scalars(select(AgentSession)).one()
        save_configuration(db.session(), agent_session=here, data={"theirs": 1}, now=NOW)
        db.session.commit()
    partner.post("/agent/configuration")
    with app.app_context():
        saved = configuration_of(db.session(), Cast.acme)
    assert saved == {"theirs": 1, "agent": "browser"}


@pytest.mark.parametrize("ticked", [True, False])
def test_the_checkbox_saves_at_the_sign_in(app: Flask, partner: Visitor, ticked: bool) -> None:
    client_logs_in(partner, **({"save_configuration": "y"} if ticked else {}))
    assert ("was saved in Cloud" in partner.get("/agent").text) is ticked
    with app.app_context():
        assert bool(configuration_of(db.session(), Cast.acme)) is ticked


def detaching(session: Session, cast: Cast, agent: Agent) -> None:
    detach(
        session,
        actor=cast.actor(cast.ada),
        agent_id=agent.id,
        now=A_MINUTE_LATER,
        limits=LIMITS,
    )


def revoking_the_license(session: Session, cast: Cast, agent: Agent) -> None:
    revoke_permanent_license(
        session,
        actor=cast.actor(cast.ada),
        agent_id=agent.id,
        now=A_MINUTE_LATER,
        limits=LIMITS,
    )


def dissociating(session: Session, cast: Cast, agent: Agent) -> None:
    dissociate(
        session,
        actor=cast.actor(cast.ada),
        agent_id=agent.id,
        now=A_MINUTE_LATER,
        limits=LIMITS,
    )


def giving_to_bolt(session: Session, cast: Cast, agent: Agent) -> None:
    dissociating(session, cast, agent)
    session.commit()
    add_bea(session, cast)
    signed_in(session, BEA, now=A_MINUTE_LATER, mac_id=agent.mac_id)


def ending_the_subscription(session: Session, cast: Cast, agent: Agent) -> None:
    project = session.get(Project, cast.acme_project)
    assert project is not None
    project.plan_expires_on = NOW.date() - timedelta(days=1)


@pytest.mark.parametrize(
    "case",
    [
        (
            detaching,
            "Agent is Blocked. It was detached at 15:41 UTC;",
            "mac_id",
            "Agent is Blocked.",
        ),
        (
            revoking_the_license,
            "This machine's license was revoked at 15:41 UTC.",
            "mac_id",
            "This machine's license was revoked.",
        ),
        (
            giving_to_bolt,
            "This machine was dissociated from the organisation at 15:41 UTC.",
            "mac_id",
            "Your machine is already registered with Bolt & Söhne.",
        ),
        (
            ending_the_subscription,
            "Your organisation's subscription ended at",
            "login_id",
            "Your organisation's subscription has ended.",
        ),
    ],
    ids=["detached", "revoked", "dissociated", "subscription"],
)
def test_a_client_user_is_logged_out_and_refused_with_the_reason(
    app: Flask, partner: Visitor, cast: Cast, clock: Clock, case: tuple[object, str, str, str]
) -> None:
    change, told_now, field, refused = case
    client_logs_in(partner)
    clock.instant = A_MINUTE_LATER
    with app.app_context():
        change(db.session(), cast, db.session.scalars(select(Agent)).one())  # type: ignore[operator]
        db.session.commit()
    answer = partner.get("/agent", htmx=True)
    assert answer.status_code == 401
    assert html.unescape(told(answer)).startswith(told_now)
    again = client_logs_in(partner)
    assert again.status_code == 422
    assert html.unescape(beside(again, field)).startswith(refused)
    if field == "mac_id":
        assert "key-options is-shown" in again.text


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
def test_configuration_data_is_not_saved_even_if_a_client_sends_it(
    app: Flask, partner: Visitor, key: str, license: TemporaryLicense, htmx: bool
) -> None:
    log_in(partner, key)
    partner.get("/agent")
    answer = partner.post("/agent/configuration", {"anything": "x"}, htmx=htmx)
    assert answer.status_code == 403
    assert 'data-code="configuration_read_only"' in answer.text
    assert "Configuration data cannot be saved under a temporary license." in answer.text
    with app.app_context():
        (event,) = events(db.session(), AuditTag.CONFIGURATION_REFUSED)
        assert (event.actor, event.data["key_id"]) == (Cast.pat, license.key_id)
        assert event.subject == event.data["mac_id"]


def test_saving_after_the_end_is_refused_as_any_request(
    partner: Visitor, key: str, license: TemporaryLicense, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(seconds=HOUR)
    assert partner.post("/agent/configuration").status_code == 401
    assert partner.post("/agent/configuration").status_code == 401


def test_without_javascript_the_page_asks_again_at_the_expiry(
    partner: Visitor, key: str, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(seconds=10.5)
    page = partner.get("/agent")
    assert re.search(r'<noscript>\s*<meta http-equiv="refresh" content="3590">', page.text)


def test_the_page_holds_what_it_shows_when_the_portal_is_out_of_reach(
    partner: Visitor, key: str
) -> None:
    log_in(partner, key)
    page = partner.get("/agent").text
    template = page[page.index('<template id="logged-out"') : page.index("</template>")]
    assert "Your temporary license expired at" in template
    assert 'name="login_id"' in template
    assert 'data-ends="2026-11-24T16:40:00Z"' in page


def test_no_cache_keeps_the_window(partner: Visitor, key: str) -> None:
    assert partner.get("/agent").headers["Cache-Control"] == "no-store"
    assert log_in(partner, key).headers["Cache-Control"] == "no-store"
    assert partner.get("/agent").headers["Cache-Control"] == "no-store"


def test_portal_and_agent_live_beside_each_other_in_one_browser(
    partner: Visitor, key: str, cast: Cast
) -> None:
    partner.sign_in(cast.ada)
    partner.get("/agent")
    assert log_in(partner, key).status_code == 303
    assert partner.get("/audit").status_code == 200
    partner.post("/logout")
    assert partner.get("/audit").status_code == 303
    assert partner.get("/agent").status_code == 200
    partner.post("/agent/logout")
    assert "Login ID" in partner.get("/agent").text


def test_whoever_is_signed_in_on_the_agent_only_is_nobody_on_the_portal(
    partner: Visitor, key: str
) -> None:
    log_in(partner, key)
    assert partner.get("/audit").status_code == 303
