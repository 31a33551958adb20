"""The portal's public signing keys: a JWK Set (RFC 7517) of Ed25519 keys (RFC 8037)."""

import base64
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import KeySetInvalid

PublicKeys = Mapping[str, Ed25519PublicKey]
"""Public signing keys by their `kid`."""


def read_jwk_set(document: bytes) -> PublicKeys:
    """The Ed25519 keys of a JWK Set. Raises KeySetInvalid.

    Keys of other types or for other uses are passed over, as the standard asks.
    """
    try:
        entries = [entry for entry in json.loads(document)["keys"] if _is_signing_key(entry)]
        keys = {
            str(entry["kid"]): Ed25519PublicKey.from_public_bytes(from_base64url(entry["x"]))
            for entry in entries
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise KeySetInvalid("This is not a JWK Set with the portal's public keys.") from None
    if not keys:
        raise KeySetInvalid("This JWK Set has no Ed25519 key in it.")
    return keys


def _is_signing_key(entry: Mapping[str, object]) -> bool:
    return (
        (entry["kty"], entry.get("crv")) == ("OKP", "Ed25519")
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "EdDSA") in {"EdDSA", "Ed25519"}
    )


def from_base64url(text: str) -> bytes:
    """Undoes base64url without padding (RFC 4648, section 5).

    Raises ValueError for anything but the one canonical spelling of at least one byte: decoding
    forgives others.
    """
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not raw or base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        raise ValueError("not canonical base64url")
    return raw
