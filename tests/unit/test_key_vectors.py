"""docs/key-vectors.json, held against the portal and against a check that knows nothing of it."""

import base64
import json
import runpy
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.errors import KeyInvalid
from app.licenses.rules import license_state
from app.licenses.signing import (
    key_id_of,
    public_key_from_bytes,
    read_temporary_key,
    sign_temporary_key,
)

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = json.loads((DOCS / "key-vectors.json").read_text(encoding="utf-8"))
JWKS = {entry["kid"]: entry for entry in DOCUMENT["jwks"]["keys"]}
INVALID = {"state": "invalid", "fields": None}

each_vector = pytest.mark.parametrize(
    "vector", DOCUMENT["vectors"], ids=[vector["name"] for vector in DOCUMENT["vectors"]]
)


def decode(text: str) -> bytes:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise ValueError(text)
    return raw


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def portal_says(key: str, now: datetime) -> dict[str, object]:
    public_keys = {kid: public_key_from_bytes(decode(entry["x"])) for kid, entry in JWKS.items()}
    try:
        read = read_temporary_key(key, public_keys)
    except KeyInvalid:
        return INVALID
    fields = {
        "kid": read.kid,
        "key_id": read.jti,
        "organisation_id": read.organisation_id,
        "ttl": read.ttl,
        "issued_at": rfc3339(read.issued_at),
        "expires_at": rfc3339(read.expires_at),
    }
    state = license_state(
        issued_at=read.issued_at, expires_at=read.expires_at, revoked_at=None, now=now
    )
    return {"state": state, "fields": fields}


def stranger_says(key: str, now: datetime) -> dict[str, object]:
    """A check written from docs/key-format.md alone."""
    invisible = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
    key = "".join(sign for sign in key if not sign.isspace() and sign not in invisible)
    key = key.strip("\"'`“”„‟‘’‚‛«»‹›「」『』")
    try:
        prefix, payload, timestamp, signature = key.split(".")
        claims = json.loads(decode(payload))
        public_key = Ed25519PublicKey.from_public_bytes(decode(JWKS[claims["kid"]]["x"]))
        value = f"{DOCUMENT['salt']}\0{payload}.{timestamp}".encode()
        public_key.verify(decode(signature), value)
        issued = int.from_bytes(decode(timestamp), "big")
        issued_at = datetime.fromisoformat("1970-01-01T00:00:00Z") + timedelta(seconds=issued)
        expires_at = issued_at + timedelta(seconds=claims["ttl"])
        sound = (
            prefix == "rw1"
            and not decode(timestamp).startswith(b"\0")
            and json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
            == decode(payload)
            and [type(claims[name]) for name in ("kid", "jti", "org", "ttl")] == [str] * 3 + [int]
            and claims["ttl"] > 0
        )
    except (ValueError, KeyError, TypeError, OverflowError, InvalidSignature):
        return INVALID
    if not sound:
        return INVALID
    fields = {
        "kid": claims["kid"],
        "key_id": claims["jti"],
        "organisation_id": claims["org"],
        "ttl": claims["ttl"],
        "issued_at": rfc3339(issued_at),
        "expires_at": rfc3339(expires_at),
    }
    running = "active" if now < expires_at else "expired"
    return {"state": "invalid" if now < issued_at else running, "fields": fields}


@each_vector
def test_the_portal_says_what_the_vector_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert portal_says(vector["key"], now) == vector["expected"]


@each_vector
def test_a_stranger_says_what_the_vector_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert stranger_says(vector["key"], now) == vector["expected"]


def test_the_file_is_what_its_script_makes() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    assert script["document"]() == DOCUMENT


def test_the_portal_makes_the_valid_key_byte_for_byte() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    private_key = script["SIGNING_KEY"]
    assert key_id_of(private_key.public_key()) in JWKS
    made = sign_temporary_key(
        private_key,
        jti="K7QF-3MXP",
        organisation_id="ORG-000123",
        ttl=script["TTL"],
        issued_at=script["ISSUED_AT"],
    )
    assert made == DOCUMENT["vectors"][0]["key"]


def test_there_are_vectors_of_every_outcome_and_each_has_its_own_name() -> None:
    names = [vector["name"] for vector in DOCUMENT["vectors"]]
    assert len(names) == len(set(names)) >= 12
    assert {vector["expected"]["state"] for vector in DOCUMENT["vectors"]} == {
        "active",
        "expired",
        "invalid",
    }
