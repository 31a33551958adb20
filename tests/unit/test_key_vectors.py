"""docs/key-vectors.json, held against the portal and against a check that knows nothing of it."""

import base64
import json
import re
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.core.errors import KeyInvalid
from app.keyformat.license_keys import (
    read_temporary_key,
    sign_permanent_license,
    sign_temporary_key,
)
from app.keyformat.revocation_list import Revocation, sign_revocation_list
from app.keyformat.signing_keys import kid_of, public_key_from_bytes
from app.keyformat.visit_records import VisitFacts, sign_visit_record
from app.licenses.rules import license_state

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = json.loads((DOCS / "key-vectors.json").read_text(encoding="utf-8"))
JWKS = {entry["kid"]: entry for entry in DOCUMENT["jwks"]["keys"]}
CLOCKS_APART = timedelta(seconds=5)
AS_THEY_ARE = ["role", "reason", "ticket", "key_id", "issued_by", "machine", "address", "ended_by"]
INVALID = {"state": "invalid", "fields": None}

each_vector = pytest.mark.parametrize(
    "vector", DOCUMENT["vectors"], ids=[vector["name"] for vector in DOCUMENT["vectors"]]
)


each_license = pytest.mark.parametrize(
    "vector",
    DOCUMENT["permanent"]["vectors"],
    ids=[vector["name"] for vector in DOCUMENT["permanent"]["vectors"]],
)
each_list = pytest.mark.parametrize(
    "vector",
    DOCUMENT["revocation_lists"]["vectors"],
    ids=[vector["name"] for vector in DOCUMENT["revocation_lists"]["vectors"]],
)


def public_keys() -> dict[str, Ed25519PublicKey]:
    return {kid: public_key_from_bytes(decode(entry["x"])) for kid, entry in JWKS.items()}


def decode(text: str) -> bytes:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise ValueError(text)
    return raw


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def portal_says(key: str, now: datetime) -> dict[str, object]:
    try:
        read = read_temporary_key(key, public_keys().get)
    except KeyInvalid:
        return INVALID
    if read is None:
        return INVALID
    fields = {
        "kid": read.kid,
        "key_id": read.jti,
        "organisation_id": read.organisation_id,
        "ttl": read.ttl,
        "issued_at": rfc3339(read.issued_at),
        "starts_at": rfc3339(read.starts_at),
        "expires_at": rfc3339(read.expires_at),
    }
    state = license_state(
        issued_at=read.issued_at,
        starts_at=read.starts_at,
        ends_at=read.expires_at,
        revoked_at=None,
        now=now,
    )
    return {"state": state, "fields": fields}


def stranger_says_of_permanent(key: str, now: datetime) -> dict[str, object]:
    """A check written from docs/key-format.md alone."""
    try:
        prefix, payload, timestamp, signature = key.split(".")
        claims = json.loads(decode(payload))
        public_key = Ed25519PublicKey.from_public_bytes(decode(JWKS[claims["kid"]]["x"]))
        value = f"{DOCUMENT['permanent']['salt']}\0{payload}.{timestamp}".encode()
        public_key.verify(decode(signature), value)
        issued = int.from_bytes(decode(timestamp), "big")
        issued_at = datetime.fromisoformat("1970-01-01T00:00:00Z") + timedelta(seconds=issued)
        texts = [claims["kid"], claims["jti"], claims["org"], claims["mac"]]
        if "machine" in claims:
            texts.append(claims["machine"])
    except (ValueError, KeyError, TypeError, OverflowError, InvalidSignature):
        return INVALID
    if prefix != "rw1" or not all(isinstance(text, str) and text for text in texts):
        return INVALID
    fields = {
        "kid": claims["kid"],
        "key_id": claims["jti"],
        "organisation_id": claims["org"],
        "mac_id": claims["mac"],
        "machine_id": claims.get("machine"),
        "issued_at": rfc3339(issued_at),
    }
    early = now < issued_at - CLOCKS_APART
    return {"state": "invalid" if early else "active", "fields": fields}


