"""The audit log, which is internal, and the Feed, which clients see."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.text import EMAIL_LENGTH
from app.models.base import Base


class AuditEvent(Base):
    """One event of the audit log. Names are copied: they stay when what they name is deleted."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "organisation_id", "happened_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(index=True)
    tag: Mapped[str] = mapped_column(String(64))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    actor: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    """The e-mail of the person who did it, as it was then, or what was typed at a sign-in."""
    address: Mapped[str] = mapped_column(String(45), default="")
    organisation_id: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(300), default="")
    """What it was done to: a Key ID, a project's name, a user's e-mail, and so on."""
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class FeedEvent(Base):
    """One entry of an organisation's Feed. Temporary keys and their sessions never appear in it."""

    __tablename__ = "feed_events"
    __table_args__ = (Index(None, "organisation_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    happened_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    """The e-mail of a client user, or empty: the vendor's staff are not named."""
    subject: Mapped[str] = mapped_column(String(300))
    search_text: Mapped[str] = mapped_column(Text)
    """The label of the kind, the subject and the actor, folded, for searching."""
