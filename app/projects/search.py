"""The search for projects that an address asks for (`finding` does it)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.core.text import LABEL_LENGTH, fold, one_line

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
