"""The OP Agent in the browser: its window, the way in, and every way out."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.accounts.users import disable_user
from app.agents.configuration import configuration_of, save_configuration
from app.agents.live_sessions import end_session
from app.agents.machines import detach, dissociate, revoke_permanent_license
from app.audit.tags import AuditTag
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import Agent, AgentSession, Project, TemporaryLicense
from tests.agents.stage import BEA, HOUR, LIMITS, add_bea, events, issue, signed_in, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor

MEGABYTE = 1024 * 1024
EXPIRED = "Your temporary license expired at 16:40 UTC. You have been logged out."
A_MINUTE_LATER = NOW + timedelta(minutes=1)
TAG_ENDED = AuditTag.AGENT_SESSION_ENDED


@pytest.fixture
def license(app: Flask, cast: Cast, clock: Clock) -> TemporaryLicense:
    """A license of Acme's, of one hour, issued now."""
    with app.app_context():
        license = issue(db.session(), cast)
        _ = license.organisation.name
        db.session.expunge_all()
    return license


@pytest.fixture
def key(app: Flask, license: TemporaryLicense) -> str:
    return text_of(license, app)


@pytest.fixture
def partner(app: Flask, cast: Cast) -> Visitor:
    """A browser at the OP Agent's window; nobody is signed in."""
    visitor = Visitor(app.test_client())
    visitor.get("/agent")
    return visitor


def log_in(visitor: Visitor, key: str = "", **fields: object) -> TestResponse:
    values = {"login_id": Cast.pat, "password": PASSWORD, "registration_key": key, **fields}
    return visitor.post("/agent", values)


