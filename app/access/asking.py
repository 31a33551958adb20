"""What partners and developers ask for under "My access": a key, or more time with one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.policies import policy_in_force
from app.access.policy_rules import PolicyInForce, apply_policy, check_reason
from app.access.request_rules import RequestState
from app.access.requests import (
    add_request,
    decide,
    get_request,
    lock_waiting,
    request_of_form,
    waiting,
)
from app.config import Config
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.core.permissions import Permission
from app.core.text import ORGANISATION_ID_LENGTH
from app.licenses.option_rules import (
    KeyOptions,
    check_extension,
    checked_options,
    checked_reason,
    key_window,
)
from app.licenses.queries import has_ended, lock_by_key_id
from app.models import AgentSession, Organisation, Request, TemporaryLicense
from app.projects.rules import check_identifier

MOST_WAITING = 5
A_DAY, MOST_A_DAY = timedelta(days=1), 50
"""Each is told to every super admin and webhook, even if it is withdrawn at once."""
MOST_LISTED = 20


def ask_for_key(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    organisation_id: str,
    options: KeyOptions,
    now: datetime,
    form_token: str | None = None,
) -> Request:
    """Ask for a key of one's own; a super admin decides. A form sent twice asks once.

    Whether there is such an organisation is not looked at: only who decides learns that, and the
    policy of the installation alone is obeyed here. Raises NotAllowed where partners may not ask,
    Conflict if the form is somebody else's, and InvalidInput with "organisation_id" or the name of
    one of KeyOptions' fields.
    """
    holds = _may_ask(session, actor, config)
    organisation_id = check_identifier(
        "organisation_id", "Organisation ID", organisation_id, ORGANISATION_ID_LENGTH
    )
    if not organisation_id:
        raise InvalidInput("organisation_id", "Enter the Organisation ID that you were told.")
    asked = replace(checked_options(options), recipient=actor.email)
    asked = apply_policy(asked, holds, cut=config.license_ttls).options
    window = key_window(asked, holds.limits(config.license_ttls), now)
    made = request_of_form(
        session,
        actor=actor,
        form_token=form_token,
        organisation_id=organisation_id,
        options=asked,
    )
    if made is not None:
        return made
    _check_number(session, actor, now)
    return add_request(
        session,
        actor=actor,
        organisation_id=organisation_id,
        options=asked,
        length=window.ttl,
        now=now,
        recipient_id=actor.user_id,
        form_token=form_token,
    )


def ask_for_more_time(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    key_id: str,
    seconds: int,
    reason: str,
    clock: Callable[[], datetime],
) -> Request:
    """Ask that a key made for oneself works so many `seconds` longer; a super admin decides.

    Raises NotAllowed, NotFound for a key of somebody else too, Conflict if it has ended or waits
    for that already, and InvalidInput with the field "ends_at", "reason" or "organisation_id".
    """
    holds = _may_ask(session, actor, config)
    license = lock_by_key_id(session, key_id)
    if license.recipient_id != actor.user_id:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    now, reason = clock(), checked_reason(reason)
    check_reason(reason, holds)
    if has_ended(license, now):
        raise Conflict(f"{license.key_id} has ended. Ask for a new key.")
    if session.scalar(waiting(now).where(Request.extends_id == license.id).limit(1)):
        raise Conflict(f"More time with {license.key_id} was asked for already.")
    starts_at, expires_at = license.starts_at, license.expires_at
    ends_at = expires_at + timedelta(seconds=seconds)
    limits = holds.limits(config.license_ttls)
    check_extension(starts_at=starts_at, expires_at=expires_at, ends_at=ends_at, limits=limits)
    _check_number(session, actor, now)
    return add_request(
        session,
        actor=actor,
        organisation_id=license.organisation_id,
        options=KeyOptions(ttl=0, reason=reason, starts_at=starts_at, ends_at=ends_at),
        length=int((ends_at - starts_at).total_seconds()),
        now=now,
        extends=license,
    )


def withdraw_request(
    session: Session, *, actor: Actor, request_id: int, clock: Callable[[], datetime]
) -> Request:
    """Take back what one has asked for.

    Raises NotAllowed, NotFound for a request of somebody else too, and Conflict if it is decided.
    """
    actor.must(Permission.OWN_ACCESS)
    if get_request(session, request_id).asked_by_id != actor.user_id:
        raise NotFound("There is no such request.")
    request = lock_waiting(session, request_id, clock)
    decide(session, request, RequestState.WITHDRAWN, actor=actor, now=clock())
    return request


def requests_of(session: Session, user_id: int) -> list[Request]:
    """What somebody has asked for, the newest first."""
    query = select(Request).where(Request.asked_by_id == user_id)
    return list(session.scalars(query.order_by(Request.id.desc()).limit(MOST_LISTED)))


def organisations_known_to(session: Session, user_id: int) -> list[Organisation]:
    """Those that somebody had access to: by a key made for them, or signed in under any."""
    keys = select(TemporaryLicense.organisation_id).where(TemporaryLicense.recipient_id == user_id)
    sessions = select(AgentSession.organisation_id).where(
        AgentSession.user_id == user_id, AgentSession.temporary_license_id.is_not(None)
    )
    query = select(Organisation).where(Organisation.id.in_(keys.union(sessions)))
    return list(session.scalars(query.order_by(Organisation.name).limit(MOST_LISTED)))


def _may_ask(session: Session, actor: Actor, config: Config) -> PolicyInForce:
    actor.must(Permission.OWN_ACCESS)
    holds = policy_in_force(session, config)
    if not holds.partners_may_ask.value:
        raise NotAllowed("Here nobody asks for keys: a super admin generates them.")
    return holds


def _check_number(session: Session, actor: Actor, now: datetime) -> None:
    """Requests of one person come one after another: whoever writes has locked their sign-in."""
    query = select(func.count()).select_from(
        waiting(now).where(Request.asked_by_id == actor.user_id).subquery()
    )
    if (session.scalar(query) or 0) >= MOST_WAITING:
        raise InvalidInput(
            "organisation_id",
            f"{MOST_WAITING} requests of yours wait already. Withdraw one, or wait.",
        )
    own = select(func.count(Request.id)).where(Request.asked_by_id == actor.user_id)
    if (session.scalar(own.where(Request.asked_at > now - A_DAY)) or 0) >= MOST_A_DAY:
        raise InvalidInput(
            "organisation_id",
            f"You have sent {MOST_A_DAY} requests within a day, which is the most. Wait.",
        )
