"""One-time links: with one a person sets their password, invited or having lost it."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import Conflict, Gone, NotFound
from app.core.permissions import Permission
from app.core.tokens import hash_token, new_token
from app.models import OneTimeLink, User

LINK_LIFE = timedelta(hours=72)
LINK_PATH = "/password"
"""The path of the page that a link leads to; the token follows."""


def make_link(
    session: Session, *, user: User, actor: Actor, now: datetime, lets_in: bool = False
) -> str:
    """The token of a link with which `user` sets their password once, within 72 hours.

    If it `lets_in`, it also signs them in where the portal itself takes no passwords.
    Links of before end, so that one works at a time. Raises NotAllowed, and Conflict if the user is
    disabled. The caller must have locked the user, or just made them.
    """
    actor.must(Permission.MANAGE_USERS)
    if user.disabled_at is not None:
        raise Conflict(f"{user.email} is disabled. Enable them first.")
    end_links(session, user=user, now=now)
    token, expires_at = new_token(), now + LINK_LIFE
    session.add(
        OneTimeLink(
            token_hash=hash_token(token),
            user_id=user.id,
            made_at=now,
            expires_at=expires_at,
            lets_in=lets_in,
        )
    )
    log_event(
        session,
        AuditTag.PASSWORD_LINK_MADE,
        actor=actor,
        now=now,
        subject=user.email,
        expires_at=expires_at.isoformat(),
    )
    return token


def user_of_link(session: Session, *, token: str, now: datetime, lock: bool = False) -> User:
    """The user whose password the link with this token may set; locked until the commit if asked.

    Raises NotFound for a link that was never made, and Gone for one that was used or replaced, has
    lapsed (at the very instant), or whose user is disabled.
    """
    query = select(OneTimeLink).where(OneTimeLink.token_hash == hash_token(token))
    link = session.scalar(query)
    if link is None:
        raise NotFound("There is no such link. It may be incomplete: copy it as a whole.")
    user = session.get_one(User, link.user_id)
    if lock:
        # Whoever ends links locks their user first: what the link says now stays so.
        session.refresh(user, with_for_update={"key_share": True})
        session.refresh(link)
    if link.ended_at is not None or link.expires_at <= now or user.disabled_at is not None:
        raise Gone(
            "A link for setting a password works once, and for 72 hours. "
            "Ask a super admin for a new one."
        )
    return user


def lets_in(session: Session, token: str) -> bool:
    """Whether the link with this token signs its user in, too."""
    query = select(OneTimeLink.lets_in).where(OneTimeLink.token_hash == hash_token(token))
    return bool(session.scalar(query))


def end_links(session: Session, *, user: User, now: datetime) -> None:
    """End the links of a user that were not used yet."""
    _end(session, OneTimeLink.user_id == user.id, now=now)


def end_all_links(session: Session, *, now: datetime) -> None:
    """End every link that was not used yet, whoever's it is."""
    _end(session, now=now)


def _end(session: Session, *which: ColumnElement[bool], now: datetime) -> None:
    query = update(OneTimeLink).where(*which, OneTimeLink.ended_at.is_(None))
    session.execute(query.values(ended_at=now))
