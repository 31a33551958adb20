"""What tests of the JSON interface share: an agent that is a program, and stages for it."""

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

from app.accounts.users import create_user, find_user
from app.agents.machines import detach, machines_with, revoke_permanent_license
from app.core.permissions import Role
from app.models import Agent, PermanentLicense, Project
from tests.agents.stage import LIMITS, MAC
from tests.conftest import NOW, PASSWORD, Cast, Clock

BASE = "/api/agent/v1"
BEA = "bea@example.com"
"""A client user of Bolt."""
OTHER_MAC = "02:00:00:00:00:01"


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
    revoke_permanent_license(session, actor=actor, agent_id=agent.id, now=NOW, limits=LIMITS)
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
