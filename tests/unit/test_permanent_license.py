"""Permanent licenses: signed like temporary keys, for another purpose."""

from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.core.errors import KeyInvalid
from app.keyformat.license_keys import (
    read_temporary_key,
    sign_permanent_license,
    sign_temporary_key,
)
from app.keyformat.signing_keys import kid_of
from tests.permanent_license import read_permanent_license

ISSUED_AT = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {kid_of(KEY.public_key()): KEY.public_key()}


def sign(machine_id: str | None = "4c4c4544-0042") -> str:
    return sign_permanent_license(
        KEY,
        jti="K7QF-3MXP",
        organisation_id="ORG-000123",
        mac_id="00:1A:2B:3C:4D:5E",
        machine_id=machine_id,
        issued_at=ISSUED_AT,
    )


@pytest.mark.parametrize("machine_id", ["4c4c4544-0042", None])
def test_a_permanent_license_says_what_was_signed(machine_id: str | None) -> None:
    signed = read_permanent_license(sign(machine_id), KEYS)
    assert signed["jti"] == "K7QF-3MXP"
    assert signed["org"] == "ORG-000123"
    assert signed["mac"] == "00:1A:2B:3C:4D:5E"
    assert signed.get("machine") == machine_id
    assert signed["issued_at"] == ISSUED_AT


def test_a_permanent_license_is_no_temporary_key() -> None:
    """A client copies their machine's license text to a friend, who pastes it as a key."""
    with pytest.raises(KeyInvalid):
        read_temporary_key(sign(), KEYS.get)


def test_a_temporary_key_is_no_permanent_license() -> None:
    """A partner tries to make an hour's key last for ever."""
    key = sign_temporary_key(
        KEY, jti="K7QF-3MXP", organisation_id="ORG-000123", ttl=3600, issued_at=ISSUED_AT
    )
    with pytest.raises(InvalidSignature):
        read_permanent_license(key, KEYS)
