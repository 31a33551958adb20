"""A consistent copy of the database in a file, and putting one back."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from app.cli.setup import reason_of
from app.config import Config
from app.core.errors import PortalError

MARK = "CREATE TABLE IF NOT EXISTS unfinished_copy (id INTEGER PRIMARY KEY)"
"""See `models/copying.py`: while it is there no portal starts on the database."""
DROP_OURS = """\
DO $$ DECLARE each record; BEGIN
  FOR each IN SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() LOOP
    EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', each.name);
  END LOOP;
  FOR each IN SELECT oid::regprocedure::text AS name FROM pg_proc
      WHERE pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e') LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', each.name);
  END LOOP;
END $$;
"""


def take_snapshot(config: Config, file: Path) -> None:
    """Copy the database into `file`, as it is at one instant, while others write to it.

    Raises PortalError.
    """
    if config.database_file is None:
        _run(config, "pg_dump", "--format=custom", "--compress=1", "--no-owner", "--no-privileges",
             f"--file={file}")  # fmt: skip
        return
    try:
        with (
            closing(sqlite3.connect(config.database_file)) as source,
            closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise PortalError(f"The database cannot be copied ({error}). No copy was made.") from None
    if found != "ok":
        raise PortalError(f"The database is damaged ({found}). No copy was made.")


def put_sqlite_in_place(snapshot: Path, file: Path, kept: Path | None) -> None:
    """Put a marked snapshot in the place of `file`, all at once; what was there becomes `kept`."""
    with closing(sqlite3.connect(snapshot)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(MARK)
        connection.commit()
    _sync(snapshot)
    log = file.with_name(f"{file.name}-wal")
    if kept is not None:
        _close_log(file)
        kept.hardlink_to(file)
        if log.exists():  # of a damaged database, whose log cannot be written into it
            log.rename(kept.with_name(f"{kept.name}-wal"))
    for left in (log, file.with_name(f"{file.name}-shm")):
        left.unlink(missing_ok=True)
    snapshot.replace(file)
    _sync(file.parent)


def _close_log(file: Path) -> None:
    """Write SQLite's log into the file: a log of before beside a new file would damage it."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        return


def put_postgresql_in_place(config: Config, snapshot: Path, script: Path) -> None:
    """Replace what is in the database by a snapshot, marked: all of it, or nothing.

    `script` is a file to write the statements into. Raises PortalError.
    """
    with script.open("w", encoding="utf-8") as out:
        out.write("SET client_min_messages = warning;\n" + DROP_OURS)
    _run(config, "pg_restore", "--no-owner", "--no-privileges", f"--file={script}.data",
         str(snapshot), connects=False)  # fmt: skip
    end = Path(f"{script}.end")
    end.write_text(f"{MARK.replace('unfinished', 'public.unfinished', 1)};\n", encoding="utf-8")
    files = [f"--file={part}" for part in (script, f"{script}.data", end)]
    _run(config, "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--output=/dev/null",
         "--set=ON_ERROR_STOP=1", *files)  # fmt: skip


def _run(config: Config, program: str, *arguments: str, connects: bool = True) -> None:
    """Run one of PostgreSQL's programs; the password is not among what everybody can see."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 (psycopg is large)

    url = make_url(config.database_url)
    address = dict(url.query) | {
        "host": url.host or url.query.get("host"),
        "port": url.port or url.query.get("port"),
        "user": url.username,
        "dbname": url.database,
    }
    given = {name: str(value) for name, value in address.items() if value and name != "password"}
    password = url.password or url.query.get("password")
    environ = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
    command = [_found(program), *([f"--dbname={make_conninfo(**given)}"] if connects else [])]
    done = subprocess.run(  # noqa: S603
        [*command, *arguments], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = reason_of(RuntimeError(done.stderr), config.database_url)
        raise PortalError(f"{program} has failed ({reason[:300]}). Nothing was changed.")


def _found(program: str) -> str:
    """The program of the newest version that is there: an older one refuses a newer server."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    for found in sorted(versions, key=_version, reverse=True):
        return str(found)
    on_the_path = shutil.which(program)
    if on_the_path is None:
        raise PortalError(f"{program} is not here; install PostgreSQL's client programs.")
    return on_the_path


def _version(file: Path) -> float:
    text = file.parts[-3]
    return float(text) if text.replace(".", "", 1).isdigit() else 0


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(places: Iterable[Path]) -> None:
    """See files, and entries of folders, onto the disk."""
    for place in places:
        _sync(place)
