"""Who users are at an OpenID provider, and the log-outs that it asks for."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.browsers import end_web_sessions, end_web_sessions_of_provider
from app.accounts.oidc_rules import LogOut
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.permissions import Permission
from app.models import Identity, User


def user_of(session: Session, issuer: str, subject: str) -> User | None:
    """The user who is `subject` at the provider `issuer`; None if nobody is."""
    return session.scalar(
        select(User)
        .join(Identity, Identity.user_id == User.id)
        .where(Identity.issuer == issuer, Identity.subject == subject)
    )


def identity_of(session: Session, user_id: int, issuer: str) -> Identity | None:
    """Who a user is at the provider `issuer`; None if they are not tied to it."""
    own = Identity.user_id == user_id, Identity.issuer == issuer
    return session.scalar(select(Identity).where(*own)) if issuer else None


def tie(
    session: Session, *, user: User, issuer: str, subject: str, actor: Actor, now: datetime
) -> None:
    """Note that a locked user is `subject` at the provider `issuer`, from now on."""
    session.add(Identity(user_id=user.id, issuer=issuer, subject=subject, tied_at=now))
    session.flush()
    tag = AuditTag.IDENTITY_TIED
    log_event(session, tag, actor=actor, now=now, subject=user.email, issuer=issuer)


def untie(session: Session, *, user: User, issuer: str, actor: Actor, now: datetime) -> None:
    """Forget who a locked user is at the provider; their sessions on the portal end.

    Whoever signs in there with their verified e-mail next is tied to them. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_USERS)
    session.execute(delete(Identity).where(Identity.user_id == user.id, Identity.issuer == issuer))
    end_web_sessions(session, user_id=user.id, now=now)
    log_event(session, AuditTag.IDENTITY_UNTIED, actor=actor, now=now, subject=user.email)


def log_out_by_provider(
    session: Session, *, issuer: str, log_out: LogOut, actor: Actor, now: datetime
) -> int:
    """End the sessions on the portal that the provider has ended; returns how many.

    Those of its session, if it names one that is known; else all of the subject.
    """
    user = user_of(session, issuer, log_out.subject) if log_out.subject else None
    ended = 0
    if log_out.provider_session:
        ended = end_web_sessions_of_provider(
            session,
            provider_session=log_out.provider_session,
            user_id=user.id if user else None,
            now=now,
        )
    if not ended and user is not None:
        ended = end_web_sessions(session, user_id=user.id, now=now)
    log_event(
        session,
        AuditTag.SIGNED_OUT_BY_PROVIDER,
        actor=actor,
        now=now,
        subject=user.email if user else "",
        browsers=ended,
    )
    return ended
