"""Telling of keys whose time comes: looked at when it does, each by itself."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.notice_kinds import NoticeKind
from app.licenses.queries import find_license
from app.models import KeyWatch, Notice
from app.notices.delivery_rules import ends_soon_at, look_at_key

AT_ONCE = 100


def watch_key(session: Session, key_id: str, now: datetime) -> None:
    """Look at a key that is new, or ends later than before, at the next opportunity."""
    watch = session.get(KeyWatch, key_id)
    if watch is None:
        session.add(KeyWatch(key_id=key_id, look_at=now))
    else:
        watch.look_at = now


def look_at_keys(session: Session, *, now: datetime) -> int:
    """Put what has become of some keys whose time has come into the outbox; returns how many."""
    due = select(KeyWatch).where(KeyWatch.look_at <= now).order_by(KeyWatch.look_at)
    watches = session.scalars(due.limit(AT_ONCE)).all()
    for watch in watches:
        _look(session, watch, now)
    return len(watches)


def _look(session: Session, watch: KeyWatch, now: datetime) -> None:
    license = find_license(session, watch.key_id)
    if license is None or license.revoked_at is not None:
        session.delete(watch)
        return
    look = look_at_key(
        starts_at=license.starts_at,
        expires_at=license.expires_at,
        ends_at=license.ends_at,
        told_end=watch.told_end,
        now=now,
    )
    if look.expired:
        _tell(session, NoticeKind.KEY_EXPIRED, watch.key_id, license.ends_at)
    if look.ends_soon:
        _tell(session, NoticeKind.KEY_ENDS_SOON, watch.key_id, now)
        watch.told_end = license.expires_at
    if look.again_at is None:
        session.delete(watch)
    else:
        watch.look_at = look.again_at


def skip_past(session: Session, *, now: datetime) -> None:
    """Tell nothing of what time has done until `now`, but go on watching keys that work still."""
    for watch in session.scalars(select(KeyWatch).where(KeyWatch.look_at <= now)):
        license = find_license(session, watch.key_id)
        if license is None or license.ended_at <= now:
            session.delete(watch)
        else:
            soon_at = ends_soon_at(license.starts_at, license.expires_at)
            watch.told_end = license.expires_at if soon_at and soon_at <= now else watch.told_end


def _tell(session: Session, kind: NoticeKind, key_id: str, at: datetime) -> None:
    session.add(Notice(kind=kind.value, key_id=key_id, happened_at=at))
