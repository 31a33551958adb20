"""What notices need to say or to sign, and the database must not: encrypted for its place."""

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NONCE_BYTES = 12
LINK = "invitation"
WEBHOOK = "webhook"
"""What is sealed: one kind cannot be put in the place of the other."""


def seal(secret_key: str, what: str, text: str) -> bytes:
    """`text` as the database keeps it: encrypted under the portal's secret key."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret_key).encrypt(nonce, text.encode(), what.encode())


def unseal(secret_key: str, what: str, sealed: bytes) -> str | None:
    """The inverse of `seal`; None if it was sealed under another key, or as something else."""
    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return _cipher(secret_key).decrypt(nonce, text, what.encode()).decode()
    except (InvalidTag, ValueError):
        return None


def _cipher(secret_key: str) -> ChaCha20Poly1305:
    label = b"rolling-window/notices"
    return ChaCha20Poly1305(hmac.digest(secret_key.encode(), label, "sha256"))
