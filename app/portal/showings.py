"""Whoever is shown a whole key is in the audit log before they see it."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from flask import request, session
from flask_login import current_user
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from app.audit.tags import AuditTag
from app.core.clock import utcnow
from app.extensions import db
from app.licenses.disclosures import (
    JUST_UNDER_A_MINUTE,
    disclosed,
    log_collecting,
    log_disclosure,
    was_disclosed,
)
from app.licenses.key_records import AnyKey
from app.models import TemporaryLicense
from app.models.engine import is_reading, writing
from app.web.access import current_actor

log = logging.getLogger(__name__)

WAIT_MS = 1000
TIMER_WAIT_MS = 100
JUST_GENERATED = "just_generated"
NOT_LOGGED = (
    "Whoever is shown a key is recorded, and the record cannot be written just now because the "
    "database is busy. Try again in a moment."
)


def log_showing(license: AnyKey, *, generated: bool = False) -> bool:
    """Log that the current user is shown a license's key; False if that cannot be done now.

    What this request or the one before it has `generated` is logged as issued already, and what a
    timer refreshes as shown, unless it was not. A request that only reads is given a short
    transaction of its own for this; a key whose showing cannot be logged must not be shown.
    """
    generated = generated or session.pop(JUST_GENERATED, None) == license.key_id
    tags = (AuditTag.LICENSE_ISSUED, AuditTag.LICENSE_VIEWED)
    if (generated or _by_timer()) and _was_shown(license, *tags, since=_since()):
        return True
    tag, actor = AuditTag.LICENSE_VIEWED, current_actor()
    if is_reading() and _was_shown(license, tag, since=utcnow() - JUST_UNDER_A_MINUTE):
        return True
    return _log(partial(log_disclosure, tag=tag, actor=actor, license=license, clock=utcnow))


def log_collection(licenses: Sequence[TemporaryLicense]) -> bool:
    """Log that the current user is shown keys made for them; False if that cannot be done now.

    What a timer refreshes is logged only if it was not shown in this sign-in.
    """
    since, actor = _since(), current_actor()
    tags = (AuditTag.LICENSE_COLLECTED, AuditTag.LICENSE_VIEWED)
    known = disclosed(db.session(), *tags, actor=actor, licenses=licenses, since=since)
    new = [license for license in licenses if license.key_id not in known]

    def log_all(session: Session) -> None:
        for license in new:
            log_collecting(session, actor=actor, license=license, clock=utcnow)

    return not new or _log(log_all)


def _by_timer() -> bool:
    """Whether nobody asks, but a page that refreshes itself."""
    return "X-Timer" in request.headers


def _since() -> datetime:
    """Since when a key that was shown counts as shown: for a timer in all of this sign-in."""
    return current_user.signed_in_at if _by_timer() else utcnow() - JUST_UNDER_A_MINUTE


def _was_shown(license: AnyKey, *tags: AuditTag, since: datetime) -> bool:
    actor = current_actor()
    return was_disclosed(db.session(), *tags, actor=actor, license=license, since=since)


def _log(write: Callable[[Session], None]) -> bool:
    """Log with the request, or, if that only reads, in a short transaction beside it; whether it
    could be done."""
    if not is_reading():
        write(db.session())
        return True
    try:
        wait_ms = TIMER_WAIT_MS if _by_timer() else WAIT_MS
        with writing(wait_ms=wait_ms), Session(db.engine) as own, own.begin():
            write(own)
    except (DBAPIError, PoolTimeoutError) as error:
        log.warning("a key was not shown, because that could not be logged: %s", error)
        return False
    return True
