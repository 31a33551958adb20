"""Users: creating, finding and disabling them, and setting their passwords."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import Role
from app.core.text import is_email, printable
from app.models import Organisation, User, WebSession


def normalise_email(text: str) -> str:
    """The spelling under which an account is stored, looked up and counted: in lower case."""
    return printable(text).lower()


def find_user(session: Session, email: str) -> User | None:
    """The user with this e-mail, whatever its case, or None."""
    return session.scalar(select(User).where(User.email == normalise_email(email)))


def create_user(
    session: Session,
    *,
    email: str,
    role: Role,
    password_hash: str,
    actor: Actor,
    now: datetime,
    organisation_id: str | None = None,
) -> User:
    """Create a user. Make `password_hash` with `hash_password` before the transaction begins.

    Raises InvalidInput (field "email" or "organisation"), and Conflict if the e-mail is taken.
    """
    email = email.strip().lower()
    if not is_email(email):
        raise InvalidInput("email", f"{email!r} is not an e-mail address; write name@example.com.")
    if (role is Role.CLIENT) != (organisation_id is not None):
        raise InvalidInput(
            "organisation",
            "A client user belongs to an organisation: name it."
            if role is Role.CLIENT
            else f"Only a client user belongs to an organisation; leave it out for a {role}.",
        )
    if organisation_id is not None and session.get(Organisation, organisation_id) is None:
        raise InvalidInput("organisation", f"There is no organisation {organisation_id!r}.")
    if find_user(session, email):
        raise Conflict(f"There is already a user {email}.")
    user = User(
        email=email,
        role=role,
        password_hash=password_hash,
        organisation_id=organisation_id,
        created_at=now,
    )
    session.add(user)
    session.flush()
    log_event(
        session,
        AuditTag.USER_CREATED,
        actor=actor,
        now=now,
        subject=email,
        role=role.value,
        organisation_id=organisation_id,
    )
    return user


def list_users(session: Session) -> list[User]:
    """All users, in the order of their e-mails."""
    return list(session.scalars(select(User).order_by(User.email)))


def disable_user(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Disable a user: they can no longer sign in, and all their sessions end.

    Does nothing if the user is disabled already. Raises NotFound, and Conflict for the last super
    admin who is enabled: nobody could administer the portal any more.
    """
    user = _must_find(session, email)
    if user.disabled_at is None:
        if [admin.id for admin in _lock_super_admins(session)] == [user.id]:
            raise Conflict(
                f"{user.email} is the last super admin who can sign in, and stays enabled. "
                "Create or enable another one first."
            )
        user.disabled_at = now
        note_withdrawal(session, Withdrawal.USER_DISABLED, user.id, now)
        log_event(session, AuditTag.USER_DISABLED, actor=actor, now=now, subject=user.email)
    return user


def enable(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Let a disabled user sign in again, and end their sessions on the portal. Raises NotFound.

    Does nothing if the user is enabled. Call `agents.people.enable_user` instead, which also ends
    their sessions on OP Agents: what ended when they were disabled must not go on.
    """
    user = _must_find(session, email)
    if user.disabled_at is not None:
        _end_web_sessions(session, user, now)
        user.disabled_at = None
        log_event(session, AuditTag.USER_ENABLED, actor=actor, now=now, subject=user.email)
    return user


def set_password(
    session: Session, *, email: str, password_hash: str, actor: Actor, now: datetime
) -> User:
    """Give a user a new password and end their sessions on the portal. Raises NotFound.

    Call `agents.people.reset_password` instead, which also ends their sessions on OP Agents.
    """
    user = _must_find(session, email)
    user.password_hash = password_hash
    _end_web_sessions(session, user, now)
    log_event(session, AuditTag.PASSWORD_RESET, actor=actor, now=now, subject=user.email)
    return user


def has_super_admin(session: Session) -> bool:
    """Whether there is a super admin who is not disabled."""
    return bool(
        session.scalar(
            select(func.count())
            .select_from(User)
            .where(User.role == Role.SUPER_ADMIN, User.disabled_at.is_(None))
        )
    )


def _lock_super_admins(session: Session) -> list[User]:
    """The enabled super admins, locked, so that two of them are not disabled at once."""
    query = select(User).where(User.role == Role.SUPER_ADMIN).order_by(User.id)
    locked = session.scalars(query.with_for_update().execution_options(populate_existing=True))
    return [admin for admin in locked if admin.disabled_at is None]


def _end_web_sessions(session: Session, user: User, now: datetime) -> None:
    note_withdrawal(session, Withdrawal.SESSIONS_OF_USER_ENDED, user.id, now)
    session.execute(
        update(WebSession)
        .where(WebSession.user_id == user.id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )


def _must_find(session: Session, email: str) -> User:
    user = find_user(session, email)
    if user is None:
        raise NotFound(f"There is no user {email}.")
    return user
