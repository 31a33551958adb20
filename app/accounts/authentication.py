"""Who somebody is, proven: the same for the portal, the OP Agent in the browser and real agents."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app import throttle
from app.accounts.passwords import hashing_places, password_matches
from app.accounts.users import find_user, normalise_email
from app.core.actor import Actor
from app.core.durations import Rate
from app.core.text import EMAIL_LENGTH, is_email
from app.models import User
from app.models.engine import writing

NOT_AN_EMAIL = "(not an e-mail)"


@dataclass(frozen=True)
class Authentication:
    """Who has proven to be who they say: `user`, in whatever way; None is nobody.

    `wait_seconds` is set if there were too many wrong passwords: for so long none is looked at.
    """

    login_id: str
    """As the audit log names it."""
    address: str
    user: User | None = None
    wait_seconds: int = 0

    @property
    def actor(self) -> Actor:
        """The person, or whoever it was, as the audit log knows people."""
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
    """Whether `password` is that of the account `login_id`; a wrong one is counted.

    Hashing is slow, so it is done between two transactions: `session` only reads when this is
    called and writes when it returns. `outside_transaction` is the caller's: entering it ends the
    one transaction, leaving it begins the other. Whatever was read in the first is looked at again
    in the second, where the user is held until the commit.

    An attempt is counted, in a short transaction of its own, before the password is hashed, and
    taken back if it was right; so many guesses sent at once learn no more than as many sent one
    after the other. Who is over the `limit` is not even compared. `secret` is the key under which
    accounts are hashed where attempts are counted. Raises Busy if too many are being hashed.
    """
    account = normalise_email(login_id)[:EMAIL_LENGTH]
    found = find_user(session, account)
    user_id, password_hash = (found.id, found.password_hash) if found else (None, None)
    # A password typed into the wrong field is not written down.
    named = account if found or is_email(account) else NOT_AN_EMAIL
    engine = session.connection().engine
    with outside_transaction(), hashing_places.take_one():
        with writing(), Session(engine) as own, own.begin():
            throttle.wait_for_turn(own, address=address)
            attempt_id, wait = throttle.begin_attempt(
                own, account=account, address=address, secret=secret, now=clock(), limit=limit
            )
        matches = wait == 0 and password_matches(password_hash, password)
    if wait:
        return Authentication(named, address, wait_seconds=wait)
    user = hold_user(session, user_id) if matches and user_id else None
    if user is None or user.password_hash != password_hash:
        return Authentication(named, address)
    throttle.take_back_attempt(session, attempt_id)
    return Authentication(named, address, user)


def hold_user(session: Session, user_id: int) -> User | None:
    """A user who may sign in, whatever they prove it by; None if they were disabled.

    They are not changed until the commit; rows that name them may be added meanwhile.
    """
    user = session.get(User, user_id, with_for_update={"key_share": True})
    return user if user and user.disabled_at is None else None
