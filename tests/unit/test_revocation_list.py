"""The signed list of revoked licenses, read as a stranger would: with `cryptography` alone."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.keyformat.revocation_list import Revocation, sign_revocation_list
from app.keyformat.signing_keys import kid_of

NOW = datetime(2026, 11, 24, 15, 40, 0, 750_000, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_the_list_is_a_compact_jws_that_the_public_key_verifies() -> None:
    temporary = Revocation("K7QF-3MXP", NOW, NOW + timedelta(hours=1))
    permanent = Revocation("ABCD-2345", NOW - timedelta(days=9), None)
    header, claims, signature = sign_revocation_list(KEY, [temporary, permanent], NOW).split(".")
    KEY.public_key().verify(decode(signature), f"{header}.{claims}".encode())
    assert json.loads(decode(header)) == {
        "alg": "EdDSA",
        "typ": "revoked-licenses+jwt",
        "kid": kid_of(KEY.public_key()),
    }
    seconds = int(NOW.timestamp())
    assert json.loads(decode(claims)) == {
        "iat": seconds,
        "next_update": seconds + 3600,
        "revoked": [
            {"jti": "K7QF-3MXP", "revoked_at": seconds, "expires_at": seconds + 3600},
            {"jti": "ABCD-2345", "revoked_at": seconds - 9 * 86400, "expires_at": None},
        ],
    }


def test_a_list_that_was_changed_does_not_verify() -> None:
    """An attacker in the middle takes the revocation of their key out of the list."""
    header, _, signature = sign_revocation_list(
        KEY, [Revocation("K7QF-3MXP", NOW, None)], NOW
    ).split(".")
    _, emptied, _ = sign_revocation_list(KEY, [], NOW).split(".")
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(decode(signature), f"{header}.{emptied}".encode())
