"""The signed list of revoked licenses."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import (
    FOREIGN_KEY,
    OLDER_KEY,
    SIGNING_KEY,
    Json,
    compact,
    encode,
    jwk_set,
    revocation_list,
)

from rolling_window_client.errors import RevocationListInvalid
from rolling_window_client.public_keys import read_jwk_set
from rolling_window_client.revocations import read_revocation_list

KEYS = read_jwk_set(jwk_set(SIGNING_KEY, OLDER_KEY))
ENTRY: Json = {"jti": "K7QF-3MXP", "revoked_at": 1795521700, "expires_at": 1795532400}


def test_it_says_who_was_revoked_and_when() -> None:
    listed = read_revocation_list(revocation_list(ENTRY), KEYS)
    assert listed.revoked_at("K7QF-3MXP") == datetime(2026, 11, 24, 12, 1, 40, tzinfo=UTC)
    assert listed.revoked_at("XXXX-XXXX") is None


def test_times_are_whole_seconds_since_1970() -> None:
    listed = read_revocation_list(revocation_list(iat=1795521600, next_update=1795521660), KEYS)
    assert listed.issued_at == datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
    assert listed.next_update == datetime(2026, 11, 24, 12, 1, 0, tzinfo=UTC)


def test_members_that_are_not_known_are_passed_over() -> None:
    listed = read_revocation_list(revocation_list(ENTRY | {"reason": "x"}, x5t="later"), KEYS)
    assert listed.revoked_at("K7QF-3MXP") is not None


def test_an_older_signing_key_may_sign_it_and_without_a_kid_every_key_is_tried() -> None:
    assert read_revocation_list(revocation_list(private_key=OLDER_KEY), KEYS)
    assert read_revocation_list(revocation_list(private_key=OLDER_KEY, kid=None), KEYS)


def test_of_two_entries_the_earlier_counts() -> None:
    listed = read_revocation_list(revocation_list(ENTRY, ENTRY | {"revoked_at": 5}), KEYS)
    assert listed.revoked_at("K7QF-3MXP") == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("kid", [None, "1IG2tMH7", "WeVHjIQT", 7, ["a"]])
def test_a_list_of_a_stranger_is_refused(kid: object) -> None:
    with pytest.raises(RevocationListInvalid, match="not signed"):
        read_revocation_list(revocation_list(private_key=FOREIGN_KEY, kid=kid), KEYS)


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "HS256"}, {"alg": None}, {"typ": None}, {"typ": "JWT"},
     {"crit": ["b64"]}, {"typ": 7}],
)  # fmt: skip
def test_a_list_signed_for_another_purpose_is_refused(header: Json) -> None:
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(revocation_list(**header), KEYS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "claims",
    [{"iat": "2026-11-24T12:00:00Z"}, {"iat": 1.5}, {"iat": True}, {"iat": -1}, {"iat": None},
     {"next_update": None}, {"next_update": 10**18}],
)  # fmt: skip
def test_times_in_another_form_are_refused(claims: Json) -> None:
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(revocation_list(**claims), KEYS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"jti": 7}, {"jti": ""}, {"revoked_at": None}, {"revoked_at": "x"}, {"expires_at": "x"}],
)
def test_an_entry_in_another_form_makes_the_list_unusable(change: Json) -> None:
    """A list that is half understood would let through whom it names."""
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(revocation_list(ENTRY | change), KEYS)


def test_an_entry_without_an_expiry_member_makes_the_list_unusable() -> None:
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(revocation_list({"jti": "K", "revoked_at": 1}), KEYS)


def resigned(text: str) -> bytes:
    return f"{text}.{encode(SIGNING_KEY.sign(text.encode()))}".encode()


HEADER = encode(compact({"alg": "EdDSA", "typ": "revoked-licenses+jwt"}))


@pytest.mark.parametrize(
    "document",
    [b"", b"..", b"a.b", b"a.b.c.d", "ä.b.c".encode(), b"\xff\xfe", b"{}",
     revocation_list()[:-1], revocation_list() + b"=", revocation_list() + b"\nmore",
     resigned(f"{HEADER}.{encode(b'[]')}"), resigned(f"{HEADER}.{encode(b'no')}"),
     resigned(f"{HEADER}.{encode(b'[' * 100_000)}"), resigned(f"{encode(b'[]')}.{encode(b'{}')}"),
     resigned(f"{HEADER}.{encode(compact({'iat': 1, 'next_update': 2, 'revoked': {}}))}"),
     resigned(f"{HEADER}.{encode(compact({'iat': 1, 'next_update': 2, 'revoked': ['x']}))}"),
     resigned(f"{HEADER}.{encode(compact({'iat': 1, 'next_update': 2}))}")],
)  # fmt: skip
def test_what_is_no_list_is_refused(document: bytes) -> None:
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(document, KEYS)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(document: bytes) -> None:
    with pytest.raises(RevocationListInvalid):
        read_revocation_list(document, KEYS)


@given(st.integers(0, 1000), st.integers(0, 255))
def test_a_list_with_one_byte_changed_is_refused(position: int, byte: int) -> None:
    document = revocation_list(ENTRY)
    position %= len(document)
    changed = document[:position] + bytes([byte]) + document[position + 1 :]
    if changed.strip() != document:
        with pytest.raises(RevocationListInvalid):
            read_revocation_list(changed, KEYS)


def test_a_long_list_is_read() -> None:
    entries = [ENTRY | {"jti": f"K-{number}"} for number in range(20_000)]
    listed = read_revocation_list(revocation_list(*entries), KEYS)
    assert len(listed.revoked) == len(entries)
    assert json.loads(json.dumps(list(listed.revoked)))[-1] == "K-19999"
