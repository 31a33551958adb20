"""Signing keys, temporary and permanent licenses, and recent key inspections."""

from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, Index, LargeBinary, String, and_, case, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.accounts import User
from app.models.base import Base
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


class TemporaryLicense(Base):
    """The record of a temporary license key: what its text is derived from, never the text."""

    __tablename__ = "temporary_licenses"
    __table_args__ = (
        Index(None, "organisation_id", "expires_at"),
        Index(
            "ix_temporary_licenses_revoked",
            "organisation_id",
            "revoked_at",
            sqlite_where=text("revoked_at IS NOT NULL"),
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
        # Has all that decides whether a key is active, and whose it is.
        Index(
            "ix_temporary_licenses_by_end",
            "expires_at",
            "revoked_at",
            "issued_at",
            "organisation_id",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), unique=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    kid: Mapped[str] = mapped_column(ForeignKey("signing_keys.kid"))
    payload_version: Mapped[int] = mapped_column(default=1)
    ttl_seconds: Mapped[int]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    issued_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    revoked_at: Mapped[datetime | None]
    revoked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    last_used_at: Mapped[datetime | None]
    form_token: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The token of the form that issued it: the same form sent twice issues one key."""

    organisation: Mapped[Organisation] = relationship(lazy="joined")
    issued_by: Mapped[User] = relationship(foreign_keys=issued_by_id, lazy="joined")
    revoked_by: Mapped[User | None] = relationship(foreign_keys=revoked_by_id)

    @hybrid_property
    def ended_at(self) -> datetime:
        """When the license ends or ended: at its expiry, or at its revocation if that is earlier.

        On the class it is an SQL expression of the same.
        """
        return min(self.revoked_at or self.expires_at, self.expires_at)

    @ended_at.inplace.expression
    @classmethod
    def _ended_at_in_a_query(cls) -> ColumnElement[datetime]:
        return case((cls.revoked_at < cls.expires_at, cls.revoked_at), else_=cls.expires_at)

    @classmethod
    def is_active(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether a license is active at `now`, as an SQL condition."""
        return and_(cls.revoked_at.is_(None), cls.issued_at <= now, cls.expires_at > now)


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
