"""The signing keys: public keys in the database, private keys in files or in a setting."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM, Actor
from app.core.clock import rfc3339
from app.core.errors import ConfigError, Conflict, NotFound, SigningKeyMissing
from app.core.private_files import private_file
from app.keyformat.signing_keys import (
    kid_of,
    new_private_key,
    private_key_from_pem,
    private_key_to_pem,
    public_key_bytes,
    public_key_from_bytes,
)
from app.models import SigningKey
from app.models.rows import read_rows

PEM_START = "-----BEGIN"
IN_TURN = (SigningKey.turn.desc(), SigningKey.created_at.desc(), SigningKey.kid)
"""The order of signing keys: the one that signs first, then the others, the latest first."""


_SIGNS = select(SigningKey.kid).where(SigningKey.retired_at.is_(None)).order_by(*IN_TURN).limit(1)
_SIGNS_LOCKED = _SIGNS.with_for_update(read=True, key_share=True)
_PUBLIC_KEY = select(SigningKey.public_key).where(SigningKey.kid == bindparam("kid"))


def current_kid(session: Session, *, lock: bool = False) -> str:
    """The `kid` of the key that signs. Raises SigningKeyMissing if there is none.

    With `lock` nobody retires it until the commit: no license is made under a key that is retired
    meanwhile, and would outlive it.
    """
    query = _SIGNS_LOCKED if lock else _SIGNS
    kid: str | None = read_rows(session, query).scalar()
    if kid is None and lock:  # it was rotated and retired while this waited: the next look sees it
        kid = read_rows(session, query).scalar()
    if kid is None:
        raise SigningKeyMissing(
            "There is no signing key yet. The person who runs this portal must start it "
            "with `make run`."
        )
    return kid


def list_signing_keys(session: Session) -> list[SigningKey]:
    """Every signing key, the one that signs first."""
    return list(session.scalars(select(SigningKey).order_by(*IN_TURN)))


def find_public_key(session: Session, kid: str) -> Ed25519PublicKey | None:
    """The public key that this portal knows as `kid`, or None."""
    raw: bytes | None = read_rows(session, _PUBLIC_KEY, {"kid": kid}).scalar()
    return public_key_from_bytes(raw) if raw else None


def private_key(signing_keys: str, kid: str) -> Ed25519PrivateKey:
    """The private key `kid`; `signing_keys` is the folder with its file, or its PEM text.

    Raises SigningKeyMissing if it is missing, unreadable or another key.
    """
    try:
        pem = (
            signing_keys.encode()
            if signing_keys.startswith(PEM_START)
            else (Path(signing_keys) / f"{kid}.pem").read_bytes()
        )
        key, own_kid = _parsed(pem)
    except (OSError, ValueError):
        key, own_kid = None, ""
    if key is None or own_kid != kid:
        raise SigningKeyMissing(
            f"The private signing key {kid} is missing or damaged, so keys under it can be "
            "neither generated nor shown. The person who runs this portal must put it back."
        )
    return key


@lru_cache(maxsize=16)
def _parsed(pem: bytes) -> tuple[Ed25519PrivateKey, str]:
    """The key in `pem`, and its `kid`; kept, since parsing takes longer than signing does.

    The file itself is read each time: a key that was put back, or taken away, is so at once.
    """
    key = private_key_from_pem(pem)
    return key, kid_of(key.public_key())


def ensure_signing_key(session: Session, *, signing_keys: str, now: datetime) -> str:
    """The `kid` of the key that signs, which is made if there is none yet.

    A key given as PEM text signs from now on, whether it is new or was used before. Raises
    ConfigError if it was retired.
    """
    if signing_keys.startswith(PEM_START):
        return _let_sign(session, private_key_from_pem(signing_keys.encode()), now, SYSTEM)
    kid: str | None = read_rows(session, _SIGNS).scalar()
    return kid or make_signing_key(session, signing_keys, now)


def make_signing_key(
    session: Session, signing_keys: str, now: datetime, actor: Actor = SYSTEM
) -> str:
    """Make a signing key that signs from now on; returns its `kid`. The file has mode 0600."""
    key = new_private_key()
    file = Path(signing_keys) / f"{kid_of(key.public_key())}.pem"
    private_file(file, private_key_to_pem(key).decode(), "PORTAL_SIGNING_KEYS")
    return _let_sign(session, key, now, actor)


def rotate_signing_key(session: Session, *, signing_keys: str, actor: Actor, now: datetime) -> str:
    """Make a new signing key, which signs from now on; returns its `kid`.

    The old ones stay: license keys signed with them remain valid and visible until they end.
    Raises Conflict if the signing key is given as PEM text: then the setting must be changed.
    """
    if signing_keys.startswith(PEM_START):
        raise Conflict(
            "The signing key is given by PORTAL_SIGNING_KEYS. Put the new key there and start "
            "the portal again; it signs from then on."
        )
    return make_signing_key(session, signing_keys, now, actor)


def lock_key_to_retire(session: Session, kid: str) -> SigningKey:
    """The signing key `kid`, locked until the commit against whoever makes a license under it.

    Raises NotFound, and Conflict if it signs or is retired already.
    """
    query = select(SigningKey).where(SigningKey.kid == kid).with_for_update()
    key = session.scalar(query.execution_options(populate_existing=True))
    if key is None:
        raise NotFound(f"There is no signing key {kid[:20]!r}; `keys list` has them all.")
    if key.retired_at is not None:
        raise Conflict(f"{kid} was retired at {rfc3339(key.retired_at)}. Nothing was changed.")
    if kid == current_kid(session):
        raise Conflict(f"{kid} signs. Rotate first (`keys rotate`), then retire it.")
    return key


def _let_sign(session: Session, key: Ed25519PrivateKey, now: datetime, actor: Actor) -> str:
    """Make `key`, new or known, the one that signs from now on; returns its `kid`."""
    kid = kid_of(key.public_key())
    signing = session.scalar(select(SigningKey).order_by(*IN_TURN).limit(1))
    chosen, tag = session.get(SigningKey, kid), AuditTag.SIGNING_KEY_CHOSEN
    if chosen is not None and chosen.retired_at is not None:
        raise ConfigError(
            f"PORTAL_SIGNING_KEYS: the signing key {kid} was retired and signs nothing any more; "
            "put a new one there."
        )
    if signing is not None and signing.kid == kid:
        return kid
    if chosen is None:
        chosen = SigningKey(kid=kid, public_key=public_key_bytes(key.public_key()), created_at=now)
        session.add(chosen)
        tag = AuditTag.SIGNING_KEY_CREATED
    chosen.turn = signing.turn + 1 if signing else 0
    session.flush()
    log_event(session, tag, actor=actor, now=now, subject=kid)
    return kid
