"""A sealed file opens with its passphrase alone, and shows every change to it."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.keyformat import sealed
from app.keyformat.sealed import (
    CHUNK,
    Broken,
    NotSealed,
    OpeningReader,
    SealingWriter,
    WrongPassphrase,
    read_header,
)


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "SCRYPT_N", 2)


def seal(content: bytes, passphrase: str = "right") -> bytes:
    out = io.BytesIO()
    with SealingWriter(out, {"format": "test"}, passphrase) as writer:
        writer.write(content)
    return out.getvalue()


def unseal(raw: bytes, passphrase: str = "right") -> bytes:
    source = io.BytesIO(raw)
    _, line = read_header(source)
    reader = OpeningReader(source, line, passphrase)
    return b"".join(iter(lambda: reader.read(1000), b""))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_is_sealed_comes_back(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert unseal(seal(content)) == content


def test_the_same_is_never_sealed_alike_and_is_not_readable() -> None:
    one, other = seal(b"a secret" * 100), seal(b"a secret" * 100)
    assert one != other
    assert b"a secret" not in one


def test_another_passphrase_does_not_open_it() -> None:
    with pytest.raises(WrongPassphrase):
        unseal(seal(b"content"), "wrong")


@given(st.data())
@settings(max_examples=60)
def test_every_changed_byte_is_seen(data: st.DataObject) -> None:
    raw = bytearray(seal(b"content" * 20_000))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Broken, NotSealed, WrongPassphrase)):
        unseal(bytes(raw))


@given(st.integers(0, 3 * CHUNK))
@settings(max_examples=60)
def test_every_cut_is_seen(missing: int) -> None:
    raw = seal(b"c" * (3 * CHUNK + 5))
    for cut in (missing + 1, CHUNK + 16, 5 + 16):  # also whole chunks of the end
        with pytest.raises((Broken, NotSealed, WrongPassphrase)):
            unseal(raw[:-cut])


def test_chunks_cannot_be_swapped_or_added() -> None:
    raw = seal(b"a" * CHUNK + b"b" * CHUNK + b"c")
    head = raw.index(b"\n") + 1
    step = CHUNK + 16
    first, second, rest = raw[head : head + step], raw[head + step : head + 2 * step], raw[-17:]
    for content in (
        second + first + rest,
        first + first + second + rest,
        first + second + rest * 2,
    ):
        with pytest.raises(Broken):
            unseal(raw[:head] + content)


def test_a_header_that_asks_for_endless_work_is_refused() -> None:
    raw = seal(b"content")
    line, _, content = raw.partition(b"\n")
    header = json.loads(line)
    header["scrypt"]["n"] = 2**40
    with pytest.raises(NotSealed):
        unseal(json.dumps(header).encode() + b"\n" + content)
