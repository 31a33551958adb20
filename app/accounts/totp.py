"""Codes of authenticator apps (RFC 6238) and recovery codes: pure functions."""

import base64
import hmac
import re
import secrets
from datetime import datetime

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from app.accounts.second_factor_rules import accepted_steps
from app.keyformat.key_ids import KEY_ID_ALPHABET

ISSUER = "Rolling Window"
SECRET_BYTES = 20
NONCE_BYTES = 12
GROUPS, GROUP = 4, 4
"""A recovery code has sixteen of thirty characters: 78 bits."""


def offered_secret(secret_key: str, user_id: int, nonce: str) -> str:
    """The secret (base32) that a set-up offers: the same for the same nonce, so stored nowhere."""
    made_of = f"rolling-window/authenticator/{user_id}/{nonce}"
    digest = hmac.digest(secret_key.encode(), made_of.encode(), "sha256")
    return base64.b32encode(digest[:SECRET_BYTES]).decode()


def otpauth_address(secret: str, email: str) -> str:
    """The `otpauth://` address that authenticator apps read, from a QR code say."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The step whose code `code` is, of those that count at `now`; None if it is of none."""
    digits = re.sub(r"\s", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    app = pyotp.TOTP(secret)
    matching = [
        step for step in accepted_steps(now) if hmac.compare_digest(app.generate_otp(step), digits)
    ]
    return matching[0] if matching else None


def seal(secret_key: str, user_id: int, secret: str) -> bytes:
    """A secret as the database keeps it: encrypted for this user under the portal's secret key."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret_key).encrypt(nonce, secret.encode(), str(user_id).encode())


def unseal(secret_key: str, user_id: int, sealed: bytes) -> str | None:
    """The inverse of `seal`; None if it was sealed under another key, or for another user."""
    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return _cipher(secret_key).decrypt(nonce, text, str(user_id).encode()).decode()
    except (InvalidTag, ValueError):
        return None


def _cipher(secret_key: str) -> ChaCha20Poly1305:
    label = b"rolling-window/sealed-secret"
    return ChaCha20Poly1305(hmac.digest(secret_key.encode(), label, "sha256"))


def new_recovery_code() -> str:
    """A new recovery code, such as "K7QF-3MXP-P4RM-22AA"."""
    letters = [
        "".join(secrets.choice(KEY_ID_ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS)
    ]
    return "-".join(letters)


def hash_recovery_code(secret_key: str, user_id: int, code: str) -> str:
    """What the database keeps of a recovery code; spaces, dashes and case do not matter."""
    letters = re.sub(r"[\s-]", "", code).upper()[:100]
    return hmac.digest(secret_key.encode(), f"{user_id}/{letters}".encode(), "sha256").hex()
