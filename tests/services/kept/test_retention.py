"""What is kept for how long, and how large each table is."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.accounts.web_sessions import purge_web_sessions
from app.agents.purging import STEP, purge_agent_sessions
from app.cli.jobs import purge
from app.extensions import db
from app.models import AgentSession, AuditEvent, SignInFailure, WebSession
from tests.agents.stage import LIMITS, issue, signed_in
from tests.conftest import NOW, Cast, Clock
from tests.services.kept.stage import Installation

KEEP = timedelta(days=90)
SECOND = timedelta(seconds=1)


def count(table: type) -> int:
    return db.session.scalar(select(func.count()).select_from(table)) or 0


def agent_session(here: Installation, cast: Cast, **changes: object) -> None:
    with here.context():
        made = signed_in(db.session(), cast.carl).agent_session
        for name, value in changes.items():
            setattr(made, name, value)
        db.session.commit()


@pytest.mark.parametrize(
    ("ended", "heard", "gone"),
    [
        (NOW - KEEP, NOW - KEEP - SECOND, True),
        (NOW - KEEP + SECOND, NOW - KEEP - SECOND, False),
        (None, NOW - KEEP - LIMITS.idle, True),
        (None, NOW - KEEP - LIMITS.idle + SECOND, False),
        (None, NOW, False),
    ],
)
def test_a_session_goes_so_long_after_its_end(here: Installation, ended, heard, gone) -> None:
    cast = here.start()
    agent_session(here, cast, ended_at=ended, last_heard_at=heard)
    with here.context():
        events = count(AuditEvent)
        done = purge_agent_sessions(db.session(), now=NOW, keep=KEEP, limits=LIMITS)
        assert (done, count(AgentSession)) == ((1, 0) if gone else (0, 1))
        assert count(AuditEvent) == events, "the record of it stays"


@pytest.mark.parametrize(
    ("started", "ended", "gone"),
    [
        (NOW - KEEP - SECOND, NOW - KEEP, True),
        (NOW - KEEP - SECOND, NOW - KEEP + SECOND, False),
        (NOW - KEEP - timedelta(hours=1), None, True),
        (NOW - KEEP - timedelta(minutes=59), None, False),
    ],
)
def test_a_browsers_session_goes_likewise(here: Installation, started, ended, gone) -> None:
    cast = here.start()
    with here.context():
        user = cast.actor(cast.ada).user_id
        db.session.add(
            WebSession(
                token_hash="x",
                user_id=user,
                started_at=started,
                last_active_at=started,
                proven_at=started,
                ended_at=ended,
            )
        )
        db.session.flush()
        done = purge_web_sessions(db.session(), now=NOW, keep=KEEP, max_seconds=3600)
        assert done == gone


def test_the_background_process_does_it_in_small_steps(here: Installation, clock: Clock) -> None:
    cast = here.start()
    agent_session(here, cast, ended_at=NOW)
    with here.context():
        first = db.session.scalars(select(AgentSession)).one()
        columns = {
            column.name: getattr(first, column.name)
            for column in AgentSession.__table__.columns
            if column.name not in ("id", "token_hash")
        }
        for number in range(STEP + 5):
            db.session.add(AgentSession(token_hash=str(number), **columns))
        db.session.add(SignInFailure(account_hash="x", address="x", failed_at=NOW))
        db.session.commit()
        clock.advance(days=90, seconds=5)
        purge(here.config)
        assert (count(AgentSession), count(SignInFailure)) == (0, 0)


def test_usage_knows_every_table(here: Installation, clock: Clock) -> None:
    cast = here.start()
    with here.context():
        for _ in range(50):
            issue(db.session(), cast)
        db.session.commit()
        clock.advance(days=1)
        answer = here.app.test_cli_runner().invoke(args=["db", "usage", "--json"])
        rows = {row["table"]: row for row in json.loads(answer.stdout)}
        said = here.app.test_cli_runner().invoke(args=["db", "usage"])
    keys = rows["temporary_licenses"]
    assert set(keys) == {"table", "rows", "bytes", "bytes_a_year"}
    assert keys["rows"] == 50
    assert keys["bytes_a_year"] == pytest.approx(365 * keys["bytes"], rel=0.01)
    assert {"users", "audit_events", "alembic_version"} <= set(rows)
    assert "In all" in said.stdout
