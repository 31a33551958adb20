"""Signing keys: Ed25519 (RFC 8032), in files, in the database and in a JWK Set."""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from itsdangerous import base64_encode

KID_LENGTH = 8
"""How many characters of a public key's thumbprint make its `kid`."""


def new_private_key() -> Ed25519PrivateKey:
    """A new random signing key."""
    return Ed25519PrivateKey.generate()


def private_key_to_pem(private_key: Ed25519PrivateKey) -> bytes:
    """Unencrypted PKCS #8 in PEM (RFC 5958, RFC 8410): for a file that only its owner may read."""
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def private_key_from_pem(pem: bytes) -> Ed25519PrivateKey:
    """The inverse of `private_key_to_pem`. Raises ValueError unless it is such a PEM.

    The error never repeats what was in the file.
    """
    try:
        private_key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private_key = None
    if not isinstance(private_key, Ed25519PrivateKey):
        raise ValueError("not an unencrypted Ed25519 private key in PEM")  # noqa: TRY004 - a wrong file
    return private_key


def public_key_bytes(public_key: Ed25519PublicKey) -> bytes:
    """The public key as 32 bytes (RFC 8032)."""
    return public_key.public_bytes_raw()


@lru_cache(maxsize=64)
def public_key_from_bytes(raw: bytes) -> Ed25519PublicKey:
    """The inverse of `public_key_bytes`. Raises ValueError unless `raw` has 32 bytes."""
    return Ed25519PublicKey.from_public_bytes(raw)


def kid_of(public_key: Ed25519PublicKey) -> str:
    """The `kid`: the first 8 characters of the JWK thumbprint (RFC 7638, RFC 8037; SHA-256)."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _x(public_key)}
    digest = hashlib.sha256(
        json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).digest()
    return base64_encode(digest).decode("ascii")[:KID_LENGTH]


def jwk(public_key: Ed25519PublicKey) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 7517, RFC 8037)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _x(public_key),
        "kid": kid_of(public_key),
        "use": "sig",
        "alg": "EdDSA",
    }


def jwk_set(public_keys: Iterable[Ed25519PublicKey]) -> dict[str, list[dict[str, str]]]:
    """A JWK Set (RFC 7517) of `public_keys`, in the order given."""
    return {"keys": [jwk(public_key) for public_key in public_keys]}


def _x(public_key: Ed25519PublicKey) -> str:
    return base64_encode(public_key_bytes(public_key)).decode("ascii")
