"""The Feed: an organisation's activity as its own people see it.

Of temporary keys it has the visits under them, and those only where and while the vendor lets
the organisation see them.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from app.core.labelled import Labelled
from app.core.text import EMAIL_LENGTH, fold
from app.models import FeedEvent, Organisation


class FeedKind(Labelled):
    """What happened."""

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
    PROJECTS_IMPORTED = "project.imported", "Projects were imported"
    VISIT = "visit", "Visit"


@dataclass(frozen=True)
class FeedEntry:
    """An entry as pages show it. `kind` is None if another version of the portal wrote it."""

    happened_at: datetime
    kind: FeedKind | None
    what: str
    subject: str
    client: str
    visit_id: int | None


KINDS = {kind.value: kind for kind in FeedKind}
_FOLDED_LABELS = {kind: fold(kind.label) for kind in FeedKind}


def add_entry(
    session: Session,
    kind: FeedKind,
    *,
    organisation_id: str,
    subject: str,
    now: datetime,
    client: str = "",
    visit: tuple[int, str] | None = None,
) -> None:
    """Add an entry to an organisation's Feed, in the caller's transaction.

    `subject` names a machine, a project or a visitor; `client` is the e-mail of the client user
    who acted, blank for the vendor's staff; `visit` is the id of the visit told of, and its reason.
    """
    visit_id, reason = visit or (None, "")
    session.add(
        FeedEvent(
            organisation_id=organisation_id,
            happened_at=now,
            kind=kind.value,
            actor=client[:EMAIL_LENGTH],
            subject=subject[:300],
            search_text=feed_search_text(kind, subject, client or reason),
            visit_id=visit_id,
        )
    )


def feed_search_text(kind: FeedKind, subject: str, client: str = "") -> str:
    """The text of an entry that searches look through."""
    return f"{_FOLDED_LABELS[kind]}\n{fold(subject)}\n{fold(client)}"


def delete_feed(session: Session, organisation_id: str) -> None:
    """Delete an organisation's Feed, before the organisation is deleted."""
    session.execute(delete(FeedEvent).where(FeedEvent.organisation_id == organisation_id))


def count_entries(
    session: Session, organisation_id: str, *, kind: FeedKind | None = None, text: str = ""
) -> int:
    """How many entries of a Feed have the `kind` (any if None) and all words of `text`."""
    conditions = _conditions(organisation_id, kind, text)
    return session.scalar(select(func.count()).select_from(FeedEvent).where(*conditions)) or 0


def feed_of(
    session: Session,
    organisation_id: str,
    *,
    kind: FeedKind | None = None,
    text: str = "",
    offset: int = 0,
    limit: int = 50,
) -> list[FeedEntry]:
    """Those entries, or a part of them, newest first. Accents and case do not matter."""
    events = session.scalars(
        select(FeedEvent)
        .where(*_conditions(organisation_id, kind, text))
        .order_by(FeedEvent.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return [_entry(event) for event in events]


def _conditions(
    organisation_id: str, kind: FeedKind | None, text: str
) -> list[ColumnElement[bool]]:
    shown = select(Organisation.clients_see_visits).where(Organisation.id == organisation_id)
    conditions = [
        FeedEvent.organisation_id == organisation_id,
        or_(FeedEvent.visit_id.is_(None), shown.scalar_subquery()),
    ]
    if kind is not None:
        conditions.append(FeedEvent.kind == kind.value)
    words = dict.fromkeys(fold(text).split())
    return conditions + [FeedEvent.search_text.contains(word, autoescape=True) for word in words]


def _entry(event: FeedEvent) -> FeedEntry:
    kind = KINDS.get(event.kind)
    what = kind.label if kind else event.kind
    return FeedEntry(event.happened_at, kind, what, event.subject, event.actor, event.visit_id)
