"""Creating or upgrading the database, once, before any worker starts."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import Flask, current_app
from flask_migrate import Migrate
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from app.config import ROOT, Config
from app.core.errors import ConfigError
from app.core.private_files import make_private_folder
from app.extensions import db

MIGRATIONS = ROOT / "migrations"
SET_UP_LOCK = 0x526F6C6C  # any number that only this portal uses on its database


_held: list[int] = []
"""Open files of `say_running`, which hold its lock until the process and its copies have ended."""


def say_running(config: Config) -> None:
    """Keep restores away from the instance for as long as this process, or a copy of it, runs.

    Raises ConfigError if one is going on.
    """
    descriptor = _running_file(config)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            "A copy is being restored into this instance; start the portal when it is done."
        ) from None
    _held.append(descriptor)


@contextmanager
def while_stopped(config: Config) -> Iterator[None]:
    """Keep portals from starting. Raises ConfigError if one runs, or another restore does."""
    descriptor = _running_file(config)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                "The portal is running, or another restore is. Stop it, then restore again. "
                "Nothing was changed."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _running_file(config: Config) -> int:
    make_private_folder(config.instance)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    return os.open(config.instance / ".running", flags, 0o600)


@contextmanager
def one_at_a_time(config: Config) -> Iterator[None]:
    """Several portals may start on one database at once: each sets up when its turn comes.

    Without it two would make two signing keys, or one would fail on what the other has made.
    Raises ConfigError, in one line, if the database cannot be used.
    """
    with ExitStack() as turn:
        try:
            turn.enter_context(_set_up_lock(config))
        except (OSError, DBAPIError) as error:
            raise ConfigError(_unusable(config, error)) from None
        yield


@contextmanager
def _set_up_lock(config: Config) -> Iterator[None]:
    if config.database_file:
        config.database_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = config.database_file.with_name(f".{config.database_file.name}-set-up")
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with postgresql_set_up_lock(db.engine):
        yield


@contextmanager
def postgresql_set_up_lock(engine: Engine) -> Iterator[None]:
    """The same turn on a PostgreSQL database: portals that start on it meanwhile wait."""
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": SET_UP_LOCK})
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": SET_UP_LOCK})
            connection.commit()
            connection.invalidate()  # its lock_timeout is not the others'


def upgrade_database(config: Config, now: datetime) -> None:
    """Create or upgrade the database; an SQLite file is copied before an upgrade.

    Raises ConfigError, in one line, if the database cannot be used.
    """
    try:
        if config.database_file:
            _create_sqlite_file(config, config.database_file)
            _keep_copy(config.database_file, now)
        upgrade_to_newest(db.engine)
    except (OSError, sqlite3.Error, DBAPIError) as error:
        raise ConfigError(_unusable(config, error)) from None
    except CommandError as error:
        raise ConfigError(
            f"PORTAL_DATABASE_URL: the database is of another version of this program ({error}); "
            "start the version that it belongs to, or one that is newer."
        ) from None


def upgrade_to_newest(engine: Engine) -> None:
    """Bring the database of `engine` to the newest migration, all of it or nothing.

    Raises CommandError if it is of a version that this program does not know.
    """
    settings = _alembic()
    settings.attributes["engine"] = engine
    command.upgrade(settings, "head")


def migration_of(connection: Connection) -> str | None:
    """The migration that a database is at; None if it has never been set up."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_migration() -> str | None:
    """The newest migration that this program knows."""
    return _scripts().get_current_head()


def known_migrations() -> set[str]:
    """Every migration that this program knows."""
    return {script.revision for script in _scripts().walk_revisions()}


def reason_of(error: Exception, database_url: str) -> str:
    """What a driver says is wrong, on one line and without the password of the address."""
    reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    url = make_url(database_url)
    for password in (url.password, url.query.get("password")):
        if password:
            reason = reason.replace(str(password), "***")
    return reason


def _unusable(config: Config, error: Exception) -> str:
    reason = reason_of(error, config.database_url)
    if config.database_file is None:
        return (
            f"PORTAL_DATABASE_URL: the database cannot be used ({reason}); "
            "name one that is running and may be written."
        )
    in_instance = config.database_file.parent == config.instance
    setting = "PORTAL_INSTANCE" if in_instance else "PORTAL_DATABASE_URL"
    return (
        f"{setting}: {config.database_file} cannot be made or written ({reason}); "
        "name a folder that the portal may write."
    )


def _create_sqlite_file(config: Config, file: Path) -> None:
    """Create the file in WAL mode, in which readers and a writer do not block each other."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file, timeout=config.database_wait_seconds)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _keep_copy(file: Path, now: datetime) -> None:
    with db.engine.connect() as connection:
        current = migration_of(connection)
    if current in (None, newest_migration()):
        return
    copy = file.with_name(f"{file.stem}-before-upgrade-{now:%Y%m%dT%H%M%SZ}.db")
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_alembic())


def bind_migrate(app: Flask) -> None:
    """Let Flask-Migrate know `app`, if it does not."""
    if "migrate" not in app.extensions:
        Migrate(app, db, directory=str(MIGRATIONS))


def _alembic() -> AlembicConfig:
    bind_migrate(current_app._get_current_object())  # type: ignore[attr-defined]
    settings: AlembicConfig = current_app.extensions["migrate"].migrate.get_config(str(MIGRATIONS))
    return settings
