"""Pages by position: each goes on from a row, so that its cost does not grow with their number."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

Row = TypeVar("Row")


@dataclass(frozen=True)
class Stretch(Generic[Row]):
    """Rows of a list in its order, and whether others come before them and after them."""

    rows: list[Row]
    goes_back: bool
    goes_on: bool


def read_stretch(
    read: Callable[[Select[Any]], Iterable[Row]],
    query: Select[Any],
    place: Sequence[InstrumentedAttribute[Any]],
    *,
    anchor: tuple[Any, ...] | None,
    size: int,
    backwards: bool = False,
    descending: bool = False,
) -> Stretch[Row]:
    """The `size` rows that follow the `anchor` in the order of the columns `place`, by `read`.

    With `backwards` those before it; without an anchor the first, or the last. The order is
    ascending, or descending.
    """
    up = backwards == descending
    if anchor is not None:
        here = tuple_(*place)
        query = query.where(here > anchor if up else here < anchor)
    ordered = query.order_by(*(column if up else column.desc() for column in place))
    found = list(read(ordered.limit(size + 1)))
    more, rows, others = len(found) > size, found[:size], anchor is not None
    if backwards:
        return Stretch(rows[::-1], goes_back=more, goes_on=others)
    return Stretch(rows, goes_back=others, goes_on=more)
