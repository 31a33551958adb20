"""The floor: what the same answers cost without sign-in, CSRF, headers and audit.

A bare Flask application, under the portal's own server. Each operation of FLOOR_OPERATIONS is asked
of the portal once, in this process; then a view answers it by the same SQL, sent by SQLAlchemy's
Core, and the same template with the same values, or the same JSON. What writes writes the license
alone, in a transaction of its own.
"""

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, make_response, template_rendered
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from sqlalchemy import event

from app import create_app
from app.extensions import db
from app.models.engine import set_reading
from bench.client import EMAIL
from bench.operations import PASSWORD, Operation

Statement = tuple[str, Any]
QUERIES = "X-Queries"
"""The header that says how many statements the portal sent for what is answered here."""


class Recorded:
    """What one request of the portal asked of the database, and what it answered with."""

    def __init__(self, portal: Flask, client: FlaskClient, asked: dict[str, Any]) -> None:
        self.statements: list[Statement] = []
        self.queries = 0
        """How many statements the portal sent, whatever they are for."""
        self.template: Any = None
        self.values: dict[str, Any] = {}
        with portal.app_context():
            self.engine = db.engine
        event.listen(self.engine, "before_cursor_execute", self._note)
        with template_rendered.connected_to(self._keep, portal):
            answer = client.open(
                asked["path"],
                method=asked["method"],
                headers=asked["headers"],
                data=asked["body"] or None,
            )
        event.remove(self.engine, "before_cursor_execute", self._note)
        if answer.status_code != asked["status"]:
            raise RuntimeError(f"{asked['path']} was answered {answer.status_code}")
        self.writes = answer.status_code == 303
        self.content_type = answer.content_type
        self.body = answer.get_json() if answer.is_json else answer.data

    def _note(
        self, _connection: object, _cursor: object, statement: str, given: Any, *_: Any
    ) -> None:
        self.queries += 1
        if statement.startswith(("SELECT", "WITH", "INSERT INTO temporary_licenses")):
            self.statements.append((statement, given))

    def _keep(self, _app: Flask, template: Any, context: dict[str, Any], **_: Any) -> None:
        # The last one is the page. What was loaded for it stays loaded when the request ends.
        self.template, self.values = template, dict(context)
        if count := context.get("requests_waiting"):
            # What it asks is among the statements.
            waiting = count()
            self.values["requests_waiting"] = lambda: waiting
        db.session.expunge_all()

    def answer(self) -> ResponseReturnValue:
        set_reading(not self.writes)
        with self.engine.connect() as connection:
            for statement, given in self.statements:
                result = connection.exec_driver_sql(statement, _fresh(statement, given))
                if result.returns_rows:
                    result.all()
            if self.writes:
                connection.commit()
        if self.template is not None:
            return str(self.template.render(self.values))
        if isinstance(self.body, bytes):
            return Response(self.body, content_type=self.content_type, status=200)
        return Response(json.dumps(self.body), content_type=self.content_type)


def _fresh(statement: str, given: Any) -> Any:
    """A new license has a Key ID of its own, and was made by no form."""
    if not statement.startswith("INSERT"):
        return given
    names = re.findall(r"\w+", statement[statement.index("(") : statement.index(")")])
    values = dict(zip(names, given, strict=True)) if isinstance(given, tuple) else dict(given)
    values |= {"key_id": secrets.token_hex(8), "form_token": None}
    return tuple(values.values()) if isinstance(given, tuple) else values


def create_floor() -> Flask:
    """The application; FLOOR_OPERATIONS names a file with what it is to answer."""
    asked = json.loads(Path(os.environ["FLOOR_OPERATIONS"]).read_text())
    portal = create_app()
    client = portal.test_client()
    page = client.get("/login").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    form = {"email": EMAIL, "password": PASSWORD, "csrf_token": token[1] if token else ""}
    client.post("/login", data=form)
    client.get("/projects")  # counts the projects, which the next requests need not
    page = client.get("/projects/1/license").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    recorded: dict[str, Recorded] = {}
    for name, one in asked.items():
        if one["form"]:
            one["body"] += f"&csrf_token={token[1] if token else ''}"
        recorded[name] = Recorded(portal, client, one)
    with portal.app_context():
        db.engine.dispose()  # before the server's processes are forked
    return _bare(portal, recorded)


def _bare(portal: Flask, recorded: dict[str, Recorded]) -> Flask:
    """Flask with the portal's addresses, templates and settings, and one view."""
    floor = Flask("floor", static_folder=None)
    floor.secret_key = portal.secret_key
    floor.config.update(portal.config)
    floor.extensions = portal.extensions
    floor.login_manager = portal.login_manager  # type: ignore[attr-defined]
    floor.jinja_env = portal.jinja_env
    floor.url_map = portal.url_map
    users = {name: one.values.get("current_user") for name, one in recorded.items()}

    @floor.route("/floor/<name>", methods=["GET", "POST"])
    def answer(name: str) -> ResponseReturnValue:
        g._login_user = users[name]
        answered = make_response(recorded[name].answer())
        answered.headers[QUERIES] = str(recorded[name].queries)
        return answered

    return floor


def asked_of(operations: list[Operation]) -> dict[str, dict[str, Any]]:
    """What FLOOR_OPERATIONS holds: a request of each operation, by a short name.

    The first; of what can be done only once the last, which is not measured.
    """
    asked = {}
    for operation in operations:
        body = operation.bodies[0] if operation.bodies else ""
        form = {"Content-Type": "application/x-www-form-urlencoded"} if operation.form else {}
        asked[short(operation.name)] = {
            "path": operation.paths[-1 if operation.once else 0],
            "method": operation.method,
            "status": operation.status,
            "headers": operation.headers | form,
            "body": body,
            "form": operation.form,
        }
    return asked


def short(name: str) -> str:
    return re.sub(r"[^a-z]+", "-", name.lower())
