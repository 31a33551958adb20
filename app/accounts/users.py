"""Users: creating, finding, changing, disabling them, and setting their passwords.

What also ends sessions on OP Agents, or revokes keys, is in `agents/people.py`: call that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.browsers import end_web_sessions
from app.accounts.links import end_links
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import (
    Permission,
    Role,
    SecondFactorPolicy,
    allows,
    needs_second_factor,
)
from app.core.text import PERSON_LENGTH, fold, is_email, printable, shortened, tidied
from app.models import Organisation, User, UserState

NO_PASSWORD = ""
"""The hash of a user who has not chosen a password yet: none matches it."""
PROVIDER_ONLY = "!"
"""That of a user who signs in at the identity provider and has no password: none matches it."""


@dataclass(frozen=True)
class UserFields:
    """What can be changed of a user."""

    email: str
    name: str
    role: Role
    organisation_id: str | None


def fields_of(user: User) -> UserFields:
    return UserFields(user.email, user.name, user.role, user.organisation_id)


def normalise_email(text: str) -> str:
    """The spelling under which an account is stored, looked up and counted: in lower case."""
    return printable(text).lower()


def find_user(session: Session, email: str) -> User | None:
    """The user with this e-mail, whatever its case, or None."""
    return session.scalar(select(User).where(User.email == normalise_email(email)))


def must_find_user(session: Session, field: str, email: str) -> User:
    """The user with this e-mail. Raises InvalidInput with the name of a form's `field`."""
    user = find_user(session, email)
    if user is None:
        raise InvalidInput(field, f"There is nobody with the e-mail {shortened(email, 60)}.")
    return user


def remember_ttl(session: Session, user_id: int, seconds: int) -> None:
    """The TTL that somebody chose last, from which their next key begins."""
    session.execute(update(User).where(User.id == user_id).values(last_ttl=seconds))


def show_projects_as_rows(session: Session, user_id: int, as_rows: bool) -> None:
    """How somebody wants to see Manage Projects: as rows, or as cards."""
    session.execute(update(User).where(User.id == user_id).values(projects_as_rows=as_rows))


