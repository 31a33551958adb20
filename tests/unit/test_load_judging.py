"""What a run under load is judged by."""

import pytest

from bench.judging import (
    Asked,
    Phase,
    after_revocation,
    by_kind,
    failures,
    latest_after_expiry,
    put_off,
    refused_too_early,
)


def beat(sent: float, status: int = 200, *, took: float = 0.01, code: str = "") -> Asked:
    return Asked("heartbeat", sent, sent + took, status, "session", code)


@pytest.mark.parametrize(
    ("status", "code", "is_failure", "is_put_off"),
    [
        (200, "", False, False),
        (401, "key_expired", False, False),
        (429, "later", False, False),
        (500, "", True, False),
        (500, "later", True, False),
        (503, "", True, False),
        (503, "later", False, True),
        (0, "", True, False),
    ],
)
def test_what_nobody_should_get(status: int, code: str, is_failure: bool, is_put_off: bool) -> None:
    one = beat(1, status, code=code)
    assert (failures([one]) == [one], put_off([one]) == [one]) == (is_failure, is_put_off)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], None),
        ([beat(10)], None),  # it has not expired yet
        ([beat(10), beat(30, 401)], pytest.approx(-9.99)),
        ([beat(19.99, took=0.02), beat(30, 401)], pytest.approx(0.01)),
        ([beat(10), beat(30)], pytest.approx(10.01)),
    ],
)
def test_how_long_after_its_expiry_a_session_worked(
    asked: list[Asked], expected: float | None
) -> None:
    assert latest_after_expiry(asked, {"session": 20}) == expected


@pytest.mark.parametrize(
    ("one", "is_late"), [(beat(19), False), (beat(21), True), (beat(21, 401), False)]
)
def test_what_was_asked_after_the_revocation_was_answered(one: Asked, is_late: bool) -> None:
    assert (after_revocation([one], {"session": 20}) == [one]) is is_late
    assert after_revocation([one], {}) == []


@pytest.mark.parametrize(
    ("one", "revocations", "is_early"),
    [
        (beat(10), {}, False),
        (beat(10, 401), {}, True),
        (beat(10, 401), {"session": 9}, False),
        (beat(20, 401), {}, False),
    ],
)
def test_what_was_refused_before_it_should_be(
    one: Asked, revocations: dict[str, float], is_early: bool
) -> None:
    found = refused_too_early([one], {"session": 20}, revocations)
    assert (found == [one]) is is_early


def test_times_are_told_by_kind_and_phase_and_only_of_what_was_done() -> None:
    asked = [beat(1, took=0.001), beat(2, took=0.003), beat(3, 503), beat(11, took=0.002)]
    assert by_kind(asked, [Phase("before", 0, 10), Phase("after", 10, 20)]) == [
        ("heartbeat", "before", 2, [pytest.approx(n) for n in (3, 3, 3)]),
        ("heartbeat", "after", 1, [pytest.approx(2)] * 3),
    ]