def beside(answer: TestResponse, field: str) -> str:
    """The sentence beside a field, as a person reads it; "" if there is none."""
    match = re.search(rf'id="{field}-error">(.*?)</p>', answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", match[1]).split()) if match else ""


def told(answer: TestResponse) -> str:
    """What the notice above the window's content says."""
    match = re.search(r'class="alert-heading">(.*?)</p>', answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", match[1]).split()) if match else ""


def stored(app: Flask) -> list[AgentSession]:
    with app.app_context():
        return list(db.session.scalars(select(AgentSession).order_by(AgentSession.id)))


# The way in


def test_the_window_has_the_fields_and_buttons_of_the_original(partner: Visitor) -> None:
    page = partner.get("/agent")
    assert page.status_code == 200
    assert "<title>OP Agent log-in · Rolling Window</title>" in page.text
    for name in ("Login ID", "Password", "Registration Key", "MAC ID"):
        assert re.search(rf"<label[^>]*>{name}</label>", page.text)
    assert "Save configuration data in Cloud" in page.text
    assert "Registration key options" in page.text
    assert "Checking login status..." in page.text
    assert page.text.count("<h1") == 1


def test_a_partner_signs_in_and_works(
    partner: Visitor, key: str, license: TemporaryLicense
) -> None:
    answer = log_in(partner, key)
    assert (answer.status_code, answer.location) == (303, "/agent")
    page = partner.get("/agent")
    assert page.status_code == 200
    assert re.search(r"<h1[^>]*>\s*Acme\s*</h1>", page.text)
    assert "<title>Acme · Rolling Window</title>" in page.text
    assert license.key_id in page.text
    assert "Time left" in page.text
    assert "1 hr" in page.text
    assert Cast.pat in page.text
    assert re.search(r"disabled\s+aria-describedby=\"save-reason\"", page.text)
    assert key not in page.text


def test_by_htmx_the_browser_is_sent_on_to_the_workspace(partner: Visitor, key: str) -> None:
    answer = partner.post(
        "/agent",
        {"login_id": Cast.pat, "password": PASSWORD, "registration_key": key},
        htmx=True,
    )
    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"] == "/agent"


def test_the_cookie_is_the_agents_own(app: Flask, partner: Visitor, key: str) -> None:
    cookie = cookie_of(log_in(partner, key), "op_agent")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/agent" in cookie
    assert "Secure" not in cookie
    assert "Max-Age" not in cookie


def test_behind_https_the_cookies_are_secure(
    app: Flask, partner: Visitor, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(app.extensions["config"], https=True)
    monkeypatch.setitem(app.extensions, "config", config)
    answer = log_in(partner, key)
    assert "Secure" in cookie_of(answer, "op_agent")
    assert "Secure" in cookie_of(answer, "op_agent_mac")


def cookie_of(answer: TestResponse, name: str) -> str:
    return next(
        value for value in answer.headers.getlist("Set-Cookie") if value.startswith(f"{name}=")
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"password": "wrong"}, (401, "password", "Login ID or password is wrong.")),
        ({"login_id": Cast.ada}, (422, "login_id", "Your account works on the portal")),
        ({"login_id": Cast.carl}, (422, "registration_key", "is for partners and developers")),
        ({"registration_key": ""}, (422, "registration_key", "You need a registration key.")),
        ({"registration_key": "rw1.x"}, (422, "registration_key", "is not valid here")),
        ({"mac_id": "nonsense"}, (422, "mac_id", "This is not a MAC ID.")),
        ({"login_id": " "}, (422, "login_id", "Enter your login ID")),
        ({"password": ""}, (422, "password", "Enter your password.")),
        ({"login_id": "x" * 255}, (422, "login_id", "too long")),
        ({"password": "x" * 1001}, (422, "password", "too long")),
    ],
)
def test_a_refusal_is_told_beside_its_field_with_the_input_kept(
    partner: Visitor, key: str, fields: dict[str, str], expected: tuple[int, str, str]
) -> None:
    status, field, sentence = expected
    values = {
        "login_id": Cast.pat,
        "password": PASSWORD,
        "registration_key": key,
        "mac_id": "00-1a-2b-3c-4d-5e",
    } | fields
    for htmx in (False, True):
        answer = partner.post("/agent", values, htmx=htmx)
        assert answer.status_code == status
        assert sentence in beside(answer, field)
        assert ("<html" in answer.text) is not htmx
        if values["login_id"].strip():
            assert f'value="{values["login_id"]}"' in answer.text
        if values["registration_key"].strip():
            assert values["registration_key"] in answer.text
        assert PASSWORD not in answer.text
        assert "op_agent=" not in "".join(answer.headers.getlist("Set-Cookie"))
    assert stored(partner.client.application) == []


def test_an_expired_key_is_refused_saying_when(
    partner: Visitor, key: str, license: TemporaryLicense, clock: Clock
) -> None:
    clock.advance(seconds=HOUR)
    answer = log_in(partner, key)
    assert answer.status_code == 422
    assert beside(answer, "registration_key") == (
        "This registration key expired at 16:40 UTC. Ask for a new one."
    )
    assert 'datetime="2026-11-24T16:40:00Z"' in answer.text
    clock.advance(days=2)
    assert "Tue 24 Nov 2026, 16:40 UTC" in beside(log_in(partner, key), "registration_key")


def test_an_error_about_the_key_opens_the_options(partner: Visitor) -> None:
    shut = partner.get("/agent").text
    assert 'aria-expanded="false"' in shut
    assert "key-options is-shown" not in shut
    open_ = log_in(partner).text
    assert 'aria-expanded="true"' in open_
    assert "key-options is-shown" in open_


@pytest.mark.parametrize(
    "mangle",
    [
        lambda key: f'"{key}"',
        lambda key: f"\r\n  {key[:76]}\r\n{key[76:]}\r\n",
        lambda key: f"«{key}»",
    ],
    ids=["in quotes", "wrapped over lines", "in angle quotes"],
)
def test_a_key_that_came_by_email_is_accepted(
    partner: Visitor, key: str, mangle: Callable[[str], str]
) -> None:
    assert log_in(partner, mangle(key)).status_code == 303


