"""Checking a password: the one way for the portal, the browser agent and the JSON interface."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app import throttle
from app.accounts.passwords import hash_anew, hashing_places, password_matches
from app.accounts.users import find_user, normalise_email
from app.core.actor import Actor
from app.core.durations import Rate
from app.core.text import EMAIL_LENGTH, is_email
from app.models import User
from app.models.engine import writing

NOT_AN_EMAIL = "(not an e-mail)"


@dataclass(frozen=True)
class Authentication:
    """The outcome of an attempt to prove who one is: `user` on success, else None.

    `wait_seconds` is not 0 if there were too many wrong passwords: until then none is checked.
    """

    login_id: str
    """What was typed, as the audit log may store it."""
    address: str
    user: User | None = None
    wait_seconds: int = 0

    @property
    def actor(self) -> Actor:
        """The person, known or not, as the audit log stores them."""
        if self.user is None:
            return Actor(None, self.login_id, None, self.address)
        return Actor(self.user.id, self.login_id, self.user.role, self.address)


def authenticate(
    session: Session,
    *,
    login_id: str,
    password: str,
    address: str,
    secret: str,
    limit: Rate,
    clock: Callable[[], datetime],
    outside_transaction: Callable[[], AbstractContextManager[None]],
) -> Authentication:
    """Check `password` for the account `login_id`; a wrong one is counted.

    Hashing is slow, so it is done between two transactions: `session` is in a reading transaction
    when this is called and in a writing one when it returns. The caller supplies
    `outside_transaction`: entering it ends the first transaction, leaving it begins the second.
    What was read in the first is checked again in the second, where the user is locked until the
    commit.

    An attempt is counted, in a short transaction of its own, before the password is hashed, and
    taken back if the password was right. Guesses sent at the same time therefore learn no more than
    guesses sent one after another. Over the `limit`, the password is not compared at all. A right
    password whose hash is not by the present parameters is hashed anew. `secret` is the key under
    which accounts are hashed where attempts are counted. Raises Busy if too many passwords are
    being hashed.
    """
    account = normalise_email(login_id)[:EMAIL_LENGTH]
    known = find_user(session, account)
    user_id, password_hash = (known.id, known.password_hash) if known else (None, None)
    # Do not log what may be a password typed into the wrong field.
    logged_id = account if known or is_email(account) else NOT_AN_EMAIL
    engine = session.connection().engine
    with outside_transaction(), hashing_places.take_one():
        with writing(), Session(engine) as own, own.begin():
            throttle.wait_for_turn(own, address=address)
            attempt_id, wait = throttle.begin_attempt(
                own, account=account, address=address, secret=secret, now=clock(), limit=limit
            )
        matches = wait == 0 and password_matches(password_hash, password)
        new_hash = hash_anew(password_hash, password) if matches and password_hash else None
    if wait:
        return Authentication(logged_id, address, wait_seconds=wait)
    user = lock_user(session, user_id) if matches and user_id else None
    if user is None or user.password_hash != password_hash:
        return Authentication(logged_id, address)
    throttle.take_back_attempt(session, attempt_id)
    user.password_hash = new_hash or password_hash
    return Authentication(logged_id, address, user)


def lock_user(session: Session, user_id: int) -> User | None:
    """The user, locked against changes until the commit; None if missing or disabled.

    Every way to sign in must call this. Other transactions may still add rows that refer to the
    user.
    """
    user = session.get(User, user_id, with_for_update={"key_share": True})
    return user if user and user.disabled_at is None else None
