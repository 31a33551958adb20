"""Users, the check of their passwords, and their sessions on the portal."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts import throttle
from app.accounts.actor import Actor
from app.accounts.passwords import password_matches
from app.accounts.tokens import hash_token, new_token
from app.audit.services import record
from app.audit.tags import AuditTag
from app.config import Rate
from app.errors import Conflict, InvalidInput, NotFound
from app.models import AgentSession, Organisation, User, WebSession
from app.permissions import Permission, Role, allows

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

NOT_AN_EMAIL = "(not an e-mail)"


class Verdict(Enum):
    """What a sign-in's password check came to."""

    RIGHT = "right"
    WRONG = "wrong"
    THROTTLED = "throttled"


@dataclass(frozen=True)
class PasswordCheck:
    """The outcome of the slow part of a sign-in: nothing is recorded yet."""

    account: str
    address: str
    user_id: int | None
    password_hash: str | None = field(repr=False)
    matches: bool
    wait_seconds: int

    @property
    def who(self) -> str:
        """Whom the record names. A password typed into the wrong field is not written down."""
        known = self.user_id is not None or is_email(self.account)
        return self.account if known else NOT_AN_EMAIL


@dataclass(frozen=True)
class SignIn:
    """The outcome of a sign-in. `user` is set only if the verdict is RIGHT."""

    verdict: Verdict
    user: User | None = None
    wait_seconds: int = 0


def check_password(
    session: Session, *, login_id: str, password: str, address: str, now: datetime, limit: Rate
) -> PasswordCheck:
    """Compare a password with the stored hash. Slow: call it in a reading transaction.

    Whoever is over the limit is not even compared. Follow with `judge` in a writing one.
    """
    account = normalise_email(login_id)[:254]
    user = find_user(session, account)
    wait = throttle.seconds_to_wait(session, account=account, address=address, now=now, limit=limit)
    user_id, password_hash = (user.id, user.password_hash) if user else (None, None)
    session.rollback()
    matches = wait == 0 and password_matches(password_hash, password)
    return PasswordCheck(account, address, user_id, password_hash, matches, wait)


def judge(session: Session, *, check: PasswordCheck, now: datetime, limit: Rate) -> SignIn:
    """Decide on a checked password, and count it if it was wrong.

    The limit is looked at again, in the transaction that counts: many guesses sent at once learn
    no more than as many sent one after the other.
    """
    throttle.take_turn(session, address=check.address)
    who = {"account": check.account, "address": check.address, "now": now, "limit": limit}
    wait = check.wait_seconds or throttle.seconds_to_wait(session, **who)  # type: ignore[arg-type]
    if wait:
        return SignIn(Verdict.THROTTLED, wait_seconds=wait)
    user = _held(session, check.user_id) if check.user_id else None
    if (
        user is None
        or not check.matches
        or user.disabled_at is not None
        or user.password_hash != check.password_hash
    ):
        throttle.count_failure(session, **who)  # type: ignore[arg-type]
        return SignIn(Verdict.WRONG)
    return SignIn(Verdict.RIGHT, user=user)


def _held(session: Session, user_id: int) -> User | None:
    """A user who is not changed until the commit; rows that name them may be added meanwhile."""
    return session.get(User, user_id, with_for_update={"key_share": True})


def sign_in_to_portal(
    session: Session, *, check: PasswordCheck, now: datetime, limit: Rate
) -> tuple[SignIn, str | None]:
    """Sign a person in to the portal: (outcome, token of the new session or None).

    A right password of somebody who works on OP Agents gives RIGHT and no token.
    """
    outcome = judge(session, check=check, now=now, limit=limit)
    user = outcome.user
    actor = Actor(user.id if user else None, check.who, user.role if user else None, check.address)
    if user is None or not allows(user.role, Permission.VIEW_PORTAL):
        reason = "role" if user else outcome.verdict.value
        record(session, AuditTag.SIGN_IN_REFUSED, actor=actor, now=now, reason=reason)
        return outcome, None
    token = new_token()
    session.add(
        WebSession(
            token_hash=hash_token(token), user_id=user.id, started_at=now, last_active_at=now
        )
    )
    record(session, AuditTag.SIGNED_IN, actor=actor, now=now)
    return outcome, token


