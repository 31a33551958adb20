"""Wrong passwords are counted, and whoever has guessed too often waits; the owner does not."""

import threading
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app, throttle
from app.accounts.authentication import SignIn, Verdict, check_password, judge
from app.accounts.users import find_user
from app.core.durations import Rate
from app.extensions import db
from app.models import SignInFailure
from app.models.engine import reading_only
from tests.conftest import NOW, PASSWORD, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

LIMIT = Rate(10, 60)
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
SECOND = timedelta(seconds=1)
WINDOW = timedelta(seconds=60)


def attempt(
    session: Session,
    account: str,
    password: str = "wrong",
    *,
    address: str = HERE,
    now: datetime = NOW,
    limit: Rate = LIMIT,
) -> SignIn:
    """One try to sign in, as a view makes it."""
    check = check_password(
        session, login_id=account, password=password, address=address, now=now, limit=limit
    )
    outcome = judge(session, check=check, now=now, limit=limit)
    session.commit()
    return outcome


def verdicts(session: Session, account: str, times: int, **how: object) -> list[str]:
    return [attempt(session, account, **how).verdict.value for _ in range(times)]


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SignInFailure))


def test_ten_wrong_passwords_are_told_and_the_eleventh_is_not(session: Session, cast: Cast) -> None:
    assert verdicts(session, cast.ada, 11) == ["wrong"] * 10 + ["throttled"]


def test_the_right_password_is_refused_too_until_the_time_is_up(
    session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 10)
    for moment, expected in (
        (NOW, Verdict.THROTTLED),
        (NOW + WINDOW - SECOND, Verdict.THROTTLED),
        (NOW + WINDOW, Verdict.RIGHT),
        (NOW + WINDOW + SECOND, Verdict.RIGHT),
    ):
        assert attempt(session, cast.ada, PASSWORD, now=moment).verdict is expected


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
    assert attempt(session, cast.ada, now=at).verdict is Verdict.WRONG
    assert attempt(session, cast.ada, now=at).wait_seconds == 1


def test_trying_while_one_must_wait_makes_the_wait_no_longer(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 10)
    verdicts(session, cast.ada, 50, now=NOW + 30 * SECOND)
    assert count(session) == 10
    assert attempt(session, cast.ada, PASSWORD, now=NOW + WINDOW).verdict is Verdict.RIGHT


def test_other_accounts_from_the_same_address_are_not_kept_out(
    session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 11)
    assert attempt(session, cast.grace, PASSWORD).verdict is Verdict.RIGHT


def test_the_owner_at_another_address_is_not_locked_out(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 11)
    assert attempt(session, cast.ada, PASSWORD, address=ELSEWHERE).verdict is Verdict.RIGHT


def test_an_address_may_fail_six_times_as_often_over_all_accounts(
    session: Session, cast: Cast
) -> None:
    for number in range(6):
        assert set(verdicts(session, f"user{number}@example.com", 10)) == {"wrong"}
    assert attempt(session, "new@example.com").verdict is Verdict.THROTTLED
    assert attempt(session, cast.ada, PASSWORD).verdict is Verdict.THROTTLED
    assert attempt(session, cast.ada, PASSWORD, address=ELSEWHERE).verdict is Verdict.RIGHT
    assert attempt(session, cast.ada, PASSWORD, now=NOW + WINDOW).verdict is Verdict.RIGHT


def test_one_below_the_limit_of_an_address_may_still_sign_in(session: Session, cast: Cast) -> None:
    for number in range(6):
        verdicts(session, f"user{number}@example.com", 10 if number else 9)
    assert attempt(session, cast.ada, PASSWORD).verdict is Verdict.RIGHT


def test_an_unknown_account_is_counted_and_refused_like_a_known_one(
    session: Session, cast: Cast
) -> None:
    assert verdicts(session, "nobody@example.com", 11) == ["wrong"] * 10 + ["throttled"]


def test_a_right_password_counts_as_no_failure(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 9)
    for _ in range(5):
        assert attempt(session, cast.ada, PASSWORD).verdict is Verdict.RIGHT
    assert count(session) == 9


@pytest.mark.parametrize(
    "spelling", ["ADA@EXAMPLE.COM", " ada@example.com\t", "\x00ada@example.com"]
)
def test_other_spellings_of_an_e_mail_are_one_account(
    session: Session, cast: Cast, spelling: str
) -> None:
    verdicts(session, cast.ada, 10)
    assert attempt(session, spelling, PASSWORD).verdict is Verdict.THROTTLED


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
    assert other.verdict is Verdict.RIGHT


def test_failures_are_forgotten_when_they_no_longer_matter(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 5)
    verdicts(session, cast.grace, 5, address=ELSEWHERE)
    attempt(session, cast.ada, now=NOW + WINDOW)
    assert count(session) == 1


def test_a_clock_that_is_set_back_locks_nobody_out(session: Session, cast: Cast) -> None:
    verdicts(session, cast.ada, 10)
    earlier = NOW - timedelta(hours=1)
    assert attempt(session, cast.ada, PASSWORD, now=earlier).verdict is Verdict.RIGHT
    attempt(session, cast.grace, now=earlier)
    assert count(session) == 1
    assert attempt(session, cast.ada, PASSWORD, now=NOW).verdict is Verdict.RIGHT


def test_a_password_changed_between_check_and_verdict_counts_as_wrong(
    session: Session, cast: Cast
) -> None:
    who = {"address": HERE, "now": NOW, "limit": LIMIT}
    check = check_password(session, login_id=cast.ada, password=PASSWORD, **who)
    find_user(session, cast.ada).password_hash = "another"
    session.commit()
    assert judge(session, check=check, now=NOW, limit=LIMIT).verdict is Verdict.WRONG


def test_the_counts_hold_across_workers_and_restarts(
    app: Flask, session: Session, cast: Cast
) -> None:
    verdicts(session, cast.ada, 10)
    another = create_app(app.extensions["config"])
    with another.app_context():
        assert attempt(db.session(), cast.ada, PASSWORD).verdict is Verdict.THROTTLED
        db.session.remove()
        db.engine.dispose()


def test_many_guesses_at_once_learn_no_more_than_as_many_in_turn(app: Flask, cast: Cast) -> None:
    """Thirty guesses, all checked before any is counted, the right one among the last."""
    told = []
    checked = threading.Barrier(30)

    def guess(number: int) -> None:
        with app.app_context():
            session = db.session()
            with reading_only():
                check = check_password(
                    session,
                    login_id=cast.ada,
                    password=PASSWORD if number >= 15 else "wrong",
                    address=HERE,
                    now=NOW,
                    limit=Rate(3, 60),
                )
            checked.wait()
            outcome = judge(session, check=check, now=NOW, limit=Rate(3, 60))
            session.commit()
            told.append(outcome.verdict)
            db.session.remove()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 30
    assert told.count(Verdict.WRONG) <= 3
    with app.app_context():
        assert count(db.session()) == told.count(Verdict.WRONG)


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
