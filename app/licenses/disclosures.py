"""The record of every time that somebody is shown a whole key, or copies one."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.audit.log import has_event, log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.permissions import Permission
from app.licenses.key_records import AnyKey
from app.throttle import one_at_a_time

JUST_UNDER_A_MINUTE = timedelta(minutes=1, microseconds=-1)


def was_disclosed(
    session: Session, *tags: AuditTag, actor: Actor, license: AnyKey, since: datetime
) -> bool:
    """Whether one of `tags` was logged for this person and key at or after `since`."""
    return has_event(
        session,
        *tags,
        actor=actor,
        organisation_id=license.organisation_id,
        subject=license.key_id,
        since=since,
    )


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
