"""Webhooks: added, removed, listed and tested."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.notice_kinds import NoticeKind
from app.audit.tags import AuditTag
from app.config import Config
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import Permission
from app.models import Delivery, Webhook
from app.notices.address_rules import Ip, check_host, check_open, read_address
from app.notices.deliveries import give_up_waiting
from app.notices.outbox import new_message_id
from app.notices.posting import NameNotFound, resolve
from app.notices.sealing import WEBHOOK, seal
from app.notices.signing import new_secret
from app.throttle import one_at_a_time

MOST_WEBHOOKS = 20
"""Each may have a few threads of the background process at a time."""
TEST = "webhook.test"
REMOVED = "The webhook was removed"
RESOLVE_SECONDS = 3


def check_address(address: str, config: Config) -> None:
    """Look at an address before the transaction begins, since the DNS may take a while.

    A name that the DNS does not know now may be known later: each delivery looks again. Raises
    InvalidInput (field "address").
    """
    receiver = read_address(address)
    if config.webhook_private:
        return
    check_host(receiver.host)
    found: list[Ip] = []
    try:
        found = resolve(receiver.host, receiver.port, RESOLVE_SECONDS)
    except NameNotFound:
        return
    check_open(receiver.host, found)


def add_webhook(
    session: Session,
    *,
    actor: Actor,
    address: str,
    events: Sequence[str],
    config: Config,
    now: datetime,
) -> tuple[Webhook, str]:
    """Add a webhook, for which `check_address` was called: (webhook, its secret).

    Raises NotAllowed, InvalidInput (field "address" or "events"), and Conflict if there is one with
    this address, or no more room.
    """
    actor.must(Permission.MANAGE_WEBHOOKS)
    receiver = read_address(address)
    if not config.webhook_private:
        check_host(receiver.host)
    chosen = [kind.value for kind in NoticeKind if kind.value in events]
    if not chosen or len(chosen) < len(set(events)):
        raise InvalidInput("events", "Choose at least one event, of those that there are.")
    one_at_a_time(session, "webhooks")
    if session.scalar(select(Webhook.id).where(Webhook.address == address)) is not None:
        raise Conflict("There is a webhook with this address already.")
    if (session.scalar(select(func.count(Webhook.id))) or 0) >= MOST_WEBHOOKS:
        raise Conflict(f"There are {MOST_WEBHOOKS} webhooks, which is the most. Remove one first.")
    secret = new_secret()
    webhook = Webhook(
        address=address,
        events=chosen,
        sealed_secret=seal(config.secret_key, WEBHOOK, secret),
        added_by_id=actor.user_id,
        created_at=now,
    )
    session.add(webhook)
    tag = AuditTag.WEBHOOK_ADDED
    log_event(session, tag, actor=actor, now=now, subject=address, events=", ".join(chosen))
    return webhook, secret


def list_webhooks(session: Session) -> list[Webhook]:
    """All webhooks, the oldest first."""
    return list(session.scalars(select(Webhook).order_by(Webhook.id)))


def get_webhook(session: Session, webhook_id: int) -> Webhook:
    """The webhook with this id. Raises NotFound."""
    webhook = session.get(Webhook, webhook_id)
    if webhook is None:
        raise NotFound("There is no such webhook.")
    return webhook


def find_webhook(session: Session, address: str) -> Webhook:
    """The webhook with this address. Raises NotFound."""
    webhook = session.scalar(select(Webhook).where(Webhook.address == address))
    if webhook is None:
        raise NotFound("There is no webhook with this address.")
    return webhook


def remove_webhook(session: Session, webhook: Webhook, *, actor: Actor, now: datetime) -> None:
    """Remove a webhook; what waits for it is not delivered. Raises NotAllowed."""
    actor.must(Permission.MANAGE_WEBHOOKS)
    give_up_waiting(session, webhook.id, answer=REMOVED, now=now)
    session.delete(webhook)
    log_event(session, AuditTag.WEBHOOK_REMOVED, actor=actor, now=now, subject=webhook.address)


def add_test(
    session: Session, webhook: Webhook, *, actor: Actor, now: datetime, once: bool = False
) -> Delivery:
    """Add a test to what a webhook is sent; `once` if the caller sends it, and notes the outcome.

    Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_WEBHOOKS)
    test = Delivery(
        message_id=new_message_id(),
        kind=TEST,
        happened_at=now,
        data={"sent_by": actor.email},
        webhook_id=webhook.id,
        address=webhook.address,
        created_at=now,
        next_try_at=None if once else now,
        given_up_at=now if once else None,
        answer="Interrupted" if once else "",
    )
    session.add(test)
    log_event(session, AuditTag.WEBHOOK_TESTED, actor=actor, now=now, subject=webhook.address)
    return test
