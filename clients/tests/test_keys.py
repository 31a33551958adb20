"""License keys of both kinds, checked off-line; first against the portal's own test vectors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import (
    FOREIGN_KEY,
    ISSUED_AT,
    MAC_ID,
    OLDER_KEY,
    SIGNING_KEY,
    TTL,
    Json,
    jwk,
    jwk_set,
    license_key,
    permanent_license,
    revocation_list,
    temporary_key,
)

from rolling_window_client.check import KeyCheck, KeyState, check_key
from rolling_window_client.errors import KeySetInvalid
from rolling_window_client.keys import TOO_LONG, KeyKind, NotAKey, looks_whole, read_key
from rolling_window_client.pasted import clean_key
from rolling_window_client.public_keys import read_jwk_set
from rolling_window_client.revocations import read_revocation_list
from rolling_window_client.words import rfc3339

KEYS = read_jwk_set(jwk_set(SIGNING_KEY, OLDER_KEY))
SECOND = timedelta(seconds=1)
EXPIRES_AT = ISSUED_AT + timedelta(seconds=TTL)
MIDWAY = ISSUED_AT + timedelta(hours=1)

VECTORS_FILE = Path(__file__).parents[2] / "docs" / "key-vectors.json"


def vectors() -> tuple[Any, list[Any]]:
    if not VECTORS_FILE.exists():
        return None, []
    document = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
    return document, document["vectors"]


DOCUMENT, VECTORS = vectors()


def test_the_portals_vectors_are_there() -> None:
    if not VECTORS:
        pytest.skip(f"{VECTORS_FILE} is not here: the portal's vectors ARE NOT CHECKED")
    assert len(VECTORS) >= 12


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_it_says_what_the_vector_says(vector: dict[str, Any]) -> None:
    keys = read_jwk_set(json.dumps(DOCUMENT["jwks"]).encode())
    check = check_key(vector["key"], keys, now=datetime.fromisoformat(vector["now"]))
    assert {"state": check.state, "fields": fields(check)} == vector["expected"]


def fields(check: KeyCheck) -> Json | None:
    if (key := check.key) is None:
        return None
    return {
        "kid": key.kid,
        "key_id": key.key_id,
        "organisation_id": key.organisation_id,
        "ttl": key.ttl,
        "issued_at": rfc3339(key.issued_at),
        "starts_at": rfc3339(key.starts_at),
        "expires_at": rfc3339(key.expires_at),
    }


# The other kind


@pytest.mark.parametrize("machine", [None, "a-machine"])
def test_a_permanent_license(machine: str | None) -> None:
    text = permanent_license() if machine is None else permanent_license(machine=machine)
    check = check_key(text, KEYS, now=datetime(9000, 1, 1, tzinfo=UTC))
    assert check.state is KeyState.ACTIVE
    assert check.key is not None
    assert (check.key.kind, check.key.mac_id, check.key.machine) == (
        KeyKind.PERMANENT, MAC_ID, machine,
    )  # fmt: skip
    assert check.key.expires_at is None


@pytest.mark.parametrize(
    "changes",
    [{"mac": None}, {"mac": 7}, {"mac": "none"}, {"mac": ""}, {"mac": "FF:FF:FF:FF:FF:FF"},
     {"jti": ""}, {"org": None}, {"machine": ""}, {"machine": None}, {"machine": 7}],
)  # fmt: skip
def test_a_permanent_license_that_is_wrongly_filled(changes: Json) -> None:
    text = permanent_license(**changes)  # type: ignore[arg-type]
    assert check_key(text, KEYS, now=MIDWAY).state is KeyState.INVALID


def test_a_permanent_license_from_the_future() -> None:
    check = check_key(permanent_license(), KEYS, now=ISSUED_AT - 6 * SECOND)
    assert check.state is KeyState.INVALID
    assert check.sentence == "By this machine's clock the key is not valid yet."


def test_members_of_the_other_kind_do_not_change_the_kind() -> None:
    """A `ttl` in a permanent license ends nothing; a `mac` in a temporary key makes it no other."""
    permanent = check_key(permanent_license(ttl=1), KEYS, now=EXPIRES_AT)
    temporary = check_key(temporary_key(mac=MAC_ID), KEYS, now=EXPIRES_AT)
    assert (permanent.state, temporary.state) == (KeyState.ACTIVE, KeyState.EXPIRED)


def test_one_kind_signed_as_the_other_is_neither() -> None:
    members: Json = {"kid": "1IG2tMH7", "jti": "P4RM-22AA", "org": "ORG-000123", "mac": MAC_ID}
    assert check_key(license_key(members), KEYS, now=MIDWAY).state is KeyState.INVALID


# Time


@pytest.mark.parametrize(
    ("now", "state"),
    [(ISSUED_AT - 5.001 * SECOND, "invalid"), (ISSUED_AT - 5 * SECOND, "active"),
     (ISSUED_AT, "active"), (EXPIRES_AT - SECOND / 1000, "active"),
     (EXPIRES_AT, "expired")],
)  # fmt: skip
def test_the_state_changes_at_the_instant(now: datetime, state: str) -> None:
    assert check_key(temporary_key(), KEYS, now=now).state == state


@given(st.integers(0, 30 * 86_400), st.integers(1, 30 * 86_400), st.sampled_from([-1, 0, 1]))
def test_a_key_with_a_start_lasts_from_there(ahead: int, ttl: int, second: int) -> None:
    """Five seconds before the start are allowed, for clocks apart; at the end nothing is."""
    starts_at = ISSUED_AT + ahead * SECOND
    text = temporary_key(ttl=ttl, nbf=int(starts_at.timestamp()))
    allowed, ends_at = starts_at - 5 * SECOND, starts_at + ttl * SECOND
    early = "scheduled" if allowed + second * SECOND >= ISSUED_AT - 5 * SECOND else "invalid"
    at_the_start = check_key(text, KEYS, now=allowed + second * SECOND)
    assert at_the_start.state == ("active" if second >= 0 else early)
    assert at_the_start.key is not None
    assert (at_the_start.key.starts_at, at_the_start.key.expires_at) == (starts_at, ends_at)
    at_the_end = check_key(text, KEYS, now=ends_at + second * SECOND)
    assert at_the_end.state == ("expired" if second >= 0 else "active")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        check_key(temporary_key(), KEYS, now=datetime(2026, 11, 24))  # noqa: DTZ001 - on purpose


def test_without_a_time_it_is_now() -> None:
    issued_at = datetime.now(UTC).replace(microsecond=0)
    assert check_key(temporary_key(issued_at=issued_at), KEYS).state is KeyState.ACTIVE


@pytest.mark.parametrize("ttl", [30 * 86_400 + 1, 365 * 86_400, 10 * 365 * 86_400, 10**12])
def test_a_key_valid_for_more_than_30_days_is_none(ttl: int) -> None:
    """Somebody stole a signing key and makes one that is to outlive its being noticed."""
    check = check_key(temporary_key(ttl=ttl), KEYS, now=MIDWAY)
    assert (check.state, check.key) == (KeyState.INVALID, None)
    assert check.sentence == TOO_LONG


def test_a_key_valid_for_30_days_is_one() -> None:
    text = temporary_key(ttl=30 * 86_400)
    assert check_key(text, KEYS, now=ISSUED_AT + timedelta(days=29)).state is KeyState.ACTIVE
    assert check_key(text, KEYS, now=ISSUED_AT + timedelta(days=30)).state is KeyState.EXPIRED


# With a list of revoked licenses


def revoked(at: datetime, key_id: str = "K7QF-3MXP", **changes: object) -> Json:
    entry: Json = {
        "jti": key_id,
        "revoked_at": int(at.timestamp()),
        "expires_at": int(EXPIRES_AT.timestamp()),
    }
    return entry | changes


def checked(
    text: str, *entries: Json, now: datetime = MIDWAY, age: int = 0, accept_stale: bool = False
) -> KeyCheck:
    iat = int(now.timestamp()) - age
    document = revocation_list(*entries, iat=iat, next_update=iat + 300)
    listed = read_revocation_list(document, KEYS)
    return check_key(text, KEYS, revoked=listed, now=now, accept_stale=accept_stale)


def test_a_revoked_key() -> None:
    check = checked(temporary_key(), revoked(ISSUED_AT + SECOND))
    assert check.state is KeyState.REVOKED
    assert check.revoked_at == ISSUED_AT + SECOND


def test_a_revoked_key_stays_revoked_when_its_time_is_up() -> None:
    assert checked(temporary_key(), revoked(MIDWAY), now=EXPIRES_AT).state is KeyState.REVOKED


def test_a_key_revoked_when_it_had_expired_is_expired() -> None:
    late = EXPIRES_AT + SECOND
    assert checked(temporary_key(), revoked(EXPIRES_AT), now=late).state is KeyState.EXPIRED


def test_a_revoked_permanent_license() -> None:
    entry = revoked(MIDWAY, "P4RM-22AA", expires_at=None)
    assert checked(permanent_license(), entry).state is KeyState.REVOKED


def test_the_key_of_another_is_not_meant() -> None:
    assert checked(temporary_key(), revoked(ISSUED_AT, "XXXX-XXXX")).state is KeyState.ACTIVE


@pytest.mark.parametrize(
    ("age", "state"),
    [(0, "active"), (300, "active"), (301, "unknown"), (-300, "active"), (-301, "unknown")],
)
def test_a_list_that_does_not_speak_for_now_leaves_it_unknown(age: int, state: str) -> None:
    assert checked(temporary_key(), age=age).state == state


def test_a_stale_list_is_taken_if_that_is_wanted() -> None:
    assert checked(temporary_key(), age=301, accept_stale=True).state is KeyState.ACTIVE


def test_a_stale_list_still_knows_whom_it_names() -> None:
    assert checked(temporary_key(), revoked(ISSUED_AT), age=9999).state is KeyState.REVOKED


def test_of_an_expired_key_nothing_is_unknown() -> None:
    assert checked(temporary_key(), now=EXPIRES_AT, age=9999).state is KeyState.EXPIRED


# Bad input


@pytest.mark.parametrize(
    "text",
    ["", "\u200b \u201c\u201d", "rw1", "rw1...", "rw1.a.b.c", "\0" * 100, "rw1." * 1000,
     "K7QF-3MXP", "rw1." + "A" * 5000 + ".awV8QA." + "A" * 86, "\ud800", "ключ"],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    check = check_key(text, KEYS, now=MIDWAY)
    assert (check.state, check.key) == (KeyState.INVALID, None)
    assert check.sentence.endswith(".")


@given(st.text())
def test_no_text_whatever_raises_anything(text: str) -> None:
    assert check_key(text, KEYS, now=MIDWAY).state is KeyState.INVALID


@given(st.dictionaries(st.sampled_from(["kid", "jti", "org", "ttl", "nbf", "mac", "x"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.none())
)), st.sampled_from(list(KeyKind)))  # fmt: skip
def test_no_signed_contents_raise_anything_but_not_a_key(members: Json, kind: KeyKind) -> None:
    text = license_key({"kid": "1IG2tMH7"} | members, kind=kind)
    try:
        read_key(text, KEYS)
    except NotAKey as error:
        assert text not in str(error)  # noqa: PT017 - either is right


@given(st.integers(0, 2000), st.characters())
def test_a_key_with_one_character_changed_is_invalid(position: int, character: str) -> None:
    text = temporary_key()
    position %= len(text)
    changed = text[:position] + character + text[position + 1 :]
    if clean_key(changed) != text:
        assert check_key(changed, KEYS, now=MIDWAY).state is KeyState.INVALID


@given(st.integers(20, 80), st.sampled_from(["\n", "\r\n", " ", "\t", "\u200b", "\n  > "[:2]]))
def test_a_key_survives_being_wrapped(width: int, between: str) -> None:
    text = temporary_key()
    wrapped = between.join(text[at : at + width] for at in range(0, len(text), width))
    assert check_key(f"\u201e{wrapped}\u201c", KEYS, now=MIDWAY).state is KeyState.ACTIVE


def test_a_key_is_whole_when_its_last_part_is() -> None:
    assert looks_whole(f' "{temporary_key()}"\n')
    assert not looks_whole(temporary_key()[:-1])
    assert not looks_whole("")


# JWK Sets


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b"{}", b'{"keys": null}', b'{"keys": 7}', b'{"keys": []}', b"\xff",
     b'{"keys": [7]}', b'{"keys": [{}]}', b"[" * 100_000,
     b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA"}]}',
     b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": 7}]}',
     b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}'],
)  # fmt: skip
def test_what_is_no_key_set(document: bytes) -> None:
    with pytest.raises(KeySetInvalid, match="JWK Set"):
        read_jwk_set(document)


def test_keys_for_other_uses_are_passed_over() -> None:
    others: list[Json] = [{"kty": "RSA", "kid": "r"}, jwk(FOREIGN_KEY) | {"use": "enc"}]
    document = json.dumps({"keys": [*others, jwk(SIGNING_KEY)]}).encode()
    assert list(read_jwk_set(document)) == [jwk(SIGNING_KEY)["kid"]]
