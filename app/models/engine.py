"""How the database is talked to, so that nothing is lost and no update vanishes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, event

_reading: ContextVar[bool] = ContextVar("reading", default=False)
_wait_ms: ContextVar[int | None] = ContextVar("wait_ms", default=None)


def set_reading(reading: bool) -> None:
    """Say whether the transactions that begin next in this context only read."""
    _reading.set(reading)


def is_reading() -> bool:
    return _reading.get()


@contextmanager
def reading_only() -> Iterator[None]:
    """Transactions begun inside read only: on SQLite they do not wait for the write lock."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


@contextmanager
def writing(*, wait_ms: int | None = None) -> Iterator[None]:
    """Transactions begun inside may write; on SQLite each waits at most `wait_ms` for its turn.

    Without `wait_ms` it waits for as long as the settings say.
    """
    reading, wait = _reading.set(False), _wait_ms.set(wait_ms)
    try:
        yield
    finally:
        _reading.reset(reading)
        _wait_ms.reset(wait)


def set_up_sqlite(engine: Engine, wait_seconds: int) -> None:
    """Make SQLite safe under several workers.

    The driver's own transaction handling lets updates vanish, so it is switched off; a
    transaction that may write takes the write lock at its beginning (BEGIN IMMEDIATE), one that
    reads does not. A writer waits up to `wait_seconds` for its turn.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        wait_ms = _wait_ms.get()
        wait = wait_seconds * 1000 if wait_ms is None else wait_ms
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait}")
        connection.exec_driver_sql("BEGIN" if is_reading() else "BEGIN IMMEDIATE")
