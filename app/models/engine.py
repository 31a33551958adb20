"""How transactions begin and connections are set up, so that no committed change is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.errors import Busy
from app.models.postgresql import set_up_postgresql

SHORT_WAIT_MS = 1000
RETRY_SECONDS = 10

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


def engine_options(threads: int, file: Path | None) -> dict[str, object]:
    """A connection for each thread, and one more for what it notes beside its answer.

    For SQLite in `file`, or PostgreSQL if that is None.
    """
    return {
        # Hashes and addresses of people do not belong into logs.
        "hide_parameters": True,
        "pool_size": 2 * threads,
        "max_overflow": 2 * threads,
        "pool_timeout": 5,
        # A server that was restarted meanwhile is noticed before the first query; what happens to
        # a file is noticed at each checkout.
        "pool_pre_ping": file is None,
    }


def set_up_engine(engine: Engine, file: Path | None, *, wait_seconds: int, long_waits: int) -> None:
    """Make SQLite in `file`, or PostgreSQL if that is None, safe under several workers."""
    if file is None:
        set_up_postgresql(engine, wait_seconds)
    else:
        set_up_sqlite(engine, file, wait_seconds=wait_seconds, long_waits=long_waits)


def set_up_sqlite(engine: Engine, file: Path, *, wait_seconds: int, long_waits: int) -> None:
    """Make SQLite, in `file`, safe under several workers.

    The driver's own transaction handling lets updates vanish, so it is switched off; a
    transaction that may write takes the write lock at its beginning (BEGIN IMMEDIATE), one that
    reads does not. A writer waits a second for its turn; up to `wait_seconds` if one of the
    `long_waits` is free, so that not all threads of a process wait. A connection to a file that has
    been moved away, or replaced by a copy, is closed: what it wrote would be lost.
    """
    places = BoundedSemaphore(long_waits)

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
        if is_reading():
            _wait_at_most(connection, wait_seconds * 1000)
            _driver_of(connection).execute("BEGIN")
        elif wait_ms is not None:
            _begin_immediate(connection, wait_ms)
        else:
            _begin_in_turn(connection, wait_seconds * 1000, places)


def _begin_in_turn(connection: Connection, wait_ms: int, places: BoundedSemaphore) -> None:
    short = min(wait_ms, SHORT_WAIT_MS)
    try:
        _begin_immediate(connection, short)
    except OperationalError as error:
        if "locked" not in str(error.orig) or wait_ms == short:
            raise
        if not places.acquire(blocking=False):
            raise Busy(
                "Another change has been holding the database for too long, and others wait for "
                "it already. Nothing was saved; try again in a minute.",
                RETRY_SECONDS,
            ) from None
        try:
            _begin_immediate(connection, wait_ms - short)
        finally:
            places.release()


def _begin_immediate(connection: Connection, wait_ms: int) -> None:
    _wait_at_most(connection, wait_ms)
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _wait_at_most(connection: Connection, wait_ms: int) -> None:
    """Let a connection wait for a lock for so long, from now on."""
    if connection.info.get("wait_ms") != wait_ms:
        _driver_of(connection).execute(f"PRAGMA busy_timeout = {wait_ms}")
        connection.info["wait_ms"] = wait_ms


def _driver_of(connection: Connection) -> Any:
    """The driver's own connection: quicker, for what can neither fail nor wait."""
    return connection.connection.dbapi_connection


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
