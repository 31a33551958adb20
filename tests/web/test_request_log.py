"""A line of the log for each request, and the ID by which it is found."""

import json
import logging
import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.request_ids import current_request_id
from app.extensions import db
from app.models import AuditEvent
from app.web.logs import formatter
from tests.conftest import PASSWORD, Cast, Visitor

MADE = re.compile(r"[0-9a-f]{24}")


class Log:
    """In place of structlog's logger, which keeps the file that it wrote to first."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})

    def read(self) -> list[dict[str, object]]:
        """The lines since the last call."""
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What a server would write; its form is looked at in services/test_metrics.py."""
    log = Log()
    monkeypatch.setattr("app.web.request_log.log", log)
    monkeypatch.setattr("app.web.request_log.structlog.is_configured", lambda: True)
    return log


def test_a_line_says_what_was_asked_and_how_it_was_answered(
    app: Flask, cast: Cast, ada: Visitor, log: Log
) -> None:
    log.read()
    answer = ada.get("/projects?q=a-secret-that-was-typed&page=1")
    [line] = log.read()
    ms = line.pop("ms")
    assert isinstance(ms, float)
    assert ms >= 0
    assert line == {
        "event": "request",
        "method": "GET",
        "route": "/projects",
        "status": 200,
        "person": cast.actor(cast.ada).user_id,
        "request_id": answer.headers["X-Request-ID"],
    }


def test_it_has_the_route_and_not_what_stands_in_the_address(ada: Visitor, log: Log) -> None:
    """Addresses have Key IDs, tokens of links and names in them."""
    log.read()
    for path in ("/password/the-token-of-a-link", "/nothing/of/ours", "/projects/999999"):
        ada.get(path)
    told = log.read()
    assert [line["route"] for line in told] == [
        "/password/<token>",
        "",
        "/projects/<id:project_id>",
    ]
    assert "the-token-of-a-link" not in str(told)


def test_no_password_is_in_it(visitor: Visitor, cast: Cast, log: Log) -> None:
    log.read()
    visitor.sign_in(cast.ada)
    told = log.read()
    assert any(line["status"] == 303 for line in told)
    assert PASSWORD not in str(told)


def test_the_audit_log_has_the_same_id(app: Flask, cast: Cast, visitor: Visitor) -> None:
    visitor.get("/login")
    answer = visitor.post("/login", {"email": cast.ada, "password": "wrong"})
    with app.app_context():
        last = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert last is not None
        assert last.request_id == answer.headers["X-Request-ID"]
    assert current_request_id() == ""


def test_whoever_asks_directly_does_not_choose_the_id(visitor: Visitor) -> None:
    """Mallory gives her request the ID of somebody else's, to hide in the log."""
    answer = visitor.client.get("/login", headers={"X-Request-ID": "somebody-elses"})
    assert MADE.fullmatch(answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("a", True),
        ("A-z_0.9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("{}", False),
        ("é", False),
    ],
)
def test_a_trusted_proxy_chooses_it_within_bounds(
    app: Flask, visitor: Visitor, given: str, taken: bool
) -> None:
    config = app.extensions["config"]
    app.extensions["config"] = replace(config, trusted_proxies=1)
    try:
        answer = visitor.client.get("/login", headers={"X-Request-ID": given})
    finally:
        app.extensions["config"] = config
    said = answer.headers["X-Request-ID"]
    assert (said == given) is taken
    assert taken or MADE.fullmatch(said)


def test_an_error_page_shows_it(ada: Visitor) -> None:
    answer = ada.get("/projects/999999")
    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"] in answer.text


def test_a_line_of_the_server_is_json_in_utc() -> None:
    record = logging.LogRecord("app.x", logging.WARNING, "x.py", 1, "it %s", ("broke",), None)
    line = json.loads(formatter("json").format(record))
    assert line["event"] == "it broke"
    assert line["level"] == "warning"
    said = datetime.fromisoformat(line["timestamp"])
    assert said.utcoffset() == timedelta(0)