def stranger_says_of_list(text: str, now: datetime) -> dict[str, object]:
    """A check written from docs/key-format.md alone."""
    try:
        header, claims, signature = text.split(".")
        protected, said = json.loads(decode(header)), json.loads(decode(claims))
        if (protected["alg"], protected["typ"]) != ("EdDSA", "revoked-licenses+jwt"):
            return INVALID
        public_key = Ed25519PublicKey.from_public_bytes(decode(JWKS[protected["kid"]]["x"]))
        public_key.verify(decode(signature), f"{header}.{claims}".encode())
    except (ValueError, KeyError, TypeError, InvalidSignature):
        return INVALID
    if "crit" in protected:
        return INVALID
    state = "current" if now.timestamp() <= said["next_update"] else "stale"
    return {"state": state, "fields": said}


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
        starts_at = issued_at + timedelta(seconds=claims.get("nbf", issued) - issued)
        expires_at = starts_at + timedelta(seconds=claims["ttl"])
        sound = (
            prefix == "rw1"
            and type(claims.get("nbf", issued)) is int
            and starts_at >= issued_at
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
        "starts_at": rfc3339(starts_at),
        "expires_at": rfc3339(expires_at),
    }
    running = "active" if now < expires_at else "expired"
    if now < starts_at - CLOCKS_APART:
        running = "scheduled"
    early = now < issued_at - CLOCKS_APART
    return {"state": "invalid" if early else running, "fields": fields}


@each_vector
def test_the_portal_says_what_the_vector_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert portal_says(vector["key"], now) == vector["expected"]


@each_vector
def test_a_stranger_says_what_the_vector_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert stranger_says(vector["key"], now) == vector["expected"]


@each_license
def test_a_stranger_says_what_the_vector_of_a_permanent_license_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert stranger_says_of_permanent(vector["key"], now) == vector["expected"]


