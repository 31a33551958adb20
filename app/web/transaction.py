"""One transaction for each request, committed once at its end, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from flask import current_app, g, request, session
from werkzeug.exceptions import RequestEntityTooLarge

from app.extensions import db
from app.models.engine import is_reading, set_reading

MOST_FIELDS = 500
"""The most fields that a form may have: forms have few, and parsing many takes long."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
View = TypeVar("View", bound=Callable[..., object])


def defer_write(view: View) -> View:
    """Stamp a view that does slow work (hashing, parsing) before it calls `begin_write`."""
    view.defer_write = True  # type: ignore[attr-defined]
    return view


def takes_uploads(most_bytes: int) -> Callable[[View], View]:
    """Stamp a view whose request body may have up to `most_bytes`, more than others may."""

    def stamp(view: View) -> View:
        view.most_bytes = most_bytes  # type: ignore[attr-defined]
        return view

    return stamp


def choose_transaction() -> None:
    """Before the first query of a request, decide whether its transaction may write.

    Also reads the body, while no lock is held, so that a slow sender keeps nobody waiting.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    most_bytes = getattr(view, "most_bytes", None)
    if most_bytes is not None:
        request.max_content_length = most_bytes
    set_reading(request.method in SAFE_METHODS or getattr(view, "defer_write", False))
    if request.method not in SAFE_METHODS and request.endpoint is not None:
        _read_body()
        if not is_reading():
            _wait_for_write_lock()


def _read_body() -> None:
    is_form = request.mimetype == "application/x-www-form-urlencoded"
    if is_form and request.get_data(cache=True).count(b"&") >= MOST_FIELDS:
        raise RequestEntityTooLarge
    request.get_data(cache=True, parse_form_data=True)


def reset_transaction(_error: BaseException | None) -> None:
    """After a request: undo `choose_transaction`."""
    set_reading(False)


def begin_write() -> None:
    """End the reading transaction and begin a writing one."""
    db.session.rollback()
    set_reading(False)
    _wait_for_write_lock()


def _wait_for_write_lock() -> None:
    """Begin the transaction now: SQLite waits here, so a `now` read afterwards is not outdated."""
    began = perf_counter()
    try:
        db.session.connection()
    finally:
        g.lock_wait = g.get("lock_wait", 0.0) + perf_counter() - began


@contextmanager
def outside_transaction() -> Iterator[None]:
    """Around slow work: ends the reading transaction before it; a writing one follows it."""
    db.session.rollback()
    yield
    set_reading(False)
    _wait_for_write_lock()


def abandon_write() -> None:
    """Roll the writing transaction back; the next query begins a reading one."""
    db.session.rollback()
    set_reading(True)


@contextmanager
def one_transaction() -> Iterator[None]:
    """Around a view: commit what it wrote, or roll back if it only read or raised."""
    try:
        yield
        if not db.session.registry.has():
            return
        if is_reading():
            db.session.rollback()
        else:
            db.session.commit()
    except BaseException:
        db.session.rollback()
        # The messages for the next page tell of what has just been undone.
        session.pop("_flashes", None)
        raise
