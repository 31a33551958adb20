"""What off-line checks of licenses need: the public keys and the signed revocation list."""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import bindparam, exists, or_, select, update
from sqlalchemy.orm import Session

from app.keyformat.revocation_list import Revocation, sign_revocation_list
from app.keyformat.signing_keys import public_key_from_bytes
from app.licenses.keyring import IN_TURN, current_kid, private_key
from app.models import PermanentLicense, SigningKey, TemporaryLicense
from app.models.rows import read_rows
from app.models.types import UTCDateTime


def published_keys(session: Session, now: datetime) -> list[Ed25519PublicKey]:
    """The public keys to publish: the one that signs, then older ones, the latest first.

    An older key is published until the last license signed with it has ended: until every
    temporary one has expired and every permanent one was revoked. One that signed a visit's record
    stays, as the record does. A retired key never is.
    """
    signing = current_kid(session)
    keys = read_rows(session, _PUBLISHED, {"signing": signing, "now": now})
    return [public_key_from_bytes(public_key) for public_key in keys.scalars()]


def publish_all_from_now(session: Session) -> None:
    """After a restore: publish every key for good, since nobody knows which have signed records of
    visits after the copy was made."""
    session.execute(update(SigningKey).values(signed_visits=True))


_TEMPORARY = exists().where(
    TemporaryLicense.kid == SigningKey.kid,
    TemporaryLicense.expires_at > bindparam("now", type_=UTCDateTime),
)
_PERMANENT = exists().where(
    PermanentLicense.kid == SigningKey.kid, PermanentLicense.revoked_at.is_(None)
)
_PUBLISHED = (
    select(SigningKey.public_key)
    .where(
        or_(
            SigningKey.kid == bindparam("signing"),
            SigningKey.signed_visits,
            _TEMPORARY,
            _PERMANENT,
        ),
        SigningKey.retired_at.is_(None),
    )
    .order_by(*IN_TURN)
)


def revocations(session: Session, now: datetime) -> list[Revocation]:
    """The licenses that are revoked and would not have expired yet, in the order of Key IDs.

    So is, for whoever checks keys off-line, one that ended because it was not used in time.
    """
    temporary = session.execute(
        select(
            TemporaryLicense.key_id, TemporaryLicense.revoked_at, TemporaryLicense.expires_at
        ).where(TemporaryLicense.revoked_at.is_not(None), TemporaryLicense.expires_at > now)
    )
    columns = (TemporaryLicense.key_id, TemporaryLicense.ends_at, TemporaryLicense.expires_at)
    lapsed = session.execute(
        select(*columns).where(TemporaryLicense.has_lapsed(now), TemporaryLicense.expires_at > now)
    )
    permanent = session.execute(
        select(PermanentLicense.key_id, PermanentLicense.revoked_at).where(
            PermanentLicense.revoked_at.is_not(None)
        )
    )
    revoked = [
        Revocation(key_id, revoked_at, expires_at)
        for key_id, revoked_at, expires_at in [
            *temporary,
            *lapsed,
            *((*row, None) for row in permanent),
        ]
        if revoked_at is not None
    ]
    return sorted(revoked, key=lambda revocation: revocation.jti)


def revocation_list(session: Session, *, signing_keys: str, now: datetime) -> str:
    """The signed revocation list, a compact JWS (see `revocation_list.sign_revocation_list`).

    It is as of the beginning of the minute, or of what was revoked or retired later. Every
    worker thus answers with the same text, which clients can cache. Raises SigningKeyMissing.
    """
    signing = private_key(signing_keys, current_kid(session))
    revoked, retired = revocations(session, now), retired_keys(session)
    minute = now.replace(second=0, microsecond=0)
    as_of = max([minute, *retired.values(), *(revocation.revoked_at for revocation in revoked)])
    return sign_revocation_list(signing, revoked, min(as_of, now), retired=sorted(retired))


def retired_keys(session: Session) -> dict[str, datetime]:
    """When each signing key that is retired was retired, by its `kid`."""
    query = select(SigningKey.kid, SigningKey.retired_at)
    rows = session.execute(query.where(SigningKey.retired_at.is_not(None))).all()
    return {kid: retired_at for kid, retired_at in rows if retired_at is not None}
