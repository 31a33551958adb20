"""Searching for projects: the search that an address asks for, and its query."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select
from sqlalchemy.orm import Session, contains_eager

from app.core.text import LABEL_LENGTH, fold, one_line
from app.keyformat.key_ids import normalise_key_id
from app.models import Organisation, Project, TemporaryLicense
from app.projects.services import is_current

LONGEST_SEARCH = 200


class Expiry(StrEnum):
    ANY = ""
    CURRENT = "current"
    EXPIRED = "expired"


class Sort(StrEnum):
    NAME = "name"
    ORGANISATION = "organisation"
    EXPIRY = "expiry"
    NEWEST = "newest"


ORDERS: dict[Sort, tuple[Any, ...]] = {
    Sort.NAME: (Project.search_text, Project.id),
    Sort.ORGANISATION: (Organisation.search_text, Project.search_text, Project.id),
    Sort.EXPIRY: (Project.plan_expires_on.asc().nulls_last(), Project.search_text, Project.id),
    Sort.NEWEST: (Project.created_at.desc(), Project.id.desc()),
}


@dataclass(frozen=True)
class Search:
    """A search among the projects; by default all that are not archived."""

    text: str = ""
    plan: str = ""
    expiry: Expiry = Expiry.ANY
    with_active_keys: bool = False
    archived: bool = False
    sort: Sort = Sort.NAME

    @property
    def words(self) -> list[str]:
        """The words that must all be found, folded, without repetitions."""
        return list(dict.fromkeys(fold(self.text).split()))

    @property
    def too_long(self) -> bool:
        return len(self.text) > LONGEST_SEARCH

    @property
    def narrows(self) -> bool:
        """Whether the search may leave out projects that the default search finds."""
        return bool(
            self.words or self.plan or self.expiry or self.with_active_keys or self.archived
        )

    def to_args(self) -> dict[str, str]:
        """The query arguments of this search's address; defaults are left out."""
        args = {
            "q": self.text,
            "plan": self.plan,
            "expiry": self.expiry.value,
            "keys": "active" if self.with_active_keys else "",
            "archived": "yes" if self.archived else "",
            "sort": "" if self.sort is Sort.NAME else self.sort.value,
        }
        return {name: value for name, value in args.items() if value}


def read_search(args: Mapping[str, str]) -> Search:
    """The search that the query arguments ask for; arguments that make no sense are ignored."""
    plan = one_line(args.get("plan", ""))
    expiry, sort = args.get("expiry", ""), args.get("sort", "")
    return Search(
        text=one_line(args.get("q", "")),
        plan=plan if len(plan) <= LABEL_LENGTH else "",
        expiry=Expiry(expiry) if expiry in list(Expiry) else Expiry.ANY,
        with_active_keys=args.get("keys") == "active",
        archived=args.get("archived") == "yes",
        sort=Sort(sort) if sort in list(Sort) else Sort.NAME,
    )


def count_found(session: Session, search: Search, now: datetime) -> int:
    """How many projects a search finds; `now` decides which plans and keys are current."""
    if search.too_long:
        return 0
    return session.scalar(_matching_projects(select(func.count(Project.id)), search, now)) or 0


def find_projects(
    session: Session, search: Search, now: datetime, *, offset: int = 0, limit: int | None = None
) -> list[Project]:
    """The projects, or a part of them, that a search finds at `now`, in the search's order."""
    if search.too_long:
        return []
    query = _matching_projects(select(Project), search, now).options(
        contains_eager(Project.organisation)
    )
    return list(
        session.scalars(query.order_by(*ORDERS[search.sort]).offset(offset).limit(limit)).unique()
    )


def _matching_projects(query: Select[Any], search: Search, now: datetime) -> Select[Any]:
    archived = Project.archived_at.is_not(None)
    conditions: list[ColumnElement[bool]] = [archived if search.archived else not_(archived)]
    if search.words:
        conditions.append(_text_matches(search))
    if search.plan:
        conditions.append(Project.plan == search.plan)
    if search.expiry:
        current = is_current(now)
        conditions.append(current if search.expiry is Expiry.CURRENT else not_(current))
    if search.with_active_keys:
        conditions.append(
            select(TemporaryLicense.id)
            .where(
                TemporaryLicense.organisation_id == Project.organisation_id,
                TemporaryLicense.is_active(now),
            )
            .exists()
        )
    return query.join(Project.organisation).where(*conditions)


def _text_matches(search: Search) -> ColumnElement[bool]:
    """Every word is in the project or its organisation; or the text is a Key ID of its keys."""
    words = and_(
        *(
            or_(
                Project.search_text.contains(word, autoescape=True),
                Organisation.search_text.contains(word, autoescape=True),
            )
            for word in search.words
        )
    )
    key_id = normalise_key_id(search.text)
    if key_id is None:
        return words
    holder = select(TemporaryLicense.organisation_id).where(TemporaryLicense.key_id == key_id)
    return or_(words, Project.organisation_id == holder.scalar_subquery())
