"""Signing keys, temporary and permanent licenses, and recent key inspections."""

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    and_,
    case,
    false,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.text import REASON_LENGTH, TICKET_LENGTH
from app.models.accounts import User
from app.models.base import Base, partial_index
from app.models.projects import Organisation


class SigningKey(Base):
    """The public half of a signing key. The private half is never in the database."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(8), primary_key=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]
    turn: Mapped[int] = mapped_column(server_default="0")
    """The key with the highest turn signs: not the newest, because a clock may be set back."""
    retired_at: Mapped[datetime | None]
    """Since when it is out of the JWK Set, and nothing under it is good any more."""
    signed_visits: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a visit's record was signed with it: then it stays in the JWK Set."""


class TemporaryLicense(Base):
    """The record of a temporary license key: what its text is derived from, never the text."""

    __tablename__ = "temporary_licenses"
    __table_args__ = (
        Index(None, "organisation_id", "ends_at"),
        partial_index("ix_temporary_licenses_unused", "ends_at", where="use_by IS NOT NULL"),
        partial_index(
            "ix_temporary_licenses_revoked",
            "organisation_id",
            "revoked_at",
            where="revoked_at IS NOT NULL",
        ),
        Index(None, "issued_by_id", "ends_at"),
        partial_index(
            "ix_temporary_licenses_of_recipient",
            "recipient_id",
            "ends_at",
            where="recipient_id IS NOT NULL",
        ),
        partial_index(
            "ix_temporary_licenses_revoked_by_end", "ends_at", where="revoked_at IS NOT NULL"
        ),
        partial_index(
            "ix_temporary_licenses_counted", "ends_at", where="sign_ins_allowed IS NOT NULL"
        ),
        # Has all that decides whether a key is active, and whose it is.
        Index(
            "ix_temporary_licenses_by_end",
            "ends_at",
            "revoked_at",
            "starts_at",
            "organisation_id",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), unique=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    kid: Mapped[str] = mapped_column(ForeignKey("signing_keys.kid"))
    payload_version: Mapped[int] = mapped_column(default=1)
    ttl_seconds: Mapped[int]
    """From `starts_at` to `expires_at`."""
    first_ttl_seconds: Mapped[int | None]
    """The TTL with which it was issued, if it was extended since: that text works too."""
    issued_at: Mapped[datetime]
    starts_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """Its own end, which its text says."""
    ends_at: Mapped[datetime]
    """When it ends unless it is revoked: at `use_by` until it is used, else at its own end."""
    issued_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    revoked_at: Mapped[datetime | None]
    revoked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    last_used_at: Mapped[datetime | None]
    form_token: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The token of the form that issued it: the same form sent twice issues one key."""

    # What it carries
    reason: Mapped[str] = mapped_column(String(REASON_LENGTH), default="", server_default="")
    ticket: Mapped[str] = mapped_column(String(TICKET_LENGTH), default="", server_default="")
    recipient_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    """The one person who may use it; None: any partner or developer."""
    collected_at: Mapped[datetime | None]
    """When that person was first shown its text."""
    sign_ins_allowed: Mapped[int | None]
    sign_ins_used: Mapped[int] = mapped_column(default=0, server_default="0")
    first_machine: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it works on the machine of its first sign-in alone."""
    bound_mac_id: Mapped[str] = mapped_column(String(17), default="", server_default="")
    bound_machine_id: Mapped[str] = mapped_column(String(128), default="", server_default="")
    """In clear, since it is shown with the key."""
    use_by: Mapped[datetime | None]
    """Not used by then, it ends then."""

    organisation: Mapped[Organisation] = relationship(lazy="joined")
    issued_by: Mapped[User] = relationship(foreign_keys=issued_by_id, lazy="joined")
    revoked_by: Mapped[User | None] = relationship(foreign_keys=revoked_by_id)
    recipient: Mapped[User | None] = relationship(foreign_keys=recipient_id)

    @hybrid_property
    def ended_at(self) -> datetime:
        """When the license ends or ended: at its end, or at its revocation if that is earlier.

        On the class it is an SQL expression of the same.
        """
        return min(self.revoked_at or self.ends_at, self.ends_at)

    @ended_at.inplace.expression
    @classmethod
    def _ended_at_in_a_query(cls) -> ColumnElement[datetime]:
        return case((cls.revoked_at < cls.ends_at, cls.revoked_at), else_=cls.ends_at)

    @classmethod
    def is_active(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether a license is active at `now`, as an SQL condition."""
        return and_(cls.is_open(now), cls.starts_at <= now)

    @classmethod
    def is_open(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether a license has not ended at `now`: it is active or scheduled."""
        return and_(cls.revoked_at.is_(None), cls.ends_at > now)

    @classmethod
    def has_lapsed(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether a license ended unused at `now`, before its own end."""
        return and_(
            cls.revoked_at.is_(None),
            cls.use_by.is_not(None),
            cls.ends_at <= now,
            cls.ends_at < cls.expires_at,
        )


class PermanentLicense(Base):
    """The record of a permanent license: it ties one machine to one organisation."""

    __tablename__ = "permanent_licenses"

    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), unique=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"), index=True)
    agent_id: Mapped[int] = mapped_column(ForeignKey("agents.id"), unique=True)
    kid: Mapped[str] = mapped_column(ForeignKey("signing_keys.kid"))
    payload_version: Mapped[int] = mapped_column(default=1)
    issued_at: Mapped[datetime]
    issued_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    revoked_at: Mapped[datetime | None] = mapped_column(index=True)
    revoked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    issued_by: Mapped[User] = relationship(foreign_keys=issued_by_id)


class KeyInspection(Base):
    """One key inspection through the JSON interface, kept for as long as the limit counts it."""

    __tablename__ = "key_inspections"
    __table_args__ = (Index(None, "address", "inspected_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(45))
    inspected_at: Mapped[datetime]
