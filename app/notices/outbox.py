"""The outbox: what is to be told becomes a delivery for each receiver."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.audit.notice_kinds import NoticeKind
from app.core.tokens import new_token
from app.models import AuditEvent, Delivery, Notice, Webhook
from app.notices.facts import facts_of
from app.notices.key_watch import skip_past, watch_key
from app.notices.sealing import LINK, seal

AT_ONCE = 100
RESTORED = "Not sent: it waited when the copy was made that was restored"


def spread_notices(session: Session, *, now: datetime, mail: bool) -> int:
    """Make deliveries of some of the notices in the outbox; returns how many notices there were.

    Mails are made only if there is a server for them (`mail`).
    """
    notices = session.scalars(select(Notice).order_by(Notice.id).limit(AT_ONCE)).all()
    webhooks = session.scalars(select(Webhook).order_by(Webhook.id)).all() if notices else []
    for notice in notices:
        _spread(session, notice, webhooks, now=now, mail=mail)
        session.delete(notice)
    return len(notices)


def _spread(
    session: Session, notice: Notice, webhooks: Sequence[Webhook], *, now: datetime, mail: bool
) -> None:
    told = facts_of(session, notice)
    if told is None:
        return
    if notice.kind in (NoticeKind.KEY_GENERATED, NoticeKind.KEY_EXTENDED):
        watch_key(session, told.data["key_id"], now)
    receivers: list[tuple[int | None, str]] = [
        (webhook.id, webhook.address)
        for webhook in webhooks
        if notice.kind in webhook.events and webhook.created_at <= notice.happened_at
    ]
    if mail:
        receivers += [(None, email) for email in told.people]
    for webhook_id, address in receivers:
        session.add(
            Delivery(
                message_id=new_message_id(),
                kind=notice.kind,
                happened_at=notice.happened_at,
                data=told.data_for_people if webhook_id is None else told.data,
                webhook_id=webhook_id,
                address=address,
                sealed=notice.sealed if webhook_id is None else None,
                created_at=now,
                next_try_at=now,
            )
        )


def new_message_id() -> str:
    """A new `webhook-id`, which stays the same over all tries. It has no full stop."""
    return f"msg_{new_token()}"


def mail_link(session: Session, *, email: str, token: str, secret_key: str) -> bool:
    """Let the invitation of `email` be mailed with its link's token, if it was made just now.

    The database keeps the token sealed until the mail is sent or given up. Returns whether there is
    such an invitation: the link of a reset is not mailed, since who lost their password, or had it
    stolen, may have lost their mailbox too.
    """
    of_them = select(AuditEvent.id).where(
        AuditEvent.id == Notice.event_id, AuditEvent.subject == email
    )
    told = update(Notice).where(
        Notice.kind == NoticeKind.USER_INVITED.value, Notice.sealed.is_(None), of_them.exists()
    )
    sealed = told.values(sealed=seal(secret_key, LINK, token))
    return session.scalar(sealed.returning(Notice.id)) is not None


def forget_undelivered(session: Session, *, now: datetime) -> None:
    """After a restore: send nothing that the copy has as unsent, since it may have been sent since.

    Nor is told again of keys whose time has come meanwhile.
    """
    session.execute(delete(Notice))
    session.execute(
        update(Delivery)
        .where(Delivery.is_waiting())
        .values(next_try_at=None, given_up_at=now, answer=RESTORED, sealed=None)
    )
    skip_past(session, now=now)
