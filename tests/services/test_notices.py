"""Notices: written with what they tell of, sent by mail and to webhooks, tried again, given up."""

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.access.requests import add_request, refuse_request
from app.accounts.links import make_link
from app.accounts.users import NO_PASSWORD, create_user, disable_user
from app.audit.notice_kinds import NoticeKind
from app.config import Config
from app.core.permissions import Role
from app.extensions import db
from app.licenses.extending import extend_license
from app.licenses.keyring import rotate_signing_key
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import find_license
from app.licenses.rules import MachineIds
from app.licenses.services import note_sign_in, revoke_license
from app.models import AuditEvent, Delivery, Notice, Request, TemporaryLicense, User, Webhook
from app.models.engine import writing
from app.notices import posting
from app.notices.courier import AT_ONCE, Courier
from app.notices.deliveries import not_delivered, purge_deliveries
from app.notices.outbox import forget_undelivered, mail_link
from app.notices.webhooks import add_webhook, remove_webhook
from tests.agents.stage import issue
from tests.conftest import NOW, PASSWORD, Cast, Clock
from tests.receivers import (
    Behave,
    MailReceiver,
    Posted,
    WebhookReceiver,
    answer,
    mail_receiver,
    webhook_receiver,
)

HOUR = 3600
EVERY_KIND = [kind.value for kind in NoticeKind]
PASTED = f"rw1.eyJ2IjoxfQ.aaaaaa.{'A' * 80}"
"""A key, nearly: whole ones would be found in what these tests leave behind."""
EVENTS = int(os.environ.get("TEST_NOTICES", "60"))
"""How many are sent to a receiver that fails at random; an environment may ask for more."""


class Post:
    """The part of the background process that sends, its clock, and who it sends to."""

    def __init__(self, config: Config, cast: Cast, mail: MailReceiver) -> None:
        self.cast, self.mail, self.clock = cast, mail, Clock(NOW)
        self.config = replace(config, smtp_url=mail.url, webhook_private=True)
        self.courier = self.new_courier()

    def new_courier(self, patience: float = 30) -> Courier:
        return Courier(
            self.config,
            transaction=self.transaction,
            session=db.session,
            clock=self.clock.now,
            patience=patience,
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with writing():
            try:
                yield db.session()
                db.session.commit()
            finally:
                db.session.rollback()

    def send(self, **later: float) -> None:
        """Commit, and let the courier work as if so much later."""
        db.session.commit()
        self.clock.advance(**later)
        self.courier.work()

    def listen(self, address: str, events: list[str] = EVERY_KIND) -> tuple[int, str]:
        webhook, secret = add_webhook(
            db.session(),
            actor=self.cast.actor(self.cast.ada),
            address=address,
            events=events,
            config=self.config,
            now=self.clock.now(),
        )
        db.session.commit()
        return webhook.id, secret

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mail.mails]


@pytest.fixture
def post(session: Session, cast: Cast, app: Flask) -> Iterator[Post]:
    with mail_receiver() as mail:
        post = Post(app.extensions["config"], cast, mail)
        post.send()  # nothing is told of what the stage has done
        mail.mails.clear()
        yield post


@pytest.fixture
def hook() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


def key(post: Post, *, ttl: int = HOUR, now: datetime = NOW, **carried: Any) -> str:
    """The Key ID of a new key, committed."""
    options = KeyOptions(ttl, **carried)
    return issue(db.session(), post.cast, now=now, ttl=ttl, options=options).key_id


def ask(post: Post, by: str = Cast.ada, **asked: Any) -> Request:
    return add_request(
        db.session(),
        actor=post.cast.actor(by),
        organisation_id=asked.pop("organisation_id", post.cast.acme),
        options=KeyOptions(ttl=HOUR, **asked),
        length=HOUR,
        now=post.clock.now(),
    )


def later_end(post: Post, key_id: str, ends_at: datetime) -> None:
    extend_license(
        db.session(),
        actor=post.cast.actor(post.cast.ada),
        key_id=key_id,
        ends_at=ends_at,
        reason="",
        limits=post.config.key_limits,
        clock=post.clock.now,
    )


