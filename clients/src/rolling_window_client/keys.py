"""License keys of either kind, checked without the portal: its public keys are enough.

The layout is `rw1.PAYLOAD.TIMESTAMP.SIGNATURE`: base64url without padding (RFC 4648), Ed25519
(RFC 8032) over the kind's salt, a zero byte and `PAYLOAD.TIMESTAMP`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import ClientError, WrongUse
from .machine import parse_mac_id
from .pasted import clean_key, count_keys
from .public_keys import PublicKeys, from_base64url

MAX_KEY_LENGTH = 4096
"""Characters of a cleaned key."""
MAX_TTL = 30 * 86_400
"""Seconds for which a temporary key may be valid. Whoever stole a signing key would want more."""
TOO_LONG = "The key says that it is valid for more than 30 days. No temporary key is."

_KEY = re.compile(r"rw1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{2,11})\.([A-Za-z0-9_-]{86})")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeyKind(StrEnum):
    TEMPORARY = "temporary"
    PERMANENT = "permanent"

    @property
    def salt(self) -> bytes:
        """What stands before the signed text, so that a signature serves one purpose only."""
        return f"rolling-window/{self}-license/v1".encode()


@dataclass(frozen=True)
class SignedKey:
    """What a key says whose signature is good. The text of the key is not in it.

    Instants are aware, in UTC. `ttl` (seconds) and `expires_at` are None for a permanent license,
    `mac_id` is None for a temporary key, `machine` is None unless the license names one,
    `not_before` unless a temporary key starts later than it was issued.
    """

    kind: KeyKind
    kid: str
    key_id: str
    organisation_id: str
    issued_at: datetime
    ttl: int | None = None
    mac_id: str | None = None
    machine: str | None = None
    not_before: datetime | None = None

    @property
    def starts_at(self) -> datetime:
        """The first instant at which the key is active."""
        return self.not_before or self.issued_at

    @property
    def expires_at(self) -> datetime | None:
        """The first instant at which the key is expired."""
        return None if self.ttl is None else self.starts_at + timedelta(seconds=self.ttl)


class NotAKey(ClientError):
    """A text is not a license key signed with one of the public keys."""


def read_key(text: str, public_keys: PublicKeys) -> SignedKey:
    """What the key in `text` says, once everything but time and revocation has been checked.

    Raises NotAKey, and nothing else.
    """
    key = clean_key(text)
    if not key:
        raise NotAKey("No key was given.")
    if count_keys(key) > 1:
        raise NotAKey("There are two keys here, or more. Give one of them alone.")
    match = _KEY.fullmatch(key) if len(key) <= MAX_KEY_LENGTH else None
    if match is None:
        raise NotAKey("This is not a license key. Copy the whole key, from rw1. to its end.")
    payload, timestamp, signature = _decoded(match)
    claims = _claims(payload)
    kid = _text(claims, "kid")
    public_key = public_keys.get(kid)
    if public_key is None:
        raise NotAKey("The key is signed with a signing key that is not in the set given.")
    signed_text = f"{match[1]}.{match[2]}".encode("ascii")
    kind = _verified_kind(public_key, signature, signed_text)
    return _signed_key(kind, claims, _issued_at(timestamp))


def looks_whole(text: str) -> bool:
    """Whether `text` has the four parts of a key, the last in its full length."""
    parts = clean_key(text).split(".")
    return len(parts) == 4 and len(parts[3]) >= 86


def is_valid_too_long(key: str) -> bool:
    """Whether a clean key says of itself, verified by nobody, that its TTL is above MAX_TTL."""
    try:
        ttl = json.loads(from_base64url(key.split(".")[1]))["ttl"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
    return type(ttl) is int and ttl > MAX_TTL


def _decoded(match: re.Match[str]) -> list[bytes]:
    try:
        return [from_base64url(part) for part in match.groups()]
    except ValueError:
        raise NotAKey("The key is damaged. Copy it again, from rw1. to its end.") from None


def _claims(payload: bytes) -> dict[str, object]:
    """PAYLOAD as an object, if it is JSON in the one compact form that it has."""
    try:
        claims = json.loads(payload.decode("utf-8"))
        compact = json.dumps(claims, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        is_compact = compact.encode("utf-8") == payload
    except (ValueError, RecursionError):
        claims, is_compact = None, False
    if not isinstance(claims, dict) or not is_compact:
        raise NotAKey("The key's contents cannot be read.")
    return claims


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise NotAKey(f"The key's contents are not as they should be: {name}.")
    return value


def _verified_kind(public_key: Ed25519PublicKey, signature: bytes, signed_text: bytes) -> KeyKind:
    """For which kind of key the signature was made."""
    for kind in KeyKind:
        try:
            public_key.verify(signature, kind.salt + b"\0" + signed_text)
        except InvalidSignature:
            continue
        return kind
    raise NotAKey("The key's signature is wrong: it was changed, or is a forgery.")


def _issued_at(timestamp: bytes) -> datetime:
    if timestamp.startswith(b"\0") or len(timestamp) > 8:
        raise NotAKey("The key's issue time is not written as it should be.")
    return _since_1970(int.from_bytes(timestamp, "big"), "The key's issue instant")


def _since_1970(seconds: int, what: str) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise NotAKey(f"{what} is beyond all dates.") from None


def _signed_key(kind: KeyKind, claims: Mapping[str, object], issued_at: datetime) -> SignedKey:
    permanent = kind is KeyKind.PERMANENT
    key = SignedKey(
        kind=kind,
        kid=_text(claims, "kid"),
        key_id=_text(claims, "jti"),
        organisation_id=_text(claims, "org"),
        issued_at=issued_at,
        ttl=None if permanent else _ttl(claims),
        mac_id=_mac_id(claims) if permanent else None,
        machine=_text(claims, "machine") if permanent and "machine" in claims else None,
        not_before=None if permanent else _not_before(claims, issued_at),
    )
    try:
        _ = key.expires_at
    except OverflowError:
        raise NotAKey("The key's expiry is beyond all dates.") from None
    return key


def _ttl(claims: Mapping[str, object]) -> int:
    ttl = claims.get("ttl")
    if type(ttl) is not int or ttl < 1:  # a bool is an int, and no number of seconds
        raise NotAKey("The key's contents are not as they should be: ttl.")
    if ttl > MAX_TTL:
        raise NotAKey(TOO_LONG)
    return ttl


def _not_before(claims: Mapping[str, object], issued_at: datetime) -> datetime | None:
    if "nbf" not in claims:
        return None
    nbf = claims["nbf"]
    if type(nbf) is not int or nbf < issued_at.timestamp():
        raise NotAKey("The key's contents are not as they should be: nbf.")
    return _since_1970(nbf, "The key's start")


def _mac_id(claims: Mapping[str, object]) -> str:
    try:
        return parse_mac_id(_text(claims, "mac"))
    except WrongUse:
        raise NotAKey("The key's contents are not as they should be: mac.") from None
