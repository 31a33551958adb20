"""The internal record of what was done and what was refused."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.actor import Actor
from app.audit.tags import AuditTag
from app.models import AuditEvent


def record(
    session: Session,
    tag: AuditTag,
    *,
    actor: Actor,
    now: datetime,
    organisation_id: str | None = None,
    subject: str = "",
    **data: str | int | None,
) -> AuditEvent:
    """Add an event to the audit log, in the caller's transaction.

    `subject` is what it was done to (a Key ID, a project's name, an e-mail); `data` holds plain
    values only. Never pass a password or the text of a key.
    """
    event = AuditEvent(
        happened_at=now,
        tag=tag.value,
        actor_id=actor.user_id,
        actor=actor.email[:254],
        address=actor.address,
        organisation_id=organisation_id,
        subject=subject[:300],
        data=data,
    )
    session.add(event)
    return event