def get_user(session: Session, user_id: int) -> User:
    """The user with this id. Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def create_user(
    session: Session,
    *,
    email: str,
    role: Role,
    password_hash: str,
    actor: Actor,
    now: datetime,
    name: str = "",
    organisation_id: str | None = None,
) -> User:
    """Create a user. Make `password_hash` with `hash_new_password` before the transaction begins.

    With NO_PASSWORD the user is invited: a one-time link is theirs to choose one. Raises
    InvalidInput (field "email", "name" or "organisation"), and Conflict if the e-mail is taken.
    """
    fields = _checked(session, UserFields(email, name, role, organisation_id))
    if find_user(session, fields.email):
        raise Conflict(_taken(fields.email))
    user = User(password_hash=password_hash, created_at=now)
    _write(user, fields)
    session.add(user)
    session.flush()
    log_event(
        session,
        AuditTag.USER_CREATED if password_hash else AuditTag.USER_INVITED,
        actor=actor,
        now=now,
        subject=user.email,
        role=role.value,
        organisation_id=organisation_id,
    )
    return user


def list_users(session: Session) -> list[User]:
    """All users, in the order of their e-mails."""
    return list(session.scalars(select(User).order_by(User.email)))


def update_user(
    session: Session,
    *,
    email: str,
    fields: UserFields,
    actor: Actor,
    now: datetime,
    second_factor: SecondFactorPolicy = SecondFactorPolicy.SUPER_ADMIN,
) -> tuple[User, bool]:
    """Change a user: (the user, whether what they may do or where they belong has changed).

    With the e-mail, links made for the one before end. With another role that does not see all of
    the portal, or that by `second_factor` first needs one, their sessions there end. Raises
    NotFound, NotAllowed, InvalidInput (also field "role" for one's own), and Conflict for the last
    super admin's role. Call `agents.people.change_user` instead, which also ends their sessions on
    OP Agents.
    """
    actor.must(Permission.MANAGE_USERS)
    user, admins = _lock_user_and_admins(session, email)
    before, fields = fields_of(user), _checked(session, fields)
    if fields.role is not before.role:
        _check_role_change(user, admins, actor)
    if fields.email != before.email and find_user(session, fields.email):
        raise InvalidInput("email", _taken(fields.email))
    _write(user, fields)
    if fields.email != before.email:
        end_links(session, user=user, now=now)
    if fields.role is not before.role and not _may_stay(before.role, fields.role, second_factor):
        end_web_sessions(session, user_id=user.id, now=now)
    _log_changes(session, before, fields, actor=actor, now=now)
    moved = (before.role, before.organisation_id) != (fields.role, fields.organisation_id)
    return user, moved


def _may_stay(before: Role, role: Role, second_factor: SecondFactorPolicy) -> bool:
    """Whether sessions at the portal go on with another role: none was asked for a factor that the
    role needs and the one before did not."""
    asked = needs_second_factor(second_factor, before)
    return allows(role, Permission.VIEW_PORTAL) and (
        asked or not needs_second_factor(second_factor, role)
    )


def disable_user(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Disable a user: they can no longer sign in, all their sessions and links end.

    Does nothing if the user is disabled already. Raises NotFound, and Conflict for the last super
    admin who can sign in: nobody could administer the portal any more.
    """
    user, admins = _lock_user_and_admins(session, email)
    if user.disabled_at is None:
        if _is_last(user, admins):
            raise Conflict(
                f"{user.email} is the last super admin who can sign in, and stays enabled. "
                "Create or enable another one first."
            )
        user.disabled_at = now
        end_links(session, user=user, now=now)
        note_withdrawal(session, Withdrawal.USER_DISABLED, user.id, now)
        log_event(session, AuditTag.USER_DISABLED, actor=actor, now=now, subject=user.email)
    return user


def enable(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Let a disabled user sign in again, and end their sessions on the portal. Raises NotFound.

    Does nothing if the user is enabled. Call `agents.people.enable_user` instead, which also ends
    their sessions on OP Agents: what ended when they were disabled must not go on.
    """
    user = lock_by_email(session, email)
    if user.disabled_at is not None:
        end_web_sessions(session, user_id=user.id, now=now)
        user.disabled_at = None
        log_event(session, AuditTag.USER_ENABLED, actor=actor, now=now, subject=user.email)
    return user


def set_password(
    session: Session,
    *,
    email: str,
    password_hash: str,
    actor: Actor,
    now: datetime,
    tag: AuditTag = AuditTag.PASSWORD_RESET,
) -> User:
    """Give a user a new password; their sessions on the portal and their links end.

    Raises NotFound. Call `agents.people.reset_password` instead, which also ends their sessions on
    OP Agents.
    """
    user = lock_by_email(session, email)
    user.password_hash = password_hash
    end_web_sessions(session, user_id=user.id, now=now)
    end_links(session, user=user, now=now)
    log_event(session, tag, actor=actor, now=now, subject=user.email)
    return user


def change_own_password(
    session: Session, *, password_hash: str, kept_session_id: int, actor: Actor, now: datetime
) -> None:
    """Give somebody who has proven to know the old one a new password of their choice.

    All their sessions on the portal end but `kept_session_id`, and so do their links.
    """
    user = lock_by_email(session, actor.email)
    user.password_hash = password_hash
    end_web_sessions(session, user_id=user.id, now=now, but=kept_session_id)
    end_links(session, user=user, now=now)
    log_event(session, AuditTag.PASSWORD_CHANGED, actor=actor, now=now, subject=user.email)


def has_super_admin(session: Session) -> bool:
    """Whether there is a super admin who can sign in."""
    query = select(User.id).where(User.role == Role.SUPER_ADMIN, User.is_in(UserState.ACTIVE))
    return session.scalar(query.limit(1)) is not None


def lock_by_email(session: Session, email: str) -> User:
    """The user with this e-mail as they are now, locked until the commit. Raises NotFound."""
    user = session.scalar(
        select(User)
        .where(User.email == normalise_email(email))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if user is None:
        raise NotFound(f"There is no user {email}.")
    return user


def is_last_super_admin(session: Session, user: User) -> bool:
    """Whether nobody else could administer the portal; to be looked at again by who changes it."""
    query = select(User).where(User.role == Role.SUPER_ADMIN, User.is_in(UserState.ACTIVE))
    return _is_last(user, list(session.scalars(query.limit(2))))


def has_one_super_admin(session: Session) -> bool:
    """Whether there is but one super admin who can sign in."""
    query = select(User.id).where(User.role == Role.SUPER_ADMIN, User.is_in(UserState.ACTIVE))
    return len(session.scalars(query.limit(2)).all()) == 1


def lock_before_own(session: Session, user_id: int) -> None:
    """Before somebody locks their own account, and then that of `user_id`: if this is a super
    admin's, lock all of them.

    Of two super admins who act on each other's accounts at once, each of whom holds their own,
    neither could go on.
    """
    if session.scalar(select(User.role).where(User.id == user_id)) is Role.SUPER_ADMIN:
        _lock_admins(session)


def _lock_admins(session: Session) -> list[User]:
    """The super admins, locked until the commit, in the order of their ids."""
    query = select(User).where(User.role == Role.SUPER_ADMIN).order_by(User.id)
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return list(session.scalars(locked))


def _lock_user_and_admins(session: Session, email: str) -> tuple[User, list[User]]:
    """The user, and, if that is one, the super admins who can sign in; all locked.

    Two of them who are disabled at once wait for each other, and the second is seen to be the last.
    """
    admins: list[User] = []
    known = find_user(session, email)
    if known is not None and known.role is Role.SUPER_ADMIN:
        admins = [admin for admin in _lock_admins(session) if admin.state is UserState.ACTIVE]
    return lock_by_email(session, email), admins


def _is_last(user: User, admins: Sequence[User]) -> bool:
    return [admin.id for admin in admins] == [user.id]


def _check_role_change(user: User, admins: list[User], actor: Actor) -> None:
    if user.id == actor.user_id:
        raise InvalidInput("role", "Nobody changes their own role; ask another super admin.")
    if _is_last(user, admins):
        raise Conflict(
            f"{user.email} is the last super admin who can sign in, and stays one. "
            "Create or enable another one first."
        )


def _checked(session: Session, fields: UserFields) -> UserFields:
    """The fields as they are stored. Raises InvalidInput."""
    email, name = fields.email.strip().lower(), tidied(fields.name)
    if not is_email(email):
        raise InvalidInput("email", f"{email!r} is not an e-mail address; write name@example.com.")
    if len(name) > PERSON_LENGTH or not name.isprintable():
        raise InvalidInput("name", f"A name has at most {PERSON_LENGTH} characters, on one line.")
    if (fields.role is Role.CLIENT) != (fields.organisation_id is not None):
        raise InvalidInput(
            "organisation",
            "A client user belongs to an organisation: name it."
            if fields.role is Role.CLIENT
            else "Only a client user belongs to an organisation; leave it out for a "
            f"{fields.role}.",
        )
    organisation_id = fields.organisation_id
    if organisation_id is not None and session.get(Organisation, organisation_id) is None:
        raise InvalidInput("organisation", f"There is no organisation {organisation_id!r}.")
    return UserFields(email, name, fields.role, organisation_id)


def _write(user: User, fields: UserFields) -> None:
    user.email, user.name = fields.email, fields.name
    user.role, user.organisation_id = fields.role, fields.organisation_id
    user.search_text = fold(f"{fields.email}\n{fields.name}")


def _taken(email: str) -> str:
    return f"There is already a user {email}."


def _log_changes(
    session: Session, before: UserFields, fields: UserFields, *, actor: Actor, now: datetime
) -> None:
    labels = {"email": "e-mail", "name": "name", "organisation_id": "organisation"}
    changed = [
        label for name, label in labels.items() if getattr(before, name) != getattr(fields, name)
    ]
    if changed:
        log_event(
            session,
            AuditTag.USER_UPDATED,
            actor=actor,
            now=now,
            subject=fields.email,
            organisation_id=fields.organisation_id,
            changed=", ".join(changed),
            email_before=before.email if before.email != fields.email else None,
        )
    if before.role is not fields.role:
        log_event(
            session,
            AuditTag.USER_ROLE_CHANGED,
            actor=actor,
            now=now,
            subject=fields.email,
            organisation_id=fields.organisation_id,
            role_before=before.role.value,
            role=fields.role.value,
        )