def only_delivery() -> Delivery:
    db.session.expire_all()
    return db.session.scalars(select(Delivery)).one()


class TestWhoIsTold:
    @pytest.mark.databases("sqlite", "postgres")
    def test_an_event_and_its_notice_are_one_transaction(self, post: Post) -> None:
        ask(post)
        db.session.rollback()
        post.send()
        assert post.mail.mails == []
        ask(post)
        post.send()
        assert {str(mail["To"]) for mail in post.mail.mails} == {post.cast.ada, post.cast.grace}
        assert db.session.scalar(select(func.count(Notice.id))) == 0

    def test_of_a_key_its_recipient_and_nobody_else(self, post: Post) -> None:
        ada = post.cast.actor(post.cast.ada)
        key_id = key(post, recipient=post.cast.pat)
        later_end(post, key_id, NOW + timedelta(hours=2))
        revoke_license(db.session(), actor=ada, key_id=key_id, now=NOW)
        revoke_license(db.session(), actor=ada, key_id=key(post), now=NOW)  # for any
        post.send()
        assert {str(mail["To"]) for mail in post.mail.mails} == {post.cast.pat}
        assert sorted(post.subjects()) == [
            f"Key {key_id} was generated for you",
            f"Key {key_id} was revoked",
            f"Key {key_id} works longer",
        ]

    def test_decisions_who_asked_and_the_rest_super_admins_who_are_enabled(
        self, post: Post
    ) -> None:
        ada = post.cast.actor(post.cast.ada)
        disable_user(db.session(), email=post.cast.grace, actor=ada, now=NOW)
        for by in (post.cast.ada, post.cast.grace):
            asked = ask(post, by, organisation_id="ORG-UNKNOWN")
            decided = {"request_id": asked.id, "reason": "no", "clock": lambda: NOW}
            refuse_request(db.session(), actor=ada, **decided)
        keys = post.config.signing_keys
        rotate_signing_key(db.session(), signing_keys=keys, actor=ada, now=NOW)
        post.send()
        assert {str(mail["To"]) for mail in post.mail.mails} == {post.cast.ada}
        told = Counter(subject.rpartition(" ")[2] for subject in post.subjects())
        assert (told["key"], told["refused"]) == (2, 1), "Grace is not told of hers"
        assert told.total() == 4

    def test_what_another_version_has_written_stops_nothing(self, post: Post) -> None:
        db.session.add(Notice(kind="key.sold", happened_at=NOW))
        ask(post)
        post.send()
        assert len(post.mail.mails) == 2

    def test_a_refused_partner_learns_of_no_organisation(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        """Asking for one ID after the other must not tell which customers there are."""
        post.listen(hook.address, ["request.refused"])
        post.config = replace(post.config, public_url="https://p.example")
        post.courier = post.new_courier()
        ada, texts = post.cast.actor(post.cast.ada), []
        for organisation_id in (post.cast.bolt, "ORG-UNKNOWN"):
            asked = ask(post, post.cast.pat, organisation_id=organisation_id)
            decided = {"request_id": asked.id, "reason": "no", "clock": lambda: NOW}
            refuse_request(db.session(), actor=ada, **decided)
            post.send()
            text = post.mail.to(post.cast.pat)[-1].get_content()
            assert "https://p.example/access" in text
            texts.append(text.replace(organisation_id, "ID").replace(f"Request: {asked.id}", ""))
        assert texts[0] == texts[1]
        assert [posted.said["data"]["organisation"] for posted in hook.posted] == [
            "Bolt & Söhne",
            None,
        ]

    def test_an_invitation_has_its_link_once_and_the_database_does_not(self, post: Post) -> None:
        """Whoever has the link chooses the password: it is sealed, and blanked once it is sent."""
        ada, session = post.cast.actor(post.cast.ada), db.session()
        user = create_user(
            session,
            email="new@example.com",
            role=Role.AUDITOR,
            password_hash=NO_PASSWORD,
            actor=ada,
            now=NOW,
        )
        token = make_link(session, user=user, actor=ada, now=NOW)
        mail_link(session, email=user.email, token=token, secret_key=post.config.secret_key)
        post.mail.replies = ["451 later"]
        post.send()
        waiting = only_delivery()
        assert waiting.sealed is not None
        assert token.encode() not in waiting.sealed
        assert token not in str(waiting.data)
        post.send(seconds=5)
        [mail] = post.mail.to("new@example.com")
        assert f"{post.config.known_root}/password/{token}" in mail.get_content()
        assert only_delivery().sealed is None

    @pytest.mark.parametrize("private", [True, False])
    def test_webhooks_get_what_they_listen_for(
        self, post: Post, hook: WebhookReceiver, private: bool
    ) -> None:
        post.config = replace(post.config, webhook_private=True)
        _, secret = post.listen(hook.address, ["key.generated"])
        post.config = replace(post.config, webhook_private=private)
        post.courier = post.new_courier()
        key_id = key(post, reason="Migration")
        ask(post)
        post.send()
        if not private:
            assert hook.posted == []
            assert "private network" in next(
                each.answer for each in db.session.scalars(select(Delivery)) if each.webhook_id
            )
            return
        [posted] = hook.posted
        assert posted.is_signed_with(secret)
        assert posted.said["type"] == "key.generated"
        assert posted.said["timestamp"] == "2026-11-24T15:40:00Z"
        assert posted.said["data"]["key_id"] == key_id
        assert posted.said["data"]["reason"] == "Migration"
        assert posted.headers["host"] == f"127.0.0.1:{hook.port}"

    def test_a_webhook_is_told_nothing_from_before_it_was_added(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        ask(post)
        post.clock.advance(seconds=1)
        post.listen(hook.address)
        post.send()
        assert hook.posted == []

    def test_no_notice_holds_a_key_that_was_pasted_somewhere(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        """In an earlier version somebody in a hurry wrote the old key into "Reason", which is
        refused now; it must not go out by mail."""
        post.listen(hook.address)
        key(post, recipient=post.cast.pat, ticket="T-1")
        db.session.execute(update(TemporaryLicense).values(reason=f"instead of {PASTED}"))
        post.send()
        [mail], [posted] = post.mail.mails, hook.posted
        sent = mail.as_string() + mail.get_content() + posted.body.decode()
        assert "AAAA" not in sent
        assert PASSWORD not in sent
        assert "instead of (a key, left out)" in mail.get_content()

    @pytest.mark.parametrize(
        ("for_whom", "who", "new_role"),
        [("", Cast.ada, Role.PARTNER), (Cast.pat, Cast.pat, Role.CLIENT)],
    )
    def test_nobody_is_told_of_keys_that_are_none_of_their_business_any_more(
        self, post: Post, *, for_whom: str, who: str, new_role: Role
    ) -> None:
        """Ada is a super admin no more, Pat works for another client: what ends at Acme, and why,
        is nothing to mail to them."""
        key(post, recipient=for_whom, reason="Migration")
        post.send()
        post.mail.mails.clear()
        changed = update(User).where(User.email == who)
        organisation_id = post.cast.bolt if new_role is Role.CLIENT else None
        db.session.execute(changed.values(role=new_role, organisation_id=organisation_id))
        post.send(minutes=48)
        post.send(hours=1)
        assert post.subjects() == []


class TestTime:
    @pytest.mark.databases("sqlite", "postgres")
    def test_ends_soon_and_expired_each_once(self, post: Post) -> None:
        key_id = key(post, recipient=post.cast.pat)  # of an hour: 12 minutes before its end
        post.send(minutes=47, seconds=59)
        post.send(seconds=1)
        post.send(minutes=11, seconds=59)
        post.send(seconds=1)
        post.send(hours=1)
        assert post.subjects() == [
            f"Key {key_id} was generated for you",
            f"Key {key_id} ends soon",
            f"Key {key_id} has expired",
        ]

    def test_without_a_recipient_who_issued_it_is_told(self, post: Post) -> None:
        key(post)
        post.send(minutes=48)
        assert [str(mail["To"]) for mail in post.mail.mails] == [post.cast.ada]

    def test_anew_after_it_was_extended(self, post: Post) -> None:
        key_id = key(post)
        post.send(minutes=50)
        later_end(post, key_id, NOW + timedelta(minutes=61))
        post.send()  # 12 minutes and 12 seconds before the end: that was at 48:48
        later_end(post, key_id, NOW + timedelta(hours=10))
        post.send(hours=7, minutes=9)
        assert post.subjects() == [f"Key {key_id} ends soon"] * 2
        post.send(minutes=1)
        assert post.subjects() == [f"Key {key_id} ends soon"] * 3

    def test_nothing_of_a_key_that_was_revoked(self, post: Post) -> None:
        revoke_license(
            db.session(), actor=post.cast.actor(post.cast.ada), key_id=key(post), now=NOW
        )
        post.send(hours=2)
        assert post.mail.mails == []

    def test_a_key_that_is_used_in_time_goes_on(self, post: Post) -> None:
        unused, used = (key(post, use_within=900) for _ in range(2))
        license = find_license(db.session(), used)
        assert license is not None
        note_sign_in(db.session(), license, MachineIds("", ""), NOW)
        post.send(minutes=15)
        assert post.subjects() == [f"Key {unused} has expired"]
        assert "Unused: yes" in post.mail.mails[0].get_content()
        post.send(minutes=45)
        assert post.subjects()[-1] == f"Key {used} has expired"


class TestTrying:
    def test_the_pauses_and_then_it_is_listed(self, post: Post, hook: WebhookReceiver) -> None:
        """Down for a day: tried seven times with the same id, then listed, and logged."""
        hook.behave = answer(503)
        post.listen(hook.address, ["request.made"])
        ask(post)
        post.send()
        pauses = [5, 60, 600, 3600, 4 * 3600, 10 * 3600]
        for tries, pause in enumerate(pauses, start=1):
            assert len(hook.posted) == tries
            post.send(seconds=pause - 1)
            assert len(hook.posted) == tries
            post.send(seconds=1)
        assert len({posted.id for posted in hook.posted}) == 1
        assert len({posted.headers["webhook-timestamp"] for posted in hook.posted}) == 7
        assert len({posted.body for posted in hook.posted}) == 1
        [given_up] = not_delivered(db.session(), limit=9)
        assert (given_up.answer, given_up.tries, given_up.next_try_at) == ("HTTP 503", 7, None)
        assert db.session.scalars(
            select(AuditEvent.subject).where(AuditEvent.tag == "notice.given_up")
        ).all() == [hook.address]
        post.send(days=3)
        assert len(hook.posted) == 7

    def test_it_comes_back(self, post: Post, hook: WebhookReceiver) -> None:
        hook.behave = answer(500)
        post.listen(hook.address, ["request.made"])
        ask(post)
        post.send()
        hook.behave = answer(200, body=b"x" * 10_000_000)
        post.send(seconds=5)
        post.send(days=1)
        assert len(hook.posted) == 2
        assert not_delivered(db.session(), limit=9) == []

    @pytest.mark.parametrize(
        ("behave", "sentence"),
        [
            (answer(410), "HTTP 410"),
            (answer(302, "Location: http://127.0.0.1:1/\r\n"), "HTTP 302"),
            (lambda _posted, _connection: None, "It hung up, or spoke no HTTP"),
            (
                lambda _posted, connection: connection.sendall(b"SSH-2.0\r\n\r\n"),
                "It hung up, or spoke no HTTP",
            ),
        ],
    )
    def test_what_receivers_do(
        self, post: Post, hook: WebhookReceiver, behave: Behave, sentence: str
    ) -> None:
        hook.behave = behave
        post.listen(hook.address, ["request.made"])
        ask(post)
        post.send()
        delivery = db.session.scalars(
            select(Delivery).where(Delivery.webhook_id.is_not(None))
        ).one()
        assert delivery.answer == sentence
        assert (delivery.next_try_at is None) == (sentence == "HTTP 410")
        assert len(hook.posted) == 1

    def test_who_drips_or_hangs_holds_up_nobody(
        self, post: Post, hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One receiver sends a byte now and then, another nothing at all; a third, and the mails,
        are served in the same round, and the slow ones are cut off after ten seconds (here: two).
        """
        monkeypatch.setattr(posting, "ALL_SECONDS", 2)

        def drip(_posted: Posted, connection: socket.socket) -> None:
            while not slow.ended.wait(0.05):
                connection.sendall(b"H")

        with webhook_receiver() as slow, webhook_receiver() as silent:
            slow.behave = drip
            silent.behave = lambda _posted, _connection: silent.ended.wait() and None
            for receiver in (slow, silent, hook):
                post.listen(receiver.address, ["request.made"])
            for _ in range(3 * AT_ONCE):
                ask(post)
            post.courier = post.new_courier(patience=1.5)
            post.send()
            assert len(hook.posted) == 3 * AT_ONCE
            assert len(post.mail.mails) == 2 * 3 * AT_ONCE
            assert len(slow.posted) == len(silent.posted) == AT_ONCE
            post.courier = post.new_courier()  # as after the process was killed
            post.send()
            answers = db.session.scalars(
                select(Delivery.answer).where(Delivery.delivered_at.is_(None))
            ).all()
            assert answers == ["No answer within 2 seconds"] * 2 * 3 * AT_ONCE

    def test_killed_before_it_could_note_it_sends_the_same_again(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        """At least once, and the receiver can tell: the same `webhook-id`, the same body."""
        post.listen(hook.address, ["request.made"])
        ask(post)
        post.courier = post.new_courier(patience=0)
        post.send()
        while not hook.posted:
            time.sleep(0.01)
        post.courier = post.new_courier()
        post.send(seconds=1)
        post.send(days=1)
        first, again = hook.posted
        assert (first.id, first.body) == (again.id, again.body)

    @pytest.mark.parametrize(
        ("replies", "tries", "given_up"),
        [
            (["451 greylisted", "hang up", "250 OK"], 3, False),
            (["550 no such mailbox"], 1, True),
        ],
    )
    def test_what_mail_servers_do(
        self, post: Post, replies: list[str], tries: int, given_up: bool
    ) -> None:
        post.mail.replies = replies
        key(post, recipient=post.cast.pat)
        post.send()
        post.send(seconds=5)
        post.send(minutes=1)
        delivery = only_delivery()
        assert (delivery.tries, delivery.given_up_at is not None) == (tries, given_up)
        assert len(post.mail.mails) == (not given_up)
        if not given_up:
            assert post.mail.mails[0]["Message-ID"] == f"<{delivery.message_id}@localhost>"

    def test_a_recipient_is_refused_for_good(self, post: Post) -> None:
        post.mail.rcpt_replies = ["550 unknown"]
        key(post, recipient=post.cast.pat)
        post.send()
        assert only_delivery().answer == "SMTP 550"
        assert only_delivery().given_up_at is not None

    def test_a_wrong_password_of_the_portal_can_be_mended(self, post: Post) -> None:
        """A day's mails are not lost because somebody changed the mailbox's password."""
        with mail_receiver(password="p@ss/w:rd") as strict:
            for password, tries in (("old", 1), ("p%40ss%2Fw%3Ard", 2)):
                url = f"smtp://portal:{password}@127.0.0.1:{strict.port}"
                post.config = replace(post.config, smtp_url=url)
                post.courier = post.new_courier()
                if tries == 1:
                    key(post, recipient=post.cast.pat)
                post.send(seconds=5 * (tries - 1))
                assert only_delivery().tries == tries
            assert len(strict.mails) == 1

    def test_starttls_never_goes_on_in_clear(self, post: Post) -> None:
        url = post.mail.url.replace("smtp:", "smtp+starttls:")
        post.config = replace(post.config, smtp_url=url)
        post.courier = post.new_courier()
        key(post, recipient=post.cast.pat)
        post.send()
        assert post.mail.mails == []
        assert "does not offer" in only_delivery().answer

    def test_without_a_server_no_mail_is_made(self, post: Post) -> None:
        post.config = replace(post.config, smtp_url="")
        post.courier = post.new_courier()
        key(post, recipient=post.cast.pat)
        post.send()
        assert db.session.scalars(select(Delivery)).all() == []

    def test_what_waits_for_a_removed_webhook_is_not_delivered(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        hook.behave = answer(500)
        webhook_id, _ = post.listen(hook.address, ["request.made"])
        ask(post)
        post.send()
        webhook = db.session.get_one(Webhook, webhook_id)
        remove_webhook(db.session(), webhook, actor=post.cast.actor(post.cast.ada), now=NOW)
        post.send(seconds=5)
        assert len(hook.posted) == 1
        assert [each.answer for each in not_delivered(db.session(), limit=9)] == [
            "The webhook was removed"
        ]


class TestKept:
    @pytest.mark.databases("sqlite", "postgres")
    def test_delivered_a_week_and_given_up_thirty_days(self, post: Post) -> None:
        post.mail.replies = ["550 no"]
        key(post, recipient=post.cast.pat)
        post.send()
        key(post, recipient=post.cast.pat)
        post.send()
        kept = []
        for days in (6, 1, 22, 1):
            purge_deliveries(db.session(), now=post.clock.advance(days=days))
            kept.append(db.session.scalar(select(func.count(Delivery.id))))
        assert kept == [2, 1, 1, 0]

    def test_after_a_restore_nothing_of_the_copy_is_sent_again(
        self, post: Post, hook: WebhookReceiver
    ) -> None:
        """What the copy has as unsent was sent since, perhaps."""
        hook.behave = answer(500)
        post.listen(hook.address)
        told = key(post)
        post.send()
        ask(post)
        post.clock.advance(minutes=50)
        forget_undelivered(db.session(), now=post.clock.now())
        posted = len(hook.posted)
        post.send(minutes=1)
        assert (len(hook.posted), post.mail.mails) == (posted, [])
        assert {each.answer for each in not_delivered(db.session(), limit=9)} == {
            "Not sent: it waited when the copy was made that was restored"
        }
        post.send(minutes=9)
        assert post.subjects() == [f"Key {told} has expired"]


def test_a_receiver_that_fails_at_random_loses_nothing(post: Post, hook: WebhookReceiver) -> None:
    """Each is acknowledged once, or listed as not delivered; none holds a key.

    It refuses, hangs up before and after it has taken something, redirects, or is gone for good.
    """
    chance = random.Random(1)

    def behave(posted: Posted, connection: socket.socket) -> None:
        what = chance.random()
        if what < 0.4:
            hook.acknowledge(posted)
            answer(204)(posted, connection)
        elif what < 0.42:
            answer(410)(posted, connection)
        elif what < 0.8:
            answer(chance.choice([302, 400, 429, 500, 503]))(posted, connection)

    hook.behave = behave
    post.listen(hook.address, ["request.made"])
    post.config = replace(post.config, smtp_url="")
    post.courier = post.new_courier()
    for _ in range(EVENTS):
        ask(post, reason=PASTED)
    for hours in (0, 1, 1, 1, 1, 5, 11):
        post.send(hours=hours)
    deliveries = db.session.scalars(select(Delivery)).all()
    assert len(deliveries) == EVENTS
    delivered = {each.message_id for each in deliveries if each.delivered_at}
    given_up = {each.message_id for each in deliveries if each.given_up_at}
    assert len(delivered) + len(given_up) == EVENTS
    assert Counter(hook.acknowledged) == dict.fromkeys(delivered, 1)
    assert {each.message_id for each in not_delivered(db.session(), limit=EVENTS)} == given_up
    assert not any(b"AAAA" in posted.body for posted in hook.posted)
    requests = {posted.id: posted.said["data"]["request_id"] for posted in hook.posted}
    assert len(set(requests.values())) == EVENTS
