"""Signed statements: compact JWS (RFC 7515) with EdDSA (RFC 8037) over a JSON object."""

import json
from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from itsdangerous.encoding import base64_encode

from app.keyformat.signing_keys import kid_of


def sign_claims(private_key: Ed25519PrivateKey, type: str, claims: Mapping[str, object]) -> str:
    """A compact JWS over `claims`; its header has `alg`, `typ` and `kid`, in this order."""
    header = {"alg": "EdDSA", "typ": type, "kid": kid_of(private_key.public_key())}
    signed = _part(header) + b"." + _part(claims)
    return (signed + b"." + base64_encode(private_key.sign(signed))).decode("ascii")


def _part(value: Mapping[str, object]) -> bytes:
    return base64_encode(json.dumps(value, separators=(",", ":")))


def numeric_date(moment: datetime) -> int:
    """A NumericDate (RFC 7519): whole seconds since 1970."""
    return int(moment.timestamp())