@pytest.mark.parametrize(
    "mangle",
    [
        lambda key: key[:-7],
        lambda key: key[4:],
        lambda key: key + key,
        lambda key: f"{key}\n{key}",
        lambda key: f"Key: {key}",
        lambda key: key + "x" * MEGABYTE,
        lambda key: key + "\x00",
        lambda key: '"' * 600_000 + key[1:],
    ],
    ids=["cut", "beheaded", "doubled", "twice", "labelled", "1 MB", "NUL", "many quotes"],
)
def test_a_key_that_is_not_whole_gets_a_clear_answer(
    app: Flask, partner: Visitor, key: str, mangle: Callable[[str], str]
) -> None:
    answer = log_in(partner, mangle(key))
    assert answer.status_code == 422
    assert "Copy the whole key again" in beside(answer, "registration_key")
    assert stored(app) == []


def test_more_than_a_form_may_hold_is_too_much(partner: Visitor) -> None:
    assert log_in(partner, "x" * 3 * MEGABYTE).status_code == 413


def test_with_a_key_the_checkbox_counts_for_nothing(partner: Visitor, key: str) -> None:
    answer = log_in(partner, key, password="wrong", save_configuration="y")
    checkbox = re.search(r'<input[^>]*id="save_configuration"[^>]*>', answer.text)
    assert checkbox
    assert "disabled" in checkbox[0]
    assert "checked" not in checkbox[0]
    without = log_in(partner, "", password="wrong", save_configuration="y")
    checkbox = re.search(r'<input[^>]*id="save_configuration"[^>]*>', without.text)
    assert checkbox
    assert "disabled" not in checkbox[0]
    assert "checked" in checkbox[0]


def test_too_many_wrong_passwords_are_told_to_wait(
    partner: Visitor, key: str, clock: Clock
) -> None:
    for _ in range(10):
        assert log_in(partner, key, password="wrong").status_code == 401
    answer = log_in(partner, key)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert "Try again in 60 seconds." in beside(answer, "password")
    clock.advance(seconds=60)
    assert log_in(partner, key).status_code == 303


def test_wrong_passwords_here_count_on_the_portal_too(partner: Visitor, key: str) -> None:
    for _ in range(10):
        log_in(partner, key, password="wrong")
    assert partner.sign_in(Cast.pat).status_code == 429


# The MAC ID


def test_a_blank_mac_id_is_this_browsers_own_for_good(
    app: Flask, partner: Visitor, key: str
) -> None:
    first = cookie_of(partner.get("/agent"), "op_agent_mac")
    assert "Max-Age=31536000" in first
    assert "Path=/agent" in first
    for _ in range(2):
        log_in(partner, key)
    one, two = stored(app)
    assert one.mac_id == two.mac_id
    assert one.mac_id in first
    assert int(one.mac_id[:2], 16) & 0b11 == 0b10
    assert one.mac_id in partner.get("/agent").text


