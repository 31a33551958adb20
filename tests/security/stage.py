"""What tests that go through the access matrix share."""

import re
from dataclasses import dataclass

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.access.requests import add_request
from app.agents.sessions import sign_out
from app.core.clock import utcnow
from app.core.permissions import Role
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import Base, TemporaryLicense, User
from app.notices.webhooks import add_webhook
from tests.agents.stage import LIMITS, issue, signed_in
from tests.conftest import Cast, Visitor
from tests.security.access_matrix import AGENTS, PORTAL

Place = tuple[str, str]
"""A method and an address with its variables in capitals."""


@dataclass(frozen=True)
class Line:
    method: str
    address: str
    answers: dict[str, int]
    """The status for each person."""
    body: str

    @property
    def place(self) -> Place:
        return self.method, self.address


def lines_of(table: str) -> list[Line]:
    heading, *rows = table.strip().splitlines()
    people = heading.removeprefix("people:").split()
    lines = []
    for row in rows:
        method, address, *rest = row.split()
        statuses, body = rest[: len(people)], "".join(rest[len(people) :])
        lines.append(
            Line(method, address, dict(zip(people, map(int, statuses), strict=True)), body)
        )
    return lines


PORTAL_LINES, AGENT_LINES = lines_of(PORTAL), lines_of(AGENTS)
LINES = PORTAL_LINES + AGENT_LINES


def records_of_acme(app: Flask, cast: Cast) -> dict[str, str]:
    """What stands for each variable of an address: one of Acme's each."""
    with app.app_context():
        key = issue(db.session(), cast)
        client = signed_in(db.session(), cast.carl).agent_session
        found = {
            "PROJECT": cast.acme_project,
            "KEY": key.key_id,
            "AGENT": client.agent_id,
            "SESSION": client.id,
            "VISIT": ended_visit(db.session(), cast, key),
            "REQUEST": asked_for(db.session(), cast),
            "WEBHOOK": listening(app, cast),
            "FINGERPRINT": "000000000000",
            "NAME": "css/theme.css",
            "USER": cast.actor(cast.dev).user_id,
            "BROWSER": 999_999,
            "EVENT": 999_999,
            "PASSKEY": 999_999,
            "TOKEN": "x",
            "PURPOSE": "sign-in",
        }
        db.session.commit()
    return {name: str(value) for name, value in found.items()}


def asked_for(session: Session, cast: Cast) -> int:
    """A request of Ada's for a key of Acme."""
    request = add_request(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=cast.acme,
        options=KeyOptions(3600),
        length=3600,
        now=utcnow(),
    )
    return request.id


def ended_visit(session: Session, cast: Cast, key: TemporaryLicense) -> int:
    """A visit of Pat's that a log-out has ended."""
    here = signed_in(session, cast.pat, key, now=utcnow())
    sign_out(session, token=here.token, now=utcnow(), limits=LIMITS)
    return here.agent_session.id


def listening(app: Flask, cast: Cast) -> int:
    """A webhook, which nothing is sent to."""
    webhook, _ = add_webhook(
        db.session(),
        actor=cast.actor(cast.ada),
        address="https://hooks.example/",
        events=["key.revoked"],
        config=app.extensions["config"],
        now=utcnow(),
    )
    return webhook.id


def path_of(address: str, records: dict[str, str]) -> str:
    return re.sub(r"\b[A-Z]+\b", lambda name: records[name[0]], address)


def with_role(app: Flask, cast: Cast, role: str) -> Visitor:
    """Somebody with a sign-in at the portal, whatever their role is by now."""
    visitor = Visitor(app.test_client())
    if role == "nobody":
        visitor.get("/login")
        return visitor
    assert visitor.sign_in(cast.grace).status_code == 303
    with app.app_context():
        db.session.execute(update(User).where(User.email == cast.grace).values(role=Role(role)))
        db.session.commit()
    return visitor


def everything_in(app: Flask) -> dict[str, list[object]]:
    """Every row of the database but the record of what was refused."""
    with app.app_context():
        return {
            table.name: [tuple(row) for row in db.session.execute(select(table))]
            for table in Base.metadata.sorted_tables
            if table.name != "audit_events"
        }
