"""Revoking many temporary licenses at once."""

from datetime import datetime

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import whole_second
from app.models import TemporaryLicense


def revoke_where(
    session: Session, which: ColumnElement[bool], *, actor: Actor, now: datetime
) -> list[str]:
    """Revoke every license of `which` that has not ended; returns their Key IDs.

    Like `services.revoke_license`, each is logged; one of the future is revoked too.
    """
    revoked = session.execute(
        update(TemporaryLicense)
        .where(which, TemporaryLicense.is_open(now))
        .values(revoked_at=whole_second(now), revoked_by_id=actor.user_id)
        .returning(
            TemporaryLicense.key_id, TemporaryLicense.organisation_id, TemporaryLicense.expires_at
        )
    ).all()
    for key_id, organisation_id, expires_at in revoked:
        log_event(
            session,
            AuditTag.LICENSE_REVOKED,
            actor=actor,
            now=now,
            organisation_id=organisation_id,
            subject=key_id,
            expires_at=expires_at.isoformat(),
        )
    return [key_id for key_id, _, _ in revoked]
