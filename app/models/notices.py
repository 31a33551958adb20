"""Notices: what is still to be told, to whom it was told, and the webhooks that listen."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, ForeignKey, Index, LargeBinary, String, and_
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.text import ADDRESS_LENGTH
from app.models.accounts import User
from app.models.base import Base, partial_index

ANSWER_LENGTH = 200
KIND_LENGTH = 32


class Notice(Base):
    """The outbox: something to be told, until it is known to whom.

    Written in the transaction that it tells of, since who reads events "after the last number"
    would miss one that was committed late.
    """

    __tablename__ = "notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(KIND_LENGTH))
    """One of `audit.notice_kinds.NoticeKind`."""
    happened_at: Mapped[datetime]
    event_id: Mapped[int | None] = mapped_column(index=True)
    """The event of the audit log. No foreign key: old events are cut off."""
    key_id: Mapped[str] = mapped_column(String(16), default="", server_default="")
    """The key that time has done something to; there is no event then."""
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary(500))
    """The token of an invitation's link, encrypted under the portal's secret key."""


class KeyWatch(Base):
    """A key that will end: when to look at it next."""

    __tablename__ = "key_watches"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    look_at: Mapped[datetime] = mapped_column(index=True)
    told_end: Mapped[datetime | None]
    """The end of which it was told that it is near."""


class Webhook(Base):
    """Where other programs are told."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH), unique=True)
    events: Mapped[list[str]] = mapped_column(JSON)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary(200))
    """Encrypted under the portal's secret key: a stolen database signs nothing."""
    added_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]

    added_by: Mapped[User | None] = relationship(lazy="joined")


class Delivery(Base):
    """One notice for one receiver: it waits while `next_try_at` is set, else it is over."""

    __tablename__ = "deliveries"
    __table_args__ = (
        partial_index(
            "ix_deliveries_waiting", "webhook_id", "next_try_at", where="next_try_at IS NOT NULL"
        ),
        Index("ix_deliveries_last", "webhook_id", "id"),
        Index(None, "delivered_at"),
        Index(None, "given_up_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(String(64), unique=True)
    """The same over all tries, and in the mail's Message-ID."""
    kind: Mapped[str] = mapped_column(String(KIND_LENGTH))
    happened_at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    webhook_id: Mapped[int | None]
    """None for a mail. No foreign key: a webhook may be removed."""
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    """The e-mail, or the webhook's address."""
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary(500))
    """As of the notice; blanked when it is over."""
    created_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    next_try_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    answer: Mapped[str] = mapped_column(String(ANSWER_LENGTH), default="", server_default="")
    """What the receiver answered last, in our words."""

    @classmethod
    def is_waiting(cls) -> ColumnElement[bool]:
        """Whether it is not over, as an SQL condition."""
        return cls.next_try_at.is_not(None)

    @classmethod
    def is_due(cls, now: datetime) -> ColumnElement[bool]:
        """Whether it is to be tried at `now`."""
        return and_(cls.is_waiting(), cls.next_try_at <= now)
