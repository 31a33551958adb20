"""What can befall a database from outside: a sentence, not a crash, and nothing half done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InternalError, OperationalError

from app import create_app
from app.cli.setup import upgrade_database
from app.config import Config, load_config
from app.extensions import db
from app.models import AuditEvent
from app.models.database_errors import (
    DAMAGED,
    EXPLANATIONS,
    FULL,
    MISSING,
    NOT_SET_UP,
    READ_ONLY,
    explain_database_error,
)
from app.models.engine import engine_options, reading_only
from tests.conftest import NOW, Cast, Clock, Visitor

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
LOCKED = EXPLANATIONS["locked"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A portal on an SQLite file of its own, that waits for nobody."""
    environ = {"PORTAL_INSTANCE": str(tmp_path), "PORTAL_SECRET_KEY": "for tests only, " * 3}
    environ |= {"PORTAL_SECOND_FACTOR": "off"}
    return replace(load_config(environ), database_wait_seconds=0)


@pytest.fixture
def portal(config: Config) -> Iterator[Flask]:
    portal = create_app(config)
    with portal.app_context():
        upgrade_database(config, NOW)
        Cast(db.session())
        db.session.remove()
    yield portal
    with portal.app_context():
        db.engine.dispose()


@pytest.fixture
def ada(portal: Flask) -> Visitor:
    visitor = Visitor(portal.test_client())
    visitor.sign_in(Cast.ada)
    return visitor


def told(answer: object, sentence: str) -> bool:
    """Whether it is a 503 page in the product's look that says the sentence."""
    assert answer.status_code == 503
    assert "<!DOCTYPE html>" in answer.text
    assert '<p class="empty-header">503</p>' in answer.text
    assert "ada@example.com" not in answer.text
    return sentence in answer.text


def events(portal: Flask) -> int:
    with portal.app_context(), reading_only():
        count = db.session.query(AuditEvent).count()
        db.session.remove()
    return count


def test_a_missing_file_is_said_to_be_missing(config: Config, portal: Flask, ada: Visitor) -> None:
    config.database_file.unlink()
    for path in ("/", "/audit", "/login"):
        assert told(ada.get(path), MISSING), path
    assert told(ada.post("/login", {"email": "a@b.example", "password": "x"}), MISSING)
    assert told(ada.post("/logout"), MISSING)
    assert not config.database_file.exists(), "it must not be made anew, empty"


