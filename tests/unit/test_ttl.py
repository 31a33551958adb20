"""Reading and writing lengths of time, and the words of a countdown."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.durations import format_length, format_ttl, parse_ttl, short_ttl, time_left
from app.core.errors import MalformedTTL

MINUTE, HOUR, DAY = 60, 3600, 86_400
VECTORS = Path(__file__).resolve().parents[1] / "vectors"
COUNTDOWNS = json.loads((VECTORS / "countdown.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h", 3 * HOUR),
        ("3 hrs", 3 * HOUR),
        ("3 hr", 3 * HOUR),
        ("1 hour", HOUR),
        ("30m", 30 * MINUTE),
        ("30 min", 30 * MINUTE),
        ("4s", 4),
        ("4 sec", 4),
        ("1d", DAY),
        ("1 day", DAY),
        ("3 days", 3 * DAY),
        ("  3  HRS \n", 3 * HOUR),
        ("3H", 3 * HOUR),
        ("3\u00a0hrs", 3 * HOUR),
        ("03h", 3 * HOUR),
        ("999999d", 999_999 * DAY),
    ],
)
def test_a_ttl_is_read_in_every_usual_spelling(text: str, seconds: int) -> None:
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "h",
        "3",
        "3x",
        "3 weeks",
        "h3",
        "3h3h",
        "1h 30m",
        "3,h",
        "0h",
        "000s",
        "-3h",
        "+3h",
        "−3h",
        "1.5h",
        "1e3h",
        "1_000s",
        "0x3h",
        "1000000s",
        "9" * 5000 + "h",
        "3" + " " * 5000,
        "٣h",
        "３h",
        "³h",
        "3\x00h",
        "3ſ",
        "\ud800",
        "3h\u200b",
        "<script>h",
    ],
    ids=lambda text: f"{text[:10]!a}-{len(text)}",
)
def test_anything_else_is_refused_with_one_clear_line(text: str) -> None:
    with pytest.raises(MalformedTTL) as refusal:
        parse_ttl(text)
    assert refusal.value.field == "ttl"
    assert re.fullmatch(r"[ -~]{1,300}", refusal.value.detail)
    assert "such as 30m, 3h or 1d" in refusal.value.detail


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(MalformedTTL):
        assert parse_ttl(text) > 0


@pytest.mark.parametrize(
    ("seconds", "words", "short"),
    [
        (1, "1 sec", "1s"),
        (4, "4 sec", "4s"),
        (59, "59 sec", "59s"),
        (60, "1 min", "1m"),
        (61, "61 sec", "61s"),
        (30 * MINUTE, "30 min", "30m"),
        (90 * MINUTE, "90 min", "90m"),
        (HOUR - 1, "3599 sec", "3599s"),
        (HOUR, "1 hr", "1h"),
        (HOUR + 1, "3601 sec", "3601s"),
        (3 * HOUR, "3 hrs", "3h"),
        (36 * HOUR, "36 hrs", "36h"),
        (DAY, "1 day", "1d"),
        (3 * DAY, "3 days", "3d"),
        (7 * DAY, "7 days", "7d"),
    ],
)
def test_a_ttl_reads_in_the_largest_unit_that_divides_it(
    seconds: int, words: str, short: str
) -> None:
    assert format_ttl(seconds) == words
    assert short_ttl(seconds) == short


@given(
    st.builds(
        lambda count, unit: count * unit,
        st.integers(1, 999_999),
        st.sampled_from([1, MINUTE, HOUR, DAY]),
    )
)
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_ttl(short_ttl(seconds)) == seconds
    assert parse_ttl(format_ttl(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4, "4 sec"), (90 * MINUTE, "90 min"), (14_382, "3 hr 59 min"), (8 * DAY, "8 days")],
)
def test_a_length_that_is_no_ttl_reads_as_a_countdown_does(seconds: int, words: str) -> None:
    assert format_length(seconds) == words


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_cannot_be_written(seconds: int) -> None:
    with pytest.raises(ValueError, match="at least one second"):
        format_ttl(seconds)
    with pytest.raises(ValueError, match="at least one second"):
        short_ttl(seconds)


@pytest.mark.parametrize(("seconds", "words"), COUNTDOWNS)
def test_a_countdown_shows_the_two_largest_units_rounded_down(seconds: float, words: str) -> None:
    assert time_left(seconds) == words


@given(st.integers(0, 10 * DAY))
def test_a_countdown_never_promises_more_than_there_is(seconds: int) -> None:
    sizes = {"day": DAY, "days": DAY, "hr": HOUR, "min": MINUTE, "sec": 1}
    parts = re.findall(r"(\d+) (\w+)", time_left(seconds))
    shown = sum(int(count) * sizes[unit] for count, unit in parts)
    assert 0 <= seconds - shown < (HOUR if seconds >= DAY else MINUTE)
    assert len(parts) <= 2
