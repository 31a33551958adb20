"""Finding what a search asks for, a page at a time, however many projects there are.

What few projects have is looked up in an index and sorted; what many have is met soon on the way
along the order that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, Executable, Row, Select, select
from sqlalchemy.orm import Session

from app.core.paging import Page, Total, page_of
from app.models import Project, ProjectSearch
from app.models.rows import read_rows
from app.projects.queries import (
    CARDS,
    Shape,
    conditions,
    ids_in_order,
    ids_met_soon,
    ids_of_few,
    order,
    shape_of,
    values_of,
    whether_many,
)
from app.projects.search import Expiry, Search
from app.projects.totals import ProjectTotals
from app.projects.words import looked_up

FEW = 2000
"""So many projects are sorted each time, and counted."""
AHEAD = 2000
"""So many projects are looked at in their order, before all that fit are sorted."""

MANY = Total(FEW, more=True)


@dataclass(frozen=True)
class Found:
    """A page of what a search finds.

    Each project has the columns of a card: those of `Project` that it shows, `organisation_name`,
    and `active_keys`, how many of the organisation's keys are active.
    """

    page: Page
    projects: Sequence[Row[*tuple[Any, ...]]]


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
    asked = _asked(session, search, now)
    group = _group(search, totals)
    is_whole = not search.words and not search.with_active_keys
    is_large = group.number > FEW
    indexed, many = asked.what_there_is() if is_large and not is_whole else (False, is_large)
    if many:
        total = group if is_whole else MANY
        page, ids = asked.some_of_many(Page(number, size, total), by_index=indexed)
    else:
        few = asked.all_of_few(by_index=is_large)
        page = page_of(number, size, len(few))
        ids = few[page.offset : page.offset + size]
    return Found(page, _load(session, ids, now))


def find_projects(session: Session, search: Search, now: datetime) -> list[Project]:
    """All projects that a search finds at `now`, in its order."""
    if search.too_long:
        return []
    asked = _asked(session, search, now)
    query = (
        select(Project)
        .join(ProjectSearch, ProjectSearch.project_id == Project.id)
        .where(*conditions(asked.shape, ProjectSearch, asked.shape.words))
        .order_by(*order(asked.shape, ProjectSearch))
    )
    return list(session.scalars(query, asked.values))


def _group(search: Search, totals: ProjectTotals) -> Total:
    """How many projects there are of the plan and expiry among which a search looks."""
    current = search.expiry is Expiry.CURRENT if search.expiry else None
    return totals.count(archived=search.archived, plan=search.plan, current=current)


@dataclass(frozen=True)
class _Asked:
    """A search, as a database is asked for it."""

    session: Session
    search: Search
    shape: Shape
    values: dict[str, Any] = field(repr=False)

    def what_there_is(self) -> tuple[bool, bool]:
        """Whether the index of texts helps, and whether more than FEW projects, or keys, fit."""
        if self.shape.words and not looked_up(self.shape.words, self.shape.dialect):
            return False, True
        useless, many = self._rows(whether_many(self.shape), few=FEW).one()
        return not useless, bool(useless or many)

    def all_of_few(self, *, by_index: bool) -> list[int]:
        """The ids of all that are found, in order; words are looked up in the index, or not."""
        return self._read(ids_of_few(self.shape, by_index=by_index))

    def some_of_many(self, page: Page, *, by_index: bool) -> tuple[Page, list[int]]:
        """The page and its ids, in order; the last page if there is no such one."""
        ids = self._met_soon(page) or self._in_order(page, by_index=by_index)
        if not ids and page.number != -1:
            return self.some_of_many(replace(page, number=-1), by_index=by_index)
        page = replace(page, more=len(ids) > page.size)
        ids = ids[: page.size]
        return page, ids if page.number > 0 else ids[::-1]

    def _met_soon(self, page: Page) -> list[int] | None:
        """The page's ids and one more, if they are met soon on the way along the order."""
        if not self.search.narrows:
            return None
        query = ids_met_soon(self.shape, backwards=page.number < 0)
        ids = self._read(query, ahead=AHEAD, offset=page.offset, limit=page.size + 1)
        return ids if len(ids) > page.size else None

    def _in_order(self, page: Page, *, by_index: bool) -> list[int]:
        """The page's ids and one more, of all that are found."""
        query = ids_in_order(self.shape, by_index=by_index, backwards=page.number < 0)
        return self._read(query, offset=page.offset, limit=page.size + 1)

    def _read(self, query: Select[Any], **more: int) -> list[Any]:
        return list(self._rows(query, **more).scalars())

    def _rows(self, query: Executable, **more: int) -> CursorResult[*tuple[Any, ...]]:
        return read_rows(self.session, query, self.values | more)


def _asked(session: Session, search: Search, now: datetime) -> _Asked:
    shape = shape_of(search, session.get_bind().dialect.name)
    return _Asked(session, search, shape, values_of(search, now))


def _load(session: Session, ids: list[int], now: datetime) -> list[Row[*tuple[Any, ...]]]:
    """The cards of projects, in the order of their ids."""
    if not ids:
        return []
    by_id = {row.id: row for row in read_rows(session, CARDS, {"ids": ids, "now": now})}
    return [by_id[project_id] for project_id in ids if project_id in by_id]
