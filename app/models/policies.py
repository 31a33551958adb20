"""What policies say of new keys, and requests that wait for somebody to approve them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.text import REASON_LENGTH
from app.models.accounts import User
from app.models.base import Base
from app.models.licenses import TemporaryLicense

OF_INSTALLATION = 0
"""The id of the installation's own policy."""


class StoredPolicy(Base):
    """The rules that the installation, or one organisation, sets."""

    __tablename__ = "policies"

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[str | None] = mapped_column(ForeignKey("organisations.id"), unique=True)
    """None in the installation's, whose id is OF_INSTALLATION."""
    rules: Mapped[dict[str, Any]] = mapped_column(JSON)
    """By the names that `access.policy_rules.Policy` has; what is not set is not in it."""
    changed_at: Mapped[datetime]


class Request(Base):
    """A temporary key, or a later end of one, that somebody has asked for."""

    __tablename__ = "requests"
    __table_args__ = (Index(None, "state", "asked_at"), Index(None, "asked_by_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(String(64))
    """As it was asked for: there may be no such organisation."""
    asked_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    asked_at: Mapped[datetime]
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the key is to carry, by the names of `licenses.option_rules.KeyOptions`."""
    extends_id: Mapped[int | None] = mapped_column(ForeignKey("temporary_licenses.id"))
    """The key that is to work longer; None: a new one is asked for."""
    form_token: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The token of the form that made it: the same form sent twice makes one request."""
    state: Mapped[str] = mapped_column(String(16))
    """One of `access.request_rules.RequestState`."""
    decided_at: Mapped[datetime | None]
    decided_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    answer: Mapped[str] = mapped_column(String(REASON_LENGTH), default="", server_default="")
    """Why it was refused."""
    license_id: Mapped[int | None] = mapped_column(ForeignKey("temporary_licenses.id"))
    """The key that it was given."""

    asked_by: Mapped[User] = relationship(foreign_keys=asked_by_id, lazy="joined")
    decided_by: Mapped[User | None] = relationship(foreign_keys=decided_by_id)
    extends: Mapped[TemporaryLicense | None] = relationship(foreign_keys=extends_id)
    license: Mapped[TemporaryLicense | None] = relationship(foreign_keys=license_id)
