"""Copying every table from SQLite to PostgreSQL, and comparing the two row by row.

Tables that a database fills by itself (`info={"derived": True}`) are not copied, only compared.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    collate,
    func,
    insert,
    inspect,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import DataError, IntegrityError

from app.models.agents import Installation
from app.models.base import Base

ROWS_AT_ONCE = 2_000
"""How many rows are written in one transaction, and held in memory."""

UNFINISHED = Table("unfinished_copy", MetaData(), Column("id", Integer, primary_key=True))
"""It is there while a copy is not finished. It has no rows."""

Key = tuple[Any, ...]


class RowRefused(Exception):
    """The other database does not take a row; no later one of its table was copied."""

    def __init__(self, row: str, reason: str) -> None:
        super().__init__(f"{row}: {reason}")
        self.row = row
        self.reason = reason


def all_tables() -> list[Table]:
    """Every table, those that others refer to first."""
    return Base.metadata.sorted_tables


def copied_tables() -> list[Table]:
    """The tables to copy after `begin_copy`, in that order."""
    return [
        table
        for table in all_tables()
        if not table.info.get("derived") and table is not Installation.__table__
    ]


def is_unfinished(connection: Connection) -> bool:
    """Whether a copy into this database was begun and not finished."""
    return inspect(connection).has_table(UNFINISHED.name)


def installation_salt(connection: Connection) -> str | None:
    """What tells an installation from every other one; None if it was never started."""
    if not inspect(connection).has_table(Installation.__tablename__):
        return None
    return connection.scalar(select(Installation.machine_salt))


def installation_id(connection: Connection) -> str | None:
    """The same for people to read: a hash, since the salt itself is a secret."""
    salt = installation_salt(connection)
    return hashlib.sha256(salt.encode()).hexdigest()[:16] if salt else None


def has_rows(connection: Connection) -> bool:
    """Whether any of our tables, as far as they are there, has a row."""
    there = set(inspect(connection).get_table_names())
    return any(
        connection.scalar(select(true()).select_from(table).limit(1))
        for table in all_tables()
        if table.name in there
    )


def begin_copy(source: Connection, target: Connection) -> None:
    """Mark the copy as unfinished, and as one of this installation: both, or neither."""
    with target.begin():
        UNFINISHED.create(target)
        rows = source.execute(select(Installation.__table__)).mappings()
        target.execute(insert(Installation), [dict(row) for row in rows])


def copy_table(table: Table, source: Connection, target: Connection) -> int:
    """Copy the rows after the last one that `target` has; returns how many.

    Each block is one transaction, so that whatever stops it in the middle, it can go on.
    """
    from_last = [part.desc() for part in _key_order(table, target)]
    with target.begin():
        keys = select(*table.primary_key).order_by(*from_last)
        last = target.execute(keys.limit(1)).first()
    query = select(table).order_by(*_key_order(table, source))
    if last is not None:
        query = query.where(
            tuple_(*table.primary_key)
            > tuple_(*last, types=[each.type for each in table.primary_key])
        )
    copied = 0
    with source.execute(query) as result:  # left open, it would hold on to its snapshot
        rows = result.mappings()
        while block := [dict(row) for row in islice(rows, _rows_at_once(table))]:
            _insert(table, block, target)
            copied += len(block)
    return copied


def compare_table(table: Table, source: Connection, target: Connection) -> Iterator[str]:
    """For each row of either database, "", or which one it is and what differs in it.

    No value is named but those of the primary key.
    """
    ours, theirs = (_rows_in_order(table, connection) for connection in (source, target))
    for key, one, other in _pairs(table, ours, theirs):
        if one is None:
            yield f"{_name(table, key)}: only in PostgreSQL"
        elif other is None:
            yield f"{_name(table, key)}: only in SQLite"
        else:
            yield "" if one == other else _different_columns(table, key, one, other)


def finish_copy(target: Connection) -> None:
    """Let new rows get numbers of their own, and the planner know what there is; take the mark off.

    All of it or nothing.
    """
    with target.begin():
        for table in all_tables():
            column = table.autoincrement_column
            if column is not None:
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                highest = func.max(column)
                target.execute(
                    select(func.setval(sequence, func.greatest(highest, 1), highest.is_not(None)))
                )
        target.exec_driver_sql("ANALYZE " + ", ".join(table.name for table in all_tables()))
        UNFINISHED.drop(target)


def _rows_at_once(table: Table) -> int:
    """One where a row may hold a whole file."""
    holds_files = any(
        isinstance(column.type, LargeBinary) and column.type.length is None
        for column in table.columns
    )
    return 1 if holds_files else ROWS_AT_ONCE


def _key_order(table: Table, connection: Connection) -> list[ColumnElement[Any]]:
    """The primary key, whose texts are ordered by code points as SQLite and Python do it."""
    is_postgresql = connection.dialect.name == "postgresql"
    return [
        collate(column, "C") if is_postgresql and isinstance(column.type, String) else column
        for column in table.primary_key
    ]


def _rows_in_order(table: Table, connection: Connection) -> Iterator[Row[Any]]:
    at_once = {"stream_results": True, "max_row_buffer": _rows_at_once(table)}
    query = select(table).order_by(*_key_order(table, connection))
    with connection.execute(query, execution_options=at_once) as result:
        yield from result


def _pairs(
    table: Table, ours: Iterator[Row[Any]], theirs: Iterator[Row[Any]]
) -> Iterator[tuple[Key, Row[Any] | None, Row[Any] | None]]:
    """Rows of the same primary key, each beside the other, or None where there is no other."""
    at = [list(table.columns).index(column) for column in table.primary_key]

    def next_of(rows: Iterator[Row[Any]]) -> tuple[Key | None, Row[Any] | None]:
        row = next(rows, None)
        return (None if row is None else tuple(row[place] for place in at)), row

    (key, one), (other_key, other) = next_of(ours), next_of(theirs)
    while key is not None or other_key is not None:
        lowest = min(each for each in (key, other_key) if each is not None)
        is_ours, is_theirs = key == lowest, other_key == lowest
        yield lowest, one if is_ours else None, other if is_theirs else None
        if is_ours:
            key, one = next_of(ours)
        if is_theirs:
            other_key, other = next_of(theirs)


def _insert(table: Table, block: Sequence[Mapping[str, Any]], target: Connection) -> None:
    try:
        with target.begin():
            target.execute(insert(table), block)
    except (DataError, IntegrityError):
        _insert_one_by_one(table, block, target)


def _insert_one_by_one(
    table: Table, block: Sequence[Mapping[str, Any]], target: Connection
) -> None:
    """Find the row that is refused; raises RowRefused."""
    for row in block:
        try:
            with target.begin():
                target.execute(insert(table), row)
        except (DataError, IntegrityError) as error:
            key = tuple(row[column.name] for column in table.primary_key)
            raise RowRefused(_name(table, key), _without_values(error)) from None


def _without_values(error: DataError | IntegrityError) -> str:
    """What is wrong, in the database's words; what follows a colon is the value."""
    diagnosis = getattr(error.orig, "diag", None)
    said = (diagnosis and diagnosis.message_primary) or str(error.orig)
    return str(said).splitlines()[0].partition(":")[0]


def _name(table: Table, key: Key) -> str:
    values = zip(table.primary_key, key, strict=True)
    return f"{table.name} " + ", ".join(f"{column.name}={value}" for column, value in values)


def _different_columns(table: Table, key: Key, one: Row[Any], other: Row[Any]) -> str:
    names = [
        column.name
        for column, ours, theirs in zip(table.columns, one, other, strict=True)
        if ours != theirs
    ]
    return f"{_name(table, key)}: {', '.join(names)} differ"
