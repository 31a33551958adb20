"""How transactions begin and connections are set up, so that no committed change is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

_reading: ContextVar[bool] = ContextVar("reading", default=False)
_wait_ms: ContextVar[int | None] = ContextVar("wait_ms", default=None)


def set_reading(reading: bool) -> None:
    """Set whether transactions that begin from now on in this context only read."""
    _reading.set(reading)


def is_reading() -> bool:
    return _reading.get()


@contextmanager
def reading_only() -> Iterator[None]:
    """Transactions begun inside only read: on SQLite they do not wait for the write lock."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


@contextmanager
def writing(*, wait_ms: int | None = None) -> Iterator[None]:
    """Transactions begun inside may write; on SQLite each waits at most `wait_ms` for the lock.

    Without `wait_ms` each waits as long as the settings allow.
    """
    reading, wait = _reading.set(False), _wait_ms.set(wait_ms)
    try:
        yield
    finally:
        _reading.reset(reading)
        _wait_ms.reset(wait)


def set_up_sqlite(engine: Engine, file: Path, wait_seconds: int) -> None:
    """Make the SQLite database in `file` safe to use from several workers.

    The driver's own transaction handling can lose updates, so it is switched off; a transaction
    that may write takes the write lock when it begins (BEGIN IMMEDIATE), one that only reads does
    not. A writer waits up to `wait_seconds` for the lock. A connection to a file that has since
    been moved away, or replaced by a copy, is closed: what it wrote would be lost.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(file)
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def on_checkout(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info["file"] != _identity(file):
            raise DisconnectionError("the database file was moved or replaced")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        wait_ms = _wait_ms.get()
        wait = wait_seconds * 1000 if wait_ms is None else wait_ms
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait}")
        connection.exec_driver_sql("BEGIN" if is_reading() else "BEGIN IMMEDIATE")


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
