"""Extending a temporary license."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import whole_second
from app.core.durations import KeyLimits
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.licenses.option_rules import check_extension, checked_reason
from app.licenses.queries import has_ended, lock_by_key_id
from app.models import TemporaryLicense


def extend_license(
    session: Session,
    *,
    actor: Actor,
    key_id: str,
    ends_at: datetime,
    reason: str,
    limits: KeyLimits,
    clock: Callable[[], datetime],
) -> TemporaryLicense:
    """Let a temporary license work until the whole second of `ends_at`; its old text stays good.

    The ceiling of `limits` counts from its start. The `clock` is read after the lock: one that has
    ended is not brought back. Raises NotFound, NotAllowed, Conflict if it has ended, and
    InvalidInput with the field "ends_at" or "reason".
    """
    actor.must(Permission.ISSUE_LICENSES)
    reason, ends_at = checked_reason(reason), whole_second(ends_at)
    license = lock_by_key_id(session, key_id)
    now, before = clock(), license.expires_at
    if has_ended(license, now):
        raise Conflict(f"{license.key_id} has ended; generate another key.")
    check_extension(starts_at=license.starts_at, expires_at=before, ends_at=ends_at, limits=limits)
    if ends_at == before:
        return license
    license.first_ttl_seconds = license.first_ttl_seconds or license.ttl_seconds
    license.ttl_seconds = int((ends_at - license.starts_at).total_seconds())
    license.expires_at = ends_at
    if license.ends_at == before:  # else it is still to be used in time
        license.ends_at = ends_at
    log_event(
        session,
        AuditTag.LICENSE_EXTENDED,
        actor=actor,
        now=now,
        organisation_id=license.organisation_id,
        subject=license.key_id,
        ended_before=before.isoformat(),
        expires_at=ends_at.isoformat(),
        reason=reason,
    )
    return license