@each_license
def test_no_permanent_license_is_a_temporary_key(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert portal_says(vector["key"], now) == stranger_says(vector["key"], now) == INVALID


@each_list
def test_a_stranger_says_what_the_vector_of_a_list_says(vector: dict) -> None:
    now = datetime.fromisoformat(vector["now"])
    assert stranger_says_of_list(vector["list"], now) == vector["expected"]


def test_the_file_is_what_its_script_makes() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    assert script["document"]() == DOCUMENT


def test_the_portal_makes_the_valid_key_byte_for_byte() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    private_key = script["SIGNING_KEY"]
    assert kid_of(private_key.public_key()) in JWKS
    made = sign_temporary_key(
        private_key,
        jti="K7QF-3MXP",
        organisation_id="ORG-000123",
        ttl=script["TTL"],
        issued_at=script["ISSUED_AT"],
    )
    assert made == DOCUMENT["vectors"][0]["key"]


def test_the_page_shows_the_record_of_the_first_vector() -> None:
    page = (DOCS / "key-format.md").read_text(encoding="utf-8")
    record = DOCUMENT["visit_records"]["vectors"][0]["record"]
    header, claims, _ = record.split(".")
    for part in (record, decode(header).decode(), decode(claims).decode()):
        assert part in page


def test_the_portal_makes_the_records_of_visits_byte_for_byte() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    for vector in DOCUMENT["visit_records"]["vectors"][:2]:
        claims = vector["expected"]["fields"]
        confirmed = claims["logout_confirmed"]
        facts = VisitFacts(
            record_id=claims["jti"],
            organisation_id=claims["org"],
            email=claims["sub"],
            mac_id=claims["mac"],
            started_at=datetime.fromtimestamp(claims["start"], UTC),
            ended_at=datetime.fromtimestamp(claims["end"], UTC),
            confirmed_at=datetime.fromtimestamp(confirmed, UTC) if confirmed else None,
            **{name: claims[name] or "" for name in AS_THEY_ARE},
        )
        made = sign_visit_record(
            script["SIGNING_KEY"],
            facts,
            issuer=claims["iss"],
            now=datetime.fromtimestamp(claims["iat"], UTC),
        )
        assert made == vector["record"]


def test_the_portal_makes_the_scheduled_key_byte_for_byte() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    made = sign_temporary_key(
        script["SIGNING_KEY"],
        jti="K7QF-3MXP",
        organisation_id="ORG-000123",
        ttl=script["TTL"],
        issued_at=script["ISSUED_AT"],
        starts_at=script["STARTS_AT"],
    )
    assert [made] == [one["key"] for one in DOCUMENT["vectors"] if one["name"] == "scheduled"]


@pytest.mark.parametrize(
    ("number", "machine_id"), [(0, None), (1, "4c4c4544-0042-3510-8052-b4c04f4a4e32")]
)
def test_the_portal_makes_the_valid_permanent_licenses_byte_for_byte(
    number: int, machine_id: str | None
) -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    made = sign_permanent_license(
        script["SIGNING_KEY"],
        jti="P4RM-22AA",
        organisation_id="ORG-000123",
        mac_id="00:1A:2B:3C:4D:5E",
        machine_id=machine_id,
        issued_at=script["ISSUED_AT"],
    )
    assert made == DOCUMENT["permanent"]["vectors"][number]["key"]


def test_the_portal_makes_the_valid_list_byte_for_byte() -> None:
    script = runpy.run_path(str(DOCS / "make_key_vectors.py"))
    midway = script["MIDWAY"]
    revoked = [
        Revocation("K7QF-3MXP", midway - timedelta(minutes=30), script["EXPIRES_AT"]),
        Revocation("P4RM-22AA", midway - timedelta(minutes=1), None),
    ]
    made = sign_revocation_list(script["SIGNING_KEY"], revoked, midway)
    assert made == DOCUMENT["revocation_lists"]["vectors"][0]["list"]


def test_there_are_vectors_of_every_outcome_and_each_has_its_own_name() -> None:
    names = [vector["name"] for vector in DOCUMENT["vectors"]]
    assert len(names) == len(set(names)) >= 12
    assert {vector["expected"]["state"] for vector in DOCUMENT["vectors"]} == {
        "active",
        "scheduled",
        "expired",
        "invalid",
    }


def _python_of_the_page() -> dict[str, object]:
    """What the Python examples of docs/key-format.md define."""
    page = (DOCS / "key-format.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    return names


def test_the_examples_of_the_page_are_true() -> None:
    page = (DOCS / "key-format.md").read_text(encoding="utf-8")
    for text in (
        DOCUMENT["vectors"][0]["key"],
        DOCUMENT["permanent"]["vectors"][1]["key"],
        DOCUMENT["revocation_lists"]["vectors"][0]["list"],
    ):
        assert f"```\n{text}\n```" in page
        for part in text.removeprefix("rw1.").split("."):
            if part.startswith("eyJ"):
                assert f"`{decode(part).decode()}`" in page


def test_the_python_of_the_page_checks_keys() -> None:
    check: Any = _python_of_the_page()["check"]
    clean = [one for one in DOCUMENT["vectors"] if re.fullmatch(r"[\w.-]+", one["key"], re.ASCII)]
    for vector in clean:
        now = datetime.fromisoformat(vector["now"]).timestamp()
        if vector["expected"]["state"] == "active":
            assert check(vector["key"], DOCUMENT["jwks"], now)["jti"] == "K7QF-3MXP"
        elif vector["expected"]["fields"]:
            with pytest.raises(ValueError, match="not active"):
                check(vector["key"], DOCUMENT["jwks"], now)


@each_list
def test_the_python_of_the_page_reads_lists(vector: dict) -> None:
    read: Any = _python_of_the_page()["revoked_licenses"]
    now = datetime.fromisoformat(vector["now"]).timestamp()
    if vector["expected"]["state"] == "current":
        listed = {entry["jti"] for entry in vector["expected"]["fields"]["revoked"]}
        assert read(vector["list"], DOCUMENT["jwks"], now) == listed
    else:
        with pytest.raises((ValueError, KeyError, StopIteration, InvalidSignature)):
            read(vector["list"], DOCUMENT["jwks"], now)
