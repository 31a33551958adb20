"""Changes to users that affect their sessions on the portal and on OP Agents."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.users import enable, find_user, set_password
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


def enable_user(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Let a disabled user sign in again. Nothing of before goes on. Raises NotFound."""
    user = find_user(session, email)
    if user is not None and user.disabled_at is not None:
        end_sessions_of(session, user=user, now=now)
    return enable(session, email=email, actor=actor, now=now)
