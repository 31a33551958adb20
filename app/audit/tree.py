"""Adding committed events to the tree, and signing its head: what the background process does."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Row, Select, exists, func, insert, select
from sqlalchemy.orm import Session

from app.audit.leaves import EVENTS, leaf_of
from app.audit.log_key import public_log_key, stored_log_key
from app.audit.merkle import TILE, GrowingTree, Tree, leaf_hash
from app.audit.notes import Head, NoteInvalid, sign_head, verify_note
from app.core.errors import Conflict
from app.models import AuditCheckpoint, AuditEvent, AuditLeaf, AuditTile

BATCH = 2_000
LATEST = timedelta(minutes=1)
"""An event that turns up in the log so long after the newest checkpoint's time is never added."""


class Writing(Protocol):
    """A transaction that writes and is committed at its end."""

    def __call__(self) -> AbstractContextManager[Session]: ...


def earliest_new(session: Session, now: datetime) -> datetime | None:
    """An event that is not in the tree and is older was put in between; None: none is.

    It goes by the clock if that was set back, since what happens then is not older than it says.
    """
    signed_at = session.scalar(_SIGNED_AT)
    return min(signed_at, now) - LATEST if signed_at else None


_SIGNED_AT = select(AuditCheckpoint.signed_at).order_by(AuditCheckpoint.size.desc()).limit(1)


def outside_the_tree() -> Select[Any]:
    """The events that are not in the tree, as rows of `leaves.COLUMNS`."""
    return EVENTS.where(~exists().where(AuditLeaf.event_id == AuditEvent.id))


def count_pending(session: Session, now: datetime, *, before: datetime | None = None) -> int:
    """How many events are to be added yet; with `before`, of those that happened before it."""
    earliest = earliest_new(session, now)
    pending = outside_the_tree()
    if earliest is not None:
        pending = pending.where(AuditEvent.happened_at >= earliest)
    if before is not None:
        pending = pending.where(AuditEvent.happened_at < before)
    return session.scalar(select(func.count()).select_from(pending.subquery())) or 0


def note_events(session: Session, *, writing: Writing, now: datetime) -> int:
    """Add every event that was committed to the tree, in the order of their ids; says how many.

    Each batch is hashed while no lock is held and stored in a transaction of its own, so nobody
    waits for it, and whoever is killed meanwhile leaves whole batches behind.
    """
    earliest = earliest_new(session, now)
    noted, after = 0, _last_before(session, earliest)
    while events := _next_events(session, after, earliest):
        hashes = [(event.id, leaf_hash(leaf_of(event).data)) for event in events]
        session.rollback()  # what was read would be held on to
        with writing() as adding:
            _add(adding, hashes)
        noted, after = noted + len(hashes), hashes[-1][0]
    session.rollback()
    return noted


def _last_before(session: Session, earliest: datetime | None) -> int:
    """The highest id that need not be looked at."""
    if earliest is None:
        return session.scalar(select(func.max(AuditLeaf.event_id))) or 0
    first = session.scalar(
        select(func.min(AuditEvent.id)).where(AuditEvent.happened_at >= earliest)
    )
    return first - 1 if first else 0


def _next_events(
    session: Session, after: int, earliest: datetime | None
) -> list[Row[tuple[Any, ...]]]:
    pending = outside_the_tree().where(AuditEvent.id > after)
    if earliest is not None:
        pending = pending.where(AuditEvent.happened_at >= earliest)
    return [*session.execute(pending.order_by(AuditEvent.id).limit(BATCH))]


def _add(session: Session, hashes: list[tuple[int, bytes]]) -> None:
    size = tree_size(session)
    leaves = [
        {"place": size + number, "event_id": event_id, "hash": hashed}
        for number, (event_id, hashed) in enumerate(hashes)
    ]
    session.execute(insert(AuditLeaf), leaves)
    full_before, full = size // TILE, (size + len(leaves)) // TILE
    if full > full_before:
        filled = [*leaf_hashes(session, full_before * TILE, full * TILE)]
        tiles = [
            {"place": index, "hash": Tree(filled[start : start + TILE]).root}
            for index, start in zip(
                range(full_before, full), range(0, len(filled), TILE), strict=True
            )
        ]
        session.execute(insert(AuditTile), tiles)


def tree_size(session: Session) -> int:
    """The number of leaves."""
    last = session.scalar(select(func.max(AuditLeaf.place)))
    return 0 if last is None else last + 1


def leaf_hashes(session: Session, start: int, end: int) -> Iterator[bytes]:
    """The hashes of the leaves from `start` up to `end`, which is left out."""
    return session.scalars(
        select(AuditLeaf.hash)
        .where(AuditLeaf.place >= start, AuditLeaf.place < end)
        .order_by(AuditLeaf.place)
    )


def tile_hashes(session: Session, count: int) -> Iterator[bytes]:
    """The hashes of the first `count` full tiles."""
    return session.scalars(
        select(AuditTile.hash).where(AuditTile.place < count).order_by(AuditTile.place)
    )


def newest_checkpoint(session: Session) -> AuditCheckpoint | None:
    """The latest signed head of the tree, if there is any yet."""
    return session.scalar(select(AuditCheckpoint).order_by(AuditCheckpoint.size.desc()).limit(1))


def sign_tree(session: Session, *, private_key: Ed25519PrivateKey, now: datetime) -> str | None:
    """Sign the head of the tree if it has grown; returns the checkpoint.

    Raises Conflict, and signs nothing, if the tree is not the one that was signed before with
    leaves added to it, or if it is another key's log: signing would cover up what was done to it.
    """
    key = public_log_key(private_key)
    if stored_log_key(session) != str(key):
        raise Conflict("The key of the audit log in the instance folder is not that of this log.")
    size, newest = tree_size(session), newest_checkpoint(session)
    signed = newest.size if newest else 0
    if size == signed:
        return None
    tree = GrowingTree(tile_hashes(session, signed // TILE))
    for hashed in leaf_hashes(session, tree.size, signed):
        tree.add(hashed)
    _refuse_fork(tree, newest, key)
    for hashed in leaf_hashes(session, signed, size):
        tree.add(hashed)
    if tree.size != size:
        raise Conflict("The tree of the audit log has holes. Run `audit verify`.")
    note = sign_head(Head(key.name, size, tree.root), private_key)
    session.add(AuditCheckpoint(size=size, signed_at=now, note=note))
    session.flush()
    return note


def _refuse_fork(tree: GrowingTree, newest: AuditCheckpoint | None, key: Any) -> None:
    if newest is None:
        return
    try:
        head = verify_note(newest.note, key)
    except NoteInvalid as error:
        raise Conflict(f"The newest checkpoint of the audit log is not good: {error}.") from None
    if (head.size, head.root) != (tree.size, tree.root):
        raise Conflict(
            "The tree of the audit log is not the one that was signed before. Run `audit verify`."
        )
