"""When a session ends by the clocks of this machine: never late, and not early without reason."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolling_window_client import clock
from rolling_window_client.clock import Deadline, Reading, SystemClock

HOURS = 3600.0
START = Reading(wall=5_000_000.0, boot=1000.0)

amounts = st.floats(0, 1e6, allow_nan=False)
steps = st.floats(-1e7, 1e7, allow_nan=False)


def later(reading: Reading, seconds: float, *, set_by: float = 0.0) -> Reading:
    return Reading(reading.wall + seconds + set_by, reading.boot + seconds)


@pytest.mark.parametrize(("after", "left"), [(9.999, 0.001), (10.0, 0.0), (10.001, -0.001)])
def test_it_ends_at_the_instant_and_not_before(after: float, left: float) -> None:
    deadline = Deadline.after(10.0, sent=START, received=START)
    assert deadline.seconds_left(later(START, after)) == pytest.approx(left, abs=1e-6)


def test_it_counts_from_the_instant_before_the_request_was_sent() -> None:
    deadline = Deadline.after(10.0, sent=START, received=later(START, 2.0))
    assert deadline.seconds_left(later(START, 2.0)) == 8.0


@pytest.mark.parametrize("wrong_by", [-100 * HOURS, -3 * HOURS, 3 * HOURS, 100 * HOURS])
def test_a_clock_that_is_wrong_from_the_start_changes_nothing(wrong_by: float) -> None:
    start = Reading(START.wall + wrong_by, START.boot)
    deadline = Deadline.after(HOURS, sent=start, received=start)
    assert deadline.seconds_left(start) == HOURS
    assert deadline.seconds_left(later(start, HOURS)) == 0


def test_a_clock_set_back_lengthens_nothing() -> None:
    deadline = Deadline.after(HOURS, sent=START, received=START)
    assert deadline.seconds_left(later(START, HOURS, set_by=-3 * HOURS)) == 0


def test_a_clock_set_forward_ends_it() -> None:
    deadline = Deadline.after(HOURS, sent=START, received=START)
    now = later(START, 60.0, set_by=HOURS)
    assert deadline.seconds_left(now) < 0
    assert deadline.only_by_the_wall_clock(now)


def test_a_boot_clock_that_stops_in_suspend_lengthens_nothing() -> None:
    deadline = Deadline.after(HOURS, sent=START, received=START)
    now = Reading(wall=START.wall + HOURS, boot=START.boot + 60.0)
    assert deadline.seconds_left(now) == 0


def test_a_later_answer_makes_up_for_a_slow_sign_in() -> None:
    deadline = Deadline.after(58.0, sent=START, received=later(START, 2.0))  # it ends at 60
    now = later(START, 10.0)
    assert deadline.narrowed(50.0, sent=now, received=now).boot == START.boot + 60.0


def test_a_slow_answer_later_on_makes_nothing_worse() -> None:
    deadline = Deadline.after(60.0, sent=START, received=START)
    sent, received = later(START, 10.0), later(START, 15.0)
    assert deadline.narrowed(45.0, sent=sent, received=received).boot == deadline.boot


def test_an_answer_that_says_more_is_not_believed() -> None:
    deadline = Deadline.after(60.0, sent=START, received=later(START, 0.5))
    now = later(START, 10.0)
    assert deadline.narrowed(3600.0, sent=now, received=now).boot == deadline.boot


def test_an_answer_that_says_less_is_believed() -> None:
    deadline = Deadline.after(60.0, sent=START, received=START)
    now = later(START, 10.0)
    assert deadline.narrowed(20.0, sent=now, received=now).boot == START.boot + 30.0


def test_two_clocks_that_do_not_run_quite_alike_cost_no_more_than_their_difference() -> None:
    deadline = Deadline.after(60.0, sent=START, received=START)
    sent, received = later(START, 10.0), later(START, 15.0)
    assert deadline.narrowed(44.99, sent=sent, received=received).boot == received.boot + 44.99


def test_after_an_answer_the_wall_clock_counts_from_there() -> None:
    """A clock that was put right by an hour does not end the session an hour early."""
    deadline = Deadline.after(2 * HOURS, sent=START, received=START)
    now = later(START, 60.0, set_by=HOURS)
    deadline = deadline.narrowed(2 * HOURS - 60, sent=now, received=now)
    assert deadline.seconds_left(now) == 2 * HOURS - 60


answers = st.lists(
    st.tuples(
        st.floats(0, 100),  # since the last one
        st.floats(0, 30),  # how long it took
        st.floats(0, 1),  # at which part of that the portal made it
        steps,  # by how much the wall clock was set before
    ),
    max_size=8,
)


@given(ttl=st.floats(1, 1e6), first=st.floats(0, 30), part=st.floats(0, 1), later_on=answers)
def test_it_is_never_late_and_early_by_the_quickest_answer_at_most(
    ttl: float, first: float, part: float, later_on: list[tuple[float, float, float, float]]
) -> None:
    now = START
    end = START.boot + first * part + ttl
    deadline = Deadline.after(ttl, sent=now, received=later(now, first))
    quickest, now = first, later(now, first)
    for pause, took, when, set_by in later_on:
        now = later(now, pause, set_by=set_by)
        made_at = now.boot + took * when
        received = later(now, took)
        if made_at >= end:
            break
        deadline = deadline.narrowed(end - made_at, sent=now, received=received)
        quickest, now = min(quickest, took), received
    assert deadline.boot <= end + 1e-6
    assert deadline.boot >= end - quickest - 1e-6


@given(ttl=amounts, took=st.floats(0, 30), claims=st.lists(st.tuples(amounts, amounts)))
def test_whatever_later_answers_claim_it_never_ends_later_than_the_first_allowed(
    ttl: float, took: float, claims: list[tuple[float, float]]
) -> None:
    deadline = first = Deadline.after(ttl, sent=START, received=later(START, took))
    now = START
    for pause, claimed in claims:
        now = later(now, pause)
        narrowed = deadline.narrowed(claimed, sent=now, received=now)
        assert narrowed.latest_boot <= deadline.latest_boot
        deadline = narrowed
    assert deadline.boot <= first.latest_boot


@given(passed=amounts, set_by=steps)
def test_setting_the_wall_clock_never_leaves_more_time(passed: float, set_by: float) -> None:
    deadline = Deadline.after(HOURS, sent=START, received=START)
    untouched = deadline.seconds_left(later(START, passed))
    assert deadline.seconds_left(later(START, passed, set_by=set_by)) <= untouched + 1e-6


def test_the_clocks_of_this_machine_go_forward() -> None:
    clocks = SystemClock()
    first, second = clocks.read(), clocks.read()
    assert second.boot >= first.boot
    assert abs(first.wall - time.time()) < 60


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no CLOCK_BOOTTIME on this system")
def test_the_boot_clock_counts_sleep_where_the_system_can() -> None:
    assert abs(SystemClock().read().boot - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


def test_without_a_boot_clock_the_monotonic_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_CLOCK_BOOTTIME", None)
    assert abs(SystemClock().read().boot - time.monotonic()) < 5
