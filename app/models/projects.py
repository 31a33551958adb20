"""Organisations and their projects."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.text import EMAIL_LENGTH, LABEL_LENGTH, NAME_LENGTH, ORGANISATION_ID_LENGTH
from app.models.base import Base


class Organisation(Base):
    """A client. `id` is the Organisation ID that the vendor gave it; it never changes."""

    __tablename__ = "organisations"

    id: Mapped[str] = mapped_column(String(ORGANISATION_ID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    search_text: Mapped[str] = mapped_column(Text)
    """Name and ID, folded by `core.text.fold`, for searching."""
    created_at: Mapped[datetime]
    clients_see_visits: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether its Feed has the visits under temporary keys."""

    projects: Mapped[list["Project"]] = relationship(back_populates="organisation")


class Project(Base):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("organisation_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    contact_email: Mapped[str] = mapped_column(String(EMAIL_LENGTH), default="")
    plan: Mapped[str] = mapped_column(String(LABEL_LENGTH), default="")
    plan_expires_on: Mapped[date | None]
    """The last day (UTC) of the plan; None: it never ends."""
    status: Mapped[str] = mapped_column(String(LABEL_LENGTH), default="Active")
    archived_at: Mapped[datetime | None]
    search_text: Mapped[str] = mapped_column(Text)
    """Name and contact e-mail, folded by `core.text.fold`, for searching."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    organisation: Mapped[Organisation] = relationship(back_populates="projects", lazy="joined")

    @property
    def organisation_name(self) -> str:
        return self.organisation.name


class ImportDraft(Base):
    """A CSV file that somebody uploaded to import: at most one for each user."""

    __tablename__ = "import_drafts"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(64))
    """Identifies the upload: the user's next upload replaces this one."""
    file_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    """Emptied when the file is imported."""
    uploaded_at: Mapped[datetime]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What the import did; None: not imported yet."""