def test_an_unknown_address_is_answered_without_a_database(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    config.database_file.unlink()
    answer = ada.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_trouble_is_told_as_a_fragment_and_as_a_problem_too(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    config.database_file.unlink()
    fragment = ada.get("/audit", htmx=True)
    assert fragment.status_code == 503
    assert fragment.headers["HX-Retarget"] == "#notices"
    assert MISSING in fragment.text
    problem = ada.client.get("/audit", headers={"Accept": "application/json"})
    assert problem.json["code"] == "unavailable"
    assert problem.json["detail"] == MISSING


def test_a_file_that_comes_back_is_used_again(config: Config, portal: Flask, ada: Visitor) -> None:
    away = config.database_file.with_name("away.db")
    with closing(sqlite3.connect(config.database_file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    config.database_file.rename(away)
    assert told(ada.get("/audit"), MISSING)
    away.rename(config.database_file)
    assert ada.get("/audit").status_code == 200


def test_a_copy_put_in_the_place_of_the_file_is_what_is_written_from_then_on(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    """Else every worker would go on with the old, deleted file, and lose what it writes there."""
    file = config.database_file
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for leftover in file.parent.glob("portal.db*"):
        leftover.unlink()
    copy.rename(file)
    before = events(portal)
    assert ada.post("/logout").status_code == 303
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM audit_events").fetchone() == (before + 1,)


@pytest.fixture
def held(config: Config, portal: Flask, ada: Visitor) -> Iterator[None]:
    """Another program holds the database."""
    with closing(sqlite3.connect(config.database_file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.usefixtures("held")
def test_while_another_writes_reading_goes_on(ada: Visitor) -> None:
    assert ada.get("/audit").status_code == 200


@pytest.mark.usefixtures("held")
def test_while_another_writes_a_change_is_refused_in_words(portal: Flask, ada: Visitor) -> None:
    before = events(portal)
    assert told(ada.post("/logout"), LOCKED)
    assert told(ada.post("/login", {"email": Cast.ada, "password": "wrong"}), LOCKED)
    assert ada.post("/logout", htmx=True).headers["HX-Retarget"] == "#notices"
    assert events(portal) == before


def test_after_a_refusal_the_same_change_goes_through(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    with closing(sqlite3.connect(config.database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert told(ada.post("/logout"), LOCKED)
        other.execute("ROLLBACK")
    assert ada.post("/logout").status_code == 303


def test_a_file_that_may_only_be_read_is_read_and_says_so_when_written(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    read_only = create_app(
        replace(config, database_url=config.database_url.replace("mode=rw", "mode=ro"))
    )
    visitor = Visitor(read_only.test_client())
    visitor.client.set_cookie("rolling_window", ada.client.get_cookie("rolling_window").value)
    assert visitor.get("/audit").status_code == 200
    assert told(visitor.post("/logout"), READ_ONLY)
    assert told(visitor.post("/login", {"email": Cast.ada, "password": "x"}), READ_ONLY)
    with read_only.app_context():
        db.engine.dispose()


def test_a_full_disk_is_said_to_be_full_and_nothing_is_kept(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    with portal.app_context():

        @event.listens_for(db.engine, "connect")
        def no_more_pages(connection: sqlite3.Connection, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        db.engine.dispose()
    before = events(portal)
    for number in range(200):
        email = f"{number}-{'x' * 200}@example.com"
        answer = ada.post("/login", {"email": email, "password": "x"})
        if answer.status_code == 503:
            break
        before += 1
    assert told(answer, FULL)
    assert events(portal) == before
    assert ada.get("/audit").status_code == 200


def test_a_file_that_is_no_database_is_said_to_be_damaged(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    for file in config.database_file.parent.glob("portal.db*"):
        file.unlink()
    config.database_file.write_bytes(b"not a database at all, " * 100)
    assert told(ada.get("/audit"), DAMAGED)


def test_an_empty_file_is_said_not_to_be_set_up(
    config: Config, portal: Flask, ada: Visitor
) -> None:
    for file in config.database_file.parent.glob("portal.db*"):
        file.unlink()
    config.database_file.touch()
    assert told(ada.get("/audit"), NOT_SET_UP.split("`")[0])


def test_a_busy_database_does_not_keep_a_reader_from_reading(
    config: Config, clock: Clock, ada: Visitor
) -> None:
    """Activity is noted only if nobody has to wait for it."""
    clock.advance(minutes=1)
    with closing(sqlite3.connect(config.database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ada.get("/audit").status_code == 200
        other.execute("ROLLBACK")


SIGNS = [
    (OperationalError, "database is locked", LOCKED),
    (OperationalError, "deadlock detected", EXPLANATIONS["deadlock"]),
    (OperationalError, "attempt to write a readonly database", READ_ONLY),
    (InternalError, "cannot execute INSERT in a read-only transaction", READ_ONLY),
    (OperationalError, "database or disk is full", FULL),
    (OperationalError, 'could not extend file "base/1": No space left on device', FULL),
    (OperationalError, "unable to open database file", MISSING),
    (OperationalError, "disk I/O error", EXPLANATIONS["disk i/o"]),
    (OperationalError, "no such table: users", NOT_SET_UP),
    (OperationalError, 'relation "users" does not exist', NOT_SET_UP),
    (DBAPIError, "file is not a database", DAMAGED),
    (DBAPIError, "database disk image is malformed", DAMAGED),
    (OperationalError, "server closed the connection unexpectedly", EXPLANATIONS["connection"]),
    (OperationalError, "near SELEC: syntax error", None),
    (IntegrityError, "Key (name)=(the disk is full, connection locked) exists", None),
    (DataError, "no space left", None),
]


@pytest.mark.parametrize(("kind", "words", "sentence"), SIGNS)
def test_what_each_drivers_words_mean(
    kind: type[DBAPIError], words: str, sentence: str | None
) -> None:
    assert explain_database_error(kind("SELECT 1", {}, Exception(words))) == sentence


@pytest.mark.postgres
def test_a_database_server_that_is_gone_is_said_to_be_out_of_reach(config: Config) -> None:
    away = "postgresql+psycopg://portal@127.0.0.1:1/postgres"
    portal = create_app(replace(config, database_url=away))
    answer = Visitor(portal.test_client()).post("/login", {"email": "a@b.example", "password": "x"})
    assert answer.status_code == 503
    assert EXPLANATIONS["connection"] in answer.text


def test_a_portal_with_no_connection_left_says_that_it_has_too_much_to_do(
    config: Config, portal: Flask, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool's time-out is none of the driver's errors."""
    small = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    monkeypatch.setattr("app.engine_options", lambda *of: engine_options(*of) | small)
    busy = create_app(config)
    visitor = Visitor(busy.test_client())
    visitor.client.set_cookie("rolling_window", ada.client.get_cookie("rolling_window").value)
    with busy.app_context(), reading_only(), closing(db.engine.connect()):
        answer = visitor.get("/audit")
        problem = visitor.client.get("/.well-known/license-keys.json")
    assert told(answer, "The portal has too much to do just now. Try again.")
    assert answer.headers["Retry-After"] == "5"
    assert (problem.status_code, problem.json["code"]) == (503, "unavailable")
    assert visitor.get("/audit").status_code == 200
    with busy.app_context():
        db.engine.dispose()