def test_another_browser_has_another_mac_id(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    log_in(Visitor(app.test_client()), key)
    one, two = stored(app)
    assert one.mac_id != two.mac_id


def test_a_mac_id_that_is_typed_is_stored_in_the_one_spelling(
    app: Flask, partner: Visitor, key: str
) -> None:
    log_in(partner, key, mac_id=" 001a.2b3c.4d5e ")
    (here,) = stored(app)
    assert here.mac_id == "00:1A:2B:3C:4D:5E"
    assert here.mac_id not in cookie_of(partner.get("/agent"), "op_agent_mac")


# The ways out


@pytest.mark.parametrize("seconds", [-1, -0.001])
def test_until_the_expiry_the_partner_works(
    partner: Visitor, key: str, license: TemporaryLicense, clock: Clock, seconds: float
) -> None:
    clock.instant = license.expires_at - timedelta(minutes=10)
    log_in(partner, key)
    clock.instant = license.expires_at + timedelta(seconds=seconds)
    assert partner.get("/agent").status_code == 200


@pytest.mark.parametrize("seconds", [0, 0.001, 1, 59])
@pytest.mark.parametrize("htmx", [False, True], ids=["page", "heartbeat"])
def test_the_first_request_at_the_expiry_is_refused_saying_why(
    partner: Visitor, key: str, clock: Clock, seconds: float, htmx: bool
) -> None:
    clock.advance(minutes=50)
    log_in(partner, key)
    clock.advance(minutes=10, seconds=seconds)
    answer = partner.get("/agent", htmx=htmx)
    assert answer.status_code == 401
    assert told(answer) == EXPIRED
    assert 'datetime="2026-11-24T16:40:00Z"' in answer.text
    assert "Login ID" in answer.text


def test_every_window_of_a_browser_is_told_and_a_new_page_begins_afresh(
    partner: Visitor, key: str, clock: Clock
) -> None:
    clock.advance(minutes=50)
    log_in(partner, key)
    clock.advance(minutes=10)
    for _ in range(2):
        assert told(partner.get("/agent", htmx=True)) == EXPIRED
    assert told(partner.get("/agent")) == EXPIRED
    afresh = partner.get("/agent")
    assert afresh.status_code == 200
    assert told(afresh) == ""


def test_a_heartbeat_gets_the_window_alone(partner: Visitor, key: str, clock: Clock) -> None:
    log_in(partner, key)
    clock.advance(seconds=5)
    answer = partner.get("/agent", htmx=True)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "<title>Acme · Rolling Window</title>" in answer.text
    assert 'hx-trigger="every 5s, check"' in answer.text
    assert "X-Server-Now" in answer.headers


def test_a_window_left_open_for_a_day_is_told_the_day(
    partner: Visitor, key: str, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(days=2)
    assert "Tue 24 Nov 2026" in told(partner.get("/agent"))


def revoking(session: Session, cast: Cast) -> None:
    (license,) = session.scalars(select(TemporaryLicense))
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=A_MINUTE_LATER)


def disabling(session: Session, cast: Cast) -> None:
    disable_user(session, email=cast.pat, actor=cast.actor(cast.ada), now=A_MINUTE_LATER)


def ending(session: Session, cast: Cast) -> None:
    (found,) = session.scalars(select(AgentSession))
    end_session(
        session,
        actor=cast.actor(cast.ada),
        session_id=found.id,
        now=A_MINUTE_LATER,
        limits=LIMITS,
    )


@pytest.mark.parametrize(
    "case",
    [
        (revoking, "Your temporary license was revoked at 15:41 UTC. You have been logged out."),
        (disabling, "Your account was disabled. You have been logged out."),
        (ending, "A super admin ended your session at 15:41 UTC. You have been logged out."),
    ],
)
def test_the_next_heartbeat_tells_what_somebody_did(
    partner: Visitor,
    cast: Cast,
    key: str,
    clock: Clock,
    case: tuple[Callable[[Session, Cast], None], str],
) -> None:
    end, sentence = case
    log_in(partner, key)
    clock.instant = A_MINUTE_LATER
    with partner.client.application.app_context():
        end(db.session(), cast)
        db.session.commit()
    answer = partner.get("/agent", htmx=True)
    assert answer.status_code == 401
    assert told(answer) == sentence
    assert cast.ada not in answer.text


def test_a_browser_that_slept_is_told_that_it_was_not_heard_from(
    app: Flask, partner: Visitor, cast: Cast, clock: Clock
) -> None:
    with app.app_context():
        key = text_of(issue(db.session(), cast))
    log_in(partner, key)
    clock.advance(seconds=900)
    answer = partner.get("/agent")
    assert answer.status_code == 401
    assert "not heard from for too long, so your session ended at 15:55 UTC" in told(answer)


def test_a_clock_set_back_by_an_hour_lets_nobody_work(
    partner: Visitor, key: str, clock: Clock
) -> None:
    log_in(partner, key)
    clock.advance(hours=-1)
    answer = partner.get("/agent")
    assert answer.status_code == 401
    assert "not valid yet" in told(answer)
    assert "is not valid here" in beside(log_in(partner, key), "registration_key")


def test_logging_out_kills_the_cookie_and_says_so(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    token = partner.client.get_cookie("op_agent", path="/agent").value
    answer = partner.post("/agent/logout")
    assert (answer.status_code, answer.location) == (303, "/agent")
    page = partner.get("/agent")
    assert "You are logged out." in page.text
    assert "Login ID" in page.text
    partner.client.set_cookie("op_agent", token, path="/agent")
    assert partner.get("/agent").status_code == 401
    with app.app_context():
        (event,) = events(db.session(), TAG_ENDED)
        assert event.data["cause"] == "signed_out"


def test_logging_out_twice_or_without_having_been_in_is_no_error(partner: Visitor) -> None:
    for _ in range(2):
        assert partner.post("/agent/logout").status_code == 303


def test_signing_in_again_in_the_same_browser_ends_the_earlier_session(
    app: Flask, partner: Visitor, key: str
) -> None:
    log_in(partner, key)
    log_in(partner, key, login_id=Cast.dev)
    first, second = stored(app)
    assert first.end_code == "signed_out"
    assert second.ended_at is None


def proofs(app: Flask) -> tuple[object, object]:
    """When the latest session's agent was told of its end, and when it confirmed."""
    found = stored(app)[-1]
    return found.told_at, found.confirmed_at


@pytest.fixture
def ended(app: Flask, partner: Visitor, key: str, cast: Cast, clock: Clock) -> Visitor:
    """A partner's browser whose session a super admin has ended a minute later."""
    log_in(partner, key)
    clock.instant = A_MINUTE_LATER
    with app.app_context():
        ending(db.session(), cast)
        db.session.commit()
    return partner


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "heartbeat"])
def test_the_page_confirms_that_it_has_logged_out(
    app: Flask, ended: Visitor, clock: Clock, htmx: bool
) -> None:
    answer = ended.get("/agent", htmx=htmx)
    assert answer.status_code == 401
    assert proofs(app) == (A_MINUTE_LATER, None)
    assert re.search(r'hx-post="/agent/confirm"\s+hx-trigger="load"', answer.text)
    confirmed_at = clock.advance(seconds=1)
    assert ended.post("/agent/confirm", htmx=True).status_code == 204
    assert proofs(app) == (A_MINUTE_LATER, confirmed_at)
    clock.advance(seconds=1)
    ended.post("/agent/confirm", htmx=True)
    assert proofs(app) == (A_MINUTE_LATER, confirmed_at)


