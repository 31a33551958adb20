"""What policies say of new keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

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
