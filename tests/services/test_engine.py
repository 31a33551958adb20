"""How the database is talked to: nothing is lost, no update vanishes, reading writes nothing."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from queue import Queue

import pytest
from flask import Flask
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session

from app import create_app
from app.accounts import passwords
from app.config import Config
from app.core.errors import Busy
from app.extensions import db
from app.models import AuditEvent, Organisation, Project, WebSession
from app.models.engine import RETRY_SECONDS, is_reading, reading_only, set_reading, writing
from app.web.access import public
from app.web.transaction import begin_write, defer_write
from tests.conftest import NOW, Cast, Visitor

pytestmark = pytest.mark.databases("sqlite", "postgres")

PROCESSES, ROUNDS = 4, 50

sqlite_only = pytest.mark.databases("sqlite")


def add_one(session: Session, name: str) -> None:
    """Read a number, then write the next one."""
    query = select(Organisation).where(Organisation.id == name).with_for_update()
    organisation = session.scalars(query).one()
    organisation.name = str(int(organisation.name) + 1)


def add_many(config: Config) -> None:
    """What one process of several does."""
    app = create_app(config)
    with app.app_context():
        for _ in range(ROUNDS):
            add_one(db.session(), "counter")
            db.session.commit()
        db.session.remove()
        db.engine.dispose()


def test_several_processes_that_read_and_write_lose_no_update(app: Flask, session: Session) -> None:
    session.add(Organisation(id="counter", name="0", search_text="", created_at=NOW))
    session.commit()
    spawn = multiprocessing.get_context("spawn")
    config = app.extensions["config"]
    processes = [spawn.Process(target=add_many, args=(config,)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    session.expire_all()
    assert session.get(Organisation, "counter").name == str(PROCESSES * ROUNDS)


def test_a_writer_waits_for_its_turn_and_sees_what_was_written(
    app: Flask, session: Session
) -> None:
    session.add(Organisation(id="counter", name="0", search_text="", created_at=NOW))
    session.commit()
    begun, results = threading.Event(), []

    def second() -> None:
        with app.app_context():
            begun.set()
            add_one(db.session(), "counter")
            db.session.commit()
            results.append(db.session.get(Organisation, "counter").name)
            db.session.remove()

    add_one(session, "counter")
    session.flush()
    thread = threading.Thread(target=second)
    thread.start()
    begun.wait()
    session.commit()
    thread.join()
    assert results == ["2"]


def test_while_one_writes_others_read_what_was_before(
    app: Flask, session: Session, cast: Cast
) -> None:
    session.get(Organisation, cast.acme).name = "Changed"
    session.flush()
    with reading_only(), Session(db.engine) as other:
        assert other.get(Organisation, cast.acme).name == "Acme"
    session.commit()
    with reading_only(), Session(db.engine) as other:
        assert other.get(Organisation, cast.acme).name == "Changed"


@sqlite_only
def test_a_writer_that_may_not_wait_is_told_so_at_once(app: Flask, session: Session) -> None:
    session.execute(text("SELECT 1"))
    with writing(wait_ms=0), db.engine.connect() as other, pytest.raises(DBAPIError, match="lock"):
        other.execute(text("SELECT 1"))


@sqlite_only
def test_only_so_many_writers_wait_long_and_the_others_are_told_to_come_back(
    app: Flask, session: Session
) -> None:
    """An import holds the lock; forty requests that write must not take every thread with them."""
    session.execute(text("SELECT 1"))
    places = app.extensions["config"].threads // 2
    outcomes: Queue[object] = Queue()

    def write() -> None:
        with app.app_context(), writing():
            try:
                db.session.execute(text("SELECT 1"))
                outcomes.put("wrote")
            except Busy as error:
                outcomes.put(error.retry_seconds)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=write) for _ in range(places + 3)]
    for thread in threads:
        thread.start()
    assert [outcomes.get(timeout=30) for _ in range(3)] == [RETRY_SECONDS] * 3
    assert outcomes.empty()
    session.rollback()
    assert [outcomes.get(timeout=30) for _ in range(places)] == ["wrote"] * places


@sqlite_only
def test_sqlite_is_set_so_that_nothing_is_lost(session: Session) -> None:
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 1000}
    for name, expected in pragmas.items():
        assert session.scalar(text(f"PRAGMA {name}")) == expected


def test_foreign_keys_are_kept(session: Session) -> None:
    session.add(
        Project(
            organisation_id="nobody",
            name="x",
            search_text="",
            created_at=NOW,
            updated_at=NOW,
        )
    )
    with pytest.raises(IntegrityError):
        session.commit()


def test_reading_and_writing_can_be_nested_and_end_where_they_began() -> None:
    set_reading(False)
    with reading_only():
        assert is_reading()
        with writing():
            assert not is_reading()
        assert is_reading()
    assert not is_reading()


def test_a_request_leaves_nothing_behind_for_what_comes_next(app: Flask) -> None:
    set_reading(False)
    for path in ("/login", "/audit", "/nowhere"):
        app.test_client().get(path)
        assert not is_reading()


def test_an_instant_comes_back_aware_and_in_utc(session: Session) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 11, 24, 21, 10, 5, 123456, tzinfo=there)
    session.add(Organisation(id="x", name="x", search_text="", created_at=moment))
    session.commit()
    session.expire_all()
    found = session.get(Organisation, "x").created_at
    assert found == moment
    assert found.utcoffset() == timedelta(0)
    assert found.isoformat() == "2026-11-24T15:40:05.123456+00:00"


def test_an_instant_without_a_zone_is_refused(session: Session) -> None:
    naive = datetime(2026, 11, 24)  # noqa: DTZ001 (that is what is tested)
    session.add(Organisation(id="x", name="x", search_text="", created_at=naive))
    with pytest.raises(StatementError, match="without a zone"):
        session.flush()


def test_instants_are_compared_as_instants(session: Session) -> None:
    session.add(Organisation(id="x", name="x", search_text="", created_at=NOW))
    session.commit()
    there = timezone(timedelta(hours=-8))
    for moment, expected in ((NOW, True), (NOW + timedelta(microseconds=1), False)):
        query = select(Organisation.id).where(Organisation.created_at >= moment.astimezone(there))
        assert bool(session.scalar(query)) is expected
    assert NOW.tzinfo is UTC


def mark(what: str) -> str:
    db.session.add(AuditEvent(happened_at=NOW, tag=what, actor="", address="", subject="", data={}))
    db.session.flush()
    return what


@public
def marking() -> str:
    return mark("marked")


@public
def marking_and_failing() -> str:
    mark("half done")
    raise RuntimeError


@public
@defer_write
def reading_then_marking() -> str:
    db.session.execute(text("SELECT 'read'"))
    mark("too early")
    begin_write()
    return mark("in time")


@public
@defer_write
def only_reading() -> str:
    return mark("never")


VIEWS = (marking, marking_and_failing, reading_then_marking, only_reading)


@pytest.fixture
def portal(app: Flask) -> Iterator[Flask]:
    """The portal with views that write."""
    portal = create_app(app.extensions["config"])
    for view in VIEWS:
        portal.add_url_rule(f"/{view.__name__}", view_func=view, methods=["GET", "POST"])
    yield portal
    with portal.app_context():
        db.engine.dispose()


@pytest.fixture
def visitor(portal: Flask) -> Visitor:
    visitor = Visitor(portal.test_client())
    visitor.get("/login")
    return visitor


def marks(portal: Flask) -> list[str]:
    with portal.app_context():
        tags = list(db.session.scalars(select(AuditEvent.tag).order_by(AuditEvent.id)))
        db.session.remove()
    return [tag for tag in tags if "." not in tag]


def test_what_a_post_did_is_committed_once_at_its_end(portal: Flask, visitor: Visitor) -> None:
    assert visitor.post("/marking").status_code == 200
    assert marks(portal) == ["marked"]


def test_what_a_get_would_write_is_not_kept(portal: Flask, visitor: Visitor) -> None:
    assert visitor.get("/marking").status_code == 200
    assert marks(portal) == []


def test_what_a_failing_post_began_is_undone(portal: Flask, visitor: Visitor) -> None:
    assert visitor.post("/marking_and_failing").status_code == 500
    assert marks(portal) == []


def test_slow_work_comes_first_and_only_what_follows_start_writing_is_kept(
    portal: Flask, visitor: Visitor
) -> None:
    assert visitor.post("/reading_then_marking").status_code == 200
    assert visitor.post("/only_reading").status_code == 200
    assert marks(portal) == ["in time"]


@pytest.fixture
def statements(portal: Flask) -> Iterator[list[str]]:
    """What SQLite is told, word by word."""
    said: list[str] = []

    def listen(connection: sqlite3.Connection, *_more: object) -> None:
        connection.set_trace_callback(lambda statement: said.append(" ".join(statement.split())))

    with portal.app_context():
        engine = db.engine
    event.listen(engine, "checkout", listen)
    yield said
    event.remove(engine, "checkout", listen)
    engine.dispose()


def begins(statements: list[str]) -> list[str]:
    return [statement for statement in statements if statement.startswith("BEGIN")]


@sqlite_only
def test_a_get_begins_deferred_and_takes_no_write_lock(
    portal: Flask, cast: Cast, statements: list[str]
) -> None:
    ada = Visitor(portal.test_client())
    ada.sign_in(cast.ada)
    statements.clear()
    assert ada.get("/audit").status_code == 200
    assert begins(statements) == ["BEGIN"]


@sqlite_only
def test_a_post_begins_immediate_before_it_asks_who_is_there(
    portal: Flask, cast: Cast, statements: list[str]
) -> None:
    ada = Visitor(portal.test_client())
    ada.sign_in(cast.ada)
    statements.clear()
    assert ada.post("/logout").status_code == 303
    assert begins(statements) == ["BEGIN IMMEDIATE"]
    assert statements.index("BEGIN IMMEDIATE") < next(
        index for index, statement in enumerate(statements) if "web_sessions" in statement
    )


@sqlite_only
def test_a_sign_in_hashes_before_it_takes_the_write_lock(
    portal: Flask, cast: Cast, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = passwords.hasher

    class Telling:
        def verify(self, *arguments: str) -> bool:
            statements.append("hash")
            return hasher.verify(*arguments)

    monkeypatch.setattr(passwords, "hasher", Telling())
    ada = Visitor(portal.test_client())
    ada.get("/login")
    statements.clear()
    assert ada.post("/login", {"email": cast.ada, "password": "wrong"}).status_code == 401
    order = [said for said in statements if said == "hash" or said.startswith("BEGIN")]
    # The attempt is counted, and committed, before its password is hashed.
    assert order == ["BEGIN", "BEGIN IMMEDIATE", "hash", "BEGIN IMMEDIATE"]


@sqlite_only
def test_a_refused_request_takes_no_write_lock_for_its_page(
    portal: Flask, cast: Cast, statements: list[str]
) -> None:
    ada = Visitor(portal.test_client())
    ada.sign_in(cast.ada)
    statements.clear()
    assert ada.client.post("/nowhere").status_code == 404
    assert begins(statements) == ["BEGIN"]


@sqlite_only
def test_activity_is_noted_in_a_short_transaction_of_its_own(
    portal: Flask, cast: Cast, statements: list[str]
) -> None:
    ada = Visitor(portal.test_client())
    ada.sign_in(cast.ada)
    with portal.app_context():
        for session in db.session.scalars(select(WebSession)):
            session.last_active_at -= timedelta(minutes=1)
        db.session.commit()
        db.session.remove()
    statements.clear()
    assert ada.get("/audit").status_code == 200
    assert begins(statements) == ["BEGIN", "BEGIN IMMEDIATE"]
    assert [said for said in statements if said.startswith("UPDATE web_sessions")]


def test_what_is_written_stands_in_no_error(session: Session) -> None:
    """Errors go into logs, and what is written may be a hash or a person's address."""
    row = {"id": "twice", "name": "Whispered Ltd", "search_text": "", "created_at": NOW}
    session.execute(insert(Organisation), row)
    with pytest.raises(IntegrityError) as caught:
        session.execute(insert(Organisation), row)
    assert "Whispered" not in str(caught.value)