def find_web_session(
    session: Session, *, token: str, now: datetime, idle_seconds: int, max_seconds: int
) -> WebSession | None:
    """The live session behind a cookie's token, or None.

    It has ended when it was signed out, was idle for `idle_seconds`, is `max_seconds` old, or
    its user was disabled.
    """
    found = session.scalar(select(WebSession).where(WebSession.token_hash == hash_token(token)))
    if found is None or found.ended_at is not None or found.user.disabled_at is not None:
        return None
    if now >= found.last_active_at + timedelta(seconds=idle_seconds):
        return None
    if now >= found.started_at + timedelta(seconds=max_seconds):
        return None
    return found


def touch_web_session(session: Session, *, session_id: int, now: datetime) -> None:
    """Note that a session was active `now`."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(last_active_at=now)
    )


def sign_out_of_portal(session: Session, *, session_id: int, actor: Actor, now: datetime) -> None:
    """End a session on the portal: its cookie is worth nothing from now on."""
    session.execute(
        update(WebSession)
        .where(WebSession.id == session_id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    record(session, AuditTag.SIGNED_OUT, actor=actor, now=now)


def normalise_email(text: str) -> str:
    """The one spelling under which an account is stored, looked up and counted."""
    return "".join(character for character in text if character.isprintable()).strip().lower()


def is_email(text: str) -> bool:
    """Whether `text` has the form of an e-mail address that can be stored."""
    text = text.strip()
    return len(text) <= 254 and text.isprintable() and bool(EMAIL.fullmatch(text))


def find_user(session: Session, email: str) -> User | None:
    """The user with this e-mail, in any spelling of it, or None."""
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
    """Create a user. `password_hash` comes from `hash_password`, made before the transaction.

    Raises InvalidInput (field "email" or "organisation") and Conflict if the e-mail is taken.
    """
    email = email.strip().lower()
    if not is_email(email):
        raise InvalidInput("email", f"{email!r} is no e-mail address; write name@example.com.")
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
        raise Conflict(f"There is a user {email} already.")
    user = User(
        email=email,
        role=role,
        password_hash=password_hash,
        organisation_id=organisation_id,
        created_at=now,
    )
    session.add(user)
    session.flush()
    record(
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
    """Every user, by e-mail."""
    return list(session.scalars(select(User).order_by(User.email)))


def disable_user(session: Session, *, email: str, actor: Actor, now: datetime) -> User:
    """Disable a user: no sign-in any more, and every session of theirs has ended.

    Disabling a disabled user changes nothing. Raises NotFound.
    """
    user = _must_find(session, email)
    if user.disabled_at is None:
        user.disabled_at = now
        record(session, AuditTag.USER_DISABLED, actor=actor, now=now, subject=user.email)
    return user


def reset_password(
    session: Session, *, email: str, password_hash: str, actor: Actor, now: datetime
) -> User:
    """Give a user a new password and end every session of theirs. Raises NotFound."""
    user = _must_find(session, email)
    user.password_hash = password_hash
    _end_sessions(session, user, now)
    record(session, AuditTag.PASSWORD_RESET, actor=actor, now=now, subject=user.email)
    return user


def has_super_admin(session: Session) -> bool:
    """Whether anybody can administer the portal."""
    return bool(
        session.scalar(
            select(func.count())
            .select_from(User)
            .where(User.role == Role.SUPER_ADMIN, User.disabled_at.is_(None))
        )
    )


def _must_find(session: Session, email: str) -> User:
    user = find_user(session, email)
    if user is None:
        raise NotFound(f"There is no user {email}.")
    return user


def _end_sessions(session: Session, user: User, now: datetime) -> None:
    session.execute(
        update(WebSession)
        .where(WebSession.user_id == user.id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    session.execute(
        update(AgentSession)
        .where(AgentSession.user_id == user.id, AgentSession.ended_at.is_(None))
        .values(ended_at=now, end_code="session_ended")
    )
