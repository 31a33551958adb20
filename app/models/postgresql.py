"""PostgreSQL: a server that is gone, or answers nobody any more, is noticed within seconds."""

from collections.abc import Generator
from select import POLLIN, poll
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")
SILENCE_SECONDS = 3
"""After so long without an answer the server is asked whether it is there."""
CONNECT_SECONDS = 2
IDLE_SECONDS = 5
"""A connection that was used lately is asked only whether anything has arrived on it."""


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that waits for a lock for as long as it takes, and for a dead server not at all.

    Both look the same from here: nothing comes. So a second connection is tried: a server that
    holds a lock for somebody answers it, one that is frozen does not.
    """

    def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = SILENCE_SECONDS,
        timeout: float | None = None,
    ) -> T:
        return super().wait(self._watched(gen), SILENCE_SECONDS, timeout)

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready:
                    self._look_for_server()
                state = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result

    def _look_for_server(self) -> None:
        known = self.info.get_parameters() | {"password": self.info.password}
        known["connect_timeout"] = str(CONNECT_SECONDS)
        try:
            psycopg.connect(make_conninfo("", **known)).close()
        except psycopg.Error:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                "connection lost: the server does not answer any more"
            ) from None


def set_up_postgresql(engine: Engine, wait_seconds: int) -> None:
    """Let connections of `engine` notice a dead server; a lock is waited for `wait_seconds`.

    A server that was stopped has said so on each connection: a connection on which something has
    arrived, unasked, is closed before it is used, and so is one that was idle and does not answer.
    """

    @event.listens_for(engine, "do_connect")
    def on_do_connect(_dialect: Any, _record: Any, args: Any, parameters: Any) -> Any:
        parameters.setdefault("connect_timeout", CONNECT_SECONDS)
        return WatchedConnection.connect(*args, **parameters)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = '{wait_seconds}s'")
        connection.commit()

    @event.listens_for(engine, "checkin")
    def on_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used"] = monotonic()

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if not _is_alive(connection, monotonic() - record.info.get("used", 0)):
            raise DisconnectionError("the server has closed the connection")


def _is_alive(connection: psycopg.Connection[Any], idle_seconds: float) -> bool:
    arrived = poll()
    try:
        arrived.register(connection.fileno(), POLLIN)
        if arrived.poll(0):
            return False
        if idle_seconds > IDLE_SECONDS:
            connection.execute("")
            connection.rollback()
    except (OSError, psycopg.Error):
        return False
    return True
