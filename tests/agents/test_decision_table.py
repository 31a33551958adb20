"""The table "Who may sign in on an OP Agent", row by row over HTTP: answer, record, nothing else.

The rule by itself, and everything that may be presented, is tested in tests/unit/test_agent_rules.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.users import disable_user
from app.extensions import db
from app.keyformat.license_keys import sign_temporary_key
from app.keyformat.signing_keys import new_private_key
from app.licenses.option_rules import KeyOptions
from app.licenses.rules import MachineIds
from app.licenses.services import note_sign_in, revoke_license
from app.models import Agent, AgentSession, AuditEvent
from tests.agents.api_stage import (
    BEA,
    Answer,
    RealAgent,
    add_bea,
    detach_machine,
    end_subscription,
    over_http,
    revoke_permanent,
    serving,
    to_the_app,
)
from tests.agents.stage import HOUR, issue, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock


@dataclass(frozen=True)
class Row:
    """A case of the table "Who may sign in on an OP Agent", and what is answered."""

    number: int | str
    name: str
    who: str
    key: str
    machine: str
    status: int
    code: str | None = None
    subscription_ended: bool = False


OK = 201
PEOPLE = {
    "nobody": "nobody@example.com",
    "disabled": Cast.dev,
    "super admin": Cast.ada,
    "auditor": Cast.audrey,
    "client": Cast.carl,
    "partner": Cast.pat,
    "developer": Cast.dev,
    "wrong password": Cast.pat,
}
TABLE = [
    Row(1, "unknown", "nobody", "active", "unregistered", 401, "invalid_credentials"),
    Row(1, "wrong password", "wrong password", "active", "of Acme", 401, "invalid_credentials"),
    Row(1, "disabled", "disabled", "active", "detached", 401, "invalid_credentials"),
    Row(2, "client", "client", "none", "detached", 403, "agent_blocked"),
    Row(2, "partner", "partner", "active", "detached", 403, "agent_blocked"),
    Row(2, "super admin", "super admin", "none", "detached", 403, "agent_blocked"),
    Row(3, "super admin", "super admin", "active", "unregistered", 403, "role_not_allowed"),
    Row(3, "auditor", "auditor", "none", "of Acme", 403, "role_not_allowed"),
    Row(4, "active", "client", "active", "of Acme", 403, "temporary_key_not_for_clients"),
    Row(4, "forged", "client", "forged", "of Bolt", 403, "temporary_key_not_for_clients"),
    Row(5, "of Bolt", "client", "none", "of Bolt", 403, "machine_registered_elsewhere"),
    Row(6, "registers", "client", "none", "unregistered", OK),
    Row(6, "ended", "client", "none", "unregistered", 403, "subscription_expired", True),
    Row(7, "signs in", "client", "none", "of Acme", OK),
    Row(7, "ended", "client", "none", "of Acme", 403, "subscription_expired", True),
    Row(7, "revoked", "client", "none", "of Acme, revoked", 403, "license_revoked"),
    Row(8, "partner", "partner", "none", "of Acme", 403, "temporary_key_required"),
    Row(8, "blank", "developer", "blank", "of Bolt", 403, "temporary_key_required"),
    Row(9, "forged", "partner", "forged", "unregistered", 403, "key_invalid"),
    Row(9, "malformed", "developer", "malformed", "of Bolt", 403, "key_invalid"),
    Row(9, "of another installation", "partner", "foreign", "of Acme", 403, "key_invalid"),
    Row(9, "without its record", "partner", "unrecorded", "of Acme", 403, "key_invalid"),
    Row(9, "two keys", "partner", "two", "of Acme", 403, "key_invalid"),
    Row(9, "issued in the future", "partner", "future", "of Acme", 403, "key_invalid"),
    Row(10, "expired", "partner", "expired", "of Bolt", 403, "key_expired"),
    Row(11, "revoked", "partner", "revoked", "of Bolt", 403, "key_revoked"),
    Row(11, "and past its expiry", "partner", "revoked long ago", "of Acme", 403, "key_revoked"),
    Row("11a", "scheduled", "partner", "scheduled", "of Bolt", 403, "key_not_yet_valid"),
    Row("11b", "for another", "developer", "for pat", "of Bolt", 403, "key_not_for_you"),
    Row("11c", "used up", "partner", "used up", "of Bolt", 403, "key_used_up"),
    Row("12a", "bound", "partner", "bound", "unregistered", 403, "key_bound_elsewhere"),
    Row("12a", "bound, ours", "partner", "bound", "of Acme", 403, "key_bound_elsewhere"),
    Row(13, "for the one", "partner", "for pat", "of Acme", OK),
    Row(12, "of Bolt", "partner", "active", "of Bolt", 403, "machine_registered_elsewhere"),
    Row(13, "registered", "partner", "active", "of Acme", OK),
    Row(13, "unregistered", "developer", "active", "unregistered", OK),
    Row(13, "license revoked", "partner", "active", "of Acme, revoked", OK),
    Row(13, "subscription ended", "partner", "active", "of Acme", OK, None, True),
]


ISSUED = {
    "expired": timedelta(hours=-2),
    "revoked long ago": timedelta(hours=-2),
    "future": timedelta(hours=1),
}
"""When a key of a kind was issued, if not now."""
CARRIED: dict[str, dict[str, Any]] = {
    "scheduled": {"starts_at": NOW + timedelta(hours=1)},
    "for pat": {"recipient": Cast.pat},
    "used up": {"sign_ins": 1},
    "bound": {"first_machine": True},
}
"""What a key of a kind carries."""


def row_name(row: Row) -> str:
    return f"{row.number} {row.name}"


def set_stage(app: Flask, cast: Cast, row: Row) -> str | None:
    """The machine and the people as the row has them; the registration key to present."""
    agent = RealAgent(to_the_app(app.test_client()))
    with app.app_context():
        session = db.session()
        if row.machine == "of Bolt":
            add_bea(session, cast)
            assert agent.sign_in(BEA).status == OK
        elif row.machine != "unregistered":
            assert agent.sign_in(cast.carl).status == OK
        if row.machine == "detached":
            detach_machine(session, cast)
        if row.machine == "of Acme, revoked":
            revoke_permanent(session, cast)
        if row.subscription_ended:
            end_subscription(session, cast.acme)
        if row.who == "disabled":
            disable_user(session, email=cast.dev, actor=cast.actor(cast.ada), now=NOW)
            session.commit()
        return key_for(session, cast, row.key)


def key_for(session: Session, cast: Cast, kind: str) -> str | None:
    """A registration key of Acme's of a kind, made as it has to be."""
    if kind == "none":
        return None
    if kind in ("blank", "malformed"):
        return {"blank": " \u200b\n", "malformed": "rw1.not.a.key"}[kind]
    options = KeyOptions(HOUR, **CARRIED.get(kind, {}))
    license = issue(session, cast, now=NOW + ISSUED.get(kind, timedelta(0)), options=options)
    if kind in ("used up", "bound"):
        note_sign_in(session, license, MachineIds("00:1A:2B:3C:4D:99"), NOW)
    text = text_of(license)
    if kind in ("revoked", "revoked long ago"):
        at = license.issued_at + timedelta(minutes=30) if kind == "revoked long ago" else NOW
        revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=at)
    if kind == "unrecorded":
        session.delete(license)
    session.commit()
    if kind == "two":
        return f"{text}\n{text_of(issue(session, cast, Cast.bolt))}"
    if kind == "foreign":
        return sign_temporary_key(
            new_private_key(),
            jti=license.key_id,
            organisation_id=cast.acme,
            ttl=HOUR,
            issued_at=NOW,
        )
    if kind == "forged":
        body, signature = text.rsplit(".", 1)
        return f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    return text


