"""Ids in addresses: whatever number is written there, the page says what there is not."""

import pytest
from werkzeug.routing import Map

from app.models.types import HIGHEST_ID
from app.web.ids import IdConverter
from tests.conftest import Cast, Visitor


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1", 1),
        ("007", 7),
        (str(HIGHEST_ID), HIGHEST_ID),
        ("0" * 5000 + str(HIGHEST_ID), HIGHEST_ID),
        ("0", 0),
        (str(HIGHEST_ID + 1), 0),
        ("9999999999", 0),
        (str(2**63), 0),
        ("9" * 5000, 0),
    ],
)
def test_a_number_that_no_row_can_have_is_nobodys(written: str, number: int) -> None:
    assert IdConverter(Map()).to_python(written) == number


NUMBERS = ["0", "4711", str(HIGHEST_ID), str(HIGHEST_ID + 1), str(2**63), "9" * 5000]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_the_page_says_what_there_is_not(ada: Visitor, cast: Cast, number: str) -> None:
    agents = f"/projects/{cast.acme_project}/agents"
    for address, sentence in (
        (f"/projects/{number}", "There is no such project."),
        (f"/projects/{number}/license", "There is no such project."),
        (f"/projects/{number}/agents", "There is no such project."),
        (f"{agents}/machines/{number}/detach", "There is no such machine"),
        (f"{agents}/{number}/end", "There is no such session."),
    ):
        answer = ada.get(address)
        assert answer.status_code == 404, address
        assert sentence in answer.text


@pytest.mark.parametrize("number", ["-1", "+1", "1.0", "x", "٣", "1_0", "0x1", "1e3", "%00"])
def test_what_is_no_number_is_no_address(ada: Visitor, number: str) -> None:
    answer = ada.get(f"/projects/{number}")
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_who_is_not_signed_in_learns_of_no_number_whether_it_is_there(
    visitor: Visitor, number: str
) -> None:
    assert visitor.get(f"/projects/{number}").status_code == 303
