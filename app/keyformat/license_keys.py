"""The text of a license key: signed with the private key, checked with the public key.

`rw1.PAYLOAD.TIMESTAMP.SIGNATURE`; the last three parts are what itsdangerous'
`URLSafeTimedSerializer` makes, with Ed25519 (RFC 8032) in place of its HMAC.
`docs/key-format.md` describes the layout byte by byte. Nothing here reads the clock or the
database: `app.licenses.rules` decides whether a key is active.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from itsdangerous import (
    BadData,
    TimestampSigner,
    URLSafeTimedSerializer,
    base64_decode,
    base64_encode,
)
from itsdangerous.signer import SigningAlgorithm

from app.core.errors import KeyInvalid, TwoKeys
from app.keyformat.pasted_keys import clean_key, count_keys
from app.keyformat.signing_keys import KID_LENGTH, kid_of, public_key_bytes

PREFIX = "rw1."
TEMPORARY_SALT = b"rolling-window/temporary-license/v1"
PERMANENT_SALT = b"rolling-window/permanent-license/v1"

MAX_KEY_LENGTH = 4096
"""In characters, once cleaned. With a ten-character Organisation ID a key has under 200."""

_KEY = re.compile(r"rw1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})")
KEY_LIKE = re.compile(r"rw[0-9]+\.[\w-]{10,}\.[\w-]+\.[\w-]{20,}")
"""What a key's text looks like, also cut short or of a later format; not a name like
rw1.datacenter.example.com."""
_KID = re.compile(rf"[A-Za-z0-9_-]{{{KID_LENGTH}}}")

FindPublicKey = Callable[[str], Ed25519PublicKey | None]
"""Gives the public key with a `kid`, or None. Called before anything is verified."""


@dataclass(frozen=True)
class SignedLicense:
    """The content of a temporary key whose signature is good. It does not hold the key's text.

    `kid` names the signing key, `jti` is the Key ID, `ttl` is in seconds, and `issued_at` is an
    aware datetime in UTC, on a whole second; so is `not_before`, None if the key starts when it is
    issued.
    """

    kid: str
    jti: str
    organisation_id: str
    ttl: int
    issued_at: datetime
    not_before: datetime | None = None

    @property
    def starts_at(self) -> datetime:
        """The first instant at which the key is active."""
        return self.not_before or self.issued_at

    @property
    def expires_at(self) -> datetime:
        """The instant at which the key expires: from then on it is not active."""
        return self.starts_at + timedelta(seconds=self.ttl)


def sign_temporary_key(
    private_key: Ed25519PrivateKey,
    *,
    jti: str,
    organisation_id: str,
    ttl: int,
    issued_at: datetime,
    starts_at: datetime | None = None,
) -> str:
    """The text of a temporary key; the same arguments give the same text, byte for byte.

    `ttl` is in seconds from `starts_at`, which is `issued_at` if None. Fractions of a second in
    both are dropped. Raises ValueError if one of them is naive: its instant would depend on the
    machine's time zone.
    """
    payload: dict[str, object] = {
        "kid": kid_of(private_key.public_key()),
        "jti": jti,
        "org": organisation_id,
        "ttl": ttl,
    }
    if starts_at is not None and _seconds(starts_at) != _seconds(issued_at):
        payload["nbf"] = _seconds(starts_at)
    return _sign(private_key, TEMPORARY_SALT, payload, issued_at)


def read_temporary_key(text: str, find_public_key: FindPublicKey) -> SignedLicense | None:
    """The content of the key in `text`; neither its time nor its record is checked here.

    None if `text` is blank: no key was given. Raises KeyInvalid, and nothing else, for anything
    that is not a temporary key signed with a key that `find_public_key` knows; its subclass
    TwoKeys if `text` holds more than one key.
    """
    key = clean_key(text)
    if not key:
        return None
    if count_keys(key) > 1:
        raise TwoKeys("There are two keys here, or more.")
    payload, issued_at = _read(key, TEMPORARY_SALT, find_public_key)
    ttl = payload.get("ttl")
    if type(ttl) is not int or ttl < 1:  # a bool is an int too
        _refuse()
    signed = SignedLicense(
        kid=_text(payload, "kid"),
        jti=_text(payload, "jti"),
        organisation_id=_text(payload, "org"),
        ttl=ttl,
        issued_at=issued_at,
        not_before=_not_before(payload, issued_at),
    )
    try:
        _ = signed.expires_at
    except OverflowError:
        _refuse()
    return signed


def sign_permanent_license(
    private_key: Ed25519PrivateKey,
    *,
    jti: str,
    organisation_id: str,
    mac_id: str,
    machine_id: str | None,
    issued_at: datetime,
) -> str:
    """The text of a permanent license; the same arguments give the same text, byte for byte.

    `machine_id` is left out if it is None. Raises ValueError if `issued_at` is naive.
    """
    payload: dict[str, object] = {
        "kid": kid_of(private_key.public_key()),
        "jti": jti,
        "org": organisation_id,
        "mac": mac_id,
    }
    if machine_id is not None:
        payload["machine"] = machine_id
    return _sign(private_key, PERMANENT_SALT, payload, issued_at)


class _Ed25519(SigningAlgorithm):
    """Ed25519 over the salt, a zero byte and the value; keys are raw bytes (RFC 8032).

    The salt is added here because itsdangerous ignores it when no key is derived.
    """

    def __init__(self, salt: bytes) -> None:
        self._before_value = salt + b"\0"

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(key).sign(self._before_value + value)

    def verify_signature(self, key: bytes, value: bytes, sig: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(sig, self._before_value + value)
        except InvalidSignature:
            return False
        return True


class _SignerAt(TimestampSigner):
    """Signs with the time `seconds` since 1970 in place of the present time."""

    def __init__(self, *args: Any, seconds: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = seconds

    def get_timestamp(self) -> int:
        return self._seconds


class _Serializer(URLSafeTimedSerializer):
    """Signs and checks for one purpose, given by the salt. Never compresses the payload."""

    def __init__(self, key: bytes, salt: bytes, seconds: int = 0) -> None:
        super().__init__(
            key,
            salt=salt,
            signer=_SignerAt,
            signer_kwargs={
                "algorithm": _Ed25519(salt),
                "key_derivation": "none",
                "seconds": seconds,
            },
        )

    def dump_payload(self, obj: Any) -> bytes:
        return base64_encode(_compact_json(obj))


def _sign(
    private_key: Ed25519PrivateKey, salt: bytes, payload: dict[str, object], issued_at: datetime
) -> str:
    serializer = _Serializer(private_key.private_bytes_raw(), salt, _seconds(issued_at))
    return PREFIX + serializer.dumps(payload)


def _seconds(moment: datetime) -> int:
    """Whole seconds since 1970. Raises ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return int(moment.timestamp())