def test_after_the_confirmation_nothing_of_the_session_is_kept(ended: Visitor) -> None:
    answer = ended.get("/agent")
    assert cookie_of(answer, "op_agent").startswith("op_agent=;")
    kept = cookie_of(answer, "op_agent_ended")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/agent", "Max-Age=300"):
        assert part in kept
    answer = ended.post("/agent/confirm")
    assert cookie_of(answer, "op_agent_ended").startswith("op_agent_ended=;")
    assert ended.get("/agent").status_code == 200


def test_confirming_ends_no_session_that_lives(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    assert partner.post("/agent/confirm").status_code == 204
    assert partner.get("/agent").status_code == 200
    assert stored(app)[-1].ended_at is None


def test_confirming_without_a_session_is_no_error(partner: Visitor) -> None:
    assert partner.post("/agent/confirm").status_code == 204


def test_a_window_told_late_does_not_end_the_session_begun_meanwhile(
    app: Flask, ended: Visitor, key: str
) -> None:
    ended.get("/agent", htmx=True)
    log_in(ended, key)
    ended.post("/agent/confirm", htmx=True)
    assert ended.get("/agent").status_code == 200
    earlier, later = stored(app)
    assert earlier.confirmed_at is not None
    assert later.ended_at is None


# Client users, on machines of their organisation


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


# Under a temporary license


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
        assert (event.actor, event.subject) == (Cast.pat, license.key_id)


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
