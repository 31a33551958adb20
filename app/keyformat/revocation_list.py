"""The signed list of licenses revoked before their expiry, for off-line checks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.keyformat.jws import numeric_date, sign_claims

TYPE = "revoked-licenses+jwt"
VALID_FOR = timedelta(hours=1)
"""How long a list may be relied on; after that a checker must fetch a newer one."""


@dataclass(frozen=True)
class Revocation:
    """A revoked license: its Key ID, when it was revoked, its expiry (None if permanent)."""

    jti: str
    revoked_at: datetime
    expires_at: datetime | None


def sign_revocation_list(
    private_key: Ed25519PrivateKey,
    revocations: Iterable[Revocation],
    now: datetime,
    *,
    retired: Iterable[str] = (),
) -> str:
    """A compact JWS (RFC 7515, EdDSA of RFC 8037) over the list as of `now`.

    `retired` has the `kid` of each signing key under which nothing is good any more; the member is
    left out while there is none.

    Every time in it is a NumericDate (RFC 7519): whole seconds since 1970. `next_update` is one
    hour after `iat`.
    """
    issued_at = numeric_date(now)
    claims: dict[str, object] = {
        "iat": issued_at,
        "next_update": issued_at + int(VALID_FOR.total_seconds()),
        "revoked": [
            {
                "jti": revocation.jti,
                "revoked_at": numeric_date(revocation.revoked_at),
                "expires_at": numeric_date(revocation.expires_at)
                if revocation.expires_at
                else None,
            }
            for revocation in revocations
        ],
    }
    if withdrawn := list(retired):
        claims["retired"] = withdrawn
    return sign_claims(private_key, TYPE, claims)
