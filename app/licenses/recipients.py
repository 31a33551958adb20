"""For whom a temporary key can be made: partners and developers who may sign in."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import InvalidInput
from app.core.permissions import TEMPORARY_KEY_ROLES
from app.core.text import fold, is_email, shortened
from app.models import User

MOST_OFFERED = 20
SHOWN_CHARACTERS = 60


def find_recipient(session: Session, email: str) -> User:
    """The partner or developer with this e-mail, in any case.

    Raises InvalidInput (field "recipient") for anybody else, and for one who is disabled.
    """
    query = select(User).where(User.email == email.lower())
    user = session.scalar(query) if is_email(email) else None
    shown = shortened(email, SHOWN_CHARACTERS)
    if user is None:
        raise InvalidInput("recipient", f"There is nobody with the e-mail {shown}.")
    if user.role not in TEMPORARY_KEY_ROLES:
        raise InvalidInput(
            "recipient", f"{shown} is no partner or developer: a key would not help them."
        )
    if user.disabled_at is not None:
        raise InvalidInput("recipient", f"{shown} is disabled, and could not use a key.")
    return user


def offered_recipients(session: Session, text: str) -> list[User]:
    """The first partners and developers who may sign in and whose e-mail or name has `text`."""
    words = fold(text[:SHOWN_CHARACTERS]).split()
    query = (
        select(User)
        .where(User.role.in_(TEMPORARY_KEY_ROLES), User.disabled_at.is_(None))
        .where(*(User.search_text.contains(word, autoescape=True) for word in words))
        .order_by(User.email)
    )
    return list(session.scalars(query.limit(MOST_OFFERED)))
