"""Finding what a search asks for, a page at a time, however many projects there are.

What few projects have is looked up in an index and sorted; what many have is met soon on the way
along the order that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    func,
    not_,
    or_,
    select,
    union,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.core.paging import Page, Total, page_of
from app.keyformat.key_ids import normalise_key_id
from app.models import Organisation, Project, ProjectSearch, TemporaryLicense
from app.models.types import UTCDateTime
from app.projects.search import Expiry, Search, Sort
from app.projects.totals import ProjectTotals
from app.projects.words import ENTRY, are_everywhere, begins_many, holds_all, indexed, looked_up

FEW = 2000
"""So many projects are sorted each time, and counted."""
AHEAD = 5000
"""So many projects are looked at in their order, before all that fit are sorted."""

MANY = Total(FEW, more=True)
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
    TemporaryLicense.organisation_id == Project.organisation_id,
    TemporaryLicense.is_active(bindparam("now", type_=UTCDateTime)),
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
"""What the cards of the projects `ids` show at `now`; made once, because that takes its time."""

Rows = type[ProjectSearch]
"""The table, or a part of it."""


@dataclass(frozen=True)
class Found:
    """A page of what a search finds.

    Each project has the columns of a card: those of `Project` that it shows, `organisation_name`,
    and `active_keys`, how many of the organisation's keys are active.
    """

    page: Page
    projects: Sequence[Row[Any]]


def find_page(
    session: Session,
    search: Search,
    now: datetime,
    *,
    totals: ProjectTotals,
    number: int,
    size: int,
) -> Found:
    """Page `number` of the projects that a search finds at `now`, in its order.

    `totals` are those of `now`. Numbers that make no sense are answered with the first page or
    the last.
    """
    if search.too_long:
        return Found(page_of(1, size, 0), [])
    total = _known_total(search, totals)
    many = total.number > FEW if total else _finds_many(session, search, now, totals)
    if many:
        page, ids = _some_of_many(session, search, now, Page(number, size, total or MANY))
    else:
        few = _few(session, search, now, totals)
        page = page_of(number, size, len(few))
        ids = few[page.offset : page.offset + size]
    return Found(page, _load(session, ids, now))


def find_projects(session: Session, search: Search, now: datetime) -> list[Project]:
    """All projects that a search finds at `now`, in its order."""
    if search.too_long:
        return []
    query = (
        select(Project)
        .join(ProjectSearch, ProjectSearch.project_id == Project.id)
        .where(*_conditions(search, now, ProjectSearch, search.words))
        .order_by(*_order(search, ProjectSearch))
    )
    return list(session.scalars(query))


def _known_total(search: Search, totals: ProjectTotals) -> Total | None:
    """How many projects there are of that plan and expiry; None if more is asked for."""
    if search.words or search.with_active_keys:
        return None
    current = search.expiry is Expiry.CURRENT if search.expiry else None
    return totals.count(archived=search.archived, plan=search.plan, current=current)


def _finds_many(session: Session, search: Search, now: datetime, totals: ProjectTotals) -> bool:
    """Whether an index has more than FEW projects, or keys, of what is searched for."""
    if totals.is_cheap:
        return False
    dialect = session.get_bind().dialect.name
    words = looked_up(search.words, dialect)
    if are_everywhere(words):
        return True
    candidates: Select[Any] = select(TemporaryLicense.id).where(TemporaryLicense.expires_at > now)
    if words:
        _, candidates = _candidates(search, now, words, dialect)
    counted = select(func.count()).select_from(candidates.limit(FEW + 1).subquery())
    probe = select(or_(begins_many(words, dialect), counted.scalar_subquery() > FEW))
    return bool(session.scalar(probe))


def _few(session: Session, search: Search, now: datetime, totals: ProjectTotals) -> list[int]:
    """The ids of all that are found, in order."""
    dialect = session.get_bind().dialect.name
    words = [] if totals.is_cheap else looked_up(search.words, dialect)
    others = [word for word in search.words if word not in words]
    column, candidates = _candidates(search, now, words, dialect)
    query = select(ProjectSearch.project_id).where(
        column.in_(candidates), *_conditions(search, now, ProjectSearch, others)
    )
    return list(session.scalars(query.order_by(*_order(search, ProjectSearch))))


def _candidates(
    search: Search, now: datetime, words: list[str], dialect: str
) -> tuple[InstrumentedAttribute[Any], Select[Any]]:
    """A column, and the values that it has in all that are found; from an index, in no order.

    `words` are those to look up.
    """
    ids = select(ProjectSearch.project_id)
    if words:
        query: Select[Any]
        query, of_key = indexed(words, dialect), _of_key(search, ProjectSearch)
        if of_key is not None:
            query = select(union(query, ids.where(of_key)).subquery().c.project_id)
        return ProjectSearch.project_id, query
    if search.with_active_keys:
        return ProjectSearch.organisation_id, _holders(now)
    return ProjectSearch.project_id, ids.where(*_conditions(search, now, ProjectSearch))


def _holders(now: datetime) -> Select[Any]:
    """The organisations of all active keys."""
    return select(TemporaryLicense.organisation_id).where(TemporaryLicense.is_active(now))


def _some_of_many(
    session: Session, search: Search, now: datetime, page: Page
) -> tuple[Page, list[int]]:
    """The page and its ids, in order; the last page if there is no such one."""
    ids = _met_soon(session, search, now, page) or _sorted(session, search, now, page)
    if not ids and page.number != -1:
        return _some_of_many(session, search, now, replace(page, number=-1))
    page = replace(page, more=len(ids) > page.size)
    ids = ids[: page.size]
    return page, ids if page.number > 0 else ids[::-1]


def _met_soon(session: Session, search: Search, now: datetime, page: Page) -> list[int] | None:
    """The page's ids and one more, if they are met soon on the way along the order."""
    if not search.narrows:
        return None
    columns = select(*(getattr(ProjectSearch, name) for name in LOOKED_AT))
    way = _along(columns, search, now, page).limit(AHEAD).subquery("way")
    met = aliased(ProjectSearch, way)
    # Both databases keep the order of what they select from, and stop when they have enough.
    query = select(met.project_id).where(*_conditions(search, now, met, search.words))
    ids = session.scalars(query.offset(page.offset).limit(page.size + 1)).all()
    return list(ids) if len(ids) > page.size else None


