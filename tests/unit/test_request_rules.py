"""Requests as they are stored, and what may be given of what was asked for."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.access.request_rules import asked_length, check_given, read_options, stored_options
from app.core.errors import InvalidInput
from app.licenses.option_rules import KeyOptions

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
HOUR = 3600
DEV = "developer@example.com"


def test_what_is_stored_is_read_again() -> None:
    options = KeyOptions(0, "r", "t", "d", NOW, NOW + timedelta(hours=1), 3, True, 900)
    assert read_options(json.loads(json.dumps(stored_options(options)))) == options


def test_an_end_beyond_what_was_asked_for_is_refused_at_its_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_given(KeyOptions(HOUR), KeyOptions(0, ends_at=NOW), most=HOUR, length=HOUR + 1)
    assert refused.value.field == "ends_at"


def test_a_person_is_the_same_in_any_case_and_a_fraction_of_a_second_is_no_more() -> None:
    asked = KeyOptions(0, recipient=DEV, ends_at=NOW + timedelta(hours=1))
    most = asked_length(asked, NOW + timedelta(seconds=0.7))
    assert most == HOUR
    given = replace(asked, recipient=DEV.upper())
    check_given(asked, given, most=most, length=HOUR)
    with pytest.raises(InvalidInput, match="No more than was asked for: 3 hr 59 min"):
        check_given(asked, given, most=14_382, length=5 * HOUR)
