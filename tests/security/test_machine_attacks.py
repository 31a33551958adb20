"""Attacks with MAC IDs and machine IDs, over HTTP, each with its story."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.agents.machines import dissociate
from app.extensions import db
from app.models import Agent, AgentSession, PermanentLicense
from tests.agents.api_stage import (
    BEA,
    OTHER_MAC,
    Answer,
    RealAgent,
    add_bea,
    detach_machine,
    over_http,
    registered,
    serving,
    to_the_app,
)
from tests.agents.stage import LIMITS, MAC, issue, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor

pytestmark = pytest.mark.databases("sqlite", "postgres")

THIS = "4C4C4544-0042-3510-8052-B4C04F4A3132"
New = Callable[..., RealAgent]


@pytest.fixture
def machine(app: Flask, cast: Cast, clock: Clock) -> New:
    """Makes an agent with a MAC ID."""
    with app.app_context():
        add_bea(db.session(), cast)
    return lambda mac_id=MAC: RealAgent(to_the_app(app.test_client()), mac_id)


@pytest.fixture
def key(app: Flask, cast: Cast, clock: Clock) -> str:
    with app.app_context():
        return text_of(issue(db.session(), cast))


def sessions_on_agents(app: Flask) -> list[int | None]:
    with app.app_context():
        return list(db.session.scalars(select(AgentSession.agent_id).order_by(AgentSession.id)))


@pytest.mark.parametrize("who", ["carl", "bea", "pat"])
def test_a_detached_laptop_with_a_usb_network_card(
    app: Flask, cast: Cast, machine: New, key: str, who: str
) -> None:
    """Mallory's laptop is detached. He plugs in another card, which no registration knows."""
    assert machine().sign_in(cast.carl, machine_id=THIS).status == 201
    with app.app_context():
        detach_machine(db.session(), cast)
    login_id, pasted = {"carl": (cast.carl, None), "bea": (BEA, None), "pat": (cast.pat, key)}[who]
    answer = machine(OTHER_MAC).sign_in(login_id, pasted, machine_id=THIS)
    assert (answer.status, answer.code) == (403, "agent_blocked")
    with app.app_context():
        assert len(registered(db.session())) == 1
        assert db.session.scalar(select(func.count()).select_from(PermanentLicense)) == 1


def test_a_client_user_registers_a_partners_mac_id(
    app: Flask, cast: Cast, machine: New, key: str
) -> None:
    """Mallory, of Bolt, has read the MAC ID of Pat's laptop off the network and registers it."""
    pat = machine()
    assert pat.sign_in(cast.pat, key, machine_id=THIS).status == 201
    assert machine().sign_in(BEA).status == 201
    assert pat.heartbeat().status == 200
    assert sessions_on_agents(app)[0] is None
    again = machine()
    answer = again.sign_in(cast.pat, key, machine_id=THIS)
    assert answer.status == 201
    assert sessions_on_agents(app)[-1] is None
    assert b"Bolt" not in answer.body


def test_a_registration_takes_no_session_of_another_organisation_along(
    app: Flask, cast: Cast, machine: New, key: str
) -> None:
    """Pat's agent sends no machine ID. Mallory, of Bolt, registers its MAC ID and gives it up."""
    pat = machine()
    assert pat.sign_in(cast.pat, key).status == 201
    assert machine().sign_in(BEA).status == 201
    assert sessions_on_agents(app)[0] is None
    with app.app_context():
        [agent] = registered(db.session())
        ada = cast.actor(cast.ada)
        dissociate(db.session(), actor=ada, agent_id=agent.id, now=NOW, limits=LIMITS)
        db.session.commit()
    assert pat.heartbeat().status == 200


def test_a_partner_learns_no_other_customers_name(cast: Cast, machine: New, key: str) -> None:
    """Pat tries MAC IDs, to learn who else is a customer."""
    assert machine().sign_in(BEA).status == 201
    answer = machine().sign_in(cast.pat, key)
    assert (answer.status, answer.code) == (403, "machine_registered_elsewhere")
    assert answer.json["detail"] == "Your machine is registered with another organisation."
    assert "registered_to" not in answer.json
    assert b"Bolt" not in answer.body
    told = machine().sign_in(cast.carl)
    assert told.json["registered_to"] == "Bolt & Söhne"


def test_fifteen_machines_in_seven_seconds(
    app: Flask, cast: Cast, machine: New, clock: Clock
) -> None:
    """Mallory registers every MAC ID of a building, from two addresses at once in the end."""
    for number in range(20):
        clock.advance(seconds=0.5)
        assert machine(f"02:00:00:00:02:{number:02X}").sign_in(BEA).status == 201
    for mac_id in (OTHER_MAC, MAC):
        answer = machine(mac_id).sign_in(BEA)
        assert (answer.status, answer.code) == (429, "throttled")
        assert answer.headers["Retry-After"] == "3591"
        assert answer.json["detail"].startswith("You have registered too many machines.")
    assert machine("02:00:00:00:02:00").sign_in(BEA).status == 201
    assert machine(OTHER_MAC).sign_in(cast.carl).status == 201
    with app.app_context():
        assert len(registered(db.session())) == 21


@pytest.mark.parametrize(("seconds", "status"), [(3599, 429), (3600, 201)])
def test_after_an_hour_another_machine_may_be_registered(
    machine: New, clock: Clock, seconds: int, status: int
) -> None:
    for number in range(20):
        assert machine(f"02:00:00:00:02:{number:02X}").sign_in(BEA).status == 201
    clock.advance(seconds=seconds)
    assert machine().sign_in(BEA).status == status


def test_other_cards_of_a_machine_do_not_count(machine: New, clock: Clock) -> None:
    for number in range(20):
        machine(f"02:00:00:00:02:{number:02X}").sign_in(BEA, machine_id=f"machine {number}")
    assert machine(OTHER_MAC).sign_in(BEA, machine_id="machine 7").status == 201


def test_machines_registered_at_once_count_too(app: Flask, cast: Cast, machine: New) -> None:
    """Mallory sends all of them at the same instant, hoping that each counts before the others."""
    for number in range(17):
        assert machine(f"02:00:00:00:02:{number:02X}").sign_in(BEA).status == 201
    start = threading.Barrier(6)

    def come(number: int, port: int) -> Answer:
        agent = RealAgent(over_http(port), f"02:00:00:00:03:{number:02X}")
        start.wait(30)
        return agent.sign_in(BEA)

    with serving(app) as port, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: come(number, port), range(6)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [429] * 3
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Agent)) == 20


def test_the_browsers_agent_says_so_at_the_form(app: Flask, machine: New, visitor: Visitor) -> None:
    for number in range(20):
        machine(f"02:00:00:00:02:{number:02X}").sign_in(BEA)
    visitor.get("/agent")
    page = visitor.post("/agent", {"login_id": BEA, "password": PASSWORD, "mac_id": MAC})
    assert page.status_code == 429
    assert page.headers["Retry-After"] == "3600"
    assert "You have registered too many machines. Try again in 3600 seconds." in page.text
    assert BEA in page.text


def test_the_agents_tab_shows_one_machine_with_all_its_mac_ids(
    cast: Cast, machine: New, ada: Visitor
) -> None:
    for mac_id in (MAC, OTHER_MAC):
        assert machine(mac_id).sign_in(cast.carl, machine_id=THIS).status == 201
    page = ada.get(f"/projects/{cast.acme_project}/agents")
    assert page.text.count('<tr id="machine-') == 1

    for mac_id in (MAC, OTHER_MAC):
        assert mac_id in page.text
