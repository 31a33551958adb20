"""`flask visits ...`."""

import csv
import json
from datetime import timedelta
from io import StringIO

import pytest
from click.testing import Result
from flask import Flask

from app.agents.sessions import sign_out
from app.audit.tags import AuditTag
from app.extensions import db
from tests.agents.stage import LIMITS, events, issue, signed_in
from tests.conftest import NOW, Cast, Clock

AT = NOW + timedelta(seconds=1)


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=["visits", *arguments])


@pytest.fixture(autouse=True)
def _visits(app: Flask, cast: Cast, clock: Clock) -> None:
    """Pat was at Acme's, on a machine named as a formula, and Dev is at Bolt's."""
    with app.app_context():
        session = db.session()
        here = signed_in(session, cast.pat, issue(session, cast), hostname="=1+1", now=AT)
        signed_in(session, cast.dev, issue(session, cast, cast.bolt), now=AT)
        sign_out(session, token=here.token, now=AT + timedelta(minutes=1), limits=LIMITS)
        session.commit()
    clock.advance(minutes=5)


def test_visits_are_listed(app: Flask) -> None:
    rows = json.loads(run(app, "list", "--json").stdout)
    assert [(row["email"], row["ended_by"]) for row in rows] == [
        (Cast.dev, None),
        (Cast.pat, "signed_out"),
    ]
    [row] = json.loads(run(app, "list", "--organisation", Cast.acme, "--json").stdout)
    assert row["ended_at"] == "2026-11-24T15:41:01Z"
    assert json.loads(run(app, "list", "--from", "2026-11-25", "--json").stdout) == []
    table = run(app, "list", "--to", "2026-11-24").stdout
    assert table.splitlines()[0].startswith("ID")
    assert len(table.splitlines()) == 3


def test_visits_are_exported_and_the_audit_log_says_so(app: Flask) -> None:
    answer = run(app, "export", "--organisation", Cast.acme)
    [row] = csv.DictReader(StringIO(answer.stdout))
    assert row["machine"] == "'=1+1"
    assert len(json.loads(run(app, "export", "--json").stdout)) == 2
    with app.app_context():
        logged = events(db.session(), AuditTag.VISITS_EXPORTED)
        assert [(event.subject, event.organisation_id) for event in logged] == [
            ("csv", Cast.acme),
            ("json", None),
        ]


def test_what_makes_no_sense_is_refused(app: Flask) -> None:
    unknown = run(app, "list", "--organisation", "NOBODY")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "NOBODY" in unknown.stderr
    assert run(app, "export", "--organisation", "NOBODY").exit_code == 1
    assert run(app, "list", "--from", "yesterday").exit_code == 2
