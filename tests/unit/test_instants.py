"""Instants as programs and people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.instants import NoInstant, read_local, read_rfc3339, zone_named

BERLIN = ZoneInfo("Europe/Berlin")


def utc(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-11-26T09:00:00Z", "2026-11-26t09:00:00z", "2026-11-26T10:00:00+01:00",
     "2026-11-26T03:30:00-05:30"],
)  # fmt: skip
def test_an_instant_with_an_offset_is_read(text: str) -> None:
    assert read_rfc3339(text) == utc(26, 9)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-26", "2026-11-26T09:00:00", "2026-11-26T09:00Z", "2026-11-26 09:00:00Z",
     "2026-11-26T09:00:00.5Z", "2026-13-26T09:00:00Z", "2026-11-26T09:00:00+24:00",
     "0001-01-01T00:00:00+01:00", "２０26-11-26T09:00:00Z"],
)  # fmt: skip
def test_what_names_no_instant_is_refused(text: str) -> None:
    with pytest.raises(NoInstant, match="write it with an offset"):
        read_rfc3339(text)


def test_a_time_is_read_in_the_zone_in_which_it_was_typed() -> None:
    assert read_local("2026-11-26T09:00", BERLIN) == utc(26, 8)
    assert read_local(" 2026-07-26T09:00:30 ", BERLIN) == utc(26, 7, month=7) + timedelta(
        seconds=30
    )
    assert read_local("2026-11-26T09:00", zone_named("")) == utc(26, 9)
    assert read_local(" ", BERLIN) is None


@pytest.mark.parametrize(
    ("zone", "text", "why", "readings"),
    [
        ("Europe/Berlin", "2027-03-28T02:30", "skip this time",
         ["01:30 (UTC+01:00), which is 00:30 UTC", "03:30 (UTC+02:00), which is 01:30 UTC"]),
        ("Europe/Berlin", "2026-10-25T02:30", "show this time twice",
         ["02:30 (UTC+02:00), which is 00:30 UTC", "02:30 (UTC+01:00), which is 01:30 UTC"]),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "skip this time",
         ["01:45 (UTC+10:30), which is 15:15 UTC", "02:45 (UTC+11:00), which is 15:45 UTC"]),
    ],
)  # fmt: skip
def test_a_time_that_the_clocks_skip_or_repeat_is_refused_with_both_readings(
    zone: str, text: str, why: str, readings: list[str]
) -> None:
    with pytest.raises(NoInstant) as refused:
        read_local(text, ZoneInfo(zone))
    assert why in str(refused.value)
    for reading in readings:
        assert reading in str(refused.value)


@pytest.mark.parametrize("text", ["2027-03-28T01:59", "2027-03-28T03:00", "2026-10-25T01:59",
                                  "2026-10-25T03:00"])  # fmt: skip
def test_beside_a_change_of_the_clocks_there_is_one_reading(text: str) -> None:
    moment = read_local(text, BERLIN)
    assert moment is not None
    assert f"{moment.astimezone(BERLIN):%Y-%m-%dT%H:%M}" == text


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-26", "2026-02-30T09:00", "26.11.2026 09:00",
                                  "2026-11-26T25:00", "9999-12-31T23:59"])  # fmt: skip
def test_what_no_clock_shows_is_refused(text: str) -> None:
    zone = ZoneInfo("America/New_York")
    with pytest.raises(NoInstant, match="Write a day and a time"):
        read_local(text, zone)


@pytest.mark.parametrize("name", ["Nowhere/At_All", "../../etc/passwd", "/etc/localtime", "x" * 200,
                                  "Europe", "\x00", "<b>"])  # fmt: skip
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(NoInstant, match="Choose UTC in the account menu"):
        zone_named(name)


@given(
    st.integers(0, 100 * 366 * 24 * 60),
    st.sampled_from(
        ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
    ),
)
def test_what_is_read_is_what_the_clocks_show(minutes: int, name: str) -> None:
    shown = datetime(2000, 1, 1) + timedelta(minutes=minutes)  # noqa: DTZ001 - as a clock shows it
    zone, text = zone_named(name), f"{shown:%Y-%m-%dT%H:%M}"
    try:
        moment = read_local(text, zone)
    except NoInstant:
        local = shown.replace(second=0, microsecond=0, tzinfo=zone)
        assert local.utcoffset() != local.replace(fold=1).utcoffset()
        return
    assert moment is not None
    assert f"{moment.astimezone(zone):%Y-%m-%dT%H:%M}" == text
