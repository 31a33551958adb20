"""The record of every time that somebody is shown a whole key, or copies one."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.audit.log import keys_with_event, log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import NotFound
from app.core.permissions import Permission
from app.licenses.key_records import AnyKey
from app.models import TemporaryLicense
from app.throttle import one_at_a_time

JUST_UNDER_A_MINUTE = timedelta(minutes=1, microseconds=-1)
NOT_YOURS = "There is no such key of yours."
"""Said of a key that there is not in the same words: nobody learns which there are."""


def was_disclosed(
    session: Session, *tags: AuditTag, actor: Actor, license: AnyKey, since: datetime
) -> bool:
    """Whether one of `tags` was logged for this person and key at or after `since`."""
    return bool(disclosed(session, *tags, actor=actor, licenses=[license], since=since))


def disclosed(
    session: Session,
    *tags: AuditTag,
    actor: Actor,
    licenses: Sequence[AnyKey],
    since: datetime,
) -> set[str]:
    """The Key IDs of those keys for which `was_disclosed` holds, by one query."""
    key_ids = [license.key_id for license in licenses]
    return keys_with_event(session, *tags, actor=actor, key_ids=key_ids, since=since)


def log_disclosure(
    session: Session,
    tag: AuditTag,
    *,
    actor: Actor,
    license: AnyKey,
    clock: Callable[[], datetime],
) -> None:
    """Log that a person was shown a key or copied it, at most once a minute for both and the tag.

    Raises NotAllowed.
    """
    actor.must(Permission.SEE_LICENSE_KEYS)
    _log_once_a_minute(session, tag, actor=actor, license=license, clock=clock)


def log_collecting(
    session: Session, *, actor: Actor, license: AnyKey, clock: Callable[[], datetime]
) -> None:
    """Log that the person for whom a key was made is shown it: at first as collected, then as
    viewed, at most once a minute. Raises NotAllowed, and NotFound for anybody else."""
    _must_be_for(actor, license)
    collected = (
        update(TemporaryLicense)
        .where(TemporaryLicense.id == license.id, TemporaryLicense.collected_at.is_(None))
        .values(collected_at=clock())
        .returning(TemporaryLicense.id)
    )
    first = session.execute(collected).first() is not None
    tag = AuditTag.LICENSE_COLLECTED if first else AuditTag.LICENSE_VIEWED
    _log_once_a_minute(session, tag, actor=actor, license=license, clock=clock)


def log_own_copy(
    session: Session, *, actor: Actor, license: AnyKey, clock: Callable[[], datetime]
) -> None:
    """Log that the person for whom a key was made has copied it. Raises as `log_collecting`."""
    _must_be_for(actor, license)
    tag = AuditTag.LICENSE_COPIED
    _log_once_a_minute(session, tag, actor=actor, license=license, clock=clock)


def _must_be_for(actor: Actor, license: AnyKey) -> None:
    actor.must(Permission.OWN_ACCESS)
    if license.recipient_id != actor.user_id:
        raise NotFound(NOT_YOURS)


def _log_once_a_minute(
    session: Session,
    tag: AuditTag,
    *,
    actor: Actor,
    license: AnyKey,
    clock: Callable[[], datetime],
) -> None:
    one_at_a_time(session, f"{tag} {actor.user_id} {license.key_id}")
    now = clock()
    since = now - JUST_UNDER_A_MINUTE
    if not was_disclosed(session, tag, actor=actor, license=license, since=since):
        log_event(
            session,
            tag,
            actor=actor,
            now=now,
            organisation_id=license.organisation_id,
            subject=license.key_id,
        )
