"""`audit-verify`: checks an export of the audit log, off-line, with the log's public key."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .audit_tree import (
    Checkpoint,
    LogKey,
    decoded,
    leaf_hash,
    read_checkpoint,
    read_log_key,
    root_of,
)
from .errors import RecordInvalid, WrongUse
from .terminal import forgiving_output, printable
from .usage import Parser, add_version, guarded, table

NOT_GOOD = 1
MAX_LINE = 1024 * 1024
"""Bytes. A line has one event, which is far smaller."""

_STATUSES = {
    0: "good: every event is in the tree that the checkpoint signs",
    1: "not good, or failed: something unexpected",
}


def main(argv: list[str] | None = None) -> int:
    """The command. Gives its exit status."""
    forgiving_output()
    arguments = _parser().parse_args(argv)
    return guarded("audit-verify", lambda: _verify(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog="audit-verify",
        description="Checks an export of the audit log (audit export --format jsonl).",
        epilog=table(_STATUSES),
    )
    parser.add_argument(
        "--key",
        required=True,
        metavar="KEY",
        help="the log's key, NAME+HASH+KEY: what `audit key` prints, or a file with it",
    )
    parser.add_argument("file", metavar="FILE", help="the export; - for standard input")
    add_version(parser)
    return parser


def _verify(arguments: argparse.Namespace) -> int:
    key = _key(arguments.key)
    try:
        if arguments.file == "-":
            count, checkpoint = verify_export(sys.stdin.buffer, key)
        else:
            with Path(arguments.file).open("rb") as file:
                count, checkpoint = verify_export(file, key)
    except OSError as error:
        raise WrongUse(f"{arguments.file} cannot be read: {error.strerror}.") from None
    except RecordInvalid as error:
        print(f"audit-verify: {printable(str(error))}", file=sys.stderr)
        return NOT_GOOD
    print(f"{count} events, verified to checkpoint {checkpoint.size}")
    return 0


def _key(given: str) -> LogKey:
    try:
        file = Path(given)
        return read_log_key(file.read_text(encoding="utf-8") if file.is_file() else given)
    except (RecordInvalid, OSError, ValueError) as error:
        raise WrongUse(f"--key: {error}") from None


def verify_export(lines: BinaryIO, key: LogKey) -> tuple[int, Checkpoint]:
    """How many events an export has, and the checkpoint over them.

    Raises RecordInvalid for the first line that is not as it should be: malformed, out of order,
    of an event that its proof does not prove, or that is shown other than it was hashed.
    """
    numbered = _objects(lines)
    _, first = next(numbered, (1, {}))
    if first.get("log_key") != str(key):
        raise RecordInvalid("The export is not of the log of this key, or its start is missing.")
    checkpoint = read_checkpoint(first.get("checkpoint"), key)
    count, last = 0, -1
    for number, line in numbered:
        last = _verify_line(number, line, last, checkpoint)
        count += 1
    return count, checkpoint


def _verify_line(number: int, line: dict[str, Any], last: int, checkpoint: Checkpoint) -> int:
    """The event's index in the tree."""
    index, proof = line.get("index"), line.get("proof")
    if not isinstance(index, int) or not isinstance(proof, list):
        raise RecordInvalid(f"Line {number} has no index or no proof.")
    if index <= last:
        raise RecordInvalid(f"Line {number} (index {index}) is not in the order of the log.")
    leaf = decoded(line.get("leaf"))
    hashed = leaf_hash(leaf)
    if decoded(line.get("leaf_hash")) != hashed:
        raise RecordInvalid(f"Line {number} (index {index}): the leaf was changed.")
    if _json(leaf, number) != line.get("event"):
        raise RecordInvalid(f"Line {number} (index {index}): the event is not what was hashed.")
    path = [decoded(part) for part in proof]
    if root_of(hashed, index, checkpoint.size, path) != checkpoint.root:
        raise RecordInvalid(
            f"Line {number} (index {index}): the event is not in the tree that was signed."
        )
    return index


def _objects(lines: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines, numbered, as JSON objects. A file that was cut off in a line is refused."""
    number = 0
    while line := lines.readline(MAX_LINE):
        number += 1
        if not line.endswith(b"\n"):
            raise RecordInvalid(f"Line {number} is cut off.")
        value = _json(line, number)
        if not isinstance(value, dict):
            raise RecordInvalid(f"Line {number} is no JSON object.")
        yield number, value


def _json(text: bytes, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RecordInvalid(f"Line {number} is no JSON.") from None
