"""How somebody who is signed in at the portal can be shut out while their request is answered."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.permissions import Role
from app.models import User, WebSession
from tests.conftest import NOW, Cast


def disable(session: Session) -> None:
    session.execute(update(User).where(User.email == Cast.ada).values(disabled_at=NOW))


def demote(session: Session) -> None:
    session.execute(update(User).where(User.email == Cast.ada).values(role=Role.AUDITOR))


def sign_out(session: Session) -> None:
    session.execute(update(WebSession).values(ended_at=NOW))


SHUT_OUT = (disable, demote, sign_out)
