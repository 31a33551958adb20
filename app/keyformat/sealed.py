"""Sealed files: a stream that only a passphrase opens, and that shows every change to it.

A line of JSON, the header, then the content in chunks, as age does it: scrypt makes a key of the
passphrase, which opens the key of the file, which was drawn for it alone. Each chunk is sealed with
ChaCha20-Poly1305; its nonce counts the chunks and says of the last one that it is, and its
associated data is the hash of the header: nothing can be changed, swapped, left out or cut off.
"""

import base64
import hashlib
import io
import json
import os
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

CHUNK = 65_536
TAG = 16
LONGEST_HEADER = 65_536
SCRYPT_N = 2**17
"""How much work a guess at the passphrase is: 128 MiB and about half a second."""
MOST_SCRYPT_N = 2**20
_WRAPPED = b"rolling-window/file-key"


class NotSealed(ValueError):
    """The beginning of a file is not that of a sealed one."""


class WrongPassphrase(ValueError):
    """The passphrase does not open the file, or its header was changed."""


class Broken(ValueError):
    """The content was changed or cut off."""


class SealingWriter(io.RawIOBase):
    """Writes what it is given into `out`, sealed. `close` writes the last chunk, not closing it."""

    def __init__(self, out: BinaryIO, header: dict[str, Any], passphrase: str) -> None:
        salt, key = os.urandom(16), os.urandom(32)
        opening = _opening_key(passphrase, salt, SCRYPT_N)
        wrapped = ChaCha20Poly1305(opening).encrypt(bytes(12), key, _WRAPPED)
        seal = {"n": SCRYPT_N, "r": 8, "p": 1, "salt": _text(salt), "file_key": _text(wrapped)}
        line = json.dumps(header | {"scrypt": seal}).encode() + b"\n"
        out.write(line)
        self._out, self._chunks, self._pending = out, _Chunks(key, line), bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pending += data
        while len(self._pending) > CHUNK:
            self._out.write(self._chunks.seal(bytes(self._pending[:CHUNK]), last=False))
            del self._pending[:CHUNK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._out.write(self._chunks.seal(bytes(self._pending), last=True))
        super().close()


class OpeningReader(io.RawIOBase):
    """Reads what was sealed from `source`, after `read_header`. Raises Broken where it differs."""

    def __init__(self, source: BinaryIO, line: bytes, passphrase: str) -> None:
        self._source, self._chunks = source, _Chunks(_file_key(line, passphrase), line)
        self._next, self._pending = source.read(CHUNK + TAG), b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending and not self._ended:
            self._open_next()
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def _open_next(self) -> None:
        chunk, self._next = self._next, self._source.read(CHUNK + TAG)
        self._ended = not self._next
        self._pending = self._chunks.open(chunk, last=self._ended)


class _Chunks:
    """Seals or opens one chunk after the other."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self._cipher, self._bound = ChaCha20Poly1305(key), hashlib.sha256(header).digest()
        self._count = 0

    def seal(self, data: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(last=last), data, self._bound)

    def open(self, chunk: bytes, *, last: bool) -> bytes:
        try:
            return self._cipher.decrypt(self._nonce(last=last), chunk, self._bound)
        except InvalidTag:
            raise Broken("the content was changed or cut off") from None

    def _nonce(self, *, last: bool) -> bytes:
        self._count += 1
        return self._count.to_bytes(11, "big") + bytes([last])


def read_header(source: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """The header of a sealed file, verified by nobody yet, and its line. Raises NotSealed."""
    line = source.readline(LONGEST_HEADER)
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not line.endswith(b"\n"):
        raise NotSealed("the first line is no header")
    return header, line


def _file_key(line: bytes, passphrase: str) -> bytes:
    try:
        seal = json.loads(line)["scrypt"]
        salt, wrapped = base64.b64decode(seal["salt"]), base64.b64decode(seal["file_key"])
        work = int(seal["n"])
        if (seal["r"], seal["p"]) != (8, 1) or not 2 <= work <= MOST_SCRYPT_N:
            raise NotSealed("its scrypt parameters are not among those that are used")
        opening = _opening_key(passphrase, salt, work)
        return ChaCha20Poly1305(opening).decrypt(bytes(12), wrapped, _WRAPPED)
    except InvalidTag:
        raise WrongPassphrase("wrong passphrase") from None
    except (LookupError, TypeError, ValueError) as error:
        raise NotSealed(f"its header is damaged ({error})") from None


def _opening_key(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=work, r=8, p=1).derive(passphrase.encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
