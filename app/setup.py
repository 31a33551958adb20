"""Everything that is done once, before any worker starts."""

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import upgrade
from sqlalchemy import text

from app.config import ROOT, Config
from app.errors import ConfigError
from app.extensions import db

MIGRATIONS = ROOT / "migrations"
MIGRATION_LOCK = 0x526F6C6C  # any number that only this portal uses on its database


def upgrade_database(config: Config, now: datetime) -> None:
    """Create the database, or bring it up to date; a copy is kept before an upgrade.

    Raises ConfigError in one line if it cannot be written.
    """
    if config.sqlite:
        _create_sqlite_file(config)
        if config.database_file.exists():
            _keep_copy(config.database_file, now)
        upgrade(directory=str(MIGRATIONS))
        return
    with db.engine.connect() as connection:
        # Several portals may start on one database: one upgrades it, the others wait.
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
        upgrade(directory=str(MIGRATIONS))
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})


def database_is_current() -> bool:
    """Whether every migration has been applied to the database."""
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_heads() == tuple(
            _scripts().get_heads()
        )


def _create_sqlite_file(config: Config) -> None:
    """Make the file in the instance folder, in the journal mode that readers and writers share."""
    if "mode=rw" not in config.database_url:
        return
    try:
        config.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(config.database_file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        config.database_file.chmod(0o600)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"PORTAL_INSTANCE: {config.database_file} cannot be made or written ({error}); "
            "name a folder that the portal may write."
        ) from None


def _keep_copy(file: Path, now: datetime) -> None:
    with db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current in _scripts().get_heads():
        return
    copy = file.with_name(f"{file.stem}-before-upgrade-{now:%Y%m%dT%H%M%SZ}.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.chmod(0o600)


def _scripts() -> ScriptDirectory:
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(settings)
