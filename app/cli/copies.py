"""Copies of an installation in one sealed file: its database, its secrets, and what it proved."""

import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NamedTuple

from app.audit.journal import NAME as JOURNAL
from app.audit.journal import journal_beside
from app.cli.setup import migration_of
from app.cli.snapshots import sync_all, take_snapshot
from app.config import Config
from app.core.clock import rfc3339, utcnow
from app.core.errors import PortalError
from app.extensions import db
from app.keyformat.sealed import (
    Broken,
    NotSealed,
    OpeningReader,
    SealingWriter,
    WrongPassphrase,
    read_header,
)
from app.keyformat.signing_keys import kid_of, private_key_from_pem
from app.licenses.keyring import PEM_START
from app.models.copying import installation_id
from app.models.engine import reading_only

FORMAT = "rolling-window-backup"
VERSION = 1
DATABASE, SECRET_KEY, CHECKPOINTS = "database", "secret-key", "checkpoints"
SIGNING_KEYS = "signing-keys/"
BLOCK = 1024 * 1024
AUTOMATIC = "rolling-window-"
SUFFIX = ".backup"
INSTANT = "%Y%m%dT%H%M%SZ"
"""How the name of a copy that was made by itself says when."""


class CopyHeader(NamedTuple):
    """What the first line of a copy says, for everybody to read."""

    made_at: datetime
    installation: str
    database: str
    """"sqlite" or "postgresql"."""
    migration: str


