"""One machine with several network cards, and a registration of a MAC ID alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.agents import sign_in as signing_in
from app.agents.machines import attach, detach, dissociate, machines_with
from app.agents.registration import MOST_MAC_IDS, register
from app.agents.sign_in import SignedIn
from app.extensions import db
from app.models import Agent, FurtherMacId, PermanentLicense
from tests.agents.stage import (
    BEA,
    LIMITS,
    MAC,
    add_bea,
    add_client,
    beat,
    end_of,
    issue,
    machine_of,
    refusal_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

CARD = "02:00:00:00:00:42"
THIRD = "02:00:00:00:00:43"
THIS = "4C4C4544-0042-3510-8052-B4C04F4A3132"


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def detach_it(session: Session, cast: Cast, agent: Agent) -> None:
    ada = cast.actor(cast.ada)
    detach(session, actor=ada, agent_id=agent.id, now=NOW, limits=LIMITS)
    session.commit()


# Another network card


def test_another_card_of_the_same_machine_is_no_new_registration(
    session: Session, cast: Cast
) -> None:
    first = signed_in(session, cast.carl, machine_id=THIS)
    for mac_id in (CARD, THIRD, CARD, MAC):
        again = signed_in(session, cast.carl, machine_id=THIS, mac_id=mac_id)
        assert machine_of(again) is machine_of(first)
        assert again.license_key is None
    assert machine_of(first).mac_ids == [MAC, CARD, THIRD]
    assert (count(session, Agent), count(session, PermanentLicense)) == (1, 1)


def test_a_partner_with_another_card_works_on_the_registered_machine(
    session: Session, cast: Cast
) -> None:
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    here = signed_in(session, cast.pat, issue(session, cast), machine_id=THIS, mac_id=CARD)
    assert here.agent_session.agent is agent
    assert agent.mac_ids == [MAC, CARD]


def test_a_machine_is_found_by_each_of_its_mac_ids(session: Session, cast: Cast) -> None:
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)
    for mac_id in (MAC, CARD):
        assert list(machines_with(session, mac_id=mac_id)) == [agent]
    assert machine_of(signed_in(session, cast.carl, mac_id=CARD)) is agent


def test_of_cards_without_number_some_are_kept(session: Session, cast: Cast) -> None:
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    for number in range(MOST_MAC_IDS + 2):
        mac_id = f"02:00:00:00:01:{number:02X}"
        assert machine_of(signed_in(session, cast.carl, machine_id=THIS, mac_id=mac_id)) is agent
    assert len(agent.mac_ids) == MOST_MAC_IDS


def test_a_card_claimed_shuts_nobody_of_another_organisation_out(
    session: Session, cast: Cast
) -> None:
    """Else one machine ID and many MAC IDs would do what the limit on registrations forbids."""
    add_bea(session, cast)
    signed_in(session, BEA, machine_id=THIS)
    agent = machine_of(signed_in(session, BEA, machine_id=THIS, mac_id=CARD))
    assert machine_of(signed_in(session, cast.carl, mac_id=CARD)).organisation_id == cast.acme
    detach_it(session, cast, agent)
    signed_in(session, cast.carl, mac_id=CARD, machine_id="another")


def test_a_card_that_another_organisation_registered_shuts_the_machine_out_of_nothing(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    signed_in(session, BEA, mac_id=CARD)
    assert machine_of(signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)) is agent


def test_a_dissociated_machine_is_free_on_every_card(session: Session, cast: Cast) -> None:
    add_bea(session, cast)
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)
    ada = cast.actor(cast.ada)
    dissociate(session, actor=ada, agent_id=agent.id, now=NOW, limits=LIMITS)
    session.commit()
    for mac_id in (CARD, MAC):
        here = signed_in(session, BEA, machine_id=THIS, mac_id=mac_id)
        assert machine_of(here).organisation_id == cast.bolt
    assert count(session, Agent) == 2


# A block holds for the machine


@pytest.mark.parametrize(
    ("mac_id", "machine_id"),
    [(MAC, THIS), (MAC, ""), (MAC, "another"), (CARD, THIS), (CARD, ""), (THIRD, THIS)],
)
def test_a_detached_machine_is_refused_by_its_mac_ids_and_by_its_machine_id(
    session: Session, cast: Cast, mac_id: str, machine_id: str
) -> None:
    add_bea(session, cast)
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)
    key = text_of(issue(session, cast, cast.bolt))
    detach_it(session, cast, agent)
    for who, pasted in ((cast.carl, ""), (BEA, ""), (cast.pat, key), (cast.dev, key)):
        answer = try_to_sign_in(session, who, pasted, mac_id=mac_id, machine_id=machine_id)
        assert refusal_of(answer).code == "agent_blocked"
    assert count(session, Agent) == 1
    attach(session, actor=cast.actor(cast.ada), agent_id=agent.id, now=NOW)
    session.commit()
    signed_in(session, cast.carl, mac_id=mac_id, machine_id=machine_id)


def test_detaching_logs_out_who_is_on_the_machine_without_being_on_its_registration(
    session: Session, cast: Cast
) -> None:
    license = issue(session, cast)
    agent = machine_of(signed_in(session, cast.carl))
    partner = signed_in(session, cast.pat, license, machine_id=THIS)
    elsewhere = signed_in(session, cast.dev, license, machine_id="another", mac_id=CARD)
    assert partner.agent_session.agent is None
    detach_it(session, cast, agent)
    assert end_of(session, partner.token, NOW)[0] == "agent_blocked"
    assert getattr(beat(session, elsewhere.token, NOW), "id", None) == elsewhere.agent_session.id


# A registration of a MAC ID alone


def test_a_registration_takes_on_the_machine_id_of_its_organisations_next_sign_in(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    agent = machine_of(signed_in(session, cast.carl))
    partner = signed_in(session, cast.pat, issue(session, cast), machine_id=THIS)
    assert agent.machine_id_hash == ""
    assert refusal_of(try_to_sign_in(session, BEA, machine_id=THIS)).code == (
        "machine_registered_elsewhere"
    )
    assert agent.machine_id_hash == ""
    again = signed_in(session, cast.carl, machine_id=THIS)
    assert machine_of(again) is agent
    assert agent.machine_id_hash == again.agent_session.machine_id_hash != ""
    session.refresh(partner.agent_session)
    assert partner.agent_session.agent is agent
    assert machine_of(signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)) is agent
    clone = signed_in(session, cast.carl, machine_id="a clone's")
    assert machine_of(clone) is not agent


@pytest.mark.parametrize("owner", ["acme", "bolt"])
def test_a_partners_machine_stays_unregistered_where_only_its_mac_id_is_registered(
    session: Session, cast: Cast, owner: str
) -> None:
    add_bea(session, cast)
    signed_in(session, cast.carl if owner == "acme" else BEA)
    here = signed_in(session, cast.pat, issue(session, cast), machine_id=THIS)
    assert here.agent_session.agent is None
    assert count(session, Agent) == 1


def test_the_own_registration_of_a_machine_goes_before_one_with_its_mac_id(
    session: Session, cast: Cast
) -> None:
    """Nor does it take the machine ID of another, or there would be two of one machine."""
    other = machine_of(signed_in(session, cast.carl, mac_id=CARD))
    agent = machine_of(signed_in(session, cast.carl, machine_id=THIS))
    assert machine_of(signed_in(session, cast.carl, machine_id=THIS, mac_id=CARD)) is agent
    assert other.machine_id_hash == ""


# At the same instant


def test_of_two_first_sign_ins_with_two_cards_at_once_one_registers(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(2)

    def register_together(*details: object, **more: object) -> object:
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.3)
        return register(*details, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(signing_in, "register", register_together)
    with app.app_context():
        add_bea(db.session(), cast)
        add_client(db.session(), cast, "carol@example.com", cast.acme)

    def come(who: str, mac_id: str) -> bool:
        with app.app_context():
            answer = try_to_sign_in(
                db.session(), who, mac_id=mac_id, machine_id=THIS, address=f"192.0.2.{mac_id[-1]}"
            )
            return isinstance(answer, SignedIn)

    # Two people of one organisation: one person's sign-ins wait for each other anyway.
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(come, (cast.carl, "carol@example.com"), (MAC, CARD))) == [True, True]
    with app.app_context():
        [agent] = db.session.scalars(select(Agent))
        assert sorted(agent.mac_ids) == sorted([MAC, CARD])
        assert count(db.session(), PermanentLicense) == 1
        assert count(db.session(), FurtherMacId) == 1
