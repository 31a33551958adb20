"""Events with what proves each of them, for whoever checks them elsewhere (docs/audit-log.md)."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.audit.leaves import COLUMNS, leaf_of
from app.audit.merkle import TILE, Tree, leaf_hash
from app.audit.notes import read_head
from app.audit.tree import leaf_hashes, newest_checkpoint, tile_hashes
from app.core.errors import NotFound
from app.core.spreadsheets import csv_line, spreadsheet_safe
from app.models import AuditEvent, AuditLeaf

AT_ONCE = 2_000
CSV_COLUMNS = (
    *("index", "id", "at", "kind", "person", "role", "address", "request_id"),
    *("organisation_id", "key_id", "detail", "leaf", "leaf_hash", "proof"),
    *("checkpoint", "log_key"),
)


@dataclass(frozen=True)
class ProvenEvent:
    """An event of the tree: its leaf, and the path of hashes that proves it (RFC 9162)."""

    index: int
    leaf: bytes
    proof: list[bytes]
    content: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The line of an export."""
        return {
            "index": self.index,
            "leaf": _base64(self.leaf),
            "leaf_hash": _base64(leaf_hash(self.leaf)),
            "proof": [_base64(part) for part in self.proof],
            "event": self.content,
        }


class Proofs:
    """The proofs of the tree that the newest checkpoint signs, `note`.

    Raises NotFound if nothing was signed yet.
    """

    def __init__(self, session: Session) -> None:
        checkpoint = newest_checkpoint(session)
        if checkpoint is None:
            raise NotFound(
                "The audit log has no checkpoint yet; the background process signs one within "
                "ten seconds of running."
            )
        self.note = checkpoint.note
        self.size = read_head(checkpoint.note).size
        self._session = session
        full = self.size // TILE
        upper = [*tile_hashes(session, full)]
        if self.size % TILE:
            upper.append(self._read_tile(full).root)
        self._upper = Tree(upper)
        self._number, self._tile = -1, Tree([])

    def of(self, index: int) -> list[bytes]:
        """The path of the leaf at `index`; asked for in order, each tile is read once."""
        if self._number != index // TILE:
            self._number = index // TILE
            self._tile = self._read_tile(self._number)
        return self._tile.path(index % TILE) + self._upper.path(self._number)

    def _read_tile(self, number: int) -> Tree:
        end = min((number + 1) * TILE, self.size)
        return Tree([*leaf_hashes(self._session, number * TILE, end)])


def prove_event(session: Session, index: int, proofs: Proofs) -> ProvenEvent:
    """The event with this index of the tree. Raises NotFound if there is none yet."""
    for event in proven_events(session, proofs, AuditLeaf.place == index):
        return event
    raise NotFound(
        f"There is no event with index {index} in the signed tree, which has {proofs.size}."
    )


def proven_events(
    session: Session, proofs: Proofs, *conditions: ColumnElement[bool]
) -> Iterator[ProvenEvent]:
    """Every event of the signed tree that meets the conditions, in the order of the tree."""
    statement = (
        select(AuditLeaf.place, *COLUMNS)
        .join(AuditEvent, AuditEvent.id == AuditLeaf.event_id)
        .where(AuditLeaf.place < proofs.size, *conditions)
        .order_by(AuditLeaf.place)
    )
    with session.execute(statement, execution_options={"yield_per": AT_ONCE}) as rows:
        for row in rows:
            leaf = leaf_of(row)
            yield ProvenEvent(row.place, leaf.data, proofs.of(row.place), leaf.content)


def jsonl_lines(events: Iterable[ProvenEvent], proofs: Proofs, log_key: str) -> Iterator[str]:
    """An export as JSON, a line an event; the first line has the checkpoint and the log's key."""
    yield _json_line({"checkpoint": proofs.note, "log_key": log_key})
    for event in events:
        yield _json_line(event.as_json())


def _json_line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def csv_lines(events: Iterable[ProvenEvent], proofs: Proofs, log_key: str) -> Iterator[str]:
    """The same for spreadsheets: the first event's row has the checkpoint and the key.

    Hashes of a proof have spaces between them.
    """
    yield csv_line(CSV_COLUMNS)
    head = {"checkpoint": proofs.note, "log_key": log_key}
    for event in events:
        line = event.as_json()
        texts = {name: spreadsheet_safe(value) for name, value in event.content.items()}
        texts["detail"] = spreadsheet_safe(json.dumps(event.content["detail"], ensure_ascii=False))
        values = {**texts, **line, **head, "proof": " ".join(line["proof"])}
        yield csv_line(values[column] for column in CSV_COLUMNS)
        head = dict.fromkeys(head, "")


EXPORTS: dict[str, Callable[[Iterable[ProvenEvent], Proofs, str], Iterator[str]]] = {
    "jsonl": jsonl_lines,
    "csv": csv_lines,
}
"""What writes an export, by the name of its format."""


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
