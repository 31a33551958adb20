"""Reading columns of rows, where only their values are needed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.orm import Session


def read_rows(
    session: Session, statement: Executable, values: Mapping[str, Any] | None = None
) -> CursorResult[*tuple[Any, ...]]:
    """The columns that `statement` selects with `values`, in the session's transaction.

    Made for statements that are asked for all the time: it leaves out what the ORM does to keep
    track of objects, which takes longer than a query by an index.
    """
    session.flush()
    return session.connection().execute(statement, values)
