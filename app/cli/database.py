"""`flask db copy`: an installation moves from SQLite to PostgreSQL; `db usage`: its size."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from alembic.util import CommandError
from flask.cli import with_appcontext
from sqlalchemy import Connection, Engine, Table, create_engine
from sqlalchemy.exc import DBAPIError

from app.cli.common import json_option, print_json, print_table, reading, refuse
from app.cli.setup import (
    migration_of,
    newest_migration,
    postgresql_set_up_lock,
    reason_of,
    upgrade_to_newest,
)
from app.config import Config, current_config
from app.core.clock import utcnow
from app.core.errors import ConfigError, PortalError
from app.extensions import db
from app.models.copying import (
    RowRefused,
    all_tables,
    begin_copy,
    compare_table,
    copied_tables,
    copy_table,
    finish_copy,
    has_rows,
    installation_salt,
    is_unfinished,
)
from app.models.database_errors import explain_database_error
from app.models.engine import engine_options, reading_only, set_up_engine
from app.models.usage import table_usage
from app.settings.values import database_address

DIFFERENCES_TOLD = 20
AGAIN = "run the same command again: it goes on where it stopped."
ANEW = "make the database at TO anew and copy again."
NEXT = """\
What to do next:
1. Leave the portal on SQLite stopped: what it writes from now on is not in the copy.
2. Set PORTAL_DATABASE_URL to the address that you gave as TO.
3. Keep the same instance folder (signing keys, secret key) and all other settings.
4. Start the portal."""


def add_to(group: click.Command) -> None:
    """Add `copy` and `usage` to Flask-Migrate's `db`."""
    if isinstance(group, click.Group):
        group.add_command(copy_command)
        group.add_command(usage_command)


@click.command("usage")
@json_option
@with_appcontext
def usage_command(as_json: bool) -> None:
    """Say how large each table is, and what a year will add at the pace of the last 30 days."""
    with reading() as session:
        usages = table_usage(session.connection(), utcnow())
    if as_json:
        print_json([usage._asdict() for usage in usages])
        return
    print_table(
        ("Table", "Rows", "Size", "A year adds"),
        [
            (usage.table, f"{usage.rows:,}", _size(usage.bytes), _size(usage.bytes_a_year))
            for usage in usages
        ],
    )
    total = sum(usage.bytes for usage in usages)
    growth = sum(usage.bytes_a_year for usage in usages)
    click.echo(f"In all {_size(total)}; a year adds {_size(growth)}.")


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"


@click.command("copy")
@click.argument("addresses", metavar="TO", nargs=-1)
@with_appcontext
def copy_command(addresses: tuple[str, ...]) -> None:
    """Copy this installation from SQLite to the PostgreSQL database at the address TO.

    Stop the portal first. TO is an empty database, such as
    postgresql+psycopg://USER:PASSWORD@HOST/NAME. Where this was stopped, the same command goes on.
    At the end every row is read from both and compared; SQLite is only read.
    """
    if len(addresses) != 1:  # click's own sentence would repeat them, and so a password
        raise click.UsageError("Give one address, TO, in quotes.")
    # It would say beside our sentence that a block was broken off.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    config = current_config()
    try:
        file = _source_file(config)
        url = _target_url(addresses[0])
        target = create_engine(url, **engine_options(1))
        set_up_engine(target, None, wait_seconds=config.database_wait_seconds, long_waits=1)
        with reading_only(), db.engine.connect() as source:
            _check_source(source)
            with _opened(target, url) as connection:
                _copy(file, source, connection, url)
    except PortalError as error:
        refuse(error.detail)
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            refuse(f"The copy stopped ({reason_of(error, url)}); {AGAIN}")
        sentence = explain_database_error(error)
        if sentence is None:
            raise
        refuse(sentence)


def _source_file(config: Config) -> Path:
    if config.database_file is None:
        raise ConfigError(
            "PORTAL_DATABASE_URL: this portal is on PostgreSQL already; run the command with the "
            "settings of one that is on SQLite."
        )
    return config.database_file


def _target_url(text: str) -> str:
    try:
        url = database_address(text)
    except ConfigError:
        url = ""
    if not url.startswith("postgresql"):
        raise ConfigError(
            "TO: this is no address of a PostgreSQL database; allowed: "
            "postgresql+psycopg://USER:PASSWORD@HOST/NAME, with @ : / ? # % in the user's name or "
            "the password written as %40 %3A %2F %3F %23 %25."
        )
    return url


