"""What anyone may check a license with, off-line: the public keys, and the list of revocations."""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from app.keyformat.revocation_list import Revocation, sign_revocation_list
from app.keyformat.signing_keys import public_key_from_bytes
from app.licenses.keyring import IN_TURN, current_kid, private_key
from app.models import PermanentLicense, SigningKey, TemporaryLicense


def published_keys(session: Session, now: datetime) -> list[Ed25519PublicKey]:
    """The public keys to publish: the one that signs, then older ones, the latest first.

    An older one stays until the last license under it has ended: until a temporary one has
    expired, a permanent one was revoked.
    """
    signing = current_kid(session)
    temporary = exists().where(
        TemporaryLicense.kid == SigningKey.kid, TemporaryLicense.expires_at > now
    )
    permanent = exists().where(
        PermanentLicense.kid == SigningKey.kid, PermanentLicense.revoked_at.is_(None)
    )
    keys = session.scalars(
        select(SigningKey)
        .where(or_(SigningKey.kid == signing, temporary, permanent))
        .order_by(*IN_TURN)
    )
    return [public_key_from_bytes(key.public_key) for key in keys]


def revocations(session: Session, now: datetime) -> list[Revocation]:
    """Every license that was revoked before its expiry and has not expired since, by Key ID."""
    temporary = session.execute(
        select(
            TemporaryLicense.key_id, TemporaryLicense.revoked_at, TemporaryLicense.expires_at
        ).where(TemporaryLicense.revoked_at.is_not(None), TemporaryLicense.expires_at > now)
    )
    permanent = session.execute(
        select(PermanentLicense.key_id, PermanentLicense.revoked_at).where(
            PermanentLicense.revoked_at.is_not(None)
        )
    )
    found = [
        Revocation(key_id, revoked_at, expires_at)
        for key_id, revoked_at, expires_at in [*temporary, *((*row, None) for row in permanent)]
        if revoked_at is not None
    ]
    return sorted(found, key=lambda revocation: revocation.jti)


def revocation_list(session: Session, *, signing_keys: str, now: datetime) -> str:
    """The signed list (a compact JWS; see `revocation_list.sign_revocation_list`).

    It is as of the beginning of the minute, or of the last revocation if that came after: so it
    stays the same text for whoever asks often, whichever worker answers. Raises SigningKeyMissing
    if the private key is not where it should be.
    """
    signing = private_key(signing_keys, current_kid(session))
    found = revocations(session, now)
    minute = now.replace(second=0, microsecond=0)
    as_of = max([minute, *(revocation.revoked_at for revocation in found)])
    return sign_revocation_list(signing, found, min(as_of, now))
