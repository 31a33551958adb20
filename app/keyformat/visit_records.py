"""The signed record of a visit (docs/key-format.md)."""

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.keyformat.jws import numeric_date, sign_claims

TYPE = "visit+jwt"


@dataclass(frozen=True)
class VisitFacts:
    """What a record says of a visit. Instants are aware; empty texts are null in the record."""

    record_id: str
    organisation_id: str
    email: str
    role: str
    reason: str
    ticket: str
    key_id: str
    issued_by: str
    machine: str
    mac_id: str
    address: str
    started_at: datetime
    ended_at: datetime
    ended_by: str
    confirmed_at: datetime | None


def sign_visit_record(
    private_key: Ed25519PrivateKey, facts: VisitFacts, *, issuer: str, now: datetime
) -> str:
    """A compact JWS over a visit; every time in it is a NumericDate."""
    confirmed_at = facts.confirmed_at
    claims: dict[str, object] = {
        "iss": issuer,
        "iat": numeric_date(now),
        "jti": facts.record_id,
        "org": facts.organisation_id,
        "sub": facts.email,
        "role": facts.role,
        "reason": facts.reason or None,
        "ticket": facts.ticket or None,
        "key_id": facts.key_id,
        "issued_by": facts.issued_by,
        "machine": facts.machine,
        "mac": facts.mac_id,
        "address": facts.address or None,
        "start": numeric_date(facts.started_at),
        "end": numeric_date(facts.ended_at),
        "ended_by": facts.ended_by,
        "logout_confirmed": None if confirmed_at is None else numeric_date(confirmed_at),
    }
    return sign_claims(private_key, TYPE, claims)
