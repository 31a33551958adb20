"""Finding what a search asks for, a page at a time, however many projects there are.

What few projects have is looked up in an index and sorted; what many have is met soon on the way
along the order that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, or_, select, true, union
from sqlalchemy.orm import Session, aliased

from app.core.paging import Page, Total, page_of
from app.keyformat.key_ids import normalise_key_id
from app.models import Organisation, Project, ProjectSearch, TemporaryLicense
from app.projects.search import Expiry, Search, Sort
from app.projects.totals import ProjectTotals
from app.projects.words import ENTRY, begins_many, holds_all, indexed

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
    few = None if total is not None and total.number > FEW else _few(session, search, now)
    if few is None:
        page, ids = _some_of_many(
            session, search, now, Page(number, size, MANY if total is None else total)
        )
    else:
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
        .where(*_conditions(search, now, ProjectSearch))
        .order_by(*_order(search, ProjectSearch))
    )
    return list(session.scalars(query))


def _known_total(search: Search, totals: ProjectTotals) -> Total | None:
    """How many projects there are of that plan and expiry; None if more is asked for."""
    if search.words or search.with_active_keys:
        return None
    current = search.expiry is Expiry.CURRENT if search.expiry else None
    return totals.count(archived=search.archived, plan=search.plan, current=current)


def _few(session: Session, search: Search, now: datetime) -> list[int] | None:
    """The ids of all that are found, in order; None if they may be more than FEW."""
    dialect = session.get_bind().dialect.name
    candidates = _candidates(search, now, dialect).limit(FEW + 1).cte("candidates")
    found = (
        select(ProjectSearch)
        .where(
            ProjectSearch.project_id.in_(select(candidates.c.project_id)),
            *_conditions(search, now, ProjectSearch),
        )
        .subquery("found")
    )
    hit = aliased(ProjectSearch, found)
    too_many = select(func.count() > FEW).select_from(candidates).scalar_subquery()
    one = select(literal(1).label("one")).subquery("one")
    query = (
        select(hit.project_id, too_many, begins_many(search.words, dialect))
        .select_from(one)
        .outerjoin(hit, true())
        .order_by(*_order(search, hit))
    )
    rows = session.execute(query).all()
    _, too_many_found, incomplete = rows[0]
    if too_many_found or incomplete:
        return None
    return [project_id for project_id, *_ in rows if project_id is not None]


def _candidates(search: Search, now: datetime, dialect: str) -> Select[Any]:
    """The ids of all that are found, and of others, from an index; in no order."""
    ids = select(ProjectSearch.project_id)
    if search.words:
        of_words, of_key = indexed(search.words, dialect), _of_key(search, ProjectSearch)
        if of_key is None:
            return of_words
        return select(union(of_words, ids.where(of_key)).subquery().c.project_id)
    if search.with_active_keys:
        holders = select(TemporaryLicense.organisation_id).where(TemporaryLicense.is_active(now))
        some = holders.distinct().limit(FEW + 1).subquery()
        return ids.where(ProjectSearch.organisation_id.in_(select(some.c.organisation_id)))
    return ids.where(*_conditions(search, now, ProjectSearch))


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
    way = _way(search, page).limit(AHEAD).subquery("way")
    met = aliased(ProjectSearch, way)
    # Both databases keep the order of what they select from, and stop when they have enough.
    query = select(met.project_id).where(*_conditions(search, now, met))
    ids = session.scalars(query.offset(page.offset).limit(page.size + 1)).all()
    return list(ids) if len(ids) > page.size else None


def _sorted(session: Session, search: Search, now: datetime, page: Page) -> list[int]:
    """The page's ids and one more, of all that are found."""
    query = _way(search, page).where(*_conditions(search, now, ProjectSearch))
    long_words = [word for word in search.words if len(word) >= ENTRY]
    if long_words:
        candidates = indexed(long_words, session.get_bind().dialect.name).subquery()
        query = query.where(ProjectSearch.project_id.in_(select(candidates.c.project_id)))
    ids = query.with_only_columns(ProjectSearch.project_id)
    return list(session.scalars(ids.offset(page.offset).limit(page.size + 1)))


def _way(search: Search, page: Page) -> Select[Any]:
    """All projects, archived or not, in the order, from the end that the page is counted from."""
    return (
        select(ProjectSearch)
        .where(_archived(search, ProjectSearch))
        .order_by(*_order(search, ProjectSearch, backwards=page.number < 0))
    )


def _load(session: Session, ids: list[int], now: datetime) -> list[Row[Any]]:
    """The cards of projects, in the order of their ids."""
    active_keys = (
        select(func.count())
        .where(
            TemporaryLicense.organisation_id == Project.organisation_id,
            TemporaryLicense.is_active(now),
        )
        .scalar_subquery()
    )
    rows = session.execute(
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
            active_keys.label("active_keys"),
        )
        .join(Project.organisation)
        .where(Project.id.in_(ids))
    )
    by_id = {row.id: row for row in rows}
    return [by_id[project_id] for project_id in ids if project_id in by_id]


def _conditions(search: Search, now: datetime, of: Rows) -> list[ColumnElement[bool]]:
    """What a project must be to be found."""
    conditions = [_archived(search, of)]
    if search.words:
        words, of_key = holds_all(search.words, of.text), _of_key(search, of)
        conditions.append(words if of_key is None else or_(words, of_key))
    if search.plan:
        conditions.append(of.plan == search.plan)
    if search.expiry:
        today = now.date()
        is_current = search.expiry is Expiry.CURRENT
        conditions.append(of.expires_on >= today if is_current else of.expires_on < today)
    if search.with_active_keys:
        held = TemporaryLicense.organisation_id == of.organisation_id
        conditions.append(
            select(TemporaryLicense.id).where(held, TemporaryLicense.is_active(now)).exists()
        )
    return conditions


def _archived(search: Search, of: Rows) -> ColumnElement[bool]:
    return of.archived.is_(True) if search.archived else of.archived.is_(False)


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
