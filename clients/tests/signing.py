"""Makes what a portal makes: keys of both kinds, a JWK Set, a list of revoked licenses."""

import base64
import hashlib
import json
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OLDER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
FOREIGN_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))

ISSUED_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TTL = 3 * 3600
MAC_ID = "00:1A:2B:3C:4D:5E"

Json = dict[str, object]


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def jwk(private_key: Ed25519PrivateKey) -> Json:
    x = encode(private_key.public_key().public_bytes_raw())
    thumbprint = hashlib.sha256(compact({"crv": "Ed25519", "kty": "OKP", "x": x})).digest()
    kid = encode(thumbprint)[:8]
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"}


def kid(private_key: Ed25519PrivateKey = SIGNING_KEY) -> str:
    return str(jwk(private_key)["kid"])


def jwk_set(*private_keys: Ed25519PrivateKey) -> bytes:
    return json.dumps({"keys": [jwk(key) for key in private_keys or (SIGNING_KEY,)]}).encode()


def license_key(
    members: Json,
    *,
    kind: str = "temporary",
    issued_at: datetime = ISSUED_AT,
    private_key: Ed25519PrivateKey = SIGNING_KEY,
) -> str:
    seconds = int(issued_at.timestamp())
    timestamp = encode(seconds.to_bytes((seconds.bit_length() + 7) // 8, "big"))
    signed = f"{encode(compact(members))}.{timestamp}"
    before = f"rolling-window/{kind}-license/v1\0".encode()
    return f"rw1.{signed}.{encode(private_key.sign(before + signed.encode()))}"


def temporary_key(*, issued_at: datetime = ISSUED_AT, **changes: object) -> str:
    members: Json = {"kid": kid(), "jti": "K7QF-3MXP", "org": "ORG-000123", "ttl": TTL}
    return license_key(members | changes, issued_at=issued_at)


def permanent_license(*, issued_at: datetime = ISSUED_AT, **changes: object) -> str:
    members: Json = {"kid": kid(), "jti": "P4RM-22AA", "org": "ORG-000123", "mac": MAC_ID}
    return license_key(members | changes, kind="permanent", issued_at=issued_at)


def revocation_list(
    *revoked: Json,
    iat: object = int(ISSUED_AT.timestamp()),
    next_update: object = int(ISSUED_AT.timestamp()) + 300,
    private_key: Ed25519PrivateKey = SIGNING_KEY,
    retired: object = None,
    **header: object,
) -> bytes:
    """A header member of None is left out."""
    standard: Json = {"alg": "EdDSA", "typ": "revoked-licenses+jwt", "kid": kid(private_key)}
    members = {name: value for name, value in (standard | header).items() if value is not None}
    claims = {"iat": iat, "next_update": next_update, "revoked": list(revoked)}
    if retired is not None:
        claims["retired"] = retired
    signed = f"{encode(compact(members))}.{encode(compact(claims))}"
    return f"{signed}.{encode(private_key.sign(signed.encode()))}".encode()
