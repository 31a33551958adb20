"""The base class of every table."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, MetaData, text
from sqlalchemy.orm import DeclarativeBase

from app.models.types import UTCDateTime


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime}  # noqa: RUF012 (SQLAlchemy reads it from the class)


def partial_index(name: str | None, *columns: str, where: str, **options: Any) -> Index:
    """An index that has only the rows of which `where` holds, on both databases."""
    condition = text(where)
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition, **options)
