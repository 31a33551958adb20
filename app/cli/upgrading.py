"""`rolling-window upgrade`: bring the database to this version, or say what that would do."""

import sys

import click
from flask.cli import with_appcontext

from app.cli.common import reading, refuse
from app.cli.setup import (
    known_migrations,
    migration_of,
    newest_migration,
    one_at_a_time,
    upgrade_database,
)
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import ConfigError
from app.extensions import db


@click.command("upgrade")
@click.option(
    "--check", is_flag=True, help="Change nothing; exit status 1 if there is anything to do."
)
@with_appcontext
def command(check: bool) -> None:
    """Bring the database to this version; an SQLite file is copied before. A start does the same.

    A database of a newer version is refused: there is no way back but a copy of before.
    """
    if check:
        sentence, done = _state()
        click.echo(sentence)
        sys.exit(0 if done else 1)
    settings = current_config()
    try:
        with one_at_a_time(settings):
            upgrade_database(settings, utcnow())
    except ConfigError as error:
        refuse(error.detail)
    with db.engine.connect() as connection:
        click.echo(f"The database is at {migration_of(connection)}, the newest.")


def _state() -> tuple[str, bool]:
    """How the database stands to this version, and whether there is nothing to do."""
    with reading() as session:
        at = migration_of(session.connection())
    newest = newest_migration()
    if at is None:
        return "The database has not been set up yet; the start does it.", False
    if at == newest:
        return f"The database is at {at}, the newest.", True
    if at not in known_migrations():
        return (
            f"The database is at {at}, which is newer than this version ({newest}). Start the "
            "version that it belongs to, or restore a copy of before.",
            False,
        )
    return f"The database is at {at}; the next start, or `upgrade`, brings it to {newest}.", False
