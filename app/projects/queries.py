"""The statements by which projects are found: made once for each kind of search.

To make one takes longer than to execute it. So a statement depends on a search's `Shape` alone, and
what is searched for are its `values`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    union,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.keyformat.key_ids import normalise_key_id
from app.models import Organisation, Project, ProjectSearch, TemporaryLicense
from app.models.types import UTCDateTime
from app.projects.search import Expiry, Search, Sort
from app.projects.words import (
    Word,
    begins_many,
    holds_all,
    indexed,
    looked_up,
    word_values,
    words_of,
)

KEPT = 200
"""For so many shapes of searches each statement is kept."""
NOW = bindparam("now", type_=UTCDateTime)
TODAY = bindparam("today", type_=Date)
ORDERS = {
    Sort.NAME: ("by_name", "project_id"),
    Sort.ORGANISATION: ("by_organisation", "by_name", "project_id"),
    Sort.EXPIRY: ("expires_on", "by_name", "project_id"),
    Sort.NEWEST: ("created_at", "project_id"),
}
"""The columns of each order; an index of the table has them."""
LOOKED_AT = ("project_id", "organisation_id", "expires_on", "plan", "text", "archived")
"""The columns that decide whether a project is found."""

_active_keys = select(func.count()).where(
    TemporaryLicense.organisation_id == Project.organisation_id, TemporaryLicense.is_active(NOW)
)
CARDS = (
    select(
        Project.id,
        Project.name,
        Project.plan,
        Project.status,
        Project.plan_expires_on,
        Project.archived_at,
        Project.contact_email,
        Project.organisation_id,
        Organisation.name.label("organisation_name"),
        _active_keys.scalar_subquery().label("active_keys"),
    )
    .join(Project.organisation)
    .where(Project.id.in_(bindparam("ids", expanding=True)))
)
"""What the cards of the projects `ids` show at `now`."""

Rows = type[ProjectSearch]
"""The table, or a part of it."""


@dataclass(frozen=True)
class Shape:
    """All that the statements of a search depend on."""

    dialect: str
    sort: Sort
    archived: bool
    expiry: Expiry
    has_plan: bool
    with_active_keys: bool
    words: tuple[Word, ...]
    is_key_id: bool


def shape_of(search: Search, dialect: str) -> Shape:
    """The shape of a search in a database of this dialect."""
    return Shape(
        dialect,
        search.sort,
        search.archived,
        search.expiry,
        bool(search.plan),
        search.with_active_keys,
        words_of(search.words),
        normalise_key_id(search.text) is not None,
    )


def values_of(search: Search, now: datetime) -> dict[str, Any]:
    """The values of the statements of a search at `now`."""
    return {
        "now": now,
        "today": now.date(),
        "plan": search.plan,
        "key_id": normalise_key_id(search.text),
        **word_values(search.words),
    }


@lru_cache(KEPT)
def whether_many(shape: Shape) -> Select[bool, bool]:
    """Whether the index of texts is of no use, and whether it has more than `few` projects.

    If no words are looked up: whether there are more than `few` keys that are not over.
    """
    words = looked_up(shape.words, shape.dialect)
    candidates: Select[Any] = select(TemporaryLicense.id).where(TemporaryLicense.ends_at > NOW)
    if words:
        _, candidates = _candidates(shape, words)
    found = candidates.limit(bindparam("few") + 1).subquery()
    counted = select(func.count()).select_from(found).scalar_subquery()
    return select(begins_many(words, shape.dialect), counted > bindparam("few"))


@lru_cache(KEPT)
def ids_of_few(shape: Shape, *, by_index: bool) -> Select[Any]:
    """The ids of all that are found, in order; words are looked up in the index, or not."""
    words = looked_up(shape.words, shape.dialect) if by_index else ()
    others = [word for word in shape.words if word not in words]
    column, candidates = _candidates(shape, words)
    query = select(ProjectSearch.project_id).where(
        column.in_(candidates), *conditions(shape, ProjectSearch, others)
    )
    return query.order_by(*order(shape, ProjectSearch))


@lru_cache(KEPT)
def ids_met_soon(shape: Shape, *, backwards: bool) -> Select[Any]:
    """`limit` ids from `offset` on, of what is found among the first `ahead` in the order."""
    columns = select(*(getattr(ProjectSearch, name) for name in LOOKED_AT))
    way = _along(columns, shape, backwards).limit(bindparam("ahead")).subquery("way")
    met = aliased(ProjectSearch, way)
    # Both databases keep the order of what they select from, and stop when they have enough.
    query = select(met.project_id).where(*conditions(shape, met, shape.words))
    return _page_of(query)


@lru_cache(KEPT)
def ids_in_order(shape: Shape, *, by_index: bool, backwards: bool) -> Select[Any]:
    """`limit` ids from `offset` on, of all that are found, in the order."""
    found = conditions(shape, ProjectSearch, shape.words)
    query = select(ProjectSearch.project_id).where(*found)
    words = looked_up(shape.words, shape.dialect) if by_index else ()
    if words or shape.with_active_keys:
        column, candidates = _candidates(shape, words)
        # On SQLite the plus lets it walk along the order and look each up among the candidates.
        walked = column.op("+")(literal_column("0")) if shape.dialect == "sqlite" else column
        query = query.where((walked if words else column).in_(candidates))
    return _page_of(_along(query, shape, backwards))


def _page_of(query: Select[Any]) -> Select[Any]:
    return query.offset(bindparam("offset")).limit(bindparam("limit"))


def _candidates(
    shape: Shape, words: Sequence[Word]
) -> tuple[InstrumentedAttribute[Any], Select[Any]]:
    """A column, and the values that it has in all that are found; from an index, in no order.

    `words` are those to look up.
    """
    ids = select(ProjectSearch.project_id)
    if words:
        query: Select[Any] = indexed(words, shape.dialect)
        if shape.is_key_id:
            of_key = ids.where(_of_key(ProjectSearch))
            query = select(union(query, of_key).subquery().c.project_id)
        return ProjectSearch.project_id, query
    if shape.with_active_keys:
        holders = select(TemporaryLicense.organisation_id).where(TemporaryLicense.is_active(NOW))
        return ProjectSearch.organisation_id, holders
    return ProjectSearch.project_id, ids.where(*conditions(shape, ProjectSearch))


def _along(query: Select[Any], shape: Shape, backwards: bool) -> Select[Any]:
    """`query` in the order that is asked for, from the end that the page is counted from."""
    query = query.where(_archived(shape, ProjectSearch))
    if shape.sort is Sort.EXPIRY:
        query = query.where(*_expiry(shape, ProjectSearch))
    return query.order_by(*order(shape, ProjectSearch, backwards=backwards))


def conditions(shape: Shape, of: Rows, words: Sequence[Word] = ()) -> list[ColumnElement[bool]]:
    """What a project must be to be found, and to hold of the search's words those in `words`."""
    found = [_archived(shape, of), *_expiry(shape, of)]
    if words:
        holds = holds_all(words, of.text)
        found.append(or_(holds, _of_key(of)) if shape.is_key_id else holds)
    if shape.has_plan:
        found.append(of.plan == bindparam("plan", type_=Text))
    if shape.with_active_keys:
        held = TemporaryLicense.organisation_id == of.organisation_id
        found.append(
            select(TemporaryLicense.id).where(held, TemporaryLicense.is_active(NOW)).exists()
        )
    return found


def order(shape: Shape, of: Rows, *, backwards: bool = False) -> list[ColumnElement[Any]]:
    """The columns to sort by."""
    columns = [getattr(of, name) for name in ORDERS[shape.sort]]
    descending = backwards != (shape.sort is Sort.NEWEST)
    return [column.desc() if descending else column.asc() for column in columns]


def _expiry(shape: Shape, of: Rows) -> list[ColumnElement[bool]]:
    if not shape.expiry:
        return []
    is_current = shape.expiry is Expiry.CURRENT
    return [of.expires_on >= TODAY if is_current else of.expires_on < TODAY]


def _archived(shape: Shape, of: Rows) -> ColumnElement[bool]:
    # Written so that the indexes of either half are used.
    return and_(of.archived) if shape.archived else not_(of.archived)


def _of_key(of: Rows) -> ColumnElement[bool]:
    """Whether the organisation has the key whose Key ID the text is."""
    key_id = bindparam("key_id", type_=Text)
    holder = select(TemporaryLicense.organisation_id).where(TemporaryLicense.key_id == key_id)
    return of.organisation_id == holder.scalar_subquery()
