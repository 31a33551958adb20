"""The audit log: what was done and what was refused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, insert, literal_column, select
from sqlalchemy.orm import Session

from app.audit.tags import OF_COMMANDS, TAGS, AuditTag, key_id_of, notice_of
from app.audit.wording import details
from app.core.actor import Actor
from app.core.request_ids import current_request_id
from app.core.text import EMAIL_LENGTH
from app.models import AuditEvent, Notice, Organisation
from app.models.rows import read_rows


@dataclass(frozen=True)
class AuditEntry:
    """One event as pages show it. `organisation` is a name, None if it has been deleted.

    `who`, `verb` and `subject` make a sentence; `what` is the kind's label. `project_id` is that of
    the project that it is about, None if it is about none.
    """

    id: int
    tag: str
    happened_at: datetime
    who: str
    role: str
    verb: str
    what: str
    details: list[tuple[str, str | datetime]]
    organisation_id: str | None
    organisation: str | None
    subject: str
    key_id: str
    project_id: int | None
    address: str
    request_id: str


def log_event(
    session: Session,
    tag: AuditTag,
    *,
    actor: Actor,
    now: datetime,
    organisation_id: str | None = None,
    subject: str = "",
    **data: str | int | None,
) -> None:
    """Add an event to the audit log, in the caller's transaction, and the notice that tells of it.

    `subject` is what was acted on, as people know it (a Key ID, a project's or a machine's name,
    an e-mail); `data` holds plain values under names that the tag defines. Never pass a password
    or the text of a key. Raises ValueError for a name that the tag does not define.
    """
    unknown = data.keys() - tag.data.keys()
    if unknown:
        raise ValueError(f"{tag} has no data named {', '.join(sorted(unknown))}")
    if actor.system_user:
        data |= {"system_user": actor.system_user}
        data |= {"on_behalf_of": actor.email} if actor.user_id is not None else {}
    session.flush()  # what the event is about may be new
    connection = session.connection()
    event_id = connection.execute(
        _ADDED,
        {
            "happened_at": now,
            "tag": tag.value,
            "actor_id": actor.user_id,
            "actor": actor.email[:EMAIL_LENGTH],
            "role": actor.role or "",
            "address": actor.address,
            "request_id": current_request_id(),
            "organisation_id": organisation_id,
            "key_id": key_id_of(tag, subject, data),
            "subject": subject[:300],
            "data": data,
        },
    ).scalar_one()
    if kind := notice_of(tag, data):
        told = {"kind": kind.value, "happened_at": now, "event_id": event_id, "key_id": ""}
        connection.execute(_TOLD, told)
    # Counted when it is committed.
    session.info.setdefault("events", []).append((tag, data))


_ADDED = insert(AuditEvent).returning(AuditEvent.id)
_TOLD = insert(Notice)


def keys_with_event(
    session: Session,
    *tags: AuditTag,
    actor: Actor,
    key_ids: Collection[str],
    since: datetime,
) -> set[str]:
    """Those of `key_ids` about which an event of one of `tags` by `actor` was logged since then."""
    values = {
        "key_ids": list(key_ids),
        "since": since,
        "actor_id": actor.user_id,
        "tags": [tag.value for tag in tags],
    }
    return set(read_rows(session, _KEYS_WITH, values).scalars())


_KEYS_WITH = (
    select(AuditEvent.key_id)
    .where(
        AuditEvent.key_id.in_(bindparam("key_ids", expanding=True)),
        AuditEvent.key_id != literal_column("''"),  # as the index of keys has it
        AuditEvent.happened_at >= bindparam("since"),
        AuditEvent.actor_id == bindparam("actor_id"),
        AuditEvent.tag.in_(bindparam("tags", expanding=True)),
    )
    .distinct()
)


def latest_entries(session: Session, *, limit: int) -> list[AuditEntry]:
    """The latest events as pages show them, newest first."""
    newest_first = (AuditEvent.happened_at.desc(), AuditEvent.id.desc())
    events = session.scalars(select(AuditEvent).order_by(*newest_first).limit(limit))
    return entries_of(session, events.all())


def entries_of(session: Session, events: Sequence[AuditEvent]) -> list[AuditEntry]:
    """These events as pages show them."""
    ids = {event.organisation_id for event in events if event.organisation_id}
    named = select(Organisation.id, Organisation.name).where(Organisation.id.in_(ids))
    names = dict(session.execute(named).all()) if ids else {}
    return [_entry(event, names.get(event.organisation_id or "")) for event in events]


def _entry(event: AuditEvent, organisation: str | None) -> AuditEntry:
    tag = TAGS.get(event.tag)  # None: written by another version of the portal
    return AuditEntry(
        id=event.id,
        tag=event.tag,
        happened_at=event.happened_at,
        who=event.actor,
        role=event.role,
        verb=tag.verb if tag else event.tag,
        what=tag.label if tag else event.tag,
        details=details(event.data, {**OF_COMMANDS, **(tag.data if tag else {})}, event.subject),
        organisation_id=event.organisation_id,
        organisation=organisation,
        subject=event.subject,
        key_id=event.key_id,
        project_id=event.data.get("project_id"),
        address=event.address,
        request_id=event.request_id,
    )
