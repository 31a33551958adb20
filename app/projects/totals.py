"""How many projects there are, by plan and expiry: counted anew, or lately where that is dear."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.paging import Total
from app.models import ProjectSearch
from app.models.kept import Kept

CHEAP = 2000
"""So many projects are counted each time; more are counted twice a minute."""


@dataclass(frozen=True)
class Group:
    """How many projects are archived or not, have the same plan, and are current or expired."""

    archived: bool
    plan: str
    current: bool
    projects: int


@dataclass(frozen=True)
class ProjectTotals:
    """All projects, in groups, as they were counted at an instant."""

    groups: tuple[Group, ...]

    @property
    def is_cheap(self) -> bool:
        return sum(group.projects for group in self.groups) <= CHEAP

    @property
    def plans(self) -> list[str]:
        """All plans that projects have, in alphabetical order."""
        return sorted({group.plan for group in self.groups} - {""}, key=str.casefold)

    def count(self, *, archived: bool, plan: str = "", current: bool | None = None) -> Total:
        """How many projects: of any plan if it is blank, current and expired ones if None."""
        number = sum(
            group.projects
            for group in self.groups
            if group.archived == archived
            and plan in ("", group.plan)
            and current in (None, group.current)
        )
        return Total(number, about=not self.is_cheap and number > CHEAP)


_kept: Kept[ProjectTotals] = Kept()


def project_totals(session: Session, now: datetime) -> ProjectTotals:
    """The totals at `now`; of many projects those of the last half minute."""
    kept = _kept.get(session, now)
    if kept is not None:
        return kept
    columns = (ProjectSearch.plan, ProjectSearch.archived, ProjectSearch.expires_on)
    of_day = select(*columns, func.count().label("projects")).group_by(*columns).subquery()
    current = (of_day.c.expires_on >= now.date()).label("current")
    rows = session.execute(
        select(of_day.c.archived, of_day.c.plan, current, func.sum(of_day.c.projects)).group_by(
            of_day.c.archived, of_day.c.plan, "current"
        )
    )
    totals = ProjectTotals(tuple(Group(a, p, bool(c), n) for a, p, c, n in rows))
    if not totals.is_cheap:
        _kept.keep(session, now, totals)
    return totals
