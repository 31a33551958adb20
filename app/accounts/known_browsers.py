"""The browsers that somebody is known to use, by a cookie that each of them keeps."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from app.core.tokens import hash_token
from app.models import KnownBrowser

KNOWN_FOR = timedelta(days=400)
"""After the last sign-in with it. No browser keeps a cookie longer."""


def note_browser(session: Session, *, user_id: int, token: str, now: datetime) -> bool:
    """Note that a user signs in with the browser that has this token; whether it is new to them."""
    known = session.get(KnownBrowser, (user_id, hash_token(token)))
    if known is not None:
        known.last_seen_at = now
        return False
    session.add(KnownBrowser(user_id=user_id, token_hash=hash_token(token), last_seen_at=now))
    return True


def purge_known_browsers(session: Session, *, now: datetime, step: int = 500) -> int:
    """Forget some of the browsers that nobody has signed in with for so long; says how many."""
    key = KnownBrowser.user_id, KnownBrowser.token_hash
    old = select(*key).where(KnownBrowser.last_seen_at <= now - KNOWN_FOR).limit(step)
    gone = session.execute(delete(KnownBrowser).where(tuple_(*key).in_(old)))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]
