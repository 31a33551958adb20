"""What `flask db copy` refuses, in which words, and the differences that it finds."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from flask import Flask
from sqlalchemy import Engine, func, inspect, select, text

from app.cli import server
from app.cli.setup import bind_migrate, newest_migration, upgrade_database
from app.config import ROOT
from app.extensions import db
from app.models import KeyInspection, User
from tests.conftest import NOW
from tests.services.db_copy.stage import (
    MANY,
    assert_equal,
    copied_to,
    copy,
    everything,
    portal_on,
    refused,
    write_to,
)

pytestmark = pytest.mark.postgres

DIFFER = (
    " of {rows:,} rows differ. If a portal runs on TO already, this is what has changed since it "
    "started; if not, stop the portal, make the database at TO anew and copy again.\n"
)


def is_empty(target: Engine) -> bool:
    return inspect(target).get_table_names() == []


def test_a_portal_on_postgresql_is_refused(folder: Path, to: str) -> None:
    with portal_on(folder, PORTAL_DATABASE_URL=to) as moved:
        assert refused(moved, to) == (
            "PORTAL_DATABASE_URL: this portal is on PostgreSQL already; run the command with the "
            "settings of one that is on SQLite.\n"
        )


@pytest.mark.parametrize(
    "address",
    ["sqlite:////tmp/hidden.db", "mysql://u:hidden@h/n", "hidden", "postgresql://u:hid@den@h/n"],
)
def test_what_is_no_address_of_postgresql_is_refused(portal: Flask, address: str) -> None:
    assert refused(portal, address) == (
        "TO: this is no address of a PostgreSQL database; allowed: "
        "postgresql+psycopg://USER:PASSWORD@HOST/NAME, with @ : / ? # % in the user's name or "
        "the password written as %40 %3A %2F %3F %23 %25.\n"
    )


@pytest.mark.parametrize("addresses", [(), ("postgresql://u:hidden", "hidden@h/n")])
def test_anything_but_one_address_is_used_wrongly(portal: Flask, addresses: tuple[str]) -> None:
    result = copy(portal, *addresses)
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: Give one address, TO, in quotes.\n")


def test_a_server_that_cannot_be_reached_is_refused(portal: Flask) -> None:
    said = refused(portal, "postgresql://u:hidden@127.0.0.1:1/n")
    assert said.startswith("TO: the database cannot be used (")
    assert "Connection refused" in said
    assert said.endswith("); name one that is running and may be written.\n")
    assert said.count("\n") == 1


def test_a_server_that_names_the_password_is_not_repeated(portal: Flask, to: str) -> None:
    """A database may have the password's name, and the server says that there is none."""
    said = refused(portal, to.replace("/copied?", "/hidden@hidden?"))
    assert 'database "***" does not exist' in said


def test_tables_that_are_behind_the_program_are_refused(
    portal: Flask, to: str, target: Engine
) -> None:
    bind_migrate(portal)
    alembic: AlembicConfig = portal.extensions["migrate"].migrate.get_config(
        str(ROOT / "migrations")
    )
    command.downgrade(alembic, "0016")
    assert refused(portal, to) == (
        "The SQLite database is not of this version of the program (its migration is 0016, the "
        f"newest is {newest_migration()}); start the portal on it once, which upgrades it, then "
        "stop the portal and copy.\n"
    )
    assert is_empty(target)


def test_a_portal_that_was_never_started_is_refused(
    tmp_path: Path, to: str, target: Engine
) -> None:
    with portal_on(tmp_path) as new:
        upgrade_database(new.extensions["config"], NOW)
        assert refused(new, to) == (
            "The SQLite database has never been started; start the portal on it once, or start a "
            "new one on PostgreSQL.\n"
        )
    assert is_empty(target)


def test_a_database_file_that_is_missing_is_refused(portal: Flask, folder: Path, to: str) -> None:
    (folder / "portal.db").unlink()
    assert refused(portal, to) == (
        "The database file is missing or cannot be opened. "
        "The person who runs this portal must put it back, or start the portal again.\n"
    )


def test_the_database_of_another_installation_is_refused_and_left_as_it_is(
    portal: Flask, tmp_path: Path, to: str, target: Engine
) -> None:
    with portal_on(tmp_path / "other", PORTAL_DATABASE_URL=to) as other:
        server.set_up(other.extensions["config"])
    with target.connect() as connection:
        before = everything(connection)
    assert refused(portal, to) == (
        "TO: the database has rows that are not of this installation. Nothing was written to it; "
        "name an empty one.\n"
    )
    with target.connect() as connection:
        assert everything(connection) == before


