"""Permanent licenses as a stranger reads them: by docs/key-format.md alone."""

import base64
import json
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SALT = b"rolling-window/permanent-license/v1"


def read_permanent_license(
    text: str, public_keys: dict[str, Ed25519PublicKey]
) -> dict[str, object]:
    """What a license says, with `issued_at`. Raises InvalidSignature, KeyError or ValueError."""
    prefix, payload, timestamp, signature = text.split(".")
    if prefix != "rw1":
        raise ValueError(prefix)
    claims: dict[str, object] = json.loads(_decode(payload))
    signed = SALT + b"\0" + f"{payload}.{timestamp}".encode()
    public_keys[str(claims["kid"])].verify(_decode(signature), signed)
    seconds = int.from_bytes(_decode(timestamp), "big")
    return claims | {"issued_at": datetime.fromtimestamp(seconds, UTC)}


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
