"""Checkpoints: signed heads of the tree, as C2SP signed notes (tlog-checkpoint, signed-note)."""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
NAME = r"[^\s+]+"
HASH_BYTES = 4


class NoteInvalid(Exception):
    """A checkpoint or a verifier key that is malformed, or not signed by the key it should be."""


class Head(NamedTuple):
    """What a checkpoint says: the log's name, how many leaves its tree has, and the root."""

    origin: str
    size: int
    root: bytes


class LogKey(NamedTuple):
    """The public key of a log, and the log's name, which is the origin of its checkpoints."""

    name: str
    public_key: Ed25519PublicKey

    @property
    def hash(self) -> bytes:
        """The four bytes by which a signature says with which key it was made."""
        named = f"{self.name}\n".encode() + ED25519 + self.public_key.public_bytes_raw()
        return hashlib.sha256(named).digest()[:HASH_BYTES]

    def __str__(self) -> str:
        """The verifier key, `NAME+HASH+KEY` (C2SP signed-note)."""
        key = base64.b64encode(ED25519 + self.public_key.public_bytes_raw()).decode()
        return f"{self.name}+{self.hash.hex()}+{key}"


def read_log_key(text: str) -> LogKey:
    """The inverse of `str(LogKey)`. Raises NoteInvalid unless it is one."""
    match = re.fullmatch(rf"({NAME})\+([0-9a-f]{{8}})\+([A-Za-z0-9+/=]+)", text)
    raw = _decoded(match[3]) if match else b""
    if match and raw[:1] == ED25519 and len(raw) == 33:
        key = LogKey(match[1], Ed25519PublicKey.from_public_bytes(raw[1:]))
        if str(key) == text:
            return key
    raise NoteInvalid("this is no verifier key (NAME+HASH+KEY)")


def sign_head(head: Head, private_key: Ed25519PrivateKey) -> str:
    """The checkpoint of `head`, signed by the log of that origin."""
    text = f"{head.origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"
    key = LogKey(head.origin, private_key.public_key())
    signature = base64.b64encode(key.hash + private_key.sign(text.encode())).decode()
    return f"{text}\n— {head.origin} {signature}\n"


def read_head(note: str) -> Head:
    """What a checkpoint says, its signatures left aside. Raises NoteInvalid if it is none."""
    text, _, signatures = note.partition("\n\n")
    match = re.fullmatch(rf"({NAME})\n(0|[1-9][0-9]{{0,18}})\n([A-Za-z0-9+/=]{{44}})(\n.+)*", text)
    root = _decoded(match[3]) if match else b""
    if not match or len(root) != 32 or not signatures.endswith("\n"):
        raise NoteInvalid("this is no checkpoint")
    return Head(match[1], int(match[2]), root)


def verify_note(note: str, key: LogKey) -> Head:
    """What a checkpoint says. Raises NoteInvalid unless `key` has signed it as its own."""
    head = read_head(note)
    if head.origin != key.name:
        raise NoteInvalid(f"it is a checkpoint of another log ({head.origin})")
    text, _, signatures = note.partition("\n\n")
    for line in signatures.splitlines():
        match = re.fullmatch(rf"— ({NAME}) ([A-Za-z0-9+/=]+)", line)
        raw = _decoded(match[2]) if match else b""
        if match and match[1] == key.name and raw[:HASH_BYTES] == key.hash:
            try:
                key.public_key.verify(raw[HASH_BYTES:], f"{text}\n".encode())
            except InvalidSignature:
                raise NoteInvalid("its signature is not good") from None
            return head
    raise NoteInvalid("it is not signed by this log's key")


def _decoded(text: str) -> bytes:
    """The bytes of canonical base64, or none at all."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
