"""The file of checkpoints: what was signed, outside the database, so that it can contradict it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.notes import Head, LogKey, NoteInvalid, read_head, verify_note
from app.core.errors import Conflict
from app.models import AuditCheckpoint

TAIL = 4096
"""More bytes than two checkpoints have."""
GAP = b"\n\n"
SIGNATURE = "\n\n— ".encode()


def read_notes(file: Path) -> Iterator[str]:
    """Every whole checkpoint of the file, the oldest first. Raises OSError if it cannot be read.

    What a full disk has left half written at its end is no checkpoint yet.
    """
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        note, gaps = "", 0
        for line in lines:
            if line != "\n":
                note += line
                continue
            gaps += 1
            if gaps % 2:
                note += line  # between what a checkpoint says and its signatures
            else:
                yield note
                note = ""


def last_note(file: Path) -> str | None:
    """The last whole checkpoint of the file; None if it has none.

    Raises NoteInvalid if the end of the file is nothing of the kind, OSError if it cannot be read.
    """
    _, whole, rest = _end_of(file)
    *_, text, signatures, _ = [b"", b"", *whole.split(GAP)]
    if not signatures:
        if rest:
            raise NoteInvalid("it ends with something else than checkpoints")
        return None
    note = b"%s%s%s\n" % (text, GAP, signatures)
    return note.decode(errors="replace")


def last_head(file: Path) -> Head | None:
    """The head that the last whole checkpoint of the file says. Returns and raises as `last_note`.

    NoteInvalid is raised too if it is no checkpoint after all.
    """
    note = last_note(file)
    return None if note is None else read_head(note)


def _end_of(file: Path) -> tuple[int, bytes, bytes]:
    """Where the last bytes of the file begin, what of them is whole, and what comes after that."""
    try:
        with file.open("rb") as content:
            start = max(0, content.seek(0, os.SEEK_END) - TAIL)
            content.seek(start)
            text = content.read()
    except FileNotFoundError:
        return 0, b"", b""
    signed = text.rfind(SIGNATURE)
    end = text.find(GAP, signed + len(GAP)) if signed >= 0 else -1
    if signed >= 0 and end < 0:  # the last one is not whole: what was before it is
        signed = text.rfind(SIGNATURE, 0, signed)
        end = text.find(GAP, signed + len(GAP)) if signed >= 0 else -1
    whole = text[: end + len(GAP)] if end >= 0 else b""
    return start, whole, text[len(whole) :]


def publish_checkpoints(session: Session, file: Path, key: LogKey) -> int:
    """Append every checkpoint that the file does not have yet; returns how many.

    Raises Conflict, and changes nothing, if the file is of another log, damaged, or knows of a
    larger tree than the database; OSError if it cannot be written.
    """
    try:
        head = last_head(file)
    except NoteInvalid as error:
        raise Conflict(f"The file of checkpoints {file} is damaged: {error}.") from None
    if head and head.origin != key.name:
        raise Conflict(f"The file of checkpoints {file} is of another log ({head.origin}).")
    newest = session.scalar(
        select(AuditCheckpoint.size).order_by(AuditCheckpoint.size.desc()).limit(1)
    )
    if head and head.size > (newest or 0):
        raise Conflict(
            f"The file of checkpoints {file} knows of {head.size} events, the database of "
            f"{newest or 0}: an older copy of the database was put in its place."
        )
    notes = session.scalars(
        select(AuditCheckpoint.note)
        .where(AuditCheckpoint.size > (head.size if head else 0))
        .order_by(AuditCheckpoint.size)
    ).all()
    if notes:
        _append(file, "".join(f"{note}\n" for note in notes))
    return len(notes)


def _append(file: Path, text: str) -> None:
    """Append all of `text` or nothing, in place of what a full disk had left half written."""
    start, whole, _ = _end_of(file)
    end = start + len(whole)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as content:
        content.truncate(end)
        content.seek(end)
        try:
            left = text.encode()
            while left:
                left = left[content.write(left) :]
            os.fsync(content.fileno())
        except OSError:
            with suppress(OSError):
                content.truncate(end)
            raise


def verified_heads(file: Path, key: LogKey) -> Iterator[Head]:
    """What each checkpoint of the file says. Raises NoteInvalid for the first that is not good."""
    for number, note in enumerate(read_notes(file), start=1):
        try:
            yield verify_note(note, key)
        except NoteInvalid as error:
            raise NoteInvalid(f"checkpoint {number} of {file}: {error}") from None
