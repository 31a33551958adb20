"""Changes to users that affect their sessions on the portal and on OP Agents."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.browsers import end_web_sessions
from app.accounts.links import user_of_link
from app.accounts.users import (
    UserFields,
    disable_user,
    enable,
    find_user,
    lock_by_email,
    set_password,
    update_user,
)
from app.agents.live_sessions import end_sessions_of
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.permissions import Permission, SecondFactorPolicy
from app.licenses.services import revoke_license
from app.models import TemporaryLicense, User


def change_user(
    session: Session,
    *,
    email: str,
    fields: UserFields,
    actor: Actor,
    now: datetime,
    second_factor: SecondFactorPolicy = SecondFactorPolicy.SUPER_ADMIN,
) -> User:
    """Change a user, as `update_user` does and with its errors.

    With another role or organisation, their sessions on OP Agents end.
    """
    user, moved = update_user(
        session, email=email, fields=fields, actor=actor, now=now, second_factor=second_factor
    )
    if moved:
        end_sessions_of(session, user=user, now=now)
    return user


def reset_password(
    session: Session, *, email: str, password_hash: str, actor: Actor, now: datetime
) -> User:
    """Give a user a new password and end all their sessions. Raises NotFound.

    Make `password_hash` with `hash_new_password` before the transaction begins.
    """
    user = set_password(session, email=email, password_hash=password_hash, actor=actor, now=now)
    end_sessions_of(session, user=user, now=now)
    return user


def set_password_by_link(
    session: Session, *, token: str, password_hash: str, address: str, now: datetime
) -> User:
    """Give the user of a one-time link the password that they chose, and end all their sessions.

    The link is used up. Raises NotFound or Gone, as `user_of_link` does.
    """
    user = user_of_link(session, token=token, now=now, lock=True)
    set_password(
        session,
        email=user.email,
        password_hash=password_hash,
        actor=Actor(user.id, user.email, user.role, address),
        now=now,
        tag=AuditTag.PASSWORD_SET,
    )
    end_sessions_of(session, user=user, now=now)
    return user


def disable_and_revoke(
    session: Session, *, email: str, actor: Actor, now: datetime
) -> tuple[User, int]:
    """Disable a user and revoke the keys that they have issued: (user, how many keys).

    Raises NotFound, NotAllowed, and Conflict for the last super admin who can sign in.
    """
    actor.must(Permission.MANAGE_USERS)
    user = disable_user(session, email=email, actor=actor, now=now)
    key_ids = active_keys_issued_by(session, user, now)
    for key_id in key_ids:
        revoke_license(session, actor=actor, key_id=key_id, now=now)
    return user, len(key_ids)


def active_keys_issued_by(session: Session, user: User, now: datetime) -> list[str]:
    """The Key IDs of the temporary keys that a user has issued and that have not ended."""
    query = select(TemporaryLicense.key_id).where(
        TemporaryLicense.issued_by_id == user.id, TemporaryLicense.is_open(now)
    )
    return list(session.scalars(query.order_by(TemporaryLicense.id)))


def enable_user(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Let a disabled user sign in again. Nothing of before goes on. Raises NotFound."""
    user = find_user(session, email)
    if user is not None and user.disabled_at is not None:
        end_sessions_of(session, user=user, now=now)
    return enable(session, email=email, actor=actor, now=now)


def sign_out_everywhere(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """End all sessions of a user, on the portal and on OP Agents. Raises NotFound, NotAllowed."""
    actor.must(Permission.MANAGE_USERS)
    user = lock_by_email(session, email)
    end_web_sessions(session, user_id=user.id, now=now)
    end_sessions_of(session, user=user, now=now)
    log_event(session, AuditTag.USER_SIGNED_OUT, actor=actor, now=now, subject=user.email)
    return user
