"""The journal: a file beside the database that knows what was withdrawn since a copy of it.

One JSON line for each revocation, disabling, block and end of a session, and one for each
checkpoint. Lines are only added. They are on the disk before the commit, and so before the answer:
where the commit then fails, the journal has a line too many, which withdraws something once more
after a restore; the other way round, something withdrawn would come back.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from app.audit.notes import read_head
from app.core.clock import rfc3339
from app.core.errors import Busy

NAME = "revocations.jsonl"
FLUSH_BYTES = 65_536

log = logging.getLogger(__name__)


class Withdrawal(StrEnum):
    """What a line says; `id` in it names the row, or the Key ID, or the `kid`."""

    KEY_REVOKED = "key_revoked"
    KEY_USED_UP = "key_used_up"
    """The last sign-in that it allowed was made."""
    LICENSE_REVOKED = "license_revoked"
    """The permanent license of the agent with this id."""
    MACHINE_DETACHED = "machine_detached"
    MACHINE_DISSOCIATED = "machine_dissociated"
    USER_DISABLED = "user_disabled"
    SESSION_ENDED = "session_ended"
    """A session on an OP Agent."""
    SIGN_IN_ENDED = "sign_in_ended"
    """A browser's session on the portal."""
    SESSIONS_OF_USER_ENDED = "sessions_of_user_ended"
    """Every one that the user with this id had at that instant, on agents and on the portal."""
    SIGNING_KEY_RETIRED = "signing_key_retired"
    EVERYTHING_ENDED = "everything_ended"
    """Every session and every active key of that instant; `id` is empty."""
    CHECKPOINT = "checkpoint"
    """A head of the audit log's tree was signed, of `size` leaves; `id` is the note's digest."""


class Line(NamedTuple):
    """One line of the journal."""

    at: datetime
    kind: Withdrawal
    id: int | str


class JournalDamaged(ValueError):
    """A line of the journal cannot be read."""


def journal_beside(checkpoints: Path) -> Path:
    """Where the journal is: in the folder of the checkpoints file."""
    return checkpoints.with_name(NAME)


_files: WeakKeyDictionary[Engine, Path] = WeakKeyDictionary()


def keep_journal(engine: Engine, file: Path) -> None:
    """Write down in `file` what is withdrawn in the database of `engine`."""
    _files[engine] = file


def note_withdrawal(session: Session, kind: Withdrawal, which: int | str, now: datetime) -> None:
    """Let the journal say that `which` was withdrawn; written before the caller's commit.

    The commit raises Busy, and nothing is done, if the journal cannot be written.
    """
    session.info.setdefault(NAME, []).append(_text(kind, which, now))


def note_checkpoint(checkpoints: Path, *, note: str, now: datetime) -> None:
    """Let the journal beside the checkpoints file say that `note` was signed.

    To be called before the note is stored anywhere else: a journal that does not know the newest
    checkpoint counts as one that was cut off. Raises Busy if the journal cannot be written.
    """
    line = _text(Withdrawal.CHECKPOINT, digest_of(note), now, size=read_head(note).size)
    append_lines(journal_beside(checkpoints), [line])


def digest_of(note: str) -> str:
    """By what the journal knows a checkpoint."""
    return hashlib.sha256(note.strip().encode()).hexdigest()[:32]


def _text(kind: Withdrawal, which: int | str, now: datetime, **more: int) -> str:
    line = {"at": rfc3339(now), "kind": kind.value, "id": which} | more
    return json.dumps(line, separators=(",", ":")) + "\n"


@event.listens_for(Session, "before_commit")
def _write_before_commit(session: Session) -> None:
    lines = session.info.pop(NAME, None)
    if lines:
        append_lines(_files[session.get_bind().engine], lines)


@event.listens_for(Session, "after_rollback")
def _forget_after_rollback(session: Session) -> None:
    session.info.pop(NAME, None)


def append_lines(file: Path, lines: Iterable[str]) -> None:
    """Add lines at the end of the journal, all or none, and see them onto the disk.

    Raises Busy if that cannot be done.
    """
    try:
        is_new = not file.exists()
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _append(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(file.parent)
    except OSError as error:
        log.error("the journal cannot be written: %s: %s", file, error.strerror)  # noqa: TRY400
        raise Busy(
            "What is revoked or ended cannot be written into the journal "
            f"({error.strerror}), so nothing was done. "
            f"The person who runs this portal must let it write {NAME}."
        ) from None


def _append(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    end = _end_of_last_line(descriptor, size)
    try:
        if end < size:  # whoever wrote it was stopped in the middle, and has answered nobody
            os.ftruncate(descriptor, end)
        left = data
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def _end_of_last_line(descriptor: int, size: int) -> int:
    end = size
    while end:
        start = max(0, end - FLUSH_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal(file: Path) -> Iterator[Line]:
    """Each whole line, the oldest first.

    What is after the last line break was never answered. Raises JournalDamaged, and OSError if the
    file cannot be read.
    """
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                yield _line(json.loads(raw))
            except (ValueError, KeyError, TypeError):
                raise JournalDamaged(f"line {number} of {file} cannot be read") from None


def _line(said: dict[str, object]) -> Line:
    at, which = datetime.fromisoformat(str(said["at"])), said["id"]
    if at.tzinfo is None or not isinstance(which, int | str):
        raise ValueError("not a line of the journal")
    return Line(at, Withdrawal(str(said["kind"])), which)
