"""What is dear to count in a large database, kept for a while."""

from datetime import datetime, timedelta
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session

KEPT = timedelta(seconds=30)
Value = TypeVar("Value")

_all: list["Kept[object]"] = []


class Kept(Generic[Value]):
    """A value for each database, good for half a minute of the same day."""

    def __init__(self) -> None:
        self._values: WeakKeyDictionary[Engine, tuple[datetime, Value]] = WeakKeyDictionary()
        _all.append(self)  # type: ignore[arg-type]

    def get(self, session: Session, now: datetime) -> Value | None:
        """The value that was kept, if it is still good at `now`."""
        counted_at, value = self._values.get(session.get_bind().engine, (None, None))
        if counted_at is None or counted_at.date() != now.date():
            return None
        return value if timedelta(0) <= now - counted_at < KEPT else None

    def keep(self, session: Session, now: datetime, value: Value) -> None:
        self._values[session.get_bind().engine] = (now, value)

    def forget(self) -> None:
        self._values.clear()


def forget_all() -> None:
    """Count anew the next time."""
    for kept in _all:
        kept.forget()
