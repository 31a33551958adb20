"""Finding, listing and counting licenses of either kind."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session, joinedload

from app.core.errors import NotFound
from app.core.paging import Total
from app.keyformat.key_ids import normalise_key_id
from app.licenses.key_records import AnyKey
from app.licenses.rules import LicenseState, MachineIds, license_state
from app.models import PermanentLicense, TemporaryLicense
from app.models.kept import Kept
from app.projects.subscriptions import subscription_ends_at

NEVER = datetime.max.replace(tzinfo=UTC)
EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListedLicense:
    """A license of either kind, for lists. A permanent one has no `expires_at`.

    `temporary` is the record of a temporary one.
    """

    key_id: str
    kind: Literal["temporary", "permanent"]
    state: LicenseState
    issued_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    temporary: TemporaryLicense | None = None


def find_license(session: Session, key_id: str) -> TemporaryLicense | None:
    """The temporary license with this Key ID, in any accepted spelling, or None."""
    normalised = normalise_key_id(key_id)
    if normalised is None:
        return None
    return session.scalar(select(TemporaryLicense).where(TemporaryLicense.key_id == normalised))


def lock_by_key_id(session: Session, key_id: str) -> TemporaryLicense:
    """The license with this Key ID, locked until the commit. Raises NotFound."""
    license = session.scalar(
        select(TemporaryLicense)
        .where(TemporaryLicense.key_id == normalise_key_id(key_id))
        .with_for_update(of=TemporaryLicense)
        .execution_options(populate_existing=True)
    )
    if license is None:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    return license


def state_of(license: AnyKey, now: datetime) -> LicenseState:
    """The state of a temporary license at `now`."""
    return license_state(
        issued_at=license.issued_at,
        starts_at=license.starts_at,
        ends_at=license.ends_at,
        revoked_at=license.revoked_at,
        now=now,
    )


def has_ended(license: AnyKey, now: datetime) -> bool:
    """Whether a license is revoked or expired at `now`. One that is yet to start is neither."""
    return license.revoked_at is not None or now >= license.ends_at


def sign_ins_left(license: AnyKey) -> int | None:
    """How many sign-ins a license still has; None if it has no limit."""
    if license.sign_ins_allowed is None:
        return None
    return max(license.sign_ins_allowed - license.sign_ins_used, 0)


def bound_machine(license: AnyKey) -> MachineIds | None:
    """The machine that a license is bound to, or None."""
    if not license.bound_mac_id:
        return None
    return MachineIds(license.bound_mac_id, license.bound_machine_id)


def licenses_of(session: Session, organisation_id: str, now: datetime) -> list[TemporaryLicense]:
    """All temporary licenses of an organisation in the usual order: active ones first."""
    return list(
        session.scalars(
            select(TemporaryLicense)
            .where(TemporaryLicense.organisation_id == organisation_id)
            .order_by(*_list_order(now))
        )
    )


def licenses_for(session: Session, user_id: int, now: datetime) -> list[TemporaryLicense]:
    """The keys made for one person: those that have not ended, then the ones that ended last."""
    own = select(TemporaryLicense).where(TemporaryLicense.recipient_id == user_id)
    soonest_first = (TemporaryLicense.ends_at, TemporaryLicense.id)
    is_open = TemporaryLicense.is_open(now)
    ended = own.where(~is_open).order_by(TemporaryLicense.ended_at.desc(), TemporaryLicense.id)
    return [
        *session.scalars(own.where(is_open).order_by(*soonest_first)),
        *session.scalars(ended.limit(ENDED_FOR)),
    ]


ENDED_FOR = 20
"""How many of one person's keys that ended are listed."""


def find_permanent_license(session: Session, key_id: str) -> PermanentLicense | None:
    """The permanent license with this Key ID, in any accepted spelling, or None."""
    normalised = normalise_key_id(key_id)
    if normalised is None:
        return None
    return session.scalar(select(PermanentLicense).where(PermanentLicense.key_id == normalised))


