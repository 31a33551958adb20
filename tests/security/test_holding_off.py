"""Whoever is to be shut out cannot hold it off by asking on and on."""

import threading
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.web_sessions import SignedInSession, find_web_session, sign_in_to_portal
from app.extensions import db
from app.models.engine import writing
from tests.conftest import NOW, Cast, authenticated
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
