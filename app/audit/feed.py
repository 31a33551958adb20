"""The Feed: an organisation's activity as its people see it.

Nothing of temporary keys and of the sessions under them ever stands here: whoever tells the Feed
names a kind, and there is none for them.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import FeedEvent

PAGE = 50


class FeedKind(StrEnum):
    """What happened. `label` is how a page says it."""

    label: str

    CLIENT_SIGNED_IN = "agent.signed_in", "Signed in on an OP Agent"
    MACHINE_REGISTERED = "machine.registered", "A machine was registered"
    MACHINE_DETACHED = "machine.detached", "A machine was detached"
    MACHINE_ATTACHED = "machine.attached", "A machine was attached"
    MACHINE_DISSOCIATED = "machine.dissociated", "A machine was dissociated"
    LICENSE_REVOKED = "license.revoked", "A machine's license was revoked"
    PROJECT_CREATED = "project.created", "A project was created"
    PROJECT_UPDATED = "project.updated", "A project was changed"
    PROJECT_ARCHIVED = "project.archived", "A project was archived"
    PROJECT_RESTORED = "project.restored", "A project was restored"
    PROJECT_DELETED = "project.deleted", "A project was deleted"

    def __new__(cls, value: str, label: str) -> "FeedKind":
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.label = label
        return kind


def tell(
    session: Session,
    kind: FeedKind,
    *,
    organisation_id: str,
    subject: str,
    now: datetime,
    client: str = "",
) -> None:
    """Add a line to an organisation's Feed, in the caller's transaction.

    `subject` is a machine or a project; `client` is the e-mail of the client user who did it, and
    blank for what the vendor's staff did.
    """
    session.add(
        FeedEvent(
            organisation_id=organisation_id,
            happened_at=now,
            kind=kind.value,
            actor=client[:254],
            subject=subject[:300],
        )
    )


def feed_of(
    session: Session, organisation_id: str, *, kind: str = "", text: str = "", limit: int = PAGE
) -> list[FeedEvent]:
    """The latest lines of an organisation's Feed, of one kind or of all, that contain `text`."""
    query = select(FeedEvent).where(FeedEvent.organisation_id == organisation_id)
    if kind:
        query = query.where(FeedEvent.kind == kind)
    if text:
        folded = text.replace("\x00", "")
        query = query.where(
            FeedEvent.subject.icontains(folded, autoescape=True)
            | FeedEvent.actor.icontains(folded, autoescape=True)
        )
    return list(session.scalars(query.order_by(FeedEvent.id.desc()).limit(limit)))