def _check_source(source: Connection) -> None:
    """From here on `source` reads one snapshot, whatever is written meanwhile."""
    current, newest = migration_of(source), newest_migration()
    if current != newest:
        raise ConfigError(
            f"The SQLite database is not of this version of the program (its migration is "
            f"{current or 'none'}, the newest is {newest}); start the portal on it once, which "
            "upgrades it, then stop the portal and copy."
        )
    if installation_salt(source) is None:
        raise ConfigError(
            "The SQLite database has never been started; start the portal on it once, or start a "
            "new one on PostgreSQL."
        )


@contextmanager
def _opened(target: Engine, url: str) -> Iterator[Connection]:
    """A connection to TO, while no portal can start on it and no other copy is written to it."""
    with ExitStack() as stack:
        stack.callback(target.dispose)
        try:
            stack.enter_context(postgresql_set_up_lock(target))
            connection = stack.enter_context(target.connect())
        except DBAPIError as error:
            raise ConfigError(_unusable(error, url)) from None
        yield connection


def _unusable(error: DBAPIError, url: str) -> str:
    return (
        f"TO: the database cannot be used ({reason_of(error, url)}); "
        "name one that is running and may be written."
    )


def _copy(file: Path, source: Connection, target: Connection, url: str) -> None:
    version = _version(source)
    is_finished = _prepare(source, target, url)
    if is_finished:
        click.echo("TO has a finished copy of this installation: it is compared, not written.")
    else:
        click.echo(f"Copying {file}, rows of each table:")
        for table in copied_tables():
            _copy_one(table, source, target)
    rows = _compare(source, target)
    if version != _version_now(source):
        raise PortalError(
            "All that was copied is equal, but SQLite has been written since the copy began, and "
            f"that is not in it. Stop the portal, then {AGAIN}"
        )
    if not is_finished:
        finish_copy(target)
    click.echo(f"{rows:,} rows of {len(all_tables())} tables, all equal.")
    click.echo(NEXT)


def _prepare(source: Connection, target: Connection, url: str) -> bool:
    """Make the tables at TO; returns whether a finished copy is there already.

    Raises PortalError, and has changed nothing, if TO has anything but a copy of this installation.
    """
    try:
        with target.begin():
            is_filled = has_rows(target)
            if is_filled and installation_salt(target) != installation_salt(source):
                raise PortalError(
                    "TO: the database has rows that are not of this installation. Nothing was "
                    "written to it; name an empty one."
                )
        upgrade_to_newest(target.engine)
        if not is_filled:
            begin_copy(source, target)
        with target.begin():
            return not is_unfinished(target)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise
        raise ConfigError(_unusable(error, url)) from None
    except CommandError as error:
        raise ConfigError(
            f"TO: the database is of another version of this program ({error}); name an empty one."
        ) from None


def _copy_one(table: Table, source: Connection, target: Connection) -> None:
    try:
        _say(table, copy_table(table, source, target))
    except RowRefused as error:
        raise PortalError(
            f"PostgreSQL refuses the row {error.row} ({error.reason}). If SQLite has been written "
            f"since the copy began, {ANEW} If not, correct that row in SQLite, then {AGAIN}"
        ) from None


def _compare(source: Connection, target: Connection) -> int:
    """Read every row of both; returns how many there are. Raises PortalError if they differ."""
    click.echo("Comparing, rows of each table:")
    total = differing = 0
    with target.begin():
        for table in all_tables():
            rows = 0
            for difference in compare_table(table, source, target):
                rows += 1
                if difference:
                    differing += 1
                    if differing <= DIFFERENCES_TOLD:
                        click.echo(difference, err=True)
            _say(table, rows)
            total += rows
    if differing:
        raise PortalError(
            f"{differing:,} of {total:,} rows differ. If a portal runs on TO already, this is what "
            f"has changed since it started; if not, stop the portal, {ANEW}"
        )
    return total


def _say(table: Table, rows: int) -> None:
    click.echo(f"  {table.name:<20}{rows:>12,}")


def _version(source: Connection) -> object:
    """Another one as soon as others have written, but the same one within a transaction."""
    return source.exec_driver_sql("PRAGMA data_version").scalar()


def _version_now(source: Connection) -> object:
    source.rollback()
    migration_of(source)  # begins the next snapshot
    return _version(source)
