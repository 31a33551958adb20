"""Every address and method, for everybody, against the table in access_matrix.py."""

import re
from urllib.parse import parse_qsl

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.routing import Rule

from app.core.permissions import Role
from app.extensions import db
from app.models import AgentSession, TemporaryLicense
from tests.agents.stage import signed_in
from tests.conftest import NOW, Cast, Clock
from tests.security.stage import (
    AGENT_LINES,
    LINES,
    PORTAL_LINES,
    everything_in,
    path_of,
    records_of_acme,
    with_role,
)


@pytest.fixture
def records(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    return records_of_acme(app, cast)


def written(rule: Rule) -> str:
    """A rule's address as the table writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda name: name[1].removesuffix("_id").upper(), rule.rule)


def methods_of(rule: Rule) -> set[str]:
    return set(rule.methods or ()) - {"HEAD", "OPTIONS"}


def test_every_address_and_method_has_its_line(app: Flask) -> None:
    places = [(method, written(r)) for r in app.url_map.iter_rules() for method in methods_of(r)]
    assert sorted(line.place for line in LINES) == sorted(places)


@pytest.mark.parametrize("role", list(PORTAL_LINES[0].answers))
def test_the_portal(app: Flask, cast: Cast, records: dict[str, str], role: str) -> None:
    visitor = with_role(app, cast, role)
    wrong = []
    for line in PORTAL_LINES:
        path, expected = path_of(line.address, records), line.answers[role]
        if line.method == "GET":
            status = visitor.get(path).status_code
            assert visitor.client.head(path).status_code == status, path
        else:
            status = visitor.post(path, dict(parse_qsl(line.body))).status_code
        if status != expected:
            wrong.append(f"{line.method} {line.address}: {status} and not {expected}")
    assert wrong == []


def test_every_role_is_in_the_table() -> None:
    assert set(PORTAL_LINES[0].answers) == {"nobody", *Role}


def token_of(app: Flask, cast: Cast, person: str) -> str:
    """The token of a session on an OP Agent, live unless it is the ended one."""
    with app.app_context():
        session = db.session()
        if person == "client":
            return signed_in(session, cast.carl).token
        key = session.scalars(select(TemporaryLicense)).one()
        there = signed_in(session, cast.pat, key, mac_id="00:1A:2B:00:00:02")
        if person == "ended":
            there.agent_session.ended_at, there.agent_session.end_code = NOW, "ended_by_admin"
        session.commit()
        return there.token


@pytest.mark.parametrize("person", list(AGENT_LINES[0].answers))
def test_the_agents(app: Flask, cast: Cast, records: dict[str, str], person: str) -> None:
    visitor = with_role(app, cast, "super_admin" if person == "portal" else "nobody")
    headers = {}
    if person not in ("nobody", "portal"):
        token = token_of(app, cast, person)
        headers = {"Authorization": f"Bearer {token}"}
        visitor.client.set_cookie("op_agent", token, path="/agent")
    wrong = []
    for line in AGENT_LINES:
        if line.address.startswith("/api/"):
            # As a program, whose cookies count for nothing, and as a browser that is signed in.
            body = {"data": line.body, "content_type": "application/json"} if line.body else {}
            status = visitor.client.open(
                line.address, method=line.method, headers=headers, **body
            ).status_code
        elif line.method == "GET":
            status = visitor.get(line.address).status_code
        else:
            status = visitor.post(line.address).status_code
        if status != line.answers[person]:
            wrong.append(f"{line.method} {line.address}: {status} and not {line.answers[person]}")
    assert wrong == []


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X" * 50)


def test_every_other_method_is_405_and_names_those_that_there_are(
    app: Flask, cast: Cast, records: dict[str, str]
) -> None:
    """Mallory asks with every method that she can think of, signed in or not."""
    addresses: dict[str, set[str]] = {}
    for line in LINES:
        addresses.setdefault(line.address, set()).add(line.method)
    for role in ("nobody", "super_admin"):
        visitor = with_role(app, cast, role)
        for address, listed in addresses.items():
            path = path_of(address, records)
            methods = listed | ({"HEAD"} if "GET" in listed else set())
            for method in set(METHODS) - methods:
                answer = visitor.client.open(path, method=method)
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["Allow"].split(", ")) == methods | {"OPTIONS"}
                assert answer.headers["X-Frame-Options"] == "DENY"


def test_asking_which_methods_there_are_tells_a_stranger_nothing(
    app: Flask, cast: Cast, records: dict[str, str]
) -> None:
    """Mallory sends OPTIONS, which frameworks answer by themselves, before any check of access."""
    mallory = with_role(app, cast, "nobody")
    for line in LINES:
        answer = mallory.client.options(path_of(line.address, records))
        closed = line in PORTAL_LINES and line.answers["nobody"] != line.answers["super_admin"]
        if closed and line.address not in LED_ON:
            assert answer.status_code == 303, line
        else:
            assert (answer.status_code, answer.data) == (200, b""), line


def test_a_method_in_a_header_or_a_field_is_not_the_method(
    app: Flask, cast: Cast, records: dict[str, str]
) -> None:
    """Some frameworks take a POST for a DELETE, or a link for a form, if it says so itself."""
    ada = with_role(app, cast, "super_admin")
    delete = path_of("/projects/PROJECT/agents/SESSION/end", records)
    headers = dict.fromkeys(
        ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"), "POST"
    )
    token = {"_method": "POST", "csrf_token": ada.csrf_token}
    assert ada.client.get(delete, query_string=token, headers=headers).status_code == 200
    with app.app_context():
        found = select(AgentSession.ended_at).where(AgentSession.id == int(records["SESSION"]))
        assert db.session.scalars(found).all() == [None]


def test_no_form_is_taken_without_its_token(
    app: Flask, cast: Cast, records: dict[str, str], clock: Clock
) -> None:
    """Mallory's page sends every form that there is, in the name of Ada, who is signed in. The
    token is missing, made up, or that of Mallory's own visit."""
    ada, mallory = with_role(app, cast, "super_admin"), with_role(app, cast, "nobody")
    before = everything_in(app)
    for line in LINES:
        if line.method != "POST" or line.address.startswith(NO_FORMS):
            continue
        for token in (None, "", "x", mallory.csrf_token):
            fields = dict(parse_qsl(line.body)) | ({} if token is None else {"csrf_token": token})
            answer = ada.client.post(path_of(line.address, records), data=fields)
            # Shown again with a sentence, where it is a form of ours with a token that is not.
            shown_again = (422, 303, line.answers.get("super_admin", 422))
            assert answer.status_code in ((400, *shown_again) if token else (400,)), line
            if answer.status_code == 303:
                assert line.address in LED_ON, line
            assert answer.status_code != 200, line
    assert everything_in(app) == before


NO_FORMS = ("/api/", "/login/oidc/back-channel-logout")
"""What browsers do not send: each request carries a secret, or a signed token, of its own."""
LED_ON = (
    *("/login", "/login/oidc", "/stay-signed-in", "/login/passkey", "/login/second-factor"),
    *("/prove", "/second-factor/set-up"),
)
"""Somebody who is signed in already is led to where they wanted to go, and who is not, or whose
sign-in is not half way, to the sign-in; these look at it themselves."""
