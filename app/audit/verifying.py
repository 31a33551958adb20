"""Checking the whole audit log against its tree, and the tree against what was signed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Result, Row, func, select
from sqlalchemy.orm import Session

from app.audit.cutting import first_kept, was_cut_to
from app.audit.leaves import COLUMNS, leaf_of
from app.audit.merkle import TILE, GrowingTree, leaf_hash
from app.audit.notes import Head
from app.audit.tree import earliest_new, outside_the_tree, tile_hashes
from app.core.clock import rfc3339
from app.models import AuditEvent, AuditLeaf

AT_ONCE = 5_000


class RecordBroken(Exception):
    """The audit log is not what was signed. Its text says which event is the first."""


class Verified(NamedTuple):
    """`events` are in the log; the first `size` of them are as the newest checkpoint says."""

    events: int
    size: int


def verify_record(session: Session, *, heads: Iterable[Head], now: datetime) -> Verified:
    """Recompute every leaf and the tree, and compare them with each of `heads`, smallest first.

    Raises RecordBroken for the first event that was changed, is missing, was put in between or cut
    off; what the log says was cut off for its age is stood for by its hashes. Reads the log once,
    in the order of the tree; needs little memory however long it is.
    """
    start = first_kept(session)
    if start != was_cut_to(session):
        raise RecordBroken(
            f"The events before index {start} are missing; the log says that it was cut off at "
            f"{was_cut_to(session)}."
        )
    kept = (head for head in heads if head.size > start)
    waiting = iter([*sorted(kept, key=lambda head: head.size), None])
    head, good = next(waiting), start
    tree = GrowingTree(tile_hashes(session, start // TILE))
    with _leaves(session) as rows:
        for row in rows:
            _refuse_other(row, tree.size)
            tree.add(row.hash)
            while head is not None and head.size <= tree.size:
                if head.root != tree.root:
                    raise RecordBroken(_between(good, head.size))
                good, head = head.size, next(waiting)
    if head is not None:
        raise RecordBroken(
            f"The log was cut off: a checkpoint was signed over {head.size} events, and the tree "
            f"has {tree.size}; the first that is missing is the one with index {tree.size}."
        )
    _refuse_put_in(session, now)
    return Verified(session.scalar(select(func.count(AuditEvent.id))) or 0, good)


def _leaves(session: Session) -> Result[Any]:
    return session.execute(
        select(AuditLeaf.place, AuditLeaf.event_id, AuditLeaf.hash, *COLUMNS)
        .outerjoin(AuditEvent, AuditEvent.id == AuditLeaf.event_id)
        .order_by(AuditLeaf.place),
        execution_options={"yield_per": AT_ONCE},
    )


def _refuse_other(row: Row[Any], index: int) -> None:
    if row.place != index:
        raise RecordBroken(f"The event with index {index} is missing from the tree.")
    if row.id is None:
        raise RecordBroken(f"Event {row.event_id} (index {index}) is missing.")
    if leaf_hash(leaf_of(row).data) != row.hash:
        raise RecordBroken(
            f"Event {row.event_id} (index {index}) was changed after it had been noted."
        )


def _between(good: int, size: int) -> str:
    return (
        f"Among the events with index {good} to {size - 1} one was changed, taken out or put in, "
        f"and the tree with it: the checkpoint signed over {size} events does not agree."
    )


def _refuse_put_in(session: Session, now: datetime) -> None:
    earliest = earliest_new(session, now)
    if earliest is None:
        return
    event = session.execute(
        outside_the_tree().where(AuditEvent.happened_at < earliest).order_by(AuditEvent.id).limit(1)
    ).first()
    if event is not None:
        raise RecordBroken(
            f"Event {event.id} was put in between: it says {rfc3339(event.happened_at)}, but was "
            "not in the log when later ones were signed."
        )
