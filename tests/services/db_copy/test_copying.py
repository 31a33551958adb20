"""`flask db copy`: from SQLite to PostgreSQL, every row, once, whatever happens meanwhile."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, func, select, text

from app.cli import database, server
from app.cli.setup import upgrade_to_newest
from app.config import ROOT
from app.extensions import db
from app.licenses.services import inspect_key
from app.models import Base, KeyInspection, TemporaryLicense
from app.models.copying import ROWS_AT_ONCE, is_unfinished
from tests.agents.stage import text_of
from tests.conftest import NOW, Visitor
from tests.portal_process import FLASK, PATIENCE
from tests.services.db_copy.stage import (
    MANY,
    assert_equal,
    copied_to,
    environment,
    everything,
    portal_on,
    refused,
    write_to,
)

pytestmark = pytest.mark.postgres

IN_THE_SECOND_BLOCK = ROWS_AT_ONCE + 500


def test_every_row_of_every_table_is_copied_and_sqlite_is_only_read(
    portal: Flask, folder: Path, to: str, target: Engine
) -> None:
    with db.engine.connect() as connection:
        before = everything(connection)
    said = copied_to(portal, to)
    assert f"Copying {folder}/portal.db, rows of each table:\n" in said
    copying, comparing = said.split("Comparing, rows of each table:\n")
    for part in (copying, comparing):
        assert f"  key_inspections     {MANY:>12,}\n" in part
    assert "project_search" in comparing
    assert "project_search" not in copying
    assert_equal(target)
    with db.engine.connect() as connection:
        assert everything(connection) == before


def test_files_are_copied_one_by_one_and_the_planner_is_told_what_there_is(
    portal: Flask, to: str, target: Engine
) -> None:
    copied_to(portal, to)
    transactions = text("SELECT count(DISTINCT xmin::text), count(*) FROM import_drafts")
    planned = text("SELECT reltuples FROM pg_class WHERE relname = 'key_inspections'")
    with target.connect() as connection:
        assert connection.execute(transactions).one() == (2, 2)
        assert connection.scalar(planned) == MANY


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_to_is_written_like_the_setting(portal: Flask, to: str, scheme: str) -> None:
    copied_to(portal, to.replace("postgresql+psycopg", scheme))


def test_a_portal_on_the_copy_goes_on_where_the_other_one_stopped(
    portal: Flask, folder: Path, to: str
) -> None:
    """It knows browsers and keys, gives rows numbers of their own, and finds what is there."""
    before = Visitor(portal.test_client())
    assert before.sign_in("admin@example.com").status_code == 303
    cookie = before.client.get_cookie("rolling_window")
    assert cookie is not None
    license = db.session.scalars(select(TemporaryLicense).order_by(TemporaryLicense.id)).first()
    assert license is not None
    key, state = text_of(license), inspect_key(db.session(), text=text_of(license), now=NOW).state
    db.session.remove()
    copied_to(portal, to)
    with portal_on(folder, PORTAL_DATABASE_URL=to) as moved:
        server.set_up(moved.extensions["config"])
        assert inspect_key(db.session(), text=key, now=NOW).state == state
        db.session.remove()
        after = moved.test_client()
        after.set_cookie("rolling_window", cookie.value)
        assert after.get("/audit").status_code == 200
        runner = moved.test_cli_runner()
        shown = runner.invoke(args=["projects", "list", "--search", "京", "--json"])
        assert "京" in shown.stdout
        organisation = ["--organisation", "ORG-000001"]
        issue = ["licenses", "issue", *organisation, "--ttl", "1h", "--as", "admin@example.com"]
        assert runner.invoke(args=issue).exit_code == 0
        for table in Base.metadata.sorted_tables:
            if table.autoincrement_column is not None:
                name = table.autoincrement_column.name
                sequence = func.pg_get_serial_sequence(table.name, name)
                following = db.session.scalar(select(func.nextval(sequence)))
                highest = db.session.scalar(select(func.max(table.c[name]))) or 0
                assert following == highest + 1, table.name


def stop_at(target: Engine, do: str) -> None:
    """Let the insertion of one inspection in the second block do something else in TO."""
    upgrade_to_newest(target)
    with target.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {do}; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER stop BEFORE INSERT ON key_inspections FOR EACH ROW "
                f"WHEN (NEW.id = {IN_THE_SECOND_BLOCK}) EXECUTE FUNCTION stop()"
            )
        )


def goes_on(portal: Flask, to: str, target: Engine) -> None:
    """Of a copy that was stopped there, the first block is in TO, and is not written again."""
    versions = text("SELECT id, xmin::text FROM key_inspections ORDER BY id LIMIT :first")
    with target.begin() as connection:
        assert is_unfinished(connection)
        assert connection.scalar(select(func.count(KeyInspection.id))) == ROWS_AT_ONCE
        connection.execute(text("DROP FUNCTION stop CASCADE"))
        first = connection.execute(versions, {"first": ROWS_AT_ONCE}).all()
    said = copied_to(portal, to)
    assert f"  key_inspections     {MANY - ROWS_AT_ONCE:>12,}\n" in said
    with target.connect() as connection:
        assert connection.execute(versions, {"first": ROWS_AT_ONCE}).all() == first
    assert_equal(target)


def test_what_fails_in_the_middle_of_a_block_goes_on_there(
    portal: Flask, to: str, target: Engine
) -> None:
    stop_at(target, "RAISE EXCEPTION 'stopped'")
    said = refused(portal, to)
    assert said.startswith("The copy stopped (stopped CONTEXT: ")
    assert said.endswith("); run the same command again: it goes on where it stopped.\n")
    assert said.count("\n") == 1
    goes_on(portal, to, target)


def wait_until(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.05)


def test_what_is_killed_in_the_middle_of_a_block_goes_on_there(
    portal: Flask, folder: Path, to: str, target: Engine
) -> None:
    stop_at(target, "PERFORM pg_advisory_xact_lock(7)")
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    others = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with target.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(7)"))
        process = subprocess.Popen(
            [*FLASK, "db", "copy", to],
            cwd=ROOT,
            env=os.environ | environment(folder, PYTHONPATH=str(ROOT)),
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: process.poll() is not None or connection.scalar(waits))
        finally:
            process.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL
        connection.execute(text("SELECT pg_advisory_unlock(7)"))
        connection.commit()
        wait_until(lambda: connection.scalar(others) == 0 or connection.rollback())
    goes_on(portal, to, target)


def test_no_portal_starts_on_a_copy_that_is_not_finished(
    portal: Flask, folder: Path, to: str, target: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(target, "RAISE EXCEPTION 'stopped'")
    refused(portal, to)
    with portal_on(folder, PORTAL_DATABASE_URL=to) as moved, pytest.raises(SystemExit) as ended:
        server.set_up(moved.extensions["config"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "PORTAL_DATABASE_URL: the copy into this database has not been finished; finish it with "
        "the same `db copy` as before, or `restore --replace` if it was one, or name another "
        "database.\n"
    )


def test_what_is_written_meanwhile_is_said_and_copied_by_the_next_run(
    portal: Flask, folder: Path, to: str, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no part of the copy, although its table is copied after it was written."""
    copy_table = database.copy_table

    def write_and_copy(table: object, *connections: Connection) -> int:
        if table is KeyInspection.__table__:
            moment = "2026-11-24 15:40:00.000000"
            write_to(folder, f"INSERT INTO key_inspections VALUES (NULL, 'late', '{moment}')")
        return copy_table(table, *connections)

    with monkeypatch.context() as during:
        during.setattr(database, "copy_table", write_and_copy)
        assert refused(portal, to) == (
            "All that was copied is equal, but SQLite has been written since the copy began, and "
            "that is not in it. Stop the portal, then run the same command again: it goes on "
            "where it stopped.\n"
        )
    with target.connect() as connection:
        assert connection.scalar(select(func.count(KeyInspection.id))) == MANY
        assert is_unfinished(connection)
    copied_to(portal, to)
    assert_equal(target)
