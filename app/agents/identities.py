"""Letting in whoever has signed in at an OpenID provider."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.identities import identity_of, tie, user_of
from app.accounts.links import end_links
from app.accounts.users import (
    NO_PASSWORD,
    PROVIDER_ONLY,
    create_user,
    fields_of,
    find_user,
    lock_by_email,
)
from app.agents.people import change_user
from app.core.actor import Actor
from app.core.errors import Conflict, NotAllowed
from app.core.permissions import Role
from app.models import User

IN_ANOTHER_BROWSER = "You are signing in for the first time in another browser, too. Try again."


class ProvenIdentity(NamedTuple):
    """What the provider has said of somebody who has signed in there."""

    issuer: str
    subject: str
    email: str
    """Which it vouches for; "" if for none."""
    role: Role
    """The one that it gives them here."""


class IdentityRefused(NotAllowed):
    """The provider has said who somebody is, and still they may not come in; `reason` is a code."""

    def __init__(self, email: str, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.email = email
        self.reason = reason


def admit(session: Session, *, identity: ProvenIdentity, provider: Actor, now: datetime) -> User:
    """The user who has signed in at the provider, locked, with the role that it gives them now.

    Somebody new there is matched by their e-mail: with its user, if that is nobody else there, or
    with a new user. Another role ends their sessions on OP Agents. `provider` is in whose name it
    is logged. Raises IdentityRefused, and Conflict if something of it has changed meanwhile.
    """
    known = user_of(session, identity.issuer, identity.subject)
    user = known or _match(session, identity, provider, now)
    if user.disabled_at is not None:
        sentence = "Your account on this portal is disabled."
        raise IdentityRefused(identity.email, "disabled", sentence)
    if user.role is not identity.role:
        _change_role(session, user, identity, provider, now)
    # Not before: changing a role locks the super admins first.
    user = lock_by_email(session, user.email)
    if user.disabled_at is not None or user.role is not identity.role:
        raise Conflict("Your account was changed just now. Try again.")
    if known is None:
        _tie(session, user, identity, provider, now)
    if user.password_hash == NO_PASSWORD:
        user.password_hash = PROVIDER_ONLY
        end_links(session, user=user, now=now)
    return user


def _match(session: Session, identity: ProvenIdentity, provider: Actor, now: datetime) -> User:
    """The user of an e-mail that the provider vouches for, a new one if there is none."""
    if not identity.email:
        sentence = f"{provider.email} vouches for no e-mail address of yours."
        raise IdentityRefused(identity.email, "no_email", sentence)
    user = find_user(session, identity.email)
    if user is None:
        try:
            with session.begin_nested():
                return create_user(
                    session,
                    email=identity.email,
                    role=identity.role,
                    password_hash=PROVIDER_ONLY,
                    actor=provider,
                    now=now,
                )
        except IntegrityError:
            raise Conflict(IN_ANOTHER_BROWSER) from None
    other = identity_of(session, user.id, identity.issuer)
    if other is not None and other.subject == identity.subject:
        raise Conflict(IN_ANOTHER_BROWSER)
    if other is not None:
        raise IdentityRefused(
            identity.email,
            "taken",
            f"{identity.email} belongs to somebody else at {provider.email}: to another account "
            "there, which had this address before.",
        )
    return user


def _tie(
    session: Session, user: User, identity: ProvenIdentity, provider: Actor, now: datetime
) -> None:
    try:
        with session.begin_nested():
            tie(
                session,
                user=user,
                issuer=identity.issuer,
                subject=identity.subject,
                actor=provider,
                now=now,
            )
    except IntegrityError:
        raise Conflict(IN_ANOTHER_BROWSER) from None


def _change_role(
    session: Session, user: User, identity: ProvenIdentity, provider: Actor, now: datetime
) -> None:
    fields = replace(fields_of(user), role=identity.role, organisation_id=None)
    try:
        change_user(session, email=user.email, fields=fields, actor=provider, now=now)
    except Conflict as error:
        sentence = f"{provider.email} gives you another role. {error.detail}"
        raise IdentityRefused(identity.email, "last", sentence) from None
