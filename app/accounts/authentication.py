"""One way to check who signs in: on the portal and on OP Agents."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from sqlalchemy.orm import Session

from app import throttle
from app.accounts.passwords import password_matches
from app.accounts.users import find_user, normalise_email
from app.core.durations import Rate
from app.core.text import EMAIL_LENGTH, is_email
from app.models import User

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
    account = normalise_email(login_id)[:EMAIL_LENGTH]
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
    throttle.wait_for_turn(session, address=check.address)
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