def make_copy(config: Config, file: Path, *, passphrase: str) -> None:
    """Make a copy of everything in `file`, which is there when it has been read again, or not.

    Raises PortalError in one sentence.
    """
    _refuse_other_file(file)
    part = file.with_name(f".{file.name}-{secrets.token_hex(4)}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
            _write(config, part, Path(folder), passphrase)
        _verify(part, passphrase)
        part.replace(file)
        sync_all([file.parent])
    except OSError as error:
        raise PortalError(
            f"{file} cannot be written ({error.strerror}). No copy was made."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _refuse_other_file(file: Path) -> None:
    """A slip of the keyboard must not replace the database by a copy of it."""
    if not file.exists():
        return
    try:
        with file.open("rb") as source:
            is_copy = read_header(source)[0].get("format") == FORMAT
    except (OSError, NotSealed):
        is_copy = False
    if not is_copy:
        raise PortalError(f"{file} is there already and is no copy of a portal; name another file.")


def _write(config: Config, part: Path, folder: Path, passphrase: str) -> None:
    members = _proofs(config, folder) | _secrets(config)
    # After the journal was copied: no line in the copy is newer than the copy.
    header = _header(config, utcnow())
    snapshot = folder / DATABASE
    snapshot.touch(mode=0o600)
    take_snapshot(config, snapshot)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        with (
            SealingWriter(out, header, passphrase) as sealed,
            tarfile.open(fileobj=sealed, mode="w|", bufsize=BLOCK) as archive,
        ):
            for name, file in members.items():
                _add(archive, name, file)
            _add(archive, DATABASE, snapshot)
        out.flush()
        os.fsync(out.fileno())


def _header(config: Config, now: datetime) -> dict[str, Any]:
    with reading_only(), db.engine.connect() as connection:
        migration, installation = migration_of(connection), installation_id(connection)
    if migration is None or installation is None:
        raise PortalError("There is no portal here to copy; start it once.")
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_at": rfc3339(now),
        "installation": installation,
        "database": "sqlite" if config.database_file else "postgresql",
        "migration": migration,
    }


def _proofs(config: Config, folder: Path) -> dict[str, Path]:
    """The journal and the checkpoints as they are now: both grow while the copy is made."""
    found = {}
    for name, file in (
        (JOURNAL, journal_beside(config.checkpoints)),
        (CHECKPOINTS, config.checkpoints),
    ):
        if file.exists():
            found[name] = folder / name
            _copy_file(file, found[name])
    return found


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        while block := old.read(BLOCK):
            new.write(block)


def _secrets(config: Config) -> dict[str, Path | bytes]:
    """Every private key: those in files, and those that are settings, as the files they can be."""
    found: dict[str, Path | bytes] = {SECRET_KEY: config.secret_key.encode()}
    found |= {file.name: file for file in sorted(config.instance.glob("*.pem"))}
    if config.signing_keys.startswith(PEM_START):
        pem = config.signing_keys.encode()
        found[f"{SIGNING_KEYS}{kid_of(private_key_from_pem(pem).public_key())}.pem"] = pem
    else:
        files = sorted(Path(config.signing_keys).glob("*.pem"))
        found |= {f"{SIGNING_KEYS}{file.name}": file for file in files}
    return found


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o600
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        entry.size = source.seek(0, os.SEEK_END)
        source.seek(0)
        archive.addfile(entry, source)


def _verify(part: Path, passphrase: str) -> None:
    """Read all that was written, from the beginning to the end. Raises PortalError."""
    with opened_copy(part, passphrase) as (_, members):
        names = [name for name, content in members if _read_through(content)]
    if names.count(DATABASE) != 1:
        raise PortalError(f"{part.name} could not be read again. No copy was made.")


def _read_through(content: BinaryIO) -> bool:
    while content.read(BLOCK):
        pass
    return True


@contextmanager
def opened_copy(
    file: Path, passphrase: str
) -> Iterator[tuple[CopyHeader, Iterator[tuple[str, BinaryIO]]]]:
    """A copy's header, and its members, each of which is to be read before the next one.

    Raises PortalError in one sentence for whatever is wrong with it.
    """
    try:
        with file.open("rb") as source:
            header, line = _read_copy_header(file, source)
            reader = OpeningReader(source, line, passphrase)
            with tarfile.open(fileobj=reader, mode="r|", bufsize=BLOCK) as archive:
                yield header, _members(archive)
            _read_through(reader)  # type: ignore[arg-type]
    except WrongPassphrase:
        raise PortalError(
            f"The passphrase does not open {file}: it is another one, or the file's beginning was "
            "changed. Nothing was done."
        ) from None
    except (Broken, NotSealed, tarfile.TarError, EOFError):
        raise PortalError(
            f"{file} is damaged: it was changed or cut off. Nothing was done; use another copy."
        ) from None


def read_copy_header(file: Path) -> CopyHeader:
    """What a copy says of itself, before any passphrase. Raises PortalError."""
    try:
        with file.open("rb") as source:
            return _read_copy_header(file, source)[0]
    except OSError as error:
        raise PortalError(f"{file} cannot be read ({error.strerror}).") from None


def _read_copy_header(file: Path, source: BinaryIO) -> tuple[CopyHeader, bytes]:
    try:
        said, line = read_header(source)
        is_ours, version = said["format"] == FORMAT, int(said["version"])
        made_at = datetime.fromisoformat(said["made_at"])
        words = [str(said[name]) for name in ("installation", "database", "migration")]
    except (NotSealed, LookupError, TypeError, ValueError):
        is_ours = False
    if not is_ours:
        raise PortalError(f"{file} is no copy of a portal, or is damaged.")
    if version > VERSION:
        raise PortalError(
            f"{file} was made by a newer version of this program; restore it with that one."
        )
    return CopyHeader(made_at, *words), line


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for entry in archive:
        content = archive.extractfile(entry)
        if content is None:
            raise Broken("something else than a file is in it")
        yield entry.name, content  # type: ignore[misc]


# Copies that are made by themselves


def back_up_if_due(config: Config, now: datetime) -> Path | None:
    """Make a copy in the folder `PORTAL_BACKUPS` if the last one is older than it may be.

    Returns the copy, or None if none is due or none is wanted. Raises PortalError. One process at a
    time may do this.
    """
    if config.backups is None:
        return None
    _clear_up(config.backups)
    for made_at in map(_made_at, automatic_copies(config.backups)):
        if timedelta(0) <= now - made_at < timedelta(seconds=config.backup_every):
            return None
    if not config.backup_passphrase:
        raise PortalError("PORTAL_BACKUPS: PORTAL_BACKUP_PASSPHRASE is not set; no copy was made.")
    file = config.backups / f"{AUTOMATIC}{now:{INSTANT}}{SUFFIX}"
    make_copy(config, file, passphrase=config.backup_passphrase)
    prune_backups(config.backups, config.backup_keep, now)
    return file


def prune_backups(folder: Path, keep: int, now: datetime) -> int:
    """Delete the oldest copies that were made by themselves, but for `keep`; returns how many.

    Those from the future, of before the clock was set back, go first.
    """

    def age(file: Path) -> tuple[bool, datetime]:
        made_at = _made_at(file)
        return made_at <= now, made_at

    old = sorted(automatic_copies(folder), key=age, reverse=True)[keep:]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)


def automatic_copies(folder: Path) -> list[Path]:
    """The copies in `folder` that were made by themselves, in no order: their names say when."""
    digits = "[0-9]"
    return list(folder.glob(f"{AUTOMATIC}{digits * 8}T{digits * 6}Z{SUFFIX}"))


def _made_at(file: Path) -> datetime:
    """When a copy was made by itself, as its name says."""
    text = file.name.removeprefix(AUTOMATIC).removesuffix(SUFFIX)
    return datetime.strptime(text, INSTANT).replace(tzinfo=UTC)


def _clear_up(folder: Path) -> None:
    """Take away what a process that was killed has left of a copy that it was making."""
    for left in folder.glob(f".{AUTOMATIC}*"):
        if left.is_dir():
            for file in left.iterdir():
                file.unlink(missing_ok=True)
            left.rmdir()
        else:
            left.unlink(missing_ok=True)
