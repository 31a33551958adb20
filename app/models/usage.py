"""How large each table is, and how fast it grows."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, Table, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from app.core.errors import PortalError
from app.models.base import Base

LATELY = timedelta(days=30)
YEAR = timedelta(days=365)
SHORTEST = timedelta(hours=1)
"""A table that is younger says too little about its pace."""
ADDED_AT = ("happened_at", "started_at", "issued_at", "registered_at", "created_at", "signed_at")
"""Columns that say when a row was added."""

_SQLITE = text(
    "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) GROUP BY 1"
)
_POSTGRESQL = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class TableUsage(NamedTuple):
    """A table with its indexes: what it takes now, and what a year adds at the present pace."""

    table: str
    rows: int
    bytes: int
    bytes_a_year: int


def table_usage(connection: Connection, now: datetime) -> list[TableUsage]:
    """Every table of the database, the largest first. Raises PortalError if that is unknown."""
    query = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    try:
        sizes = {name: int(size) for name, size in connection.execute(query)}
    except OperationalError as error:
        if "dbstat" not in str(error.orig):
            raise
        raise PortalError(
            "This machine's SQLite cannot say how large its tables are (it has no dbstat)."
        ) from None
    tables = inspect(connection).get_table_names()
    usages = [_usage(connection, name, sizes.get(name, 0), now) for name in tables]
    return sorted(usages, key=lambda usage: (-usage.bytes, usage.table))


def _usage(connection: Connection, name: str, size: int, now: datetime) -> TableUsage:
    known = Base.metadata.tables.get(name)
    table = known if known is not None else Table(name, MetaData())
    rows = connection.scalar(select(func.count()).select_from(table)) or 0
    pace = _rows_a_year(connection, known, now) if known is not None and rows else 0
    return TableUsage(name, rows, size, round(pace * size / rows) if rows else 0)


def _rows_a_year(connection: Connection, table: Table, now: datetime) -> float:
    """By the rows that were added lately, and are still there."""
    column = next((table.columns[name] for name in ADDED_AT if name in table.columns), None)
    if column is None:
        return 0
    lately = column > now - LATELY
    added, first = connection.execute(select(func.count(), func.min(column)).where(lately)).one()
    if not added:
        return 0
    since = max(now - first, SHORTEST) if added == _count(connection, table) else LATELY
    return float(added * (YEAR / since))


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
