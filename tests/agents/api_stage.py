"""What tests of the JSON interface share: an agent that is a program, and the decision table."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.client import HTTPConnection
from threading import Thread
from typing import Any, Protocol

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from app.accounts.users import create_user, disable_user, find_user
from app.agents.machines import detach, machines_with, revoke_machine_license
from app.core.permissions import Role
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import Agent, PermanentLicense, Project, User
from tests.agents.stage import LIMITS, MAC, issue, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock

BASE = "/api/agent/v1"
BEA = "bea@example.com"
"""A client user of Bolt."""
OTHER_MAC = "02:00:00:00:00:01"
TOKEN_BYTES = 16
"""A token has at least so many random bytes: 128 bits."""


@dataclass(frozen=True)
class Answer:
    """What an agent was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The problem's code; its form is checked on the way."""
        if self.status < 400:
            return None
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"/api/docs#{problem['code']}"
        assert problem["title"]
        assert problem["detail"].endswith((".", "!")), problem["detail"]
        return str(problem["code"])


class Sender(Protocol):
    """How a request is sent: to the application itself, or over a socket."""

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer: ...


def to_the_app(client: FlaskClient, address: str = "198.51.100.9") -> Sender:
    def send(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        given = client.open(
            path,
            method=method,
            headers=dict(headers),
            data=body,
            environ_base={"REMOTE_ADDR": address},
        )
        return Answer(given.status_code, given.headers, given.data)

    return send


def over_http(port: int) -> Sender:
    def send(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(method, path, body, dict(headers))
        given = connection.getresponse()
        answer = Answer(given.status, dict(given.getheaders()), given.read())
        connection.close()
        return answer

    return send


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    """The portal on a port of this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class RealAgent:
    """An OP Agent as a program; it keeps the token that it was given."""

    def __init__(self, send: Sender, mac_id: str = MAC) -> None:
        self.send = send
        self.mac_id = mac_id
        self.token = ""

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call; `raw` is sent as it is, in the place of `body` as JSON."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        return self.send(method, BASE + path, sent | dict(headers or {}), raw)

    def sign_in(self, login_id: str, key: str | None = None, **fields: object) -> Answer:
        body = {"login_id": login_id, "password": PASSWORD, "mac_id": self.mac_id} | fields
        if key is not None:
            body["registration_key"] = key
        answer = self.ask("POST", "/sessions", body)
        if answer.status == 201:
            self.token = answer.json["session_token"]
        return answer

    def heartbeat(self) -> Answer:
        return self.ask("GET", "/session")

    def confirm(self) -> Answer:
        return self.ask("DELETE", "/session")


def wait(agent: RealAgent, clock: Clock, seconds: float) -> None:
    """Let time pass, the agent being heard from now and then."""
    while seconds > 600:
        clock.advance(seconds=600)
        agent.heartbeat()
        seconds -= 600
    clock.advance(seconds=seconds)


# Setting the stage; each is committed


def add_bea(session: Session, cast: Cast) -> None:
    password_hash = find_user(session, cast.carl).password_hash
    create_user(
        session,
        email=BEA,
        role=Role.CLIENT,
        password_hash=password_hash,
        actor=cast.actor(cast.ada),
        now=NOW,
        organisation_id=cast.bolt,
    )
    session.commit()


def detach_machine(session: Session, cast: Cast, mac_id: str = MAC) -> None:
    [agent] = machines_with(session, mac_id=mac_id)
    actor = cast.actor(cast.ada)
    detach(session, actor=actor, agent_id=agent.id, now=NOW, limits=LIMITS)
    session.commit()


def revoke_permanent(session: Session, cast: Cast, mac_id: str = MAC) -> None:
    [agent] = machines_with(session, mac_id=mac_id)
    actor = cast.actor(cast.ada)
    revoke_machine_license(session, actor=actor, agent_id=agent.id, now=NOW, limits=LIMITS)
    session.commit()


def end_subscription(session: Session, organisation_id: str, last_day: date | None = None) -> None:
    day = last_day or (NOW - timedelta(days=1)).date()
    session.execute(
        update(Project)
        .where(Project.organisation_id == organisation_id)
        .values(plan_expires_on=day)
    )
    session.commit()


def registered(session: Session) -> list[Agent]:
    return list(session.scalars(select(Agent)))


def permanent_licenses(session: Session) -> list[PermanentLicense]:
    return list(session.scalars(select(PermanentLicense)))


# The decision table


@dataclass(frozen=True)
class Row:
    """A case of the table "Who may sign in on an OP Agent", and what is answered."""

    number: int
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
    Row(10, "expired", "partner", "expired", "of Bolt", 403, "key_expired"),
    Row(11, "revoked", "partner", "revoked", "of Bolt", 403, "key_revoked"),
    Row(12, "of Bolt", "partner", "active", "of Bolt", 403, "machine_registered_elsewhere"),
    Row(13, "registered", "partner", "active", "of Acme", OK),
    Row(13, "unregistered", "developer", "active", "unregistered", OK),
    Row(13, "license revoked", "partner", "active", "of Acme, revoked", OK),
    Row(13, "subscription ended", "partner", "active", "of Acme", OK, None, True),
]


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
    issued_at = NOW - timedelta(hours=2) if kind == "expired" else NOW
    license = issue(session, cast, now=issued_at)
    text = text_of(license)
    if kind == "revoked":
        revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=NOW)
        session.commit()
    if kind == "forged":
        body, signature = text.rsplit(".", 1)
        return f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    return text


def try_row(agent: RealAgent, row: Row, key: str | None) -> Answer:
    password = "not the password" if row.who == "wrong password" else PASSWORD
    return agent.sign_in(PEOPLE[row.who], key, password=password)


def user_named(session: Session, email: str) -> User:
    found = find_user(session, email)
    assert found is not None
    return found