def _sorted(session: Session, search: Search, now: datetime, page: Page) -> list[int]:
    """The page's ids and one more, of all that are found."""
    query = select(ProjectSearch.project_id).where(
        *_conditions(search, now, ProjectSearch, search.words)
    )
    dialect = session.get_bind().dialect.name
    words = [word for word in looked_up(search.words, dialect) if len(word) >= ENTRY]
    if words or search.with_active_keys:
        column, candidates = _candidates(search, now, words, dialect)
        query = query.where(column.in_(candidates))
    query = _along(query, search, now, page).offset(page.offset).limit(page.size + 1)
    return list(session.scalars(query))


def _along(query: Select[Any], search: Search, now: datetime, page: Page) -> Select[Any]:
    """`query` in the order that is asked for, from the end that the page is counted from."""
    query = query.where(_archived(search, ProjectSearch))
    if search.sort is Sort.EXPIRY:
        query = query.where(*_expiry(search, now, ProjectSearch))
    return query.order_by(*_order(search, ProjectSearch, backwards=page.number < 0))


def _load(session: Session, ids: list[int], now: datetime) -> list[Row[Any]]:
    """The cards of projects, in the order of their ids."""
    if not ids:
        return []
    by_id = {row.id: row for row in session.execute(CARDS, {"ids": ids, "now": now})}
    return [by_id[project_id] for project_id in ids if project_id in by_id]


def _conditions(
    search: Search, now: datetime, of: Rows, words: Sequence[str] = ()
) -> list[ColumnElement[bool]]:
    """What a project must be to be found, and to hold of the search's words those in `words`."""
    conditions = [_archived(search, of), *_expiry(search, now, of)]
    if words:
        holds, of_key = holds_all(words, of.text), _of_key(search, of)
        conditions.append(holds if of_key is None else or_(holds, of_key))
    if search.plan:
        conditions.append(of.plan == search.plan)
    if search.with_active_keys:
        held = TemporaryLicense.organisation_id == of.organisation_id
        conditions.append(
            select(TemporaryLicense.id).where(held, TemporaryLicense.is_active(now)).exists()
        )
    return conditions


def _expiry(search: Search, now: datetime, of: Rows) -> list[ColumnElement[bool]]:
    if not search.expiry:
        return []
    today = now.date()
    is_current = search.expiry is Expiry.CURRENT
    return [of.expires_on >= today if is_current else of.expires_on < today]


def _archived(search: Search, of: Rows) -> ColumnElement[bool]:
    # Written so that the indexes of either half are used.
    return and_(of.archived) if search.archived else not_(of.archived)


def _of_key(search: Search, of: Rows) -> ColumnElement[bool] | None:
    """Whether the organisation has the key whose Key ID the text is; None if it is none."""
    key_id = normalise_key_id(search.text)
    if key_id is None:
        return None
    holder = select(TemporaryLicense.organisation_id).where(TemporaryLicense.key_id == key_id)
    return of.organisation_id == holder.scalar_subquery()


def _order(search: Search, of: Rows, *, backwards: bool = False) -> list[ColumnElement[Any]]:
    columns = [getattr(of, name) for name in ORDERS[search.sort]]
    descending = backwards != (search.sort is Sort.NEWEST)
    return [column.desc() if descending else column.asc() for column in columns]
