"""When heartbeats are sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolling_window_client.schedule import GIVE_UP_AFTER, MAX_BACKOFF, Schedule


def even() -> float:
    return 0.5


def test_the_first_is_due_after_one_interval() -> None:
    schedule = Schedule(100.0, 5.0, even)
    assert not schedule.is_due(104.9)
    assert schedule.is_due(105.0)


def test_attempts_move_apart_up_to_a_limit() -> None:
    schedule = Schedule(0.0, 5.0, even)
    delays = []
    for _ in range(8):
        schedule.failed(100.0, "Gone.")
        delays.append(schedule.next_event - 100.0)
    assert delays == [1, 2, 4, 8, 16, MAX_BACKOFF, MAX_BACKOFF, MAX_BACKOFF]


def test_a_success_forgets_the_failures() -> None:
    schedule = Schedule(0.0, 5.0, even)
    schedule.failed(10.0, "Gone.")
    schedule.failed(11.0, "Gone.")
    schedule.succeeded(12.0, 5.0)
    assert schedule.trouble is None
    assert schedule.next_event == 17.0
    schedule.failed(20.0, "Gone.")
    assert schedule.next_event == 21.0


def test_one_without_an_answer_is_given_up() -> None:
    schedule = Schedule(0.0, 5.0, even)
    schedule.sent(5.0)
    assert not schedule.is_due(5.0 + GIVE_UP_AFTER - 0.1)
    assert not schedule.is_due(5.0 + GIVE_UP_AFTER)
    assert schedule.trouble == "The portal does not answer in time."
    assert schedule.is_due(5.0 + GIVE_UP_AFTER + 1.0)


def test_a_portal_that_never_answers_is_not_asked_without_end() -> None:
    schedule = Schedule(0.0, 5.0, even)
    sent = 0
    for second in range(1000):
        if schedule.is_due(float(second)):
            schedule.sent(float(second))
            sent += 1
    assert sent == 4
    schedule.answered()
    assert any(schedule.is_due(float(second)) for second in range(1000, 1040))


def test_a_wish_to_be_left_alone_is_heeded() -> None:
    schedule = Schedule(0.0, 5.0, even)
    schedule.wait_for(10.0, 42.0)
    assert schedule.next_event == 52.0
    assert schedule.trouble is None
    schedule.failed(60.0, "Busy.", at_least=120.0)
    assert schedule.next_event == 180.0


@pytest.mark.parametrize(("asked", "used"), [(0.0, 0.5), (5.0, 5.0), (86_400.0, 300.0)])
def test_an_interval_out_of_reason_is_brought_back(asked: float, used: float) -> None:
    assert Schedule(0.0, asked, even).next_event == used


@given(st.floats(0, 1))
def test_the_wait_after_a_failure_is_bounded(jitter: float) -> None:
    schedule = Schedule(0.0, 5.0, lambda: jitter)
    for _ in range(20):
        schedule.failed(0.0, "Gone.")
        assert 0.8 <= schedule.next_event <= 1.2 * MAX_BACKOFF + 1e-9
