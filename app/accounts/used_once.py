"""What counts once: the answer to a passkey's challenge, a provider's answer or log-out."""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.tokens import hash_token
from app.models import UsedChallenge


def use_once(session: Session, text: str, *, keep_for: timedelta, now: datetime) -> bool:
    """Note that `text` was used; False if it was before, also of two uses at once.

    It is forgotten after `keep_for`, by when it must count no longer for another reason.
    """
    session.execute(delete(UsedChallenge).where(UsedChallenge.expires_at <= now))
    values = {"challenge_hash": hash_token(text), "expires_at": now + keep_for}
    try:
        with session.begin_nested():
            session.execute(insert(UsedChallenge), values)
    except IntegrityError:
        return False
    return True
