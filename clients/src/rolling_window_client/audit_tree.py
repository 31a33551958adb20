"""What proves an event of the portal's audit log: RFC 9162 trees, C2SP checkpoints and keys."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import RecordInvalid

_ED25519 = b"\x01"
_NAME = r"[^\s+]+"


class LogKey(NamedTuple):
    """The key of a log: the log's name, the four bytes that name the key, the key itself."""

    name: str
    hash: bytes
    public_key: Ed25519PublicKey

    def __str__(self) -> str:
        raw = _ED25519 + self.public_key.public_bytes_raw()
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(raw).decode()}"


class Checkpoint(NamedTuple):
    """A signed head: the log had `size` events, and their tree the root `root`."""

    origin: str
    size: int
    root: bytes


def read_log_key(text: str) -> LogKey:
    """The key in a C2SP verifier key, NAME+HASH+KEY. Raises RecordInvalid."""
    match = re.fullmatch(rf"({_NAME})\+([0-9a-f]{{8}})\+(\S+)", text.strip())
    raw = decoded(match[3]) if match else b""
    if match is None or raw[:1] != _ED25519 or len(raw) != 33:
        raise RecordInvalid("What was given is no key of an audit log (NAME+HASH+KEY).")
    name, named = match[1], bytes.fromhex(match[2])
    if hashlib.sha256(f"{name}\n".encode() + raw).digest()[:4] != named:
        raise RecordInvalid("The key of the audit log is damaged: its parts do not fit together.")
    return LogKey(name, named, Ed25519PublicKey.from_public_bytes(raw[1:]))


def read_checkpoint(note: object, key: LogKey) -> Checkpoint:
    """What a checkpoint says. Raises RecordInvalid unless the log's `key` has signed it."""
    text, _, signatures = note.partition("\n\n") if isinstance(note, str) else ("", "", "")
    match = re.fullmatch(rf"({_NAME})\n(0|[1-9][0-9]{{0,18}})\n(\S{{44}})(\n.+)*", text)
    root = decoded(match[3]) if match else b""
    if match is None or len(root) != 32:
        raise RecordInvalid("The checkpoint is malformed.")
    if match[1] != key.name:
        raise RecordInvalid("The checkpoint is of another log than the key.")
    for line in signatures.split("\n"):
        signed = re.fullmatch(rf"— ({_NAME}) (\S+)", line)
        raw = decoded(signed[2]) if signed else b""
        if signed and signed[1] == key.name and raw[:4] == key.hash:
            try:
                key.public_key.verify(raw[4:], f"{text}\n".encode())
            except InvalidSignature:
                raise RecordInvalid("The checkpoint's signature is not good.") from None
            return Checkpoint(match[1], int(match[2]), root)
    raise RecordInvalid("The checkpoint is not signed with this key.")


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf (RFC 9162, section 2.1.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of the tree of `size` leaves in which `path` proves the leaf with this hash.

    None if it can prove nothing (RFC 9162, section 2.1.3.2).
    """
    if not 0 <= index < size:
        return None
    sha256, here, last, root = hashlib.sha256, index, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if here & 1 or here == last:
            root = sha256(b"\x01" + beside + root).digest()
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            root = sha256(b"\x01" + root + beside).digest()
        here >>= 1
        last >>= 1
    return root if last == 0 else None


def decoded(text: object) -> bytes:
    """The bytes of a text in base64, or none at all if it is not."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""
