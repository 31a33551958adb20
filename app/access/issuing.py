"""Generating and extending temporary keys under the policy: the one way for every face."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.access.policies import hold_policies, policy_in_force
from app.access.policy_rules import PolicyInForce, apply_policy, check_reason
from app.access.request_rules import (
    RequestState,
    as_of_now,
    asked_length,
    check_given,
)
from app.access.requests import (
    add_request,
    asked_options,
    decide,
    lock_waiting,
    request_of_form,
)
from app.config import Config
from app.core.actor import Actor
from app.core.clock import whole_second
from app.core.errors import Conflict, InvalidInput, NotAllowed
from app.core.permissions import TEMPORARY_KEY_ROLES, Permission
from app.licenses.extending import extend_license
from app.licenses.key_records import KeyRecord
from app.licenses.option_rules import (
    KeyOptions,
    KeyWindow,
    check_extension,
    checked_options,
    checked_reason,
    key_window,
)
from app.licenses.queries import has_ended, lock_by_key_id
from app.licenses.recipients import find_recipient
from app.licenses.services import issue_license
from app.models import Organisation, Request, TemporaryLicense
from app.projects.services import get_organisation


class _Terms(NamedTuple):
    """What a new key would be under the policy in force."""

    options: KeyOptions
    window: KeyWindow
    holds: PolicyInForce


def issue_under_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    organisation_id: str,
    options: KeyOptions,
    cut_ttl: bool,
    now: datetime,
    form_token: str | None = None,
) -> tuple[KeyRecord, str] | Request:
    """As `issue_license`, under the policy in force for the organisation: (record, key).

    A TTL of the settings that is above the ceiling is cut if `cut_ttl`; others are refused. Where a
    second super admin must approve, a request is made in place of a key. Raises InvalidInput too
    for what the policy asks for and the options have not.
    """
    actor.must(Permission.ISSUE_LICENSES)
    hold_policies(session)
    terms = _terms(session, config, organisation_id, options, now=now, cut_ttl=cut_ttl)
    made = request_of_form(
        session,
        actor=actor,
        form_token=form_token,
        organisation_id=organisation_id,
        options=terms.options,
    )
    if made is not None:
        return made
    if not terms.holds.needs_approval(terms.window.ttl):
        return _issue(
            session,
            actor=actor,
            config=config,
            organisation_id=organisation_id,
            terms=terms,
            now=now,
            form_token=form_token,
        )
    get_organisation(session, organisation_id)
    email = terms.options.recipient
    recipient = find_recipient(session, email) if email else None
    return add_request(
        session,
        actor=actor,
        organisation_id=organisation_id,
        options=terms.options,
        length=terms.window.ttl,
        now=now,
        recipient_id=recipient.id if recipient else None,
        form_token=form_token,
    )


def extend_under_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    key_id: str,
    ends_at: datetime,
    reason: str,
    clock: Callable[[], datetime],
) -> TemporaryLicense | Request:
    """As `extend_license`, under the policy in force for the key's organisation.

    Where a second super admin must approve, a request is made. Raises InvalidInput too for a reason
    that the policy asks for.
    """
    actor.must(Permission.ISSUE_LICENSES)
    hold_policies(session)
    license = lock_by_key_id(session, key_id)
    reason, ends_at = checked_reason(reason), whole_second(ends_at)
    holds = policy_in_force(session, config, license.organisation_id)
    check_reason(reason, holds)
    length = int((ends_at - license.starts_at).total_seconds())
    longer = ends_at > license.expires_at and not has_ended(license, clock())
    if not (longer and holds.needs_approval(length)):
        return _extend(
            session,
            actor=actor,
            config=config,
            license=license,
            ends_at=ends_at,
            reason=reason,
            clock=clock,
        )
    check_extension(
        starts_at=license.starts_at,
        expires_at=license.expires_at,
        ends_at=ends_at,
        limits=holds.limits(config.license_ttls),
    )
    return add_request(
        session,
        actor=actor,
        organisation_id=license.organisation_id,
        options=KeyOptions(ttl=0, reason=reason, starts_at=license.starts_at, ends_at=ends_at),
        length=length,
        now=clock(),
        extends=license,
    )


def approve_request(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    request_id: int,
    options: KeyOptions | None,
    clock: Callable[[], datetime],
    cut_ttl: bool = True,
) -> Request:
    """Give what was asked for, or less of it by `options`; the time starts now.

    The policy of now holds; a TTL above its ceiling is cut if `cut_ttl`, else refused. More time
    with a key is given as it was asked for. Raises NotFound, NotAllowed for who has asked, Conflict
    if it is decided or can only be refused, and InvalidInput with the name of one of KeyOptions'
    fields.
    """
    actor.must(Permission.DECIDE_REQUESTS)
    hold_policies(session)
    request = lock_waiting(session, request_id, clock)
    if request.asked_by_id == actor.user_id:
        raise NotAllowed("You have asked for this yourself: another super admin decides.")
    now, asked = clock(), asked_options(session, request)
    _check_organisation(session, config, request)
    if request.extends is not None:
        if options is not None:
            raise InvalidInput("ttl", "More time is given as it was asked for, or refused.")
        license = _give_more_time(
            session, actor=actor, config=config, request=request, asked=asked, clock=clock
        )
        given = license.id, license.key_id
    else:
        terms = _terms(
            session,
            config,
            request.organisation_id,
            options or as_of_now(asked, now),
            now=now,
            cut_ttl=cut_ttl,
        )
        most = asked_length(asked, request.asked_at)
        check_given(as_of_now(asked, now), terms.options, most=most, length=terms.window.ttl)
        record, _ = _issue(
            session,
            actor=actor,
            config=config,
            organisation_id=request.organisation_id,
            terms=terms,
            now=now,
        )
        given = record.id, record.key_id
    request.license_id = given[0]
    decide(session, request, RequestState.APPROVED, actor=actor, now=now, key_id=given[1])
    return request


def _give_more_time(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    request: Request,
    asked: KeyOptions,
    clock: Callable[[], datetime],
) -> TemporaryLicense:
    """Extend as it was asked for. Raises Conflict if that cannot be any more."""
    if request.extends is None or asked.ends_at is None:
        raise Conflict("This request names no end.")
    try:
        return _extend(
            session,
            actor=actor,
            config=config,
            license=request.extends,
            ends_at=asked.ends_at,
            reason=asked.reason,
            clock=clock,
        )
    except InvalidInput as error:
        raise Conflict(f"{error.detail} Refuse this request.") from None


def _check_organisation(session: Session, config: Config, request: Request) -> None:
    """Raise Conflict for a request that was taken although it could only be refused: who asks is
    not told which organisations there are."""
    organisation_id = request.organisation_id
    if session.get(Organisation, organisation_id) is None:
        raise Conflict(f"There is no organisation {organisation_id!r}. Refuse this request.")
    if request.asked_by.role in TEMPORARY_KEY_ROLES:
        may_ask, level = policy_in_force(session, config, organisation_id).partners_may_ask
        if not may_ask:
            raise Conflict(f"Partners may not ask for this: {level}. Refuse this request.")


def _terms(
    session: Session,
    config: Config,
    organisation_id: str,
    options: KeyOptions,
    *,
    now: datetime,
    cut_ttl: bool = True,
) -> _Terms:
    holds = policy_in_force(session, config, organisation_id)
    cut = config.license_ttls if cut_ttl else ()
    allowed = apply_policy(checked_options(options), holds, cut=cut).options
    return _Terms(allowed, key_window(allowed, holds.limits(config.license_ttls), now), holds)


def _issue(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    organisation_id: str,
    terms: _Terms,
    now: datetime,
    form_token: str | None = None,
) -> tuple[KeyRecord, str]:
    return issue_license(
        session,
        actor=actor,
        organisation_id=organisation_id,
        options=terms.options,
        limits=terms.holds.limits(config.license_ttls),
        signing_keys=config.signing_keys,
        now=now,
        form_token=form_token,
    )


def _extend(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    license: TemporaryLicense,
    ends_at: datetime,
    reason: str,
    clock: Callable[[], datetime],
) -> TemporaryLicense:
    holds = policy_in_force(session, config, license.organisation_id)
    return extend_license(
        session,
        actor=actor,
        key_id=license.key_id,
        ends_at=ends_at,
        reason=reason,
        limits=holds.limits(config.license_ttls),
        clock=clock,
    )
