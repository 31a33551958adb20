"""How transactions begin and connections are set up, so that no committed change is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import BoundedSemaphore, Lock
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.errors import Busy

SHORT_WAIT_MS = 1000
RETRY_SECONDS = 10
CACHE_KIB = 2000
"""How much of an SQLite file a connection remembers."""
TRY_EVERY_SECONDS = 0.001

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


def engine_options(threads: int) -> dict[str, object]:
    """A connection for each thread, and one more for what it notes beside its answer."""
    return {
        # Hashes and addresses of people do not belong into logs.
        "hide_parameters": True,
        "pool_size": 2 * threads,
        "max_overflow": 2 * threads,
        "pool_timeout": 5,
        # The connection used last has most of the file in its memory.
        "pool_use_lifo": True,
    }


def set_up_engine(engine: Engine, file: Path | None, *, wait_seconds: int, long_waits: int) -> None:
    """Make SQLite in `file`, or PostgreSQL if that is None, safe under several workers."""
    if file is None:
        from app.models.postgresql import set_up_postgresql  # noqa: PLC0415 (psycopg is large)

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
    turns = _Turns(BoundedSemaphore(long_waits), wait_seconds * 1000)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(file)
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
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
            turns.begin_within(connection, wait_ms)
        else:
            turns.begin(connection)

    @event.listens_for(engine, "checkin")
    def on_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        turns.end(record.record_info or {})


class _Turns:
    """The writers of this process, one after the other.

    One of them at a time tries to take the write lock, every millisecond. SQLite's own waiting
    would let all of them sleep, ever longer, while the lock is free, and one of them for seconds.
    """

    def __init__(self, places: BoundedSemaphore, longest_ms: int) -> None:
        self._turn = Lock()
        self._places = places
        self._longest_ms = longest_ms

    def begin(self, connection: Connection) -> None:
        """Begin to write; waits long only if there is a place to wait. Raises Busy if not."""
        short = min(self._longest_ms, SHORT_WAIT_MS)
        try:
            self.begin_within(connection, short)
        except OperationalError as error:
            if "locked" not in str(error.orig) or self._longest_ms == short:
                raise
            if not self._places.acquire(blocking=False):
                raise Busy(
                    "Another change has been holding the database for too long, and others wait "
                    "for it already. Nothing was saved; try again in a minute.",
                    RETRY_SECONDS,
                ) from None
            try:
                self.begin_within(connection, self._longest_ms - short)
            finally:
                self._places.release()

    def begin_within(self, connection: Connection, wait_ms: int) -> None:
        """Begin to write within so long; raises OperationalError if others write meanwhile."""
        deadline = monotonic() + wait_ms / 1000
        held = _record_of(connection)
        if not held.get("turn"):
            held["turn"] = self._turn.acquire(timeout=wait_ms / 1000)
        try:
            _begin_immediate(connection, deadline if held["turn"] else 0)
        except BaseException:
            self.end(held)
            raise
        _wait_at_most(connection, wait_ms)

    def end(self, held: dict[str, Any]) -> None:
        """The connection is given back: whoever is next begins."""
        if held.pop("turn", False):
            self._turn.release()


def _begin_immediate(connection: Connection, deadline: float) -> None:
    """Take the write lock, or raise OperationalError; tries until the `deadline`."""
    _wait_at_most(connection, 0)
    driver = _driver_of(connection)
    while monotonic() < deadline:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                break
            sleep(TRY_EVERY_SECONDS)
        else:
            return
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # an error of SQLAlchemy's if there is one


def _record_of(connection: Connection) -> dict[str, Any]:
    """What is known of a connection of the pool, also after it was opened anew."""
    record: dict[str, Any] | None = connection.connection.record_info
    return {} if record is None else record


def _wait_at_most(connection: Connection, wait_ms: int) -> None:
    """Let a connection wait for a lock for so long, from now on."""
    if connection.info.get("wait_ms") != wait_ms:
        _driver_of(connection).execute(f"PRAGMA busy_timeout = {wait_ms}")
        connection.info["wait_ms"] = wait_ms


@contextmanager
def without_foreign_keys(connection: Connection) -> Iterator[None]:
    """What is done inside may make tables of SQLite anew that rows of others refer to.

    To be called before the connection's transaction begins, and left after its end.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = _driver_of(connection)
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _driver_of(connection: Connection) -> Any:
    """The driver's own connection: quicker than SQLAlchemy's, and its own errors are raised."""
    return connection.connection.dbapi_connection


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
