"""States at the boundaries, and Key IDs."""

import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.keyformat.key_ids import KEY_ID_ALPHABET, new_key_id, normalise_key_id
from app.licenses.rules import LicenseState, license_state

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
EXPIRY = NOON + 3 * HOUR
TICK = timedelta(microseconds=1)


def state(now: datetime, revoked_at: datetime | None = None) -> LicenseState:
    return license_state(
        issued_at=NOON, starts_at=NOON, ends_at=EXPIRY, revoked_at=revoked_at, now=now
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOON - SECOND, "invalid"),
        (NOON - TICK, "invalid"),
        (NOON, "active"),
        (NOON + SECOND, "active"),
        (EXPIRY - SECOND, "active"),
        (EXPIRY - TICK, "active"),
        (EXPIRY, "expired"),
        (EXPIRY + SECOND, "expired"),
    ],
)
def test_a_key_is_active_from_its_issue_until_just_before_its_expiry(
    now: datetime, expected: str
) -> None:
    assert state(now) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOON - SECOND, "invalid"),
        (NOON + HOUR - SECOND, "revoked"),
        (NOON + HOUR, "revoked"),
        (EXPIRY - SECOND, "revoked"),
        (EXPIRY, "revoked"),
        (EXPIRY + 99 * HOUR, "revoked"),
    ],
)
def test_a_revoked_key_stays_revoked_for_good(now: datetime, expected: str) -> None:
    assert state(now, revoked_at=NOON + HOUR) == expected


@given(
    ahead=st.integers(0, 30 * 86_400),
    ttl=st.integers(1, 30 * 86_400),
    second=st.sampled_from([-1, 0, 1]),
)
def test_a_key_with_a_start_is_scheduled_until_then(ahead: int, ttl: int, second: int) -> None:
    starts_at = NOON + ahead * SECOND
    ends_at = starts_at + ttl * SECOND

    def at(now: datetime) -> LicenseState:
        return license_state(
            issued_at=NOON, starts_at=starts_at, ends_at=ends_at, revoked_at=None, now=now
        )

    before = "scheduled" if starts_at + second * SECOND >= NOON else "invalid"
    running = "active" if starts_at + second * SECOND < ends_at else "expired"
    assert at(starts_at + second * SECOND) == (before if second < 0 else running)
    at_the_end = ends_at + second * SECOND
    assert at(at_the_end) == ("expired" if second >= 0 else "active")


def test_a_key_revoked_before_its_start_is_revoked() -> None:
    end = NOON + HOUR
    for now in (NOON, NOON + HOUR / 2, end, end + HOUR):
        assert (
            license_state(
                issued_at=NOON, starts_at=NOON + HOUR / 2, ends_at=end, revoked_at=NOON, now=now
            )
            == LicenseState.REVOKED
        )


def test_a_revocation_that_came_after_the_expiry_changes_nothing() -> None:
    assert state(EXPIRY + HOUR, revoked_at=EXPIRY) == LicenseState.EXPIRED
    assert state(EXPIRY + HOUR, revoked_at=EXPIRY - SECOND) == LicenseState.REVOKED


def test_a_key_id_can_be_read_out_over_a_phone() -> None:
    assert not set(KEY_ID_ALPHABET) & set("0O1ILU")
    assert len(set(KEY_ID_ALPHABET)) == 30
    group = f"[{KEY_ID_ALPHABET}]{{4}}"
    for _ in range(1000):
        assert re.fullmatch(f"{group}-{group}", new_key_id())


def test_key_ids_use_the_whole_alphabet_and_do_not_repeat() -> None:
    made = {new_key_id() for _ in range(1000)}
    assert len(made) == 1000
    assert set("".join(made)) == {*KEY_ID_ALPHABET, "-"}


def test_the_source_of_a_key_id_can_be_given() -> None:
    assert new_key_id(random.Random(1).choice) == new_key_id(random.Random(1).choice)
    assert new_key_id(lambda letters: letters[0]) == "2222-2222"


@pytest.mark.parametrize(
    "text",
    [
        "K7QF-3MXP",
        "k7qf-3mxp",
        "K7QF3MXP",
        "k7 qf 3m xp",
        "  K7QF - 3MXP\n",
        "K7QF–3MXP",
        "K7QF\u20113MXP",
        "K7QF\u00a03MXP",
        "\ufeffK7QF-3MXP\u200b",
    ],
)
def test_a_key_id_is_found_however_it_is_typed(text: str) -> None:
    assert normalise_key_id(text) == "K7QF-3MXP"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "K7QF-3MX",
        "K7QF-3MXPA",
        "K7QF-3MX0",
        "K7QF-3MXO",
        "K7QF-3MX1",
        "K7QF-3MXI",
        "K7QF-3MXL",
        "K7QF-3MXU",
        "K7QF-3MXſ",
        "K7QF-3MXß",
        "K7QF_3MXP",
        "K7QF-3MXP\x00",
        "\ud800K7QF3MXP",
        "ORG-000123",
        "rw1.eyJr",
        "K" * 100_000,
    ],
    ids=lambda text: f"{text[:10]!a}-{len(text)}",
)
def test_what_cannot_be_a_key_id_is_told_apart(text: str) -> None:
    assert normalise_key_id(text) is None


@given(st.text())
def test_a_normalised_key_id_stays_as_it_is(text: str) -> None:
    found = normalise_key_id(text)
    assert found is None or normalise_key_id(found) == found
