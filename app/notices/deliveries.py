"""Deliveries: those that are due, what became of them, and how long they are kept."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM
from app.core.text import shortened
from app.models import Delivery, KeyWatch, Notice
from app.models.notices import ANSWER_LENGTH
from app.notices.delivery_rules import Outcome, next_try

DELIVERED_KEPT = timedelta(days=7)
GIVEN_UP_KEPT = timedelta(days=30)


def is_anything_due(session: Session, *, now: datetime) -> bool:
    """Whether there is anything to do at `now`: three looks at indexes."""
    looks = (
        select(Notice.id).limit(1),
        select(KeyWatch.key_id).where(KeyWatch.look_at <= now).limit(1),
        select(Delivery.id).where(Delivery.is_due(now)).limit(1),
    )
    return any(session.scalar(look) is not None for look in looks)


def count_overdue(session: Session, *, before: datetime) -> int:
    """How many notices of before this instant are in the outbox still, as if nobody sent any.

    Deliveries that wait do not count: that may be for their receivers' sake.
    """
    overdue = select(func.count(Notice.id)).where(Notice.happened_at < before)
    return session.scalar(overdue) or 0


def due_receivers(session: Session, *, now: datetime) -> list[int | None]:
    """The webhooks for which something is due, None for mail; the longest waiting first."""
    query = (
        select(Delivery.webhook_id)
        .where(Delivery.is_due(now))
        .group_by(Delivery.webhook_id)
        .order_by(func.min(Delivery.next_try_at))
    )
    return list(session.scalars(query))


def due_deliveries(
    session: Session,
    *,
    webhook_id: int | None,
    now: datetime,
    limit: int,
    but: Collection[int],
) -> list[Delivery]:
    """The first that are due for a webhook, or as mail, without those that are `but`."""
    own = Delivery.webhook_id.is_(None) if webhook_id is None else Delivery.webhook_id == webhook_id
    query = (
        select(Delivery)
        .where(own, Delivery.is_due(now), Delivery.id.not_in(but))
        .order_by(Delivery.next_try_at, Delivery.id)
    )
    return list(session.scalars(query.limit(limit)))


def note_outcome(
    session: Session, delivery_id: int, outcome: Outcome, *, now: datetime, once: bool = False
) -> None:
    """Note what became of a try; what is given up is logged. One that is over stays as it is.

    What is tried `once` has been given up from the beginning, unless it is delivered.
    """
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or (delivery.next_try_at is None and not once):
        return
    delivery.tries += 1
    delivery.tried_at = now
    delivery.answer = shortened(outcome.answer, ANSWER_LENGTH - 1)
    delivery.next_try_at = None if once else next_try(outcome, delivery.tries, now)
    if outcome.delivered:
        delivery.delivered_at, delivery.given_up_at = now, None
    elif delivery.next_try_at is None:
        _give_up(session, delivery, now=now)
    if delivery.next_try_at is None:
        delivery.sealed = None


def _give_up(session: Session, delivery: Delivery, *, now: datetime) -> None:
    """List a delivery under "Not delivered", and log it."""
    delivery.given_up_at, delivery.next_try_at, delivery.sealed = now, None, None
    log_event(
        session,
        AuditTag.NOTICE_GIVEN_UP,
        actor=SYSTEM,
        now=now,
        subject=delivery.address,
        kind=delivery.kind,
        answer=delivery.answer,
    )


def last_deliveries(session: Session, webhook_id: int, *, limit: int) -> list[Delivery]:
    """The latest of a webhook, the newest first."""
    own = select(Delivery).where(Delivery.webhook_id == webhook_id)
    return list(session.scalars(own.order_by(Delivery.id.desc()).limit(limit)))


def count_not_delivered(session: Session) -> int:
    """How many were given up."""
    return session.scalar(select(func.count(Delivery.given_up_at))) or 0


def not_delivered(session: Session, *, limit: int, offset: int = 0) -> list[Delivery]:
    """Those that were given up, of mails and webhooks alike, the newest first."""
    query = select(Delivery).where(Delivery.given_up_at.is_not(None))
    newest = query.order_by(Delivery.given_up_at.desc(), Delivery.id.desc())
    return list(session.scalars(newest.offset(offset).limit(limit)))


def last_mail_failure(session: Session) -> str:
    """Why the mail that was tried last waits to be tried again; "" if it does not."""
    tried = select(Delivery).where(Delivery.webhook_id.is_(None), Delivery.tries > 0)
    last = session.scalar(tried.order_by(Delivery.id.desc()).limit(1))
    return last.answer if last is not None and last.next_try_at is not None else ""


def give_up_waiting(session: Session, webhook_id: int, *, answer: str, now: datetime) -> int:
    """Give up what waits for a webhook; returns how many there were."""
    waiting = update(Delivery).where(Delivery.webhook_id == webhook_id, Delivery.is_waiting())
    over = waiting.values(next_try_at=None, given_up_at=now, answer=answer)
    return len(session.scalars(over.returning(Delivery.id)).all())


def purge_deliveries(session: Session, *, now: datetime, step: int = 500) -> int:
    """Delete some of those that were delivered a week, or given up 30 days ago; says how many."""
    over = or_(
        Delivery.delivered_at <= now - DELIVERED_KEPT, Delivery.given_up_at <= now - GIVEN_UP_KEPT
    )
    some = select(Delivery.id).where(over).limit(step)
    gone = session.execute(delete(Delivery).where(Delivery.id.in_(some.scalar_subquery())))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]
