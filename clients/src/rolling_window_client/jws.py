"""Statements that the portal signs: compact JWS (RFC 7515) with EdDSA (RFC 8037)."""

import json
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import ClientError
from .public_keys import PublicKeys, from_base64url

MALFORMED = (ValueError, LookupError, TypeError, OverflowError, RecursionError)
"""What reading a text raises that is no such statement."""


class NotSigned(ClientError):
    """A statement that none of the public keys given has signed."""


def read_statement(
    document: bytes, type: str, public_keys: PublicKeys
) -> tuple[Mapping[str, object], object]:
    """What a statement of this `typ` says, its signature having been checked, and its `kid`.

    A header without `kid` is tried with each of the keys. Raises NotSigned, and one of MALFORMED
    for anything that is no such statement.
    """
    header, payload, signature = document.decode("ascii").strip().split(".")
    members = _object(header)
    candidates = _candidates(members, type, public_keys)
    if not _is_signed(f"{header}.{payload}", from_base64url(signature), candidates):
        raise NotSigned
    return _object(payload), members.get("kid")


def _object(part: str) -> dict[str, object]:
    value = json.loads(from_base64url(part))
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _candidates(
    header: Mapping[str, object], type: str, keys: PublicKeys
) -> list[Ed25519PublicKey]:
    if header["alg"] != "EdDSA" or header["typ"] != type or "crit" in header:
        raise ValueError("signed for another purpose, or with something we do not know")
    if "kid" not in header:
        return list(keys.values())
    return [keys[kid] for kid in [header["kid"]] if isinstance(kid, str) and kid in keys]


def _is_signed(text: str, signature: bytes, keys: Iterable[Ed25519PublicKey]) -> bool:
    for key in keys:
        try:
            key.verify(signature, text.encode("ascii"))
        except InvalidSignature:
            continue
        return True
    return False
