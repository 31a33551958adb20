"""Wrong passwords are counted, and whoever has guessed too often waits; the owner does not."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app, throttle
from app.accounts.authentication import Authentication
from app.core.durations import Rate
from app.extensions import db
from app.models import SignInFailure
from app.models.engine import reading_only, set_reading
from tests.conftest import NOW, PASSWORD, Cast, authenticated

pytestmark = pytest.mark.databases("sqlite", "postgres")

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
SECOND = timedelta(seconds=1)
WINDOW = timedelta(seconds=60)


def attempt(
    session: Session, account: str, password: str = "wrong", **how: object
) -> Authentication:
    """One try to sign in, committed as a request would."""
    outcome = authenticated(session, account, password, **how)  # type: ignore[arg-type]
    session.commit()
    return outcome


def verdict(outcome: Authentication) -> str:
    return "throttled" if outcome.wait_seconds else "right" if outcome.user else "wrong"


def verdicts(session: Session, account: str, times: int, **how: object) -> list[str]:
    return [verdict(attempt(session, account, **how)) for _ in range(times)]


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SignInFailure))


def test_ten_wrong_passwords_are_told_and_the_eleventh_is_not(session: Session, cast: Cast) -> None:
    assert verdicts(session, cast.ada, 11) == ["wrong"] * 10 + ["throttled"]


def test_the_right_password_is_refused_too_until_the_time_is_up(
    session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 10)
    for moment, expected in (
        (NOW, "throttled"),
        (NOW + WINDOW - SECOND, "throttled"),
        (NOW + WINDOW, "right"),
        (NOW + WINDOW + SECOND, "right"),
    ):
        assert verdict(attempt(session, cast.ada, PASSWORD, now=moment)) == expected


def test_how_long_to_wait_is_whole_seconds_never_too_few(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 10)
    waits = {
        timedelta(0): 60,
        timedelta(milliseconds=1): 60,
        timedelta(seconds=1): 59,
        timedelta(seconds=59): 1,
        timedelta(seconds=59, milliseconds=999): 1,
        timedelta(seconds=60): 0,
    }
    for passed, expected in waits.items():
        assert attempt(session, cast.ada, PASSWORD, now=NOW + passed).wait_seconds == expected


def test_the_window_slides(session: Session, cast: Cast) -> None:
    for second in range(10):
        attempt(session, cast.ada, now=NOW + second * SECOND)
    at = NOW + WINDOW
    assert attempt(session, cast.ada, now=at - SECOND).wait_seconds == 1
    assert verdict(attempt(session, cast.ada, now=at)) == "wrong"
    assert attempt(session, cast.ada, now=at).wait_seconds == 1


def test_trying_while_one_must_wait_makes_the_wait_no_longer(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 10)
    verdicts(session, cast.ada, 50, now=NOW + 30 * SECOND)
    assert count(session) == 10
    assert verdict(attempt(session, cast.ada, PASSWORD, now=NOW + WINDOW)) == "right"


def test_other_accounts_from_the_same_address_are_not_kept_out(
    session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 11)
    assert verdict(attempt(session, cast.grace, PASSWORD)) == "right"


def test_the_owner_at_another_address_is_not_locked_out(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 11)
    assert verdict(attempt(session, cast.ada, PASSWORD, address=ELSEWHERE)) == "right"


def test_an_address_may_fail_six_times_as_often_over_all_accounts(
    session: Session, cast: Cast
) -> None:
    for number in range(6):
        assert set(verdicts(session, f"user{number}@example.com", 10)) == {"wrong"}
    assert verdict(attempt(session, "new@example.com")) == "throttled"
    assert verdict(attempt(session, cast.ada, PASSWORD)) == "throttled"
    assert verdict(attempt(session, cast.ada, PASSWORD, address=ELSEWHERE)) == "right"
    assert verdict(attempt(session, cast.ada, PASSWORD, now=NOW + WINDOW)) == "right"


def test_one_below_the_limit_of_an_address_may_still_sign_in(session: Session, cast: Cast) -> None:
    for number in range(6):
        verdicts(session, f"user{number}@example.com", 10 if number else 9)
    assert verdict(attempt(session, cast.ada, PASSWORD)) == "right"


def test_an_unknown_account_is_counted_and_refused_like_a_known_one(
    session: Session, cast: Cast
) -> None:
    assert verdicts(session, "nobody@example.com", 11) == ["wrong"] * 10 + ["throttled"]


def test_a_right_password_counts_as_no_failure(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 9)
    for _ in range(5):
        assert verdict(attempt(session, cast.ada, PASSWORD)) == "right"
    assert count(session) == 9


@pytest.mark.parametrize(
    "spelling", ["ADA@EXAMPLE.COM", " ada@example.com\t", "\x00ada@example.com"]
)
def test_other_spellings_of_an_e_mail_are_one_account(
    session: Session, cast: Cast, spelling: str
) -> None:
    verdicts(session, cast.ada, 10)
    assert verdict(attempt(session, spelling, PASSWORD)) == "throttled"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_what_an_address_is_counted_as(address: str, counted: str) -> None:
    assert throttle.counted_as(address) == counted


def test_whoever_has_a_whole_ipv6_network_has_one_address(session: Session, cast: Cast) -> None:
    for number in range(10):
        attempt(session, cast.ada, address=f"2001:db8:1:2::{number + 1:x}")
    assert attempt(session, cast.ada, address="2001:db8:1:2:ffff::1").wait_seconds == 60
    other = attempt(session, cast.ada, PASSWORD, address="2001:db8:1:3::1")
    assert verdict(other) == "right"


def test_failures_are_forgotten_when_they_no_longer_matter(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 5)
    verdicts(session, cast.grace, 5, address=ELSEWHERE)
    attempt(session, cast.ada, now=NOW + WINDOW)
    assert count(session) == 1


def test_a_clock_that_is_set_back_locks_nobody_out(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 10)
    earlier = NOW - timedelta(hours=1)
    assert verdict(attempt(session, cast.ada, PASSWORD, now=earlier)) == "right"
    attempt(session, cast.grace, now=earlier)
    assert count(session) == 1
    assert verdict(attempt(session, cast.ada, PASSWORD, now=NOW)) == "right"


def test_the_counts_hold_across_workers_and_restarts(
    app: Flask, session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 10)
    another = create_app(app.extensions["config"])
    with another.app_context():
        assert verdict(attempt(db.session(), cast.ada, PASSWORD)) == "throttled"
        db.session.remove()
        db.engine.dispose()


def test_many_guesses_at_once_learn_no_more_than_as_many_in_turn(app: Flask, cast: Cast) -> None:
    """Thirty guesses, all checked before any is counted, the right one among the last."""
    told = []
    hashed = threading.Barrier(30)

    @contextmanager
    def until_all_have_hashed() -> Iterator[None]:
        db.session.rollback()
        yield
        hashed.wait()
        set_reading(False)

    def guess(number: int) -> None:
        with app.app_context(), reading_only():
            outcome = attempt(
                db.session(),
                cast.ada,
                PASSWORD if number >= 15 else "wrong",
                limit=Rate(3, 60),
                outside_transaction=until_all_have_hashed,
            )
            told.append(verdict(outcome))
            db.session.remove()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 30
    assert told.count("wrong") <= 3
    with app.app_context():
        assert count(db.session()) == told.count("wrong")


@pytest.mark.databases("postgres")
def test_wait_for_turn_lets_one_sign_in_of_an_address_be_judged_at_a_time(
    app: Flask, session: Session, cast: Cast
) -> None:
    throttle.wait_for_turn(session, address=HERE)
    lock = select(func.pg_try_advisory_xact_lock(func.hashtext(HERE)))
    with db.engine.connect() as other:
        assert other.scalar(lock) is False
    session.rollback()
    with db.engine.connect() as other:
        assert other.scalar(lock) is True


def test_what_was_typed_as_an_account_is_nowhere_in_the_database(
    session: Session, cast: Cast
) -> None:
    """Somebody types their password into the field of the login ID; later the database is read.

    Without the portal's secret key nobody finds out what it was by trying words either.
    """
    authenticated(session, "hunter2-correct-horse", "wrong")
    session.flush()
    [failure] = session.scalars(select(SignInFailure))
    values = [str(getattr(failure, column.key)) for column in SignInFailure.__table__.columns]
    plain = [hashlib.new(name, b"hunter2-correct-horse").hexdigest() for name in ("md5", "sha256")]
    for value in values:
        assert "hunter2" not in value
        assert value not in plain
