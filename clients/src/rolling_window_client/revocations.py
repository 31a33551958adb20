"""The portal's signed list of licenses that were revoked before their expiry.

A compact JWS (RFC 7515), `alg` EdDSA (RFC 8037), `typ` `revoked-licenses+jwt`, over

    {"iat": 1795521600, "next_update": 1795521660,
     "revoked": [{"jti": "K7QF-3MXP", "revoked_at": 1795521590, "expires_at": 1795532400}],
     "retired": ["5gtsW9SQ"]}

Times are whole seconds since 1970 in UTC (NumericDate, RFC 7519); `expires_at` is null for a
license that has no expiry. `retired` has the `kid` of each signing key under which nothing is good
any more, and is missing while there is none. Members that are not known are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import RevocationListInvalid
from .jws import MALFORMED, NotSigned, read_statement
from .public_keys import PublicKeys

TYPE = "revoked-licenses+jwt"

CLOCKS_MAY_DIFFER = timedelta(minutes=5)
"""By how much a list may come from the future before it counts as none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RevocationList:
    """What was revoked when, by Key ID; until when the list speaks. Instants are aware, in UTC.

    `retired` has the signing keys that were withdrawn: whatever is signed with one is no good.
    """

    issued_at: datetime
    next_update: datetime
    revoked: Mapping[str, datetime]
    retired: frozenset[str] = frozenset()

    def revoked_at(self, key_id: str) -> datetime | None:
        """When the license with this Key ID was revoked, if the list has it."""
        return self.revoked.get(key_id)

    def is_current(self, now: datetime) -> bool:
        """Whether the list still speaks for `now`: not past its next update, nor of the future."""
        return self.issued_at - CLOCKS_MAY_DIFFER <= now <= self.next_update


def read_revocation_list(document: bytes, public_keys: PublicKeys) -> RevocationList:
    """The list in a compact JWS, its signature having been checked. Raises RevocationListInvalid.

    A header without `kid` is tried with each of the keys.
    """
    try:
        claims, kid = read_statement(document, TYPE, public_keys)
        revocations = _list_of(claims)
    except NotSigned:
        raise RevocationListInvalid(
            "The list of revoked licenses is not signed with one of the public keys given."
        ) from None
    except MALFORMED:
        raise RevocationListInvalid("This is not a signed list of revoked licenses.") from None
    if kid in revocations.retired:
        raise RevocationListInvalid(
            "The list of revoked licenses is signed with a key that it says is retired."
        )
    return revocations


def _list_of(claims: Mapping[str, object]) -> RevocationList:
    revoked: dict[str, datetime] = {}
    entries = claims["revoked"]
    if not isinstance(entries, list):
        raise TypeError("no list")
    for entry in entries:
        key_id, revoked_at = entry["jti"], _instant(entry["revoked_at"])
        if not isinstance(key_id, str) or not key_id:
            raise TypeError("no Key ID")
        if entry["expires_at"] is not None:
            _instant(entry["expires_at"])
        revoked[key_id] = min(revoked_at, revoked.get(key_id, revoked_at))
    issued_at, next_update = _instant(claims["iat"]), _instant(claims["next_update"])
    return RevocationList(issued_at, next_update, revoked, _retired(claims.get("retired", [])))


def _retired(kids: object) -> frozenset[str]:
    if not isinstance(kids, list) or not all(isinstance(kid, str) and kid for kid in kids):
        raise TypeError("no list of signing keys")
    return frozenset(kids)


def _instant(value: object) -> datetime:
    if type(value) is not int or value < 0:
        raise TypeError("not a whole number of seconds since 1970")
    return _EPOCH + timedelta(seconds=value)
