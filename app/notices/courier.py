"""Sending what is due: each try in a thread of its own, and nothing else in threads.

The database is asked and written by the one thread that calls `work`. Of each receiver a few tries
are under way at a time, so that one who hangs holds up nobody else.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from sqlalchemy.orm import Session

from app.accounts.links import LINK_PATH
from app.audit.notice_kinds import KINDS
from app.config import Config
from app.core.clock import rfc3339
from app.core.mail_server import MailServer
from app.models import Delivery, Webhook
from app.models.engine import reading_only
from app.notices.address_rules import read_address
from app.notices.deliveries import due_deliveries, due_receivers, is_anything_due, note_outcome
from app.notices.delivery_rules import Outcome
from app.notices.key_watch import look_at_keys
from app.notices.mail import UNWRITABLE, compose_mail, send_mail
from app.notices.mail_texts import subject_of, text_of
from app.notices.outbox import spread_notices
from app.notices.posting import post
from app.notices.sealing import LINK, WEBHOOK, unseal
from app.notices.signing import signed_headers

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Tries under way to one receiver; to the mail server too."""
PATIENCE_SECONDS = 1.0
"""How long `work` waits for answers; who takes longer is looked for the next time."""
STEPS = 20
UNREADABLE = Outcome(
    False, "Its secret was sealed under another secret key: remove it, and add it again"
)
BROKEN = Outcome(False, "The portal could not send it; its log says why")
Transaction = Callable[[], AbstractContextManager[Session]]
Errand = Callable[[], Outcome]


class Courier:
    """What is on its way. `transaction` begins one that is committed at its end."""

    def __init__(
        self,
        config: Config,
        *,
        transaction: Transaction,
        session: Callable[[], Session],
        clock: Callable[[], datetime],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._config, self._transaction, self._session = config, transaction, session
        self._clock, self._patience = clock, patience
        self._server = config.mail_server
        self._under_way: dict[int, int | None] = {}
        """The webhook of each delivery that is, None for a mail."""
        self._answers: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()
        self._outcomes: list[tuple[int, Outcome]] = []
        """Those that the database does not have yet."""

    def work(self) -> None:
        """Make deliveries of what is to be told, send what is due, and note the answers."""
        until = monotonic() + self._patience
        while True:
            self._collect(wait=0)
            self._note()
            with self._reading() as session:
                is_due = is_anything_due(session, now=self._clock())
            if is_due:
                self._spread()
                self._start_due()
            left = until - monotonic()
            if not self._under_way or left <= 0:
                return
            self._collect(wait=left)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with reading_only():
            session = self._session()
            try:
                yield session
            finally:
                session.rollback()

    def _spread(self) -> None:
        spread = partial(spread_notices, mail=self._server is not None)
        # A key that is new is looked at in the same round, and what is to be told of it is told.
        for step in (spread, look_at_keys, spread):
            for _ in range(STEPS):
                with self._transaction() as session:
                    if not step(session, now=self._clock()):
                        break

    def _start_due(self) -> None:
        with self._reading() as session:
            now = self._clock()
            errands = [
                (delivery.id, webhook_id, self._errand(session, delivery, now))
                for webhook_id in due_receivers(session, now=now)
                for delivery in self._next_of(session, webhook_id, now)
            ]
        for delivery_id, webhook_id, errand in errands:
            self._under_way[delivery_id] = webhook_id
            Thread(target=self._run, args=(delivery_id, errand), daemon=True).start()

    def _next_of(self, session: Session, webhook_id: int | None, now: datetime) -> list[Delivery]:
        own = [each for each, receiver in self._under_way.items() if receiver == webhook_id]
        free = AT_ONCE - len(own)
        if free <= 0:
            return []
        return due_deliveries(session, webhook_id=webhook_id, now=now, limit=free, but=own)

    def _errand(self, session: Session, delivery: Delivery, now: datetime) -> Errand:
        """The network's part of a try: it has all that it needs, and no database."""
        try:
            if delivery.webhook_id is None:
                return self._mail(delivery, now)
            webhook = session.get(Webhook, delivery.webhook_id)
            return webhook_errand(self._config, delivery, webhook, now)
        except Exception:  # what one delivery has must stop no other
            log.exception("delivery %s", delivery.message_id)
            return lambda: BROKEN

    def _mail(self, delivery: Delivery, now: datetime) -> Errand:
        if self._server is None:
            return lambda: Outcome(False, "No mail is sent: PORTAL_SMTP_URL is not set")
        return mail_errand(self._config, self._server, delivery, now)

    def _run(self, delivery_id: int, errand: Errand) -> None:
        try:
            outcome = errand()
        except Exception:
            log.exception("delivery number %s", delivery_id)
            outcome = BROKEN
        self._answers.put((delivery_id, outcome))

    def _collect(self, *, wait: float) -> None:
        """Take the answers that are there; if there is none, wait for one."""
        with suppress(Empty):
            while True:
                self._outcomes.append(self._answers.get(block=wait > 0, timeout=wait))
                wait = 0

    def _note(self) -> None:
        if not self._outcomes:
            return
        with self._transaction() as session:
            for delivery_id, outcome in self._outcomes:
                note_outcome(session, delivery_id, outcome, now=self._clock())
        for delivery_id, _ in self._outcomes:
            self._under_way.pop(delivery_id, None)
        self._outcomes.clear()


def mail_errand(config: Config, server: MailServer, delivery: Delivery, now: datetime) -> Errand:
    """Sending a delivery as a mail."""
    kind, root = KINDS[delivery.kind], config.known_root
    token = unseal(config.secret_key, LINK, delivery.sealed) if delivery.sealed else None
    link = f"{root}{LINK_PATH}/{token}" if root and token else ""
    try:
        message = compose_mail(
            sender=config.sender,
            to=delivery.address,
            subject=subject_of(kind, delivery.data),
            text=text_of(kind, delivery.data, root=root, link=link),
            message_id=delivery.message_id,
            now=now,
        )
    except ValueError:
        return lambda: UNWRITABLE
    return partial(send_mail, server, message)


def webhook_errand(
    config: Config, delivery: Delivery, webhook: Webhook | None, now: datetime
) -> Errand:
    """Posting a delivery to a webhook."""
    secret = webhook and unseal(config.secret_key, WEBHOOK, webhook.sealed_secret)
    if not secret:
        return lambda: UNREADABLE
    body = body_of(delivery.kind, delivery.happened_at, delivery.data)
    headers = signed_headers(secret, message_id=delivery.message_id, body=body, now=now)
    receiver = read_address(delivery.address)
    private = config.webhook_private
    return partial(post, receiver, body=body, headers=headers, private=private)


def body_of(kind: str, happened_at: datetime, data: dict[str, Any]) -> bytes:
    """The body of a webhook: the same bytes each time it is tried."""
    said = {"type": kind, "timestamp": rfc3339(happened_at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
