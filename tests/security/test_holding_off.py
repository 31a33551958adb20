"""Whoever is to be shut out cannot hold it off by asking on and on."""

import contextlib
import threading
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.users import get_user
from app.accounts.web_sessions import SignedInSession, find_web_session, sign_in_to_portal
from app.extensions import db
from app.models import User
from app.models.engine import writing
from tests.conftest import NOW, Cast, Visitor, authenticated
from tests.security.meanwhile import SHUT_OUT

pytestmark = pytest.mark.databases("postgres")

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
PATIENCE = 60


def until_so_many_wait(app: Flask, count: int, unless: list[SignedInSession | None]) -> None:
    """Wait until `count` transactions wait for a lock, or `unless` holds something."""
    give_up_at = time.monotonic() + PATIENCE
    with app.app_context(), db.engine.connect() as watcher:
        while watcher.scalar(WAITING) != count and not unless:
            watcher.rollback()
            assert time.monotonic() < give_up_at


@pytest.mark.parametrize("shut_out", SHUT_OUT)
def test_requests_that_overlap_do_not_hold_a_disabling_off(
    app: Flask, cast: Cast, shut_out: Callable[[Session], None]
) -> None:
    """Mallory has stolen a super admin's cookie. She sees to it that one request of hers always
    runs: each holds the user until it has committed, and if the next one could join it, whoever
    disables the user would wait for as long as she likes."""
    with app.app_context():
        session = db.session()
        token = sign_in_to_portal(session, who=authenticated(session, cast.ada), now=NOW)
        session.commit()
    found: list[SignedInSession | None] = []

    def ask(session: Session) -> SignedInSession | None:
        return find_web_session(
            session, token=token, now=NOW, idle_seconds=1800, max_seconds=43200, lock=True
        )

    def in_own_transaction(act: Callable[[Session], object]) -> threading.Thread:
        def run() -> None:
            with app.app_context(), writing(), Session(db.engine) as own, own.begin():
                act(own)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with app.app_context(), writing(), Session(db.engine) as first, first.begin():
        assert ask(first) is not None
        disabling = in_own_transaction(shut_out)
        until_so_many_wait(app, 1, found)
        second = in_own_transaction(lambda own: found.append(ask(own)))
        until_so_many_wait(app, 2, found)
        assert found == []
    for thread in (disabling, second):
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_two_super_admins_acting_on_each_other_wait_and_do_not_lock_each_other_out(
    app: Flask, cast: Cast, ada: Visitor, grace: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada and Grace sign each other out in the same instant. If each held her own account while she
    waits for the other's, the database would undo one of them, who had done nothing wrong."""
    both, statuses = threading.Barrier(2), []

    def once_both_are_here(session: Session, user_id: int) -> User:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.5)  # in vain if one waits for the other before
        return get_user(session, user_id)

    monkeypatch.setattr("app.portal.users.get_user", once_both_are_here)

    def sign_out(by: Visitor, email: str) -> None:
        path = f"/users/{cast.actor(email).user_id}/sign-out"
        statuses.append(by.post(path).status_code)

    threads = [
        threading.Thread(target=sign_out, args=pair)
        for pair in ((ada, cast.grace), (grace, cast.ada))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(statuses) == [303, 401]  # signed out by the other, who was quicker
