"""One way through pages, JSON interface and commands on each database, and what one of them minds.

Everything else about them is tested on SQLite alone.
"""

import json
import re
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent
from tests.agents.api_stage import RealAgent, to_the_app
from tests.conftest import PASSWORD, Cast, Clock, Visitor

pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every test finds the cast, and the clock standing at NOW."""


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


@pytest.fixture
def agent(app: Flask) -> RealAgent:
    return RealAgent(to_the_app(app.test_client()))


def test_a_key_is_generated_used_and_revoked(
    app: Flask, visitor: Visitor, cast: Cast, tab: str, agent: RealAgent
) -> None:
    assert visitor.sign_in(cast.ada, "wrong").status_code == 401
    assert visitor.sign_in(cast.ada).status_code == 303
    assert "Acme ERP" in visitor.get("/projects?q=acme&keys=&sort=newest").text
    assert "Acme ERP" not in visitor.get("/projects?keys=active").text
    page = visitor.post(tab, {"ttl": "3h"}, htmx=True)
    key = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page.text)[1].strip()
    assert "Acme ERP" in visitor.get("/projects?keys=active").text
    assert agent.sign_in(Cast.pat, key).status == 201
    assert agent.heartbeat().status == 200
    assert Cast.pat in visitor.get(f"/projects/{cast.acme_project}/agents").text
    key_id = agent.heartbeat().json["license"]["key_id"]
    assert visitor.post(f"{tab}/{key_id}/revoke").status_code == 303
    assert agent.heartbeat().code == "key_revoked"
    assert agent.confirm().status == 204
    assert "Confirmed logged out" in visitor.get(f"{tab}?key={key_id}").text
    for path in ("/", "/audit", f"/audit?organisation={cast.acme}", f"{tab}/all"):
        assert visitor.get(path).status_code == 200, path
    assert visitor.post("/logout").status_code == 303


def test_a_client_user_registers_a_machine_and_saves_its_configuration(
    ada: Visitor, cast: Cast, agent: RealAgent
) -> None:
    assert "license_key" in agent.sign_in(Cast.carl, machine_id="one").json
    data = {"a": [1, 1.5, None, "Ünï \U0001f511"], "nul": "\u0000"}
    assert agent.ask("PUT", "/configuration", data).status == 204
    assert agent.ask("GET", "/configuration").json == data
    assert "A machine was registered" in ada.get(f"/projects/{cast.acme_project}/feed").text


def test_the_browsers_agent_logs_in_and_out(visitor: Visitor) -> None:
    visitor.get("/agent")
    fields = {"login_id": Cast.carl, "password": PASSWORD}
    assert visitor.post("/agent", fields).status_code == 303
    assert "Acme" in visitor.get("/agent").text
    assert visitor.post("/agent/configuration").status_code == 303
    assert visitor.post("/agent/logout").status_code == 303


def test_a_file_is_previewed_and_imported(ada: Visitor) -> None:
    content = BytesIO("CIK,Name\n7,Łódź\n8,شركة\n".encode())
    address = ada.post("/projects/import", {"file": (content, "x.csv")}).location
    preview = ada.get(address).text
    fields = dict(
        re.findall(r'<input type="hidden" name="(draft|expected)" value="([^"]*)"', preview)
    )
    columns = {"organisation_id": "0", "name": "1"}
    assert ada.post("/projects/import/confirm", fields | columns).status_code == 303
    assert "Łódź" in ada.get("/projects?q=lodz").text


def test_a_command_reads_and_one_writes(app: Flask, cast: Cast) -> None:
    def run(*arguments: str) -> str:
        with app.app_context():
            done = app.test_cli_runner().invoke(args=list(arguments))
        assert done.exit_code == 0, done.stderr
        return done.stdout

    organisation = ("--organisation", cast.acme)
    key = run("licenses", "issue", *organisation, "--ttl", "3h", "--as", cast.ada, "--json")
    (row,) = json.loads(run("licenses", "list", *organisation, "--json"))
    assert row["key_id"] == json.loads(key)["key_id"]
    assert len(json.loads(run("users", "list", "--json"))) == 6


# What PostgreSQL refuses and SQLite takes: a NUL, a number too high, a text too long

LONG = "x" * 5000
NUL = "nul\x00"


@pytest.mark.parametrize("text", [NUL, LONG])
@pytest.mark.parametrize(
    "path",
    [
        "/projects?q={}",
        "/projects?plan={}",
        "/projects/{project}/feed?q={}",
        "/projects/{project}/license?key={}",
        "/projects/import?draft={}",
        "/audit?organisation={}",
    ],
)
def test_no_text_in_an_address_troubles_the_database(
    ada: Visitor, cast: Cast, path: str, text: str
) -> None:
    address, _, name = path.replace("{project}", str(cast.acme_project)).partition("?")
    answer = ada.get(address, query_string={name.partition("=")[0]: text})
    assert answer.status_code in (200, 303, 404, 422)


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_no_number_in_an_address_troubles_the_database(
    ada: Visitor, cast: Cast, number: int
) -> None:
    one = f"/projects/{cast.acme_project}"
    for path in (
        f"/projects/{number}",
        f"{one}/agents/{number}/end",
        f"{one}/agents/machines/{number}/detach",
    ):
        assert ada.get(path).status_code == 404, path
    for path in ("/projects", "/audit", f"{one}/license/all", f"{one}/agents", f"{one}/feed"):
        assert ada.get(f"{path}?page={number}").status_code == 200, path
    for path in ("/keys", "/audit", f"{one}/visits"):
        for name in ("before", "after"):
            assert ada.get(f"{path}?{name}={number}").status_code == 200, (path, name)


@pytest.mark.parametrize("text", [NUL, LONG])
def test_no_text_in_a_form_troubles_the_database(
    visitor: Visitor, ada: Visitor, tab: str, text: str
) -> None:
    assert ada.post(tab, {"ttl": "3h", "form_token": text}).status_code == 303
    assert ada.post(tab, {"ttl": text}).status_code == 422
    assert ada.post(f"{tab}/{text.strip(chr(0))}/revoke").status_code == 404
    assert ada.post(tab, {"ttl": "3h", "for": text}).status_code == 422
    assert ada.post(f"{tab}/preview", {"ttl": "3h", "for": text}).status_code == 200
    many = {"all": "1", "previewed": text, "reason": "x"}
    assert ada.post("/revoke", many).status_code in (303, 422)
    new = {"name": text, "organisation_id": text, "organisation_name": text}
    assert ada.post("/projects/new", new).status_code == 422
    content = BytesIO(b"CIK,Name\n7,Seven\n")
    assert ada.post("/projects/import", {"file": (content, f"{text}.csv")}).status_code == 303
    assert visitor.post("/login", {"email": text, "password": text}).status_code in (401, 422)
    fields = {"login_id": text, "password": text, "registration_key": text, "mac_id": ""}
    assert visitor.post("/agent", fields).status_code in (401, 422)


@pytest.mark.parametrize("text", [NUL, LONG])
def test_no_text_in_json_troubles_the_database(agent: RealAgent, text: str) -> None:
    for field in ("password", "registration_key", "machine_id", "hostname", "agent_version"):
        assert agent.sign_in(Cast.pat, **{field: text}).status in (401, 403, 422), field
    assert agent.sign_in(text).status == 422
    inspected = agent.ask("POST", "/keys/inspect", {"registration_key": text})
    assert inspected.json["state"] == "invalid"


def test_what_was_tried_in_vain_is_recorded_however_long(
    app: Flask, audrey: Visitor, tab: str
) -> None:
    assert audrey.post(f"{tab}/{LONG}/revoke").status_code == 403
    with app.app_context():
        subjects = db.session.scalars(
            select(AuditEvent.subject).where(AuditEvent.tag == "portal.not_allowed")
        ).all()
    assert [len(subject) for subject in subjects] == [300]
