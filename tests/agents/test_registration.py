"""Registering machines: the first sign-in, the license that is minted, and telling clones apart."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from flask import Flask
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.agents import sign_in as signing_in
from app.agents.heartbeats import heartbeat
from app.agents.machines import detach, dissociate
from app.agents.registration import register
from app.agents.sign_in import SignedIn, Throttled
from app.agents.sign_in_rules import Refusal
from app.api.schemas import SignInBody
from app.audit.feed import FeedKind
from app.audit.tags import AuditTag
from app.core.errors import KeyInvalid
from app.extensions import db
from app.keyformat.license_keys import read_temporary_key
from app.models import Agent, AgentSession, Base, Installation, PermanentLicense
from tests.agents.stage import (
    LIMITS,
    MAC,
    add_bea,
    events,
    feed,
    issue,
    machine_of,
    public_keys,
    refusal_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, Cast
from tests.permanent_license import read_permanent_license

pytestmark = pytest.mark.databases("sqlite", "postgres")

SECOND = timedelta(seconds=1)
MACHINE_ID = "4C4C4544-0042-3510-8052-B4C04F4A3132"


def registered(session: Session) -> list[Agent]:
    return list(session.scalars(select(Agent).order_by(Agent.id)))


def test_the_first_client_user_on_a_machine_registers_it(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.carl, now=NOW + timedelta(seconds=0.7), hostname="LAPTOP-7")
    (agent,) = registered(session)
    assert machine_of(here) is agent
    assert (agent.organisation_id, agent.mac_id, agent.hostname) == (cast.acme, MAC, "LAPTOP-7")
    assert agent.registered_by.email == cast.carl
    assert agent.license.organisation_id == cast.acme
    assert agent.license.issued_at == NOW
    (event,) = events(session, AuditTag.MACHINE_REGISTERED)
    assert (event.actor, event.subject) == (cast.carl, f"LAPTOP-7 ({MAC})")
    assert event.data["key_id"] == agent.license.key_id
    assert feed(session) == [
        (FeedKind.CLIENT_SIGNED_IN, cast.carl, f"LAPTOP-7 ({MAC})"),
        (FeedKind.MACHINE_REGISTERED, cast.carl, f"LAPTOP-7 ({MAC})"),
    ]


@pytest.mark.parametrize("machine_id", ["", MACHINE_ID])
def test_its_license_is_told_once_and_can_be_checked_off_line(
    session: Session, cast: Cast, machine_id: str
) -> None:
    first = signed_in(session, cast.carl, machine_id=machine_id)
    again = signed_in(session, cast.carl, now=NOW + timedelta(hours=1), machine_id=machine_id)
    assert again.license_key is None
    assert machine_of(first) is machine_of(again)
    assert first.license_key is not None
    signed = read_permanent_license(first.license_key, public_keys(session))
    license = machine_of(first).license
    assert (signed["jti"], signed["org"]) == (license.key_id, cast.acme)
    assert (signed["mac"], signed.get("machine")) == (MAC, machine_id or None)
    assert signed["issued_at"] == license.issued_at
    with pytest.raises(KeyInvalid):
        read_temporary_key(first.license_key, public_keys(session).get)


def test_neither_the_license_nor_the_machine_id_is_in_the_database(
    session: Session, cast: Cast
) -> None:
    here = signed_in(session, cast.carl, machine_id=MACHINE_ID)
    dump = "\n".join(
        str(row) for table in Base.metadata.sorted_tables for row in session.execute(table.select())
    )
    assert here.license_key is not None
    assert machine_of(here).license.key_id in dump
    for secret in (here.license_key, *here.license_key.split(".")[1:], MACHINE_ID, here.token):
        assert secret not in dump
    assert here.license_key not in repr(here)


def test_the_machine_id_is_hashed_with_this_installations_salt(
    session: Session, cast: Cast
) -> None:
    first = machine_of(signed_in(session, cast.carl, machine_id=MACHINE_ID))
    assert len(first.machine_id_hash) == 64
    installation = session.get(Installation, 1)
    assert installation is not None
    installation.machine_salt = "another portal's"
    session.commit()
    second = machine_of(signed_in(session, cast.carl, machine_id=MACHINE_ID))
    assert first.machine_id_hash != second.machine_id_hash


@pytest.mark.parametrize(("length", "accepted"), [(0, True), (128, True), (129, False)])
def test_a_machine_id_has_at_most_128_characters(length: int, accepted: bool) -> None:
    fields = {"login_id": "a@b.example", "password": "x", "mac_id": MAC, "machine_id": "x" * length}
    if accepted:
        assert SignInBody.model_validate(fields).machine_id == "x" * length
    else:
        with pytest.raises(ValidationError):
            SignInBody.model_validate(fields)


def test_the_longest_machine_id_works(session: Session, cast: Cast) -> None:
    one = machine_of(signed_in(session, cast.carl, machine_id="x" * 128))
    assert machine_of(signed_in(session, cast.carl, machine_id="x" * 128)) is one


# A permanent license signs nobody in


def test_a_permanent_license_is_no_registration_key(session: Session, cast: Cast) -> None:
    text = signed_in(session, cast.carl).license_key
    assert text is not None
    by_partner = refusal_of(try_to_sign_in(session, cast.pat, text))
    by_client = refusal_of(try_to_sign_in(session, cast.carl, text))
    assert by_partner.code == "key_invalid"
    assert by_client.code == "temporary_key_not_for_clients"


def test_a_key_id_is_no_registration_key(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    assert refusal_of(try_to_sign_in(session, cast.pat, license.key_id)).code == "key_invalid"


# Which machine is it?


def test_the_same_mac_id_with_another_machine_id_is_another_machine(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    one = machine_of(signed_in(session, cast.carl, machine_id="one"))
    two = machine_of(signed_in(session, "bea@example.com", machine_id="two"))
    assert (one.organisation_id, two.organisation_id) == (cast.acme, cast.bolt)
    assert machine_of(signed_in(session, cast.carl, machine_id="one")) is one


def test_changed_between_two_sign_ins_a_machine_id_makes_another_machine(
    session: Session, cast: Cast
) -> None:
    first = signed_in(session, cast.carl, machine_id="before")
    second = signed_in(session, cast.carl, machine_id="after")
    assert second.license_key is not None
    assert machine_of(first) is not machine_of(second)


@pytest.mark.parametrize(("first", "then"), [("", MACHINE_ID), (MACHINE_ID, ""), ("", "")])
def test_where_either_side_has_no_machine_id_the_mac_id_alone_decides(
    session: Session, cast: Cast, first: str, then: str
) -> None:
    add_bea(session, cast)
    one = machine_of(signed_in(session, cast.carl, machine_id=first))
    assert machine_of(signed_in(session, cast.carl, machine_id=then)) is one
    answer = refusal_of(try_to_sign_in(session, "bea@example.com", machine_id=then))
    assert answer.code == "machine_registered_elsewhere"


def test_of_several_that_fit_a_detached_one_goes_first_then_one_of_another_organisation(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    own = machine_of(signed_in(session, cast.carl, machine_id="one"))
    other = machine_of(signed_in(session, "bea@example.com", machine_id="two"))
    answer = refusal_of(try_to_sign_in(session, cast.carl))
    assert (answer.code, answer.registered_to) == ("machine_registered_elsewhere", "Bolt & Söhne")
    ada = cast.actor(cast.ada)
    detach(session, actor=ada, agent_id=own.id, now=NOW, limits=LIMITS)
    session.commit()
    for machine_id in ("", "one", "two"):
        answer = refusal_of(try_to_sign_in(session, "bea@example.com", machine_id=machine_id))
        assert answer.code == "agent_blocked"
    assert other.detached_at is None


def test_a_partner_leaves_an_unregistered_machine_unregistered(
    session: Session, cast: Cast
) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    assert here.agent_session.agent is None
    assert here.license_key is None
    assert registered(session) == []


def test_a_partner_does_not_rename_a_machine(session: Session, cast: Cast) -> None:
    agent = machine_of(signed_in(session, cast.carl, hostname="LAPTOP-7"))
    signed_in(session, cast.pat, issue(session, cast), hostname="pat's", now=NOW + 5 * SECOND)
    assert agent.hostname == "LAPTOP-7"
    assert agent.last_seen_at == NOW + 5 * SECOND
    signed_in(session, cast.carl, hostname="LAPTOP-8", now=NOW + 9 * SECOND)
    assert agent.hostname == "LAPTOP-8"


def test_who_works_on_a_machine_when_it_is_registered_works_on_a_registered_one(
    session: Session, cast: Cast
) -> None:
    """Else detaching it would leave the partner in."""
    license = issue(session, cast)
    before = signed_in(session, cast.pat, license, machine_id="one")
    clone = signed_in(session, cast.dev, license, machine_id="two")
    agent = machine_of(signed_in(session, cast.carl, machine_id="one"))
    session.refresh(before.agent_session)
    session.refresh(clone.agent_session)
    assert before.agent_session.agent is agent
    assert clone.agent_session.agent is None
    ended = detach(
        session,
        actor=cast.actor(cast.ada),
        agent_id=agent.id,
        now=NOW + 2 * SECOND,
        limits=LIMITS,
    )
    assert before.agent_session in ended
    assert clone.agent_session not in ended


def test_a_dissociated_machine_is_free_for_another_organisation(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    first = machine_of(signed_in(session, cast.carl))
    assert refusal_of(try_to_sign_in(session, "bea@example.com")).registered_to == "Acme"
    dissociate(
        session, actor=cast.actor(cast.ada), agent_id=first.id, now=NOW + SECOND, limits=LIMITS
    )
    session.commit()
    second = machine_of(signed_in(session, "bea@example.com"))
    assert second.organisation_id == cast.bolt
    assert second.license.key_id != first.license.key_id
    assert refusal_of(try_to_sign_in(session, cast.carl)).registered_to == "Bolt & Söhne"


# At the same instant


@pytest.fixture
def nose_to_nose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is about to register a machine waits a moment for the other to be so far too.

    Who has to stand in a line, as everybody should, never is.
    """
    meeting = threading.Barrier(2)

    def register_together(*details: object, **more: object) -> object:
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.3)
        return register(*details, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(signing_in, "register", register_together)


def both_at_once(app: Flask, *people: str) -> list[SignedIn | Refusal | Throttled]:
    """Everybody signs in on one machine, each in a thread."""

    def one(number: int) -> SignedIn | Refusal | Throttled:
        with app.app_context():
            # From two addresses: those who come from one are looked at one by one.
            answer = try_to_sign_in(db.session(), people[number], address=f"192.0.2.{number}")
            if isinstance(answer, SignedIn):
                _ = answer.agent_session.organisation_id
            return answer

    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(one, range(len(people))))


