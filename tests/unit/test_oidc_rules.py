"""Which tokens of an OpenID provider count, to the second, and which role they give."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.oidc_rules import (
    LOG_OUT_EVENT,
    AnswerRefused,
    Expected,
    check_id_token,
    is_pending,
    read_log_out,
    role_of,
    value_of,
    verified_email,
)
from app.core.permissions import PROVIDED_ROLES, Role

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
AT = int(NOW.timestamp())
EXPECTED = Expected("https://login.example", "portal", "n", NOW - timedelta(seconds=30))
GOOD = {
    "iss": "https://login.example",
    "aud": "portal",
    "sub": "1",
    "nonce": "n",
    "iat": AT,
    "exp": AT + 300,
}
LOG_OUT = {
    "iss": "https://login.example",
    "aud": "portal",
    "sub": "1",
    "jti": "j",
    "iat": AT,
    "exp": AT + 120,
    "events": {LOG_OUT_EVENT: {}},
}
ROLES = {"admins": Role.SUPER_ADMIN, "audit": Role.AUDITOR, "devs": Role.DEVELOPER}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def is_taken(claims: dict[str, Any], expected: Expected = EXPECTED) -> bool:
    try:
        check_id_token(claims, expected, NOW)
    except AnswerRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("claims", "taken"),
    [
        ({}, True),
        ({"aud": ["portal"]}, True),
        ({"aud": ["portal", "b"], "azp": "portal"}, True),
        ({"iat": AT + 60}, True),
        ({"iat": AT + 61}, False),
        ({"iat": AT - 90}, True),
        ({"iat": AT - 91}, False),
        ({"exp": AT - 59}, True),
        ({"exp": AT - 60}, False),
        ({"exp": float(AT + 1)}, True),
        ({"exp": True}, False),
        ({"exp": "9999999999"}, False),
        ({"exp": float("nan")}, False),
        ({"exp": float("inf")}, False),
        ({"iat": -1}, False),
        ({"sub": "x" * 255}, True),
        ({"sub": "x" * 256}, False),
        ({"sub": 1}, False),
        ({"nonce": "ñ"}, False),
        ({"nonce": ["n"]}, False),
        ({"azp": None}, False),
        ({"aud": []}, False),
        ({"aud": {"portal": 1}}, False),
    ],
)
def test_an_id_token_counts_to_the_second(claims: dict[str, Any], taken: bool) -> None:
    assert is_taken(GOOD | claims) is taken


@pytest.mark.parametrize(("auth_time", "taken"), [(AT - 90, True), (AT - 91, False), (None, False)])
def test_a_new_proof_is_of_after_it_was_asked_for(auth_time: int | None, taken: bool) -> None:
    fresh = Expected(**vars(EXPECTED) | {"fresh": True})
    assert is_taken(GOOD | {"auth_time": auth_time}, fresh) is taken


@pytest.mark.parametrize("name", GOOD)
@given(value=anything)
def test_no_other_value_of_a_claim_is_an_error_or_taken_for_another(name: str, value: Any) -> None:
    taken = is_taken(GOOD | {name: value})
    if name in ("iss", "nonce"):
        assert taken is (value == GOOD[name])


@pytest.mark.parametrize(
    ("seconds", "pending"), [(-1, False), (0, True), (599, True), (600, False)]
)
def test_an_answer_is_awaited_for_ten_minutes(seconds: int, pending: bool) -> None:
    assert is_pending(NOW, NOW + timedelta(seconds=seconds)) is pending


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"roles": "admins"}, Role.SUPER_ADMIN),
        ({"roles": ["x", "devs", "audit"]}, Role.AUDITOR),
        ({"roles": []}, None),
        ({"roles": "Admins"}, None),
        ({"roles": {"admins": True}}, None),
        ({"roles": [["admins"], 1, None]}, None),
        ({}, None),
    ],
)
def test_of_several_roles_the_highest_counts(claims: dict[str, Any], role: Role | None) -> None:
    assert role_of(claims, "roles", ROLES) is role


@given(st.lists(st.sampled_from([*ROLES, "other"])))
def test_the_order_of_the_values_does_not_matter(values: list[str]) -> None:
    given_roles = [ROLES[value] for value in values if value in ROLES]
    highest = min(given_roles, key=PROVIDED_ROLES.index, default=None)
    assert role_of({"roles": values}, "roles", ROLES) is highest


def test_a_claim_may_be_within_others_or_have_dots_in_its_name() -> None:
    claims = {"realm": {"roles": ["a"]}, "https://b.example/roles": ["b"], "x.y": 1, "x": {"y": 2}}
    assert value_of(claims, "realm.roles") == ["a"]
    assert value_of(claims, "https://b.example/roles") == ["b"]
    assert value_of(claims, "x.y") == 1
    assert value_of(claims, "realm.roles.more") is None


@given(claims=st.dictionaries(st.sampled_from(["email", "email_verified"]), anything))
def test_only_a_verified_address_is_one(claims: dict[str, Any]) -> None:
    assert verified_email({"email": "A@B.example", "email_verified": True}) == "a@b.example"
    if claims.get("email_verified") is not True:
        assert verified_email(claims) == ""


@pytest.mark.parametrize(
    "email",
    [
        "\u212aim@b.example",
        "kim@B\u212a.example",
        "\u212be@b.example",
        "kim\u200b@b.example",
        "kim\u00a0@b.example",
    ],
)
def test_an_address_that_only_looks_like_somebodys_is_not_theirs(email: str) -> None:
    """Mallory has the provider verify an address with the Kelvin sign for a K, or with a character
    that nobody sees. Made small, or cleaned, it would be Kim's, who is a super admin."""
    assert verified_email({"email": email, "email_verified": True}) == ""


@pytest.mark.parametrize("name", LOG_OUT)
@given(value=anything)
def test_no_value_in_a_log_out_is_an_error(name: str, value: Any) -> None:
    try:
        read = read_log_out(
            LOG_OUT | {name: value}, {"typ": "logout+jwt"}, EXPECTED.issuer, "portal", NOW
        )
    except AnswerRefused:
        return
    assert read.token_id
    assert read.subject or read.provider_session
