"""Temporary licenses: issuing, finding, listing, revoking and checking them; permanent ones:
finding and listing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, func, not_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.actor import Actor
from app.audit.services import record
from app.audit.tags import AuditTag
from app.clock import whole_second
from app.errors import Conflict, InvalidInput, KeyInvalid, NotFound
from app.licenses.keys import current_kid, private_key, public_keys
from app.licenses.rules import LicenseState, license_state, new_key_id, normalise_key_id
from app.licenses.signing import SignedLicense, read_temporary_key, sign_temporary_key
from app.licenses.ttl import format_ttl
from app.models import Organisation, PermanentLicense, TemporaryLicense
from app.permissions import Permission
from app.projects.subscriptions import subscription_ends_at


@dataclass(frozen=True)
class Inspection:
    """What is known of a key that somebody presented. An invalid one tells its state only."""

    state: LicenseState
    key_id: str | None = None
    organisation_id: str | None = None
    expires_at: datetime | None = None
    license: TemporaryLicense | None = None


INVALID = Inspection(LicenseState.INVALID)
FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListedLicense:
    """A license of either kind, as lists tell of it. A permanent one has no `expires_at`."""

    key_id: str
    kind: Literal["temporary", "permanent"]
    state: LicenseState
    issued_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None


def issue_license(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    ttl: int,
    choices: tuple[int, ...],
    now: datetime,
    form_token: str | None = None,
) -> TemporaryLicense:
    """Record a temporary license of `ttl` seconds, issued at the whole second of `now`.

    `form_token` is what the form carried: the same form sent again gets the same license. Whoever
    shows the key calls `key_text` in the same transaction, so that a key that cannot be shown is
    not recorded either.

    Raises InvalidInput (field "ttl") for a TTL that is not offered, NotFound, Conflict for a form
    that issued something else before, SigningKeyMissing, NotAllowed.
    """
    actor.must(Permission.ISSUE_LICENSES)
    if ttl not in choices:
        offered = ", ".join(format_ttl(choice) for choice in choices)
        raise InvalidInput("ttl", f"Choose one of the TTL intervals offered: {offered}.")
    # Held until the commit, so that the organisation is still there then.
    organisation = session.get(
        Organisation, organisation_id, with_for_update={"read": True, "key_share": True}
    )
    if organisation is None:
        raise NotFound(f"There is no organisation {organisation_id!r}.")
    earlier = _issued_by_form(session, form_token, actor, organisation_id, ttl)
    if earlier is not None:
        return earlier
    issued_at = whole_second(now)
    license = TemporaryLicense(
        key_id=free_key_id(session),
        organisation_id=organisation_id,
        kid=current_kid(session),
        ttl_seconds=ttl,
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=ttl),
        issued_by_id=actor.user_id,
        form_token=form_token,
    )
    try:
        with session.begin_nested():
            session.add(license)
    except IntegrityError:
        # The same form, sent twice at once, was faster.
        earlier = _issued_by_form(session, form_token, actor, organisation_id, ttl)
        if earlier is None:
            raise
        return earlier
    record(
        session,
        AuditTag.LICENSE_ISSUED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=license.key_id,
        ttl=ttl,
        expires_at=license.expires_at.isoformat(),
    )
    return license


def key_text(license: TemporaryLicense, signing_keys: str) -> str:
    """The text of a license's key, derived from its record and the private key in `signing_keys`.

    Raises SigningKeyMissing.
    """
    return sign_temporary_key(
        private_key(signing_keys, license.kid),
        jti=license.key_id,
        organisation_id=license.organisation_id,
        ttl=license.ttl_seconds,
        issued_at=license.issued_at,
    )


def find_license(session: Session, key_id: str) -> TemporaryLicense | None:
    """The license with this Key ID, in any spelling of it, or None."""
    normalised = normalise_key_id(key_id)
    if normalised is None:
        return None
    return session.scalar(select(TemporaryLicense).where(TemporaryLicense.key_id == normalised))


def revoke_license(
    session: Session, *, actor: Actor, key_id: str, now: datetime
) -> TemporaryLicense:
    """End a license at the whole second of `now`. One that has ended already stays as it is.

    Raises NotFound, NotAllowed.
    """
    actor.must(Permission.REVOKE_LICENSES)
    license = session.scalar(
        select(TemporaryLicense)
        .where(TemporaryLicense.key_id == normalise_key_id(key_id))
        .with_for_update(of=TemporaryLicense)
        .execution_options(populate_existing=True)
    )
    if license is None:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    if has_ended(license, now):
        return license
    license.revoked_at = whole_second(now)
    license.revoked_by_id = actor.user_id
    record(
        session,
        AuditTag.LICENSE_REVOKED,
        actor=actor,
        now=now,
        organisation_id=license.organisation_id,
        subject=license.key_id,
        expires_at=license.expires_at.isoformat(),
    )
    return license


def state_of(license: TemporaryLicense, now: datetime) -> LicenseState:
    """The state of a license at `now`."""
    return license_state(
        issued_at=license.issued_at,
        expires_at=license.expires_at,
        revoked_at=license.revoked_at,
        now=now,
    )


def has_ended(license: TemporaryLicense, now: datetime) -> bool:
    """Whether a license has expired or was revoked. One issued in the future has not."""
    return license.revoked_at is not None or now >= license.expires_at


def licenses_of(
    session: Session, organisation_id: str, now: datetime, ended_limit: int | None = 50
) -> list[TemporaryLicense]:
    """An organisation's licenses in the domain's order: the active ones, then those that ended.

    All active ones; of the others the `ended_limit` on top, or all of them for None.
    """
    own = select(TemporaryLicense).where(TemporaryLicense.organisation_id == organisation_id)
    active = own.where(is_active(now)).order_by(*_in_order(now))
    ended = own.where(not_(is_active(now))).order_by(*_in_order(now)).limit(ended_limit)
    return [*session.scalars(active), *session.scalars(ended)]


def find_permanent_license(session: Session, key_id: str) -> PermanentLicense | None:
    """The permanent license with this Key ID, in any spelling of it, or None."""
    normalised = normalise_key_id(key_id)
    if normalised is None:
        return None
    return session.scalar(select(PermanentLicense).where(PermanentLicense.key_id == normalised))


def all_licenses_of(session: Session, organisation_id: str, now: datetime) -> list[ListedLicense]:
    """An organisation's licenses of both kinds, in the domain's order.

    A permanent one is active until it is revoked or the organisation's subscription has ended.
    """
    temporary = [
        ListedLicense(
            license.key_id,
            "temporary",
            state_of(license, now),
            license.issued_at,
            license.expires_at,
            license.ended_at,
        )
        for license in licenses_of(session, organisation_id, now, ended_limit=None)
    ]
    subscription_ends = subscription_ends_at(session, organisation_id)
    permanent = [
        ListedLicense(
            license.key_id,
            "permanent",
            license_state(
                issued_at=license.issued_at,
                expires_at=subscription_ends or FOR_EVER,
                revoked_at=license.revoked_at,
                now=now,
            ),
            license.issued_at,
            None,
            license.revoked_at or subscription_ends,
        )
        for license in session.scalars(
            select(PermanentLicense)
            .where(PermanentLicense.organisation_id == organisation_id)
            .order_by(PermanentLicense.issued_at.desc(), PermanentLicense.id.desc())
        )
    ]
    return sorted([*temporary, *permanent], key=_place, reverse=True)


def _place(license: ListedLicense) -> tuple[bool, datetime, datetime]:
    active = license.state is LicenseState.ACTIVE
    return (
        active,
        license.issued_at if active else license.ended_at or license.issued_at,
        license.issued_at,
    )


def count_licenses(session: Session, organisation_id: str) -> int:
    """How many licenses an organisation ever had."""
    count = session.scalar(
        select(func.count())
        .select_from(TemporaryLicense)
        .where(TemporaryLicense.organisation_id == organisation_id)
    )
    return count or 0


def part_of_licenses(
    session: Session, organisation_id: str, now: datetime, *, offset: int, limit: int
) -> list[TemporaryLicense]:
    """A part of all of an organisation's licenses, in the domain's order."""
    return list(
        session.scalars(
            select(TemporaryLicense)
            .where(TemporaryLicense.organisation_id == organisation_id)
            .order_by(*_in_order(now))
            .offset(offset)
            .limit(limit)
        )
    )


def count_active(
    session: Session, now: datetime, organisation_ids: Collection[str] | None = None
) -> dict[str, int]:
    """How many keys are active, by Organisation ID; one with none is left out.

    Only those of `organisation_ids`, or of all organisations for None.
    """
    query = (
        select(TemporaryLicense.organisation_id, func.count())
        .where(is_active(now))
        .group_by(TemporaryLicense.organisation_id)
    )
    if organisation_ids is not None:
        query = query.where(TemporaryLicense.organisation_id.in_(organisation_ids))
    return dict(session.execute(query).all())


def count_all_active(session: Session, now: datetime) -> int:
    """How many keys are active in all."""
    count = session.scalar(select(func.count()).select_from(TemporaryLicense).where(is_active(now)))
    return count or 0


def ending_soonest(session: Session, now: datetime, limit: int = 10) -> list[TemporaryLicense]:
    """The active licenses that end first, the soonest on top."""
    return list(
        session.scalars(
            select(TemporaryLicense)
            .where(is_active(now))
            .order_by(TemporaryLicense.expires_at, TemporaryLicense.id)
            .limit(limit)
        )
    )


def inspect_key(session: Session, *, text: str, now: datetime) -> Inspection:
    """What the key in `text` is at `now`: its signature and its record must agree in everything.

    Anything else, and a key issued in the future, is invalid.
    """
    try:
        signed = read_temporary_key(text, public_keys(session))
    except KeyInvalid:
        return INVALID
    license = session.scalar(select(TemporaryLicense).where(TemporaryLicense.key_id == signed.jti))
    if license is None or not _says_what_is_recorded(signed, license):
        return INVALID
    state = state_of(license, now)
    if state is LicenseState.INVALID:
        return INVALID
    return Inspection(state, license.key_id, license.organisation_id, license.expires_at, license)


def _says_what_is_recorded(signed: SignedLicense, license: TemporaryLicense) -> bool:
    return (
        signed.kid == license.kid
        and signed.organisation_id == license.organisation_id
        and signed.ttl == license.ttl_seconds
        and signed.issued_at == license.issued_at
    )


def free_key_id(session: Session) -> str:
    """A new Key ID that no license of either kind has."""
    key_id = new_key_id()
    while find_license(session, key_id) or find_permanent_license(session, key_id):
        key_id = new_key_id()
    return key_id


def _issued_by_form(
    session: Session, form_token: str | None, actor: Actor, organisation_id: str, ttl: int
) -> TemporaryLicense | None:
    """The license that the same form has issued before, or None."""
    if form_token is None:
        return None
    license = session.scalar(
        select(TemporaryLicense).where(TemporaryLicense.form_token == form_token)
    )
    if license is None:
        return None
    if (license.issued_by_id, license.organisation_id) != (actor.user_id, organisation_id):
        raise Conflict("This form was sent before, for something else. Load the page again.")
    if license.ttl_seconds != ttl:
        raise InvalidInput(
            "ttl",
            f"This form has generated {license.key_id} ({format_ttl(license.ttl_seconds)}) "
            f"already. For another key of {format_ttl(ttl)}, press the button once more.",
        )
    return license


def is_active(now: datetime) -> ColumnElement[bool]:
    """Whether a license is active at `now`, as a condition of a query."""
    return and_(
        TemporaryLicense.revoked_at.is_(None),
        TemporaryLicense.issued_at <= now,
        TemporaryLicense.expires_at > now,
    )


def _in_order(now: datetime) -> tuple[ColumnElement[Any], ...]:
    """The domain's order, as `rules.in_order` has it, for the database."""
    active = is_active(now)
    ended_at = func.coalesce(TemporaryLicense.revoked_at, TemporaryLicense.expires_at)
    return (
        case((active, 1), else_=0).desc(),
        case((active, TemporaryLicense.issued_at), else_=ended_at).desc(),
        TemporaryLicense.issued_at.desc(),
        TemporaryLicense.id.desc(),
    )
