"""What checks a request of the JSON interface, without any interface."""

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.api.operations import MAX_DEPTH, Incoming, nothing, operation, read_json
from app.core.errors import InvalidRequest

app = Flask(__name__)


class Order(Incoming):
    name: str = Field(min_length=2, max_length=5, pattern="^[a-z]*$")
    number: int = 1
    urgent: bool | None = None


@operation("Order", body=Order, answers={204: None})
def order(body: Order) -> Any:
    assert isinstance(body, Order)
    return nothing()


def send(raw: bytes, content_type: str = "application/json") -> Any:
    with app.test_request_context(method="POST", data=raw, content_type=content_type):
        return order()


def detail_of(value: object) -> str:
    with pytest.raises(InvalidRequest) as refused:
        send(json.dumps(value).encode())
    assert refused.value.status == 422
    return refused.value.detail


def read(raw: bytes) -> Any:
    with app.test_request_context(method="POST", data=raw, content_type="application/json"):
        return read_json()


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({}, "`name` is missing."),
        ({"name": 7}, "`name` must be text."),
        ({"name": None}, "`name` must be text."),
        ({"name": "x"}, "`name` must not be empty."),
        ({"name": "abcdef"}, "`name` must have at most 5 characters."),
        ({"name": "ABC"}, "`name` has characters that are not allowed there."),
        ({"name": "abc\n"}, "`name` has characters that are not allowed there."),
        ({"name": "abc", "number": "7"}, "`number` is not right."),
        ({"name": "abc", "number": True}, "`number` is not right."),
        ({"name": "abc", "urgent": 1}, "`urgent` must be true or false."),
        ([], "The body must be an object."),
        (
            {"name": "abc", "colour": "red"},
            "There is a field that this call does not know. It knows `name`, `number`, `urgent`.",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(value: object, detail: str) -> None:
    assert detail_of(value) == detail


def test_a_good_body_reaches_the_view() -> None:
    answer = send(b'{"name": "abc", "number": 2, "urgent": null}')
    assert (answer.status_code, answer.data) == (204, b"")


secrets = st.text(alphabet="0123456789abcdefXYZ._-{}", min_size=12, max_size=40)


@given(
    secrets,
    st.sampled_from(["name", "number", "urgent", "unknown", "as a name", "itself"]),
    st.booleans(),
)
def test_a_refusal_never_repeats_what_was_sent(secret: str, where: str, wrapped: bool) -> None:
    """Whoever reads logs of answers learns no password and no key from them."""
    value: object = [secret] if wrapped else secret
    body: object = {"name": "abc", where: value}
    if where == "as a name":
        body = {"name": "abc", secret: 1}
    if where == "itself":
        body = value
    assert secret not in detail_of(body)


@given(st.binary(max_size=200))
@example(b"[" * 60_000)
@example(b'{"a":' * 12_000)
@example(b'"\\ud83d"')
@example(b"9" * 5000)
def test_any_bytes_are_json_that_can_be_written_again_or_refused(raw: bytes) -> None:
    try:
        value = read(raw)
    except InvalidRequest:
        return
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert json.loads(text.encode()) == value


@given(st.integers(1, 200), st.sampled_from([("[", "]", ""), ('{"a":', "}", "1")]))
def test_the_depth_is_counted_in_levels(depth: int, brackets: tuple[str, str, str]) -> None:
    opening, closing, inside = brackets
    raw = (opening * depth + inside + closing * depth).encode()
    if depth > MAX_DEPTH:
        with pytest.raises(InvalidRequest, match="64 levels"):
            read(raw)
    else:
        assert read(raw) == json.loads(raw)


def test_64_kib_are_taken_and_no_more() -> None:
    raw = b'{"name": "abc"}'.ljust(64 * 1024)
    assert send(raw).status_code == 204
    for content_type in ("application/json", "text/plain"):
        with pytest.raises(RequestEntityTooLarge):
            send(raw + b" ", content_type)


def test_only_json_is_read() -> None:
    with pytest.raises(UnsupportedMediaType):
        send(b'{"name": "abc"}', "text/plain")
