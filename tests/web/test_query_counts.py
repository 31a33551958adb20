"""How many queries a request makes: the same, however many rows there are."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, insert
from sqlalchemy.orm import Session

from app.access.requests import add_request
from app.extensions import db
from app.keyformat.key_ids import new_key_id
from app.licenses.option_rules import KeyOptions
from app.models import Organisation, TemporaryLicense
from tests.agents.api_stage import RealAgent, to_the_app
from tests.agents.stage import issue, signed_in, text_of
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.license_tab.stage import POLL, revoke
from tests.web.license_tab.stage import issue as generated

DAY = 86400


@pytest.fixture
def queries(app: Flask) -> Iterator[list[str]]:
    """What the database is asked, beginnings and ends of transactions included."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def issue_many(session: Session, cast: Cast, count: int) -> list[str]:
    """`count` active keys of Acme, and as many that have run out: a Key ID of each kind."""
    first = issue(session, cast, cast.acme, NOW, DAY)
    columns = [
        column.name
        for column in TemporaryLicense.__table__.columns
        if column.name not in ("id", "key_id")
    ]
    same = {name: getattr(first, name) for name in columns}
    over = same | {"issued_at": NOW - (first.expires_at - NOW), "expires_at": NOW}
    rows = [values | {"key_id": new_key_id()} for values in (same, over) for _ in range(count)]
    session.execute(insert(TemporaryLicense), rows)
    session.commit()
    return [rows[0]["key_id"], rows[-1]["key_id"]]


@pytest.mark.parametrize("count", [1, 10, 999])
@pytest.mark.usefixtures("clock")
def test_a_license_tab_makes_seven_queries_however_many_keys_there_are(
    app: Flask, ada: Visitor, cast: Cast, queries: list[str], count: int
) -> None:
    with app.app_context():
        keys = issue_many(db.session(), cast, count)
    tab = f"/projects/{cast.acme_project}/license"
    ada.get(tab)
    for further in ("", *(f"?key={key}" for key in keys)):
        ada.get(tab + further)
        queries.clear()
        page = ada.get(tab + further)
        assert page.status_code == 200
        assert len(queries) <= 7, queries
    queries.clear()
    assert ada.client.get(tab, headers=POLL).status_code == 200
    assert len(queries) <= 6, queries


def test_a_tab_that_shows_a_revoked_key_makes_seven_too(
    app: Flask, ada: Visitor, cast: Cast, clock: Clock, queries: list[str]
) -> None:
    revoke(app, cast, generated(app, cast))
    queries.clear()
    assert ada.get(f"/projects/{cast.acme_project}/license").status_code == 200
    assert len(queries) <= 7, queries


def test_a_heartbeat_makes_one_query(
    app: Flask, cast: Cast, clock: Clock, queries: list[str]
) -> None:
    with app.app_context():
        text = text_of(issue(db.session(), cast, cast.acme, NOW, DAY), app)
        db.session.commit()
    agent = RealAgent(to_the_app(app.test_client()))
    assert agent.sign_in(cast.pat, text).status == 201
    queries.clear()
    assert agent.heartbeat().status == 200
    assert len(queries) == 1, queries


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.usefixtures("clock")
def test_a_visits_tab_makes_six_however_many_visits_there_are(
    app: Flask, ada: Visitor, cast: Cast, queries: list[str], count: int
) -> None:
    with app.app_context():
        session = db.session()
        session.get_one(Organisation, cast.acme).clients_see_visits = True
        key = issue(session, cast, cast.acme, NOW, DAY)
        for _ in range(count):
            signed_in(session, cast.pat, key, now=NOW)
    for path, most in (("visits", 6), ("feed", 7)):
        ada.get(f"/projects/{cast.acme_project}/{path}")
        queries.clear()
        assert ada.get(f"/projects/{cast.acme_project}/{path}").status_code == 200
        assert len(queries) <= most, queries


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.usefixtures("clock")
def test_my_access_makes_as_many_however_many_keys_and_requests_there_are(
    app: Flask, pat: Visitor, cast: Cast, queries: list[str], count: int
) -> None:
    with app.app_context():
        session = db.session()
        for _ in range(count):
            own = KeyOptions(DAY, recipient=cast.pat)
            key = issue(session, cast, ttl=DAY, options=own)
            add_request(
                session,
                actor=cast.actor(cast.pat),
                organisation_id=cast.acme,
                options=KeyOptions(DAY, ends_at=key.expires_at + timedelta(days=1)),
                length=DAY,
                now=NOW,
                extends=key,
            )
        session.commit()
    pat.get("/access")
    for headers in ({}, POLL):
        queries.clear()
        assert pat.client.get("/access", headers=headers).status_code == 200
        assert len(queries) <= 7, queries


def test_generating_a_key_makes_twelve_statements_and_one_more_for_a_new_choice(
    ada: Visitor, cast: Cast, clock: Clock, queries: list[str]
) -> None:
    tab = f"/projects/{cast.acme_project}/license"
    ada.get(tab)
    for token, most in (("a-form", 13), ("another", 12)):
        queries.clear()
        assert ada.post(tab, {"ttl": "3h", "form_token": token}).status_code == 303
        assert len(queries) <= most, queries
