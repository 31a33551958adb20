"""Signed records of visits, and `license-check visit`; first against the portal's own vectors."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import FOREIGN_KEY, OLDER_KEY, SIGNING_KEY, Json, compact, encode, jwk_set, kid

from rolling_window_client.errors import VisitRecordInvalid
from rolling_window_client.license_check import main
from rolling_window_client.public_keys import read_jwk_set
from rolling_window_client.visits import read_visit_record

VECTORS_FILE = Path(__file__).parents[2] / "docs" / "key-vectors.json"
DOCUMENT: Any = json.loads(VECTORS_FILE.read_text()) if VECTORS_FILE.exists() else {}
VECTORS = DOCUMENT["visit_records"]["vectors"] if DOCUMENT else []
KEYS = read_jwk_set(jwk_set(SIGNING_KEY, OLDER_KEY))
CLAIMS: Json = {
    "iss": "https://portal.example",
    "iat": 1795521600,
    "jti": "a-visit",
    "org": "ORG-000123",
    "sub": "developer@example.com",
    "role": "developer",
    "reason": "Börse is down",
    "ticket": None,
    "key_id": "K7QF-3MXP",
    "issued_by": "ada@example.com",
    "machine": "lab-7",
    "mac": "00:1A:2B:3C:4D:5E",
    "address": "198.51.100.9",
    "start": 1795520000,
    "end": 1795521000,
    "ended_by": "signed_out",
    "logout_confirmed": None,
}


def record(claims: Json = CLAIMS, private_key: Any = SIGNING_KEY, **header: object) -> bytes:
    """A header member of None is left out."""
    standard: Json = {"alg": "EdDSA", "typ": "visit+jwt", "kid": kid(private_key)}
    members = {name: value for name, value in (standard | header).items() if value is not None}
    signed = f"{encode(compact(members))}.{encode(compact(claims))}"
    return f"{signed}.{encode(private_key.sign(signed.encode()))}".encode()


def test_the_portals_vectors_are_there() -> None:
    if not VECTORS:
        pytest.skip(f"{VECTORS_FILE} is not here: the portal's vectors ARE NOT CHECKED")
    assert len(VECTORS) > 10


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_it_says_what_the_vector_says(vector: dict[str, Any]) -> None:
    keys = read_jwk_set(json.dumps(DOCUMENT["jwks"]).encode())
    expected = vector["expected"]["fields"]
    if expected is None:
        with pytest.raises(VisitRecordInvalid):
            read_visit_record(vector["record"].encode(), keys)
        return
    read = read_visit_record(vector["record"].encode(), keys)
    assert (read.record_id, read.reason, read.person) == (
        expected["jti"],
        expected["reason"],
        expected["sub"],
    )
    assert read.ended_at.timestamp() == expected["end"]


def test_it_says_who_was_there_when() -> None:
    read = read_visit_record(record(), KEYS)
    assert (read.person, read.role, read.reason) == (
        "developer@example.com",
        "developer",
        "Börse is down",
    )
    assert read.started_at == datetime(2026, 11, 24, 11, 33, 20, tzinfo=UTC)
    assert (read.ticket, read.logout_confirmed, read.kid) == (None, None, kid(SIGNING_KEY))
    assert read_visit_record(record(CLAIMS | {"address": None}), KEYS).address is None


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_in_another_form_or_missing_makes_it_no_record(name: str) -> None:
    """One that is half understood would let somebody read into it what it does not say."""
    for claims in (
        {key: value for key, value in CLAIMS.items() if key != name},
        CLAIMS | {name: ["x"]},
        CLAIMS | {name: ""},
        CLAIMS | {name: True},
    ):
        with pytest.raises(VisitRecordInvalid):
            read_visit_record(record(claims), KEYS)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_record_with_one_byte_changed_is_refused(position: int, byte: int) -> None:
    document = record()
    position %= len(document)
    changed = document[:position] + bytes([byte]) + document[position + 1 :]
    if changed.strip() != document:
        with pytest.raises(VisitRecordInvalid):
            read_visit_record(changed, KEYS)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(document: bytes) -> None:
    with pytest.raises(VisitRecordInvalid):
        read_visit_record(document, KEYS)


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """`license-check visit` with a record on standard input: its exit status, and what it said."""
    (tmp_path / "keys.json").write_bytes(jwk_set(SIGNING_KEY))

    def run(document: bytes, *options: str, keys: str = "keys.json") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(document)))
        status = main(["visit", "--keys", str(tmp_path / keys), *options])
        return status, "".join(capsys.readouterr())

    return run


def test_a_good_record(call: Call) -> None:
    status, said = call(record() + b"\n")
    assert status == 0
    for word in ("developer@example.com (developer)", "Börse is down", "The record is good."):
        assert word in said
    status, said = call(record(), "--json", "--issuer", "https://portal.example")
    assert status == 0
    answer = json.loads(said)
    assert (answer["good"], answer["ended_at"]) == (True, "2026-11-24T11:50:00Z")
    assert answer["logout_confirmed_at"] is None


@pytest.mark.parametrize(
    "document",
    [
        record(private_key=OLDER_KEY),  # retired: it is not in the set
        record(private_key=FOREIGN_KEY),
        record(private_key=FOREIGN_KEY, kid=kid(SIGNING_KEY)),
        record(typ="revoked-licenses+jwt"),
        record(alg="none"),
        record(alg="HS256"),
        record()[:-2] + b"AA",
        b"",
        b"\xff",
    ],
)
def test_a_record_that_is_not_good(call: Call, document: bytes) -> None:
    status, said = call(document)
    assert status == 5
    assert "Person" not in said
    status, said = call(document, "--json")
    assert (status, json.loads(said)["good"]) == (5, False)


def test_a_record_of_another_portal_than_asked_for(call: Call) -> None:
    status, said = call(record(), "--issuer", "https://other.example")
    assert status == 5
    assert "another portal" in said


def test_keys_that_cannot_be_read_and_a_terminals_tricks(call: Call) -> None:
    assert call(record(), keys="missing.json")[0] == 7
    status, said = call(record(CLAIMS | {"machine": "\x1b[2J\u202eevil"}))
    assert status == 0
    assert "\x1b" not in said
    with pytest.raises(SystemExit) as end:
        main(["visit"])
    assert end.value.code == 2
