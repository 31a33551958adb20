"""`audit-verify`, as it is called, on exports that were made here by the book (RFC 9162, C2SP)."""

import base64
import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolling_window_client.audit_tree import leaf_hash, read_log_key, root_of
from rolling_window_client.audit_verify import main
from rolling_window_client.errors import RecordInvalid

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NAME = "rolling-window/test"
EVENTS = 21
Lines = list[dict[str, Any]]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def key_of(private_key: Ed25519PrivateKey = PRIVATE_KEY, name: str = NAME) -> tuple[bytes, str]:
    raw = b"\x01" + private_key.public_key().public_bytes_raw()
    named = hashlib.sha256(f"{name}\n".encode() + raw).digest()[:4]
    return named, f"{name}+{named.hex()}+{b64(raw)}"


KEY = key_of()[1]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return node(root(hashes[:k]), root(hashes[k:]))


def path(index: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if index < k:
        return [*path(index, hashes[:k]), root(hashes[k:])]
    return [*path(index - k, hashes[k:]), root(hashes[:k])]


def checkpoint(size: int, tree: bytes, private_key: Ed25519PrivateKey = PRIVATE_KEY) -> str:
    text = f"{NAME}\n{size}\n{b64(tree)}\n"
    return f"{text}\n— {NAME} {b64(key_of(private_key)[0] + private_key.sign(text.encode()))}\n"


def export(count: int = EVENTS) -> Lines:
    events = [{"id": number, "kind": "license.issued"} for number in range(count)]
    leaves = [json.dumps(event, separators=(",", ":")).encode() for event in events]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    head = {"checkpoint": checkpoint(count, root(hashes)), "log_key": KEY}
    return [head] + [
        {
            "index": index,
            "leaf": b64(leaf),
            "leaf_hash": b64(hashed),
            "proof": [b64(part) for part in path(index, hashes)],
            "event": event,
        }
        for index, (leaf, hashed, event) in enumerate(zip(leaves, hashes, events, strict=True))
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


def write(file: Path, lines: Lines) -> None:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize("count", [1, 2, 3, EVENTS, 256])
def test_a_good_export(file: Path, capsys: pytest.CaptureFixture[str], count: int) -> None:
    write(file, export(count))
    assert main(["--key", KEY, str(file)]) == 0
    assert capsys.readouterr().out == f"{count} events, verified to checkpoint {count}\n"


def test_a_part_of_the_events_and_the_key_in_a_file(file: Path, tmp_path: Path) -> None:
    first, *lines = export()
    write(file, [first, *lines[3:7]])
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    assert main(["--key", str(tmp_path / "key"), str(file)]) == 0


def test_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "".join(f"{json.dumps(line)}\n" for line in export()).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["--key", KEY, "-"]) == 0


def change_event(lines: Lines) -> None:
    lines[5]["event"] = lines[5]["event"] | {"kind": "nothing"}


def change_leaf(lines: Lines) -> None:
    change_event(lines)
    lines[5]["leaf"] = b64(json.dumps(lines[5]["event"]).encode())


def change_leaf_and_hash(lines: Lines) -> None:
    change_leaf(lines)
    lines[5]["leaf_hash"] = b64(leaf_hash(base64.b64decode(lines[5]["leaf"])))


def swap(lines: Lines) -> None:
    lines[5]["index"], lines[6]["index"] = 5, 4
    lines[5], lines[6] = lines[6], lines[5]


def double(lines: Lines) -> None:
    lines.insert(5, lines[5])


def put_in(lines: Lines) -> None:
    new = lines[5] | {"index": EVENTS}
    lines.append(new)


def lengthen_proof(lines: Lines) -> None:
    lines[5]["proof"] = [*lines[5]["proof"], b64(b"0" * 32)]


def no_proof(lines: Lines) -> None:
    del lines[5]["proof"]


def sign_by_another(lines: Lines) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    lines[0]["checkpoint"] = checkpoint(EVENTS, b"r" * 32, other)


def change_size(lines: Lines) -> None:
    lines[0]["checkpoint"] = lines[0]["checkpoint"].replace("\n21\n", "\n22\n")


def name_another_key(lines: Lines) -> None:
    lines[0]["log_key"] = key_of(Ed25519PrivateKey.from_private_bytes(b"o" * 32))[1]


def take_out_first_line(lines: Lines) -> None:
    del lines[0]


HARMS = {
    "the event is not what was hashed": change_event,
    "the leaf was changed": change_leaf,
    "not in the tree that was signed": change_leaf_and_hash,
    "Line 6 (index 4): the event is not in the tree": swap,
    "not in the order of the log": double,
    f"(index {EVENTS}): the event is not in the tree": put_in,
    "(index 4): the event is not in the tree": lengthen_proof,
    "no index or no proof": no_proof,
    "not signed with this key": sign_by_another,
    "signature is not good": change_size,
    "not of the log of this key": name_another_key,
    "or its start is missing": take_out_first_line,
}


@pytest.mark.parametrize("sentence", HARMS)
def test_whatever_was_done_to_it_is_found(
    file: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    lines = export()
    harm: Callable[[Lines], None] = HARMS[sentence]
    harm(lines)
    write(file, lines)
    assert main(["--key", KEY, str(file)]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "start is missing"),
        (b"{}\n", "start is missing"),
        (b"[]\n", "no JSON object"),
        (b"\xff\xfe\n", "no JSON"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b'{"log_key": 1}', "cut off"),
    ],
)
def test_what_is_no_export(
    file: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    file.write_bytes(content)
    assert main(["--key", KEY, str(file)]) == 1
    assert sentence in capsys.readouterr().err


def test_an_export_that_was_interrupted_is_cut_off(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, export())
    file.write_bytes(file.read_bytes()[:-20])
    assert main(["--key", KEY, str(file)]) == 1
    assert f"Line {EVENTS + 1} is cut off" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "no key", KEY[:-4], KEY.replace("+", "-"), f"x{KEY}"])
def test_a_wrong_key_is_used_wrongly(
    file: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    write(file, export())
    assert main(["--key", key, str(file)]) == 2
    assert "--key" in capsys.readouterr().err


def test_no_such_file_is_used_wrongly(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--key", KEY, str(file)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_published_key_is_read() -> None:
    """The example of Go's package for signed notes."""
    key = read_log_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert key.name == "PeterNeumann"
    with pytest.raises(RecordInvalid):
        read_log_key("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")


def test_an_index_outside_of_the_tree_proves_nothing() -> None:
    assert root_of(b"0" * 32, 3, 3, []) is None
    assert root_of(b"0" * 32, -1, 3, []) is None
