"""The table that searches for projects read: a row a project, kept by triggers of the database.

Migration 0005 has the triggers, and the index of the texts (`projects.words` asks it).
"""

from datetime import date, datetime

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.text import LABEL_LENGTH, ORGANISATION_ID_LENGTH
from app.models.base import Base

BESIDE_MODELS = ("project_words", "project_terms", "ix_project_search_grams")
"""How names of tables and indexes begin that migrations made and models do not have."""

SORT_KEY = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points, as SQLite and Python do."""
BEGINNING_LENGTH = 200
"""How many characters of a search text it is sorted by, as migration 0005 has it."""


def is_of_models(name: str | None, _kind: str, _parents: object) -> bool:
    """Whether Alembic compares a table or an index of the database with the models."""
    return not (name or "").startswith(BESIDE_MODELS)


def _sort_indexes() -> list[Index]:
    """An index for each order, of the projects that are archived and of the others."""
    sorts = {
        "name": ("by_name", "project_id"),
        "organisation": ("by_organisation", "by_name", "project_id"),
        "expiry": ("expires_on", "by_name", "project_id"),
        "newest": ("created_at", "project_id"),
    }
    return [
        Index(
            f"{prefix}_project_search_{name}",
            *columns,
            sqlite_where=text(f"archived = {archived:d}"),
            postgresql_where=text("archived" if archived else "NOT archived"),
        )
        for name, columns in sorts.items()
        for prefix, archived in (("ix", False), ("ix_archived", True))
    ]


class ProjectSearch(Base):
    """What searches look for in a project, and what they are sorted by."""

    __tablename__ = "project_search"
    __table_args__ = (
        *_sort_indexes(),
        Index("ix_project_search_counts", "plan", "archived", "expires_on"),
        {"info": {"derived": True}},
    )

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    organisation_id: Mapped[str] = mapped_column(String(ORGANISATION_ID_LENGTH), index=True)
    archived: Mapped[bool]
    by_name: Mapped[str] = mapped_column(SORT_KEY)
    """The beginning of the project's `search_text`."""
    by_organisation: Mapped[str] = mapped_column(SORT_KEY)
    """The beginning of the organisation's `search_text`."""
    expires_on: Mapped[date]
    """The last day of the plan; the end of time if it has none."""
    created_at: Mapped[datetime]
    plan: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    text: Mapped[str] = mapped_column(Text)
    """Both search texts, and two line breaks."""