def test_rows_without_an_installation_are_of_another_one(
    portal: Flask, to: str, target: Engine
) -> None:
    with target.begin() as connection:
        connection.execute(text("CREATE TABLE users (name text)"))
        connection.execute(text("INSERT INTO users VALUES ('of something else')"))
    assert refused(portal, to).startswith("TO: the database has rows that are not of this ")
    assert inspect(target).get_table_names() == ["users"]


def test_the_database_of_a_later_version_is_refused(portal: Flask, to: str, target: Engine) -> None:
    with target.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('later')"))
    said = refused(portal, to)
    assert said.startswith("TO: the database is of another version of this program (")
    assert said.endswith("); name an empty one.\n")


def test_a_database_that_may_not_be_written_is_refused(
    portal: Flask, to: str, target: Engine
) -> None:
    with target.begin() as connection:
        connection.execute(text("ALTER DATABASE copied SET default_transaction_read_only = on"))
    said = refused(portal, to)
    assert said.startswith("TO: the database cannot be used (cannot execute CREATE TABLE in a ")
    assert said.endswith("); name one that is running and may be written.\n")
    assert said.count("\n") == 1


def test_a_row_that_postgresql_does_not_take_is_named_without_its_values(
    portal: Flask,
    folder: Path,
    to: str,
    target: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_to(folder, f"UPDATE key_inspections SET address = '{'hidden' * 9}' WHERE id = 2500")
    assert refused(portal, to) == (
        "PostgreSQL refuses the row key_inspections id=2500 (value too long for type character "
        "varying(45)). If SQLite has been written since the copy began, make the database at TO "
        "anew and copy again. If not, correct that row in SQLite, then run the same command again: "
        "it goes on where it stopped.\n"
    )
    assert caplog.messages == []
    write_to(folder, "UPDATE key_inspections SET address = 'short' WHERE id = 2500")
    copied_to(portal, to)
    assert_equal(target)


def rows_there() -> int:
    with db.engine.connect() as connection:
        return sum(map(len, everything(connection).values()))


def test_rows_that_differ_are_told_without_their_values(
    portal: Flask, to: str, target: Engine
) -> None:
    """And a finished copy is compared, but not written."""
    copied_to(portal, to)
    rows = rows_there()
    with target.begin() as connection:
        for statement in (
            "UPDATE users SET email = 'hidden@example.com', disabled_at = now() WHERE id = 1",
            "UPDATE configurations SET data = '{\"hidden\": 1}'",
            "DELETE FROM key_inspections WHERE id > 4499",
            "INSERT INTO sign_in_failures VALUES (99, 'hidden', 'hidden', now())",
            "UPDATE project_search SET text = 'hidden' WHERE project_id = 3",
            "DELETE FROM agent_mac_ids WHERE mac_id = '02:00:00:00:00:0A'",
        ):
            connection.execute(text(statement))
    result = copy(portal, to)
    assert result.exit_code == 1
    assert set(result.stderr.splitlines(keepends=True)) == {
        "users id=1: email, disabled_at differ\n",
        "configurations organisation_id=ORG-000001: data differ\n",
        "key_inspections id=4500: only in SQLite\n",
        "sign_in_failures id=99: only in PostgreSQL\n",
        "project_search project_id=3: text differ\n",
        "agent_mac_ids agent_id=7, mac_id=02:00:00:00:00:0A: only in SQLite\n",
        f"6{DIFFER.format(rows=rows + 1)}",
    }
    assert result.stdout.startswith(
        "TO has a finished copy of this installation: it is compared, not written.\n"
    )
    with target.connect() as connection:
        assert connection.scalar(select(func.count(KeyInspection.id))) == MANY - 1


def test_of_many_differences_the_first_are_told(portal: Flask, to: str, target: Engine) -> None:
    copied_to(portal, to)
    with target.begin() as connection:
        connection.execute(text("UPDATE key_inspections SET address = 'hidden'"))
    said = refused(portal, to).splitlines(keepends=True)
    assert said[0] == "key_inspections id=1: address differ\n"
    assert len(said) == 21
    assert said[-1] == f"{MANY:,}{DIFFER.format(rows=rows_there())}"


def test_a_row_that_changed_in_sqlite_since_the_copy_stopped_is_found(
    portal: Flask, folder: Path, to: str, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as during:
        during.setattr(
            "app.cli.database.finish_copy", lambda _: (_ for _ in ()).throw(SystemExit(9))
        )
        assert copy(portal, to).exit_code == 9
    write_to(folder, "UPDATE users SET email = 'hidden@example.com' WHERE id = 1")
    assert refused(portal, to) == (f"users id=1: email differ\n1{DIFFER.format(rows=rows_there())}")
    assert db.session.scalar(select(User.email).where(User.id == 1)) == "hidden@example.com"
