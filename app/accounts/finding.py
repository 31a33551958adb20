"""The search for users."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.core.paging import Page, page_of
from app.core.permissions import Role
from app.core.text import fold, one_line
from app.models import User, UserState

LONGEST_SEARCH = 200


@dataclass(frozen=True)
class UserSearch:
    """A search among the users; by default all."""

    text: str = ""
    role: Role | None = None
    state: UserState | None = None

    @property
    def narrows(self) -> bool:
        return bool(self.text or self.role or self.state)

    def to_args(self) -> dict[str, str]:
        """The query arguments of this search's address; defaults are left out."""
        args = {"q": self.text, "role": self.role or "", "state": self.state or ""}
        return {name: str(value) for name, value in args.items() if value}


def read_user_search(args: Mapping[str, str]) -> UserSearch:
    """The search that the query arguments ask for; arguments that make no sense are ignored."""
    role, state = args.get("role", ""), args.get("state", "")
    return UserSearch(
        text=one_line(args.get("q", ""))[:LONGEST_SEARCH],
        role=Role(role) if role in list(Role) else None,
        state=UserState(state) if state in list(UserState) else None,
    )


def find_users(
    session: Session, search: UserSearch, *, number: int, size: int
) -> tuple[Page, list[User]]:
    """Page `number` of the users that are looked for, in the order of their e-mails."""
    conditions = _conditions(search)
    total = session.scalar(select(func.count()).select_from(User).where(*conditions)) or 0
    page = page_of(number, size, total)
    query = select(User).where(*conditions).order_by(User.email)
    return page, list(session.scalars(query.offset(page.offset).limit(size)))


def _conditions(search: UserSearch) -> list[ColumnElement[bool]]:
    words = dict.fromkeys(fold(search.text).split())
    conditions = [User.search_text.contains(word, autoescape=True) for word in words]
    if search.role is not None:
        conditions.append(User.role == search.role)
    if search.state is not None:
        conditions.append(User.is_in(search.state))
    return conditions