def try_row(agent: RealAgent, row: Row, key: str | None) -> Answer:
    password = "not the password" if row.who == "wrong password" else PASSWORD
    return agent.sign_in(PEOPLE[row.who], key, password=password)


def counts() -> tuple[int, int]:
    """How many machines and sessions there are."""
    machines, sessions = (
        db.session.scalar(select(func.count()).select_from(model))
        for model in (Agent, AgentSession)
    )
    return machines or 0, sessions or 0


def check_words(row: Row, answer: Answer) -> None:
    """What a refusal tells besides its code."""
    told = answer.json
    if row.number == 5:
        assert told["registered_to"] == "Bolt & Söhne"
        assert told["detail"] == "Your machine is already registered with Bolt & Söhne."
    if row.number == 12:
        assert "registered_to" not in told
        assert told["detail"] == "Your machine is registered with another organisation."
    if row.name == "two keys":
        assert told["detail"].startswith("There are two keys here")
    if row.name == "issued in the future":
        assert "not valid yet by this portal's clock" in told["detail"]
    if row.number == 10:
        assert told["expired_at"] == "2026-11-24T14:40:00Z"
        assert "Tue 24 Nov 2026, 14:40 UTC" in told["detail"]
    if row.number == "11a":
        assert told["starts_at"] == "2026-11-24T16:40:00Z"
        assert "it starts at Tue 24 Nov 2026, 16:40 UTC" in told["detail"]
    if row.number == "11b":
        assert Cast.pat not in answer.body.decode()
    if row.number == 2:
        assert told["detail"] == "Agent is Blocked."


def test_every_row_of_the_table_is_here() -> None:
    assert {row.number for row in TABLE} == {*range(1, 14), "11a", "11b", "11c", "12a"}


@pytest.mark.parametrize("row", TABLE, ids=row_name)
def test_a_row_is_answered_and_recorded_and_leaves_nothing_else(
    app: Flask, cast: Cast, clock: Clock, row: Row
) -> None:
    key = set_stage(app, cast, row)
    with app.app_context():
        machines, sessions = counts()
    with serving(app) as port:
        answer = try_row(RealAgent(over_http(port)), row, key)
    assert (answer.status, answer.code) == (row.status, row.code), answer.body
    check_words(row, answer)
    with app.app_context():
        refusals = db.session.scalars(
            select(AuditEvent).where(AuditEvent.tag == "agent.sign_in_refused")
        ).all()
        if row.status == OK:
            assert counts() == (machines + (row.name == "registers"), sessions + 1)
            assert refusals == []
        else:
            assert counts() == (machines, sessions)
            [refusal] = refusals
            assert (refusal.actor, refusal.data["code"]) == (PEOPLE[row.who], row.code)
