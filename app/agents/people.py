"""Changes to users that affect their sessions on the portal and on OP Agents."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.users import set_password
from app.agents.live_sessions import end_sessions_of
from app.core.actor import Actor
from app.models import User


def reset_password(
    session: Session, *, email: str, password_hash: str, actor: Actor, now: datetime
) -> User:
    """Give a user a new password and end all their sessions. Raises NotFound.

    Make `password_hash` with `hash_password` before the transaction begins.
    """
    user = set_password(session, email=email, password_hash=password_hash, actor=actor, now=now)
    end_sessions_of(session, user=user, now=now)
    return user
