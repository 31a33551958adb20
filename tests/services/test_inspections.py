"""How often an address may look at keys: counted in the database, for all workers together."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import create_app
from app.core.durations import Rate
from app.extensions import db
from app.models import KeyInspection
from app.throttle import count_inspection
from tests.agents.api_stage import RealAgent, to_the_app
from tests.conftest import NOW, Cast, Clock

pytestmark = pytest.mark.databases("sqlite", "postgres")

LIMIT = Rate(3, 60)
HERE, THERE = "198.51.100.9", "203.0.113.1"


def look(session: Session, seconds: float, address: str = HERE) -> int:
    now = NOW + timedelta(seconds=seconds)
    return count_inspection(session, address=address, now=now, limit=LIMIT)


@pytest.mark.parametrize(("seconds", "wait"), [(59, 1), (59.999, 1), (60, 0), (61, 0)])
def test_the_window_slides(session: Session, seconds: float, wait: int) -> None:
    assert [look(session, at) for at in (0, 20, 40)] == [0, 0, 0]
    assert look(session, seconds) == wait


def test_who_is_over_the_limit_is_told_how_long_to_wait(session: Session) -> None:
    for at in (0, 20, 40):
        look(session, at)
    assert [look(session, at) for at in (40, 41.5, 50)] == [20, 19, 10]
    assert look(session, 60) == 0
    assert look(session, 60) == 20


def test_looks_that_are_refused_do_not_make_it_longer(session: Session) -> None:
    for _ in range(50):
        look(session, 0)
    assert look(session, 60) == 0


def test_another_address_has_a_count_of_its_own(session: Session) -> None:
    for _ in range(4):
        look(session, 0)
    assert look(session, 0, THERE) == 0


def test_whoever_has_an_ipv6_network_has_one_count(session: Session) -> None:
    """Somebody takes another of the 2**64 addresses of their own network for each look."""
    answers = [look(session, 0, f"2001:db8:1:2:{host:x}::1") for host in range(5)]
    assert answers == [0, 0, 0, 60, 60]
    assert look(session, 0, "2001:db8:1:3::1") == 0
    assert look(session, 0, "::ffff:198.51.100.9") == look(session, 0, HERE) == 0
    assert [look(session, 0, HERE), look(session, 0, "::ffff:198.51.100.9")] == [0, 60]


def test_what_no_longer_counts_is_forgotten(session: Session) -> None:
    look(session, 0, THERE)
    look(session, 60)
    assert session.scalars(select(KeyInspection.address)).all() == [HERE]


def test_a_clock_that_is_set_back_locks_nobody_out(session: Session) -> None:
    for _ in range(3):
        look(session, 86_400)
    assert look(session, 0) == 0


def test_looks_at_the_same_instant_get_no_more_than_the_limit(app: Flask) -> None:
    """Eight workers at once, on one database."""
    barrier, waits = Barrier(8), []

    def worker() -> None:
        with app.app_context():
            barrier.wait()
            waits.append(look(db.session(), 0))
            db.session.commit()

    threads = [Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0, 0, 0] + [60] * 5


@pytest.fixture
def other(app: Flask) -> Iterator[Flask]:
    """Another worker of the same portal."""
    other = create_app(app.extensions["config"])
    yield other
    with other.app_context():
        db.engine.dispose()


def test_two_workers_count_together(app: Flask, other: Flask, cast: Cast, clock: Clock) -> None:
    """120 looks a minute, by the default, whichever worker answers."""
    agents = [RealAgent(to_the_app(one.test_client())) for one in (app, other)]

    def status(number: int) -> int:
        body = {"registration_key": "rw1.x"}
        return agents[number % 2].ask("POST", "/keys/inspect", body).status

    assert [status(number) for number in range(122)] == [200] * 120 + [429] * 2
    answer = agents[0].ask("POST", "/keys/inspect", {"registration_key": "rw1.x"})
    assert (answer.code, answer.headers["Retry-After"]) == ("throttled", "60")
    clock.advance(seconds=59)
    assert [status(0), status(1)] == [429, 429]
    clock.advance(seconds=1)
    assert [status(0), status(1)] == [200, 200]