@pytest.mark.usefixtures("nose_to_nose")
def test_two_first_registrations_by_one_organisation_make_one_machine(
    app: Flask, cast: Cast
) -> None:
    answers = both_at_once(app, cast.carl, cast.carl)
    assert all(isinstance(answer, SignedIn) for answer in answers)
    told = [answer.license_key for answer in answers if isinstance(answer, SignedIn)]
    assert len([key for key in told if key]) == 1
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Agent)) == 1
        assert db.session.scalar(select(func.count()).select_from(PermanentLicense)) == 1
        assert db.session.scalar(select(func.count(AgentSession.agent_id))) == 2


@pytest.mark.usefixtures("nose_to_nose")
def test_of_two_organisations_at_once_one_gets_the_machine_and_the_other_its_row(
    app: Flask, cast: Cast
) -> None:
    with app.app_context():
        add_bea(db.session(), cast)
    answers = both_at_once(app, cast.carl, "bea@example.com")
    (won,) = [answer for answer in answers if isinstance(answer, SignedIn)]
    (lost,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert lost.code == "machine_registered_elsewhere"
    with app.app_context():
        (agent,) = db.session.scalars(select(Agent))
        assert lost.registered_to == agent.organisation.name
        assert db.session.scalar(select(func.count()).select_from(AgentSession)) == 1
    assert won.license_key is not None


def test_a_sign_in_and_a_detach_at_once_leave_nobody_in(app: Flask, cast: Cast) -> None:
    with app.app_context():
        agent_id = machine_of(signed_in(db.session(), cast.carl)).id
        db.session.commit()
    start = threading.Barrier(2)
    moment = NOW + timedelta(minutes=1)

    def come() -> str | None:
        with app.app_context():
            start.wait(60)
            answer = try_to_sign_in(db.session(), cast.carl, now=moment)
            return answer.token if isinstance(answer, SignedIn) else None

    def block() -> None:
        with app.app_context():
            start.wait(60)
            detach(
                db.session(),
                actor=cast.actor(cast.ada),
                agent_id=agent_id,
                now=moment,
                limits=LIMITS,
            )
            db.session.commit()

    with ThreadPoolExecutor(2) as pool:
        coming, blocking = pool.submit(come), pool.submit(block)
        token = coming.result()
        blocking.result()
    with app.app_context():
        if token is not None:
            answer = heartbeat(db.session(), token=token, now=moment, limits=LIMITS)
            assert getattr(answer, "code", None) == "agent_blocked"
        assert refusal_of(try_to_sign_in(db.session(), cast.carl)).code == "agent_blocked"


# Rows 5 to 7 and 12, on the database


def test_a_key_of_another_organisation_opens_no_machine_of_this_one(
    session: Session, cast: Cast
) -> None:
    signed_in(session, cast.carl)
    of_bolt = text_of(issue(session, cast, cast.bolt))
    answer = refusal_of(try_to_sign_in(session, cast.pat, of_bolt))
    assert (answer.code, answer.registered_to) == ("machine_registered_elsewhere", None)
    (event,) = events(session, AuditTag.AGENT_SIGN_IN_REFUSED)
    assert event.organisation_id == cast.bolt


def test_the_refusal_of_a_client_user_is_recorded_with_the_users_organisation(
    session: Session, cast: Cast
) -> None:
    add_bea(session, cast)
    signed_in(session, cast.carl)
    try_to_sign_in(session, "bea@example.com")
    (event,) = events(session, AuditTag.AGENT_SIGN_IN_REFUSED)
    assert (event.organisation_id, event.data["code"]) == (
        cast.bolt,
        "machine_registered_elsewhere",
    )
    assert feed(session, cast.bolt) == []
