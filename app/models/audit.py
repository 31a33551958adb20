"""The audit log, which is internal, and the Feed, which clients see."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.text import EMAIL_LENGTH
from app.models.base import Base, partial_index


class AuditEvent(Base):
    """One event of the audit log. Names are copied: they stay when what they name is deleted."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "happened_at", "id"),
        Index(None, "organisation_id", "happened_at", "id"),
        Index(None, "actor", "happened_at", "id"),
        Index(None, "tag", "happened_at", "id"),
        partial_index(None, "key_id", "happened_at", "id", where="key_id <> ''"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime]
    tag: Mapped[str] = mapped_column(String(64))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    actor: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    """The e-mail of the person who did it, as it was then, or what was typed at a sign-in."""
    role: Mapped[str] = mapped_column(String(16), default="", server_default="")
    """Their role then; empty if nobody was known to act, and for events of before it was noted."""
    address: Mapped[str] = mapped_column(String(45), default="")
    request_id: Mapped[str] = mapped_column(String(64), default="", server_default="")
    organisation_id: Mapped[str | None] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(16), default="", server_default="")
    """The Key ID of the license that it is about, or empty."""
    subject: Mapped[str] = mapped_column(String(300), default="")
    """What it was done to: a Key ID, a project's name, a user's e-mail, and so on."""
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class AuditLeaf(Base):
    """The place of an event in the tree, and the hash of its leaf (`audit/merkle.py`)."""

    __tablename__ = "audit_leaves"

    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event_id: Mapped[int] = mapped_column(unique=True)
    """No foreign key: that an event was taken away must be possible, and is found."""
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditTile(Base):
    """The hash over the 256 leaves of a full tile of the tree."""

    __tablename__ = "audit_tiles"

    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditCheckpoint(Base):
    """A signed head of the tree, when it had `size` leaves."""

    __tablename__ = "audit_checkpoints"

    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    signed_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(Text)


class FeedEvent(Base):
    """One entry of an organisation's Feed."""

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
    visit_id: Mapped[int | None] = mapped_column(ForeignKey("visits.session_id"))
    """The visit that it tells of: who reads it sees that visit's end as it is then known."""