def _not_before(payload: Mapping[str, object], issued_at: datetime) -> datetime | None:
    """When a key starts that says so; none starts before it was issued."""
    if "nbf" not in payload:
        return None
    nbf = payload["nbf"]
    if type(nbf) is not int or nbf < _seconds(issued_at):
        _refuse()
    try:
        return datetime.fromtimestamp(nbf, UTC)
    except (ValueError, OverflowError, OSError):  # beyond all dates
        _refuse()


def _read(
    key: str, salt: bytes, find_public_key: FindPublicKey
) -> tuple[dict[str, object], datetime]:
    """The payload and the issue instant of a cleaned key that was signed with `salt`.

    Raises KeyInvalid, and nothing else.
    """
    match = _KEY.fullmatch(key) if len(key) <= MAX_KEY_LENGTH else None
    if match is None or not all(_is_canonical(part) for part in match.groups()):
        _refuse()
    if base64_decode(match[2]).startswith(b"\0"):
        _refuse()
    payload = _payload(match[1])
    kid = _text(payload, "kid")
    # The `kid` is not verified yet: only text of the right form may reach the database.
    public_key = find_public_key(kid) if _KID.fullmatch(kid) else None
    if public_key is None:
        _refuse()
    # Not `loads`, which would parse the payload once more.
    serializer = _Serializer(public_key_bytes(public_key), salt)
    signer = cast("TimestampSigner", serializer.make_signer(salt))
    try:
        _, issued_at = signer.unsign(key.removeprefix(PREFIX), return_timestamp=True)
    except (BadData, ValueError, OverflowError, OSError):  # the last three: a date out of range
        _refuse()
    return payload, issued_at


def _payload(part: str) -> dict[str, object]:
    """The object in PAYLOAD, not verified yet: it names the key to verify it with.

    Only one spelling is accepted: repeated names, NaN, `1.0` for `1` and the like are refused.
    """
    try:
        text = base64_decode(part).decode("utf-8")
        payload = json.loads(text)
        is_compact = _compact_json(payload) == text
    except (ValueError, RecursionError):
        _refuse()
    if not is_compact or not isinstance(payload, dict):
        _refuse()
    return payload


def _compact_json(value: object) -> str:
    """JSON without white space and without needless escapes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _is_canonical(part: str) -> bool:
    """Whether `part` is canonical base64url without padding; decoding alone accepts more."""
    try:
        return base64_encode(base64_decode(part)).decode("ascii") == part
    except BadData:
        return False


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        _refuse()
    return value


def _refuse() -> NoReturn:
    raise KeyInvalid(
        "This is not a license key that was made here. "
        "Copy the whole key again, from rw1. to its last character, or ask for a new one."
    ) from None
