"""What is done to people and reaches both their sign-ins on the portal and their agents."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.users import set_password
from app.agents.live_sessions import end_sessions_of
from app.core.actor import Actor
from app.models import User


def reset_password(
    session: Session, *, email: str, password_hash: str, actor: Actor, now: datetime
) -> User:
    """Give a user a new password and end every session of theirs. Raises NotFound.

    `password_hash` comes from `hash_password`, made before the transaction.
    """
    user = set_password(session, email=email, password_hash=password_hash, actor=actor, now=now)
    end_sessions_of(session, user=user, now=now)
    return user
