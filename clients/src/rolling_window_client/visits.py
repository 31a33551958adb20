"""The portal's signed record of a visit: who was signed in under a temporary key, when and why.

A compact JWS, `typ` `visit+jwt`, over the claims of `VisitRecord`. Times are whole seconds since
1970 in UTC. Members that are not known are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import VisitRecordInvalid
from .jws import MALFORMED, NotSigned, read_statement
from .public_keys import PublicKeys

TYPE = "visit+jwt"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class VisitRecord:
    """What a record says whose signature is good. Instants are aware, in UTC.

    `person` (claim `sub`) and `issued_by` are e-mails; `machine` is the machine's host name, else
    its MAC ID; `logout_confirmed` is when its agent confirmed that it had logged out, or None.
    """

    issuer: str
    recorded_at: datetime
    record_id: str
    organisation_id: str
    person: str
    role: str
    reason: str | None
    ticket: str | None
    key_id: str
    issued_by: str
    machine: str
    mac_id: str
    address: str | None
    started_at: datetime
    ended_at: datetime
    ended_by: str
    logout_confirmed: datetime | None
    kid: str


def read_visit_record(document: bytes, public_keys: PublicKeys) -> VisitRecord:
    """The record in a compact JWS, its signature having been checked. Raises VisitRecordInvalid.

    A record under a retired key is refused: the key is in the set no more.
    """
    try:
        claims, kid = read_statement(document, TYPE, public_keys)
        return _record_of(claims, "" if kid is None else str(kid))
    except NotSigned:
        raise VisitRecordInvalid(
            "The record is not signed with one of the public keys given: it was changed, is of "
            "another portal, or is under a key that was retired."
        ) from None
    except MALFORMED:
        raise VisitRecordInvalid("This is not a signed record of a visit.") from None


def _record_of(claims: Mapping[str, object], kid: str) -> VisitRecord:
    record = VisitRecord(
        issuer=_text(claims["iss"]),
        recorded_at=_instant(claims["iat"]),
        record_id=_text(claims["jti"]),
        organisation_id=_text(claims["org"]),
        person=_text(claims["sub"]),
        role=_text(claims["role"]),
        reason=_text_or_none(claims["reason"]),
        ticket=_text_or_none(claims["ticket"]),
        key_id=_text(claims["key_id"]),
        issued_by=_text(claims["issued_by"]),
        machine=_text(claims["machine"]),
        mac_id=_text(claims["mac"]),
        address=_text_or_none(claims["address"]),
        started_at=_instant(claims["start"]),
        ended_at=_instant(claims["end"]),
        ended_by=_text(claims["ended_by"]),
        logout_confirmed=_instant_or_none(claims["logout_confirmed"]),
        kid=kid,
    )
    if record.ended_at < record.started_at:
        raise ValueError("it ended before it began")
    return record


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("no text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _instant(value: object) -> datetime:
    if type(value) is not int or value < 0:
        raise TypeError("not a whole number of seconds since 1970")
    return _EPOCH + timedelta(seconds=value)


def _instant_or_none(value: object) -> datetime | None:
    return None if value is None else _instant(value)
