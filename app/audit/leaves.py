"""Leaves: the bytes of an event that are hashed into the tree (docs/audit-log.md)."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import rfc8785
from sqlalchemy import Row, select

from app.models import AuditEvent

COLUMNS = (
    AuditEvent.id,
    AuditEvent.happened_at,
    AuditEvent.tag,
    AuditEvent.actor_id,
    AuditEvent.actor,
    AuditEvent.role,
    AuditEvent.address,
    AuditEvent.request_id,
    AuditEvent.organisation_id,
    AuditEvent.key_id,
    AuditEvent.subject,
    AuditEvent.data,
)
"""All that an event consists of."""
EVENTS = select(*COLUMNS)


class Leaf(NamedTuple):
    """An event as it is hashed: what it holds, by the names of docs/audit-log.md."""

    event_id: int
    at: datetime
    content: dict[str, Any]

    @property
    def data(self) -> bytes:
        """The RFC 8785 form of the event."""
        return rfc8785.dumps(self.content)


def leaf_of(event: Row[Any]) -> Leaf:
    """The leaf of a row that has `COLUMNS`."""
    return Leaf(
        event.id,
        event.happened_at,
        {
            "id": event.id,
            "at": _microseconds(event.happened_at),
            "kind": event.tag,
            "person": event.actor,
            "role": event.role,
            "address": event.address,
            "request_id": event.request_id,
            "organisation_id": event.organisation_id or "",
            "key_id": event.key_id,
            "detail": {"subject": event.subject, "person_id": event.actor_id, "data": event.data},
        },
    )


def _microseconds(moment: datetime) -> str:
    """RFC 3339 in UTC, always with six digits of a second's fraction."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
