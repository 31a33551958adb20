"""The key that signs the audit log's checkpoints: in the instance folder, apart from others."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.notes import LogKey
from app.core.errors import SigningKeyMissing
from app.core.private_files import private_file
from app.keyformat.signing_keys import (
    kid_of,
    new_private_key,
    private_key_from_pem,
    private_key_to_pem,
)
from app.models import Installation

FILE = "audit-log-key.pem"


def ensure_log_key(session: Session, *, instance: Path) -> None:
    """Make the log's key, if this installation has none yet. Its file has mode 0600.

    Another portal on the same database makes none: it needs a copy of that file.
    """
    installation = session.scalars(select(Installation)).one()
    if not installation.audit_log_key:
        pem = private_key_to_pem(new_private_key()).decode()
        private_key = private_key_from_pem(private_file(instance / FILE, pem).encode())
        installation.audit_log_key = str(public_log_key(private_key))


def read_private_log_key(instance: Path) -> Ed25519PrivateKey:
    """The log's private key. Raises SigningKeyMissing if it is not there or damaged."""
    try:
        return private_key_from_pem((instance / FILE).read_bytes())
    except (OSError, ValueError):
        raise SigningKeyMissing(
            f"The key of the audit log, {FILE} in the instance folder, is missing or damaged, so "
            "the log cannot be signed. Put it back from a backup, or from another portal on the "
            "same database."
        ) from None


def public_log_key(private_key: Ed25519PrivateKey) -> LogKey:
    """The public side of the log's key. Its name is made of the key, so no two logs share one."""
    public_key = private_key.public_key()
    return LogKey(f"rolling-window/{kid_of(public_key)}", public_key)


def stored_log_key(session: Session) -> str:
    """The verifier key as the database has it; "" before the portal was set up."""
    return session.scalar(select(Installation.audit_log_key)) or ""