def all_licenses_of(session: Session, organisation_id: str, now: datetime) -> list[ListedLicense]:
    """An organisation's licenses of both kinds, in the usual order.

    A permanent one is active until it is revoked or the organisation's subscription ends.
    """
    temporary = [
        ListedLicense(
            license.key_id,
            "temporary",
            state_of(license, now),
            license.issued_at,
            license.expires_at,
            license.ended_at,
            license,
        )
        for license in licenses_of(session, organisation_id, now)
    ]
    subscription_ends = subscription_ends_at(session, organisation_id)
    permanent = [
        ListedLicense(
            license.key_id,
            "permanent",
            license_state(
                issued_at=license.issued_at,
                starts_at=license.issued_at,
                ends_at=subscription_ends or NEVER,
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
    return sorted([*temporary, *permanent], key=_sort_key, reverse=True)


def _sort_key(license: ListedLicense) -> tuple[int, timedelta, datetime]:
    """Higher is earlier in the list: active, scheduled, ended."""
    if license.state is LicenseState.ACTIVE:
        return 2, license.issued_at - EVER, license.issued_at
    if license.state is LicenseState.SCHEDULED and license.temporary is not None:
        return 1, EVER - license.temporary.starts_at, license.issued_at
    return 0, (license.ended_at or license.issued_at) - EVER, license.issued_at


def count_licenses(session: Session, organisation_id: str) -> int:
    """How many temporary licenses an organisation has ever had."""
    count = session.scalar(
        select(func.count())
        .select_from(TemporaryLicense)
        .where(TemporaryLicense.organisation_id == organisation_id)
    )
    return count or 0


def part_of_licenses(
    session: Session, organisation_id: str, now: datetime, *, offset: int, limit: int
) -> list[TemporaryLicense]:
    """A page of an organisation's temporary licenses, in the usual order."""
    return list(
        session.scalars(
            select(TemporaryLicense)
            .where(TemporaryLicense.organisation_id == organisation_id)
            .options(joinedload(TemporaryLicense.recipient))
            .order_by(*_list_order(now))
            .offset(offset)
            .limit(limit)
        )
    )


def count_active(
    session: Session, now: datetime, organisation_ids: Collection[str] | None = None
) -> dict[str, int]:
    """How many keys are active, by Organisation ID; organisations with none are left out.

    Counts only those of `organisation_ids`, or of all organisations if None.
    """
    query = (
        select(TemporaryLicense.organisation_id, func.count())
        .where(TemporaryLicense.is_active(now))
        .group_by(TemporaryLicense.organisation_id)
    )
    if organisation_ids is not None:
        query = query.where(TemporaryLicense.organisation_id.in_(organisation_ids))
    return dict(session.execute(query).all())


def count_all_active(session: Session, now: datetime) -> Total:
    """How many keys are active, over all organisations; of many, lately and about."""
    kept = _many_active.get(session, now)
    if kept is not None:
        return kept
    count = session.scalar(
        select(func.count()).select_from(TemporaryLicense).where(TemporaryLicense.is_active(now))
    )
    total = Total(count or 0, about=(count or 0) > CHEAP)
    if total.about:
        _many_active.keep(session, now, total)
    return total


CHEAP = 2000
"""So many active keys are counted each time; more are counted twice a minute."""
_many_active: Kept[Total] = Kept()


def ending_soonest(session: Session, now: datetime, limit: int = 10) -> list[TemporaryLicense]:
    """The active licenses that end next unless they are used, the soonest first."""
    return list(
        session.scalars(
            select(TemporaryLicense)
            .where(TemporaryLicense.is_active(now))
            .options(joinedload(TemporaryLicense.recipient))
            .order_by(TemporaryLicense.ends_at, TemporaryLicense.id)
            .limit(limit)
        )
    )


def _list_order(now: datetime) -> tuple[ColumnElement[Any], ...]:
    """The usual order of keys in lists.

    Those active at `now`, the latest issued first; those scheduled, the soonest first; then the
    others, the latest ended first. Ties are broken by the later issue, then by the higher id.
    """
    active = TemporaryLicense.is_active(now)
    scheduled = and_(
        TemporaryLicense.is_open(now),
        TemporaryLicense.issued_at <= now,
        TemporaryLicense.starts_at > now,
    )
    return (
        case((active, 2), (scheduled, 1), else_=0).desc(),
        case((scheduled, TemporaryLicense.starts_at)),
        case(
            (or_(active, scheduled), TemporaryLicense.issued_at), else_=TemporaryLicense.ended_at
        ).desc(),
        TemporaryLicense.issued_at.desc(),
        TemporaryLicense.id.desc(),
    )
