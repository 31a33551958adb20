"""Restoring a copy, and noticing that somebody has put a database back by hand."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import click
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.access.requests import lapse_all_requests
from app.agents.settling import Settled, settle_restored_copy
from app.audit.checkpoints import last_head, last_note
from app.audit.journal import NAME as JOURNAL
from app.audit.journal import journal_beside
from app.audit.log_key import stored_log_key
from app.audit.notes import NoteInvalid
from app.audit.tree import newest_checkpoint
from app.cli.common import changing, reading
from app.cli.copies import (
    BLOCK,
    CHECKPOINTS,
    DATABASE,
    SECRET_KEY,
    SIGNING_KEYS,
    CopyHeader,
    opened_copy,
    read_copy_header,
)
from app.cli.setup import (
    SET_UP_LOCK,
    known_migrations,
    one_at_a_time,
    upgrade_to_newest,
    while_stopped,
)
from app.cli.snapshots import put_postgresql_in_place, put_sqlite_in_place, sync_all
from app.config import Config
from app.core.actor import COMMAND_LINE
from app.core.clock import utcnow
from app.core.errors import PortalError
from app.extensions import db
from app.licenses.keyring import PEM_START
from app.licenses.offline import publish_all_from_now
from app.models.copying import UNFINISHED, has_rows, installation_id, is_unfinished
from app.models.engine import reading_only
from app.notices.outbox import forget_undelivered


@dataclass(frozen=True)
class Restore:
    """What to restore, and how."""

    file: Path
    passphrase: str
    replace: bool = False
    trust: bool = False
    journal: Path | None = None
    checkpoints: Path | None = None


def restore_copy(config: Config, wanted: Restore) -> Settled:
    """Put a copy in the place of the instance, and withdraw again what was withdrawn since.

    Whatever stops it, no portal starts on what it has not finished. Raises PortalError.
    """
    header = read_copy_header(wanted.file)
    for given in (wanted.journal, wanted.checkpoints):
        if given is not None and not given.is_file():
            raise PortalError(f"{given} is no file. Nothing was changed.")
    try:
        with while_stopped(config), one_at_a_time(config):
            _check(config, wanted, header)
            with TemporaryDirectory(prefix=".restore-", dir=config.instance) as name:
                folder = Path(name)
                with opened_copy(wanted.file, wanted.passphrase) as (_, members):
                    _unpack(members, folder)
                _place_files(config, wanted, folder)
                _place_database(config, folder)
            return _finish(config, wanted, header)
    except OSError as error:
        raise PortalError(
            f"{error.filename or 'A file'} cannot be written ({error.strerror}). What is there "
            "was not put in use; make room, then restore again with --replace."
        ) from None


def _check(config: Config, wanted: Restore, header: CopyHeader) -> None:
    """Refuse, while nothing has been changed, what cannot be restored here."""
    kind = "sqlite" if config.database_file else "postgresql"
    if header.database != kind:
        raise PortalError(
            f"{wanted.file} is the copy of a {header.database} database, and "
            f"PORTAL_DATABASE_URL names a {kind} one; name one of the same kind."
        )
    if header.migration not in known_migrations():
        raise PortalError(
            f"{wanted.file} was made by a newer version of this program; restore it with that one."
        )
    installation, is_empty = _present(config)
    if installation is not None and installation != header.installation:
        raise PortalError(
            f"{wanted.file} is of another installation than the portal that is here "
            f"({header.installation}, not {installation}). Nothing was changed; restore it into "
            "an empty instance."
        )
    if not is_empty and not wanted.replace:
        raise PortalError(
            "There is a portal in this instance. Nothing was changed; to replace it by the copy, "
            "add --replace."
        )


def _present(config: Config) -> tuple[str | None, bool]:
    """The installation that is here, if it can be read, and whether there is nothing."""
    file = config.database_file
    if file is not None and not file.exists():
        return None, True
    if file is not None and file.stat().st_size == 0:
        return None, True
    try:
        with reading_only(), db.engine.connect() as connection:
            if file is None:
                _refuse_others(connection)
            return installation_id(connection), file is None and not has_rows(connection)
    except DBAPIError:
        if file is None:
            raise
        return None, False  # damaged, which may be why it is restored
    finally:
        db.session.remove()
        db.engine.dispose()


def _refuse_others(connection: Connection) -> None:
    others = connection.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid NOT IN "
            "(SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = :own)"
        ),
        {"own": SET_UP_LOCK},
    )
    if others:
        raise PortalError(
            f"The database is in use ({others} connections), by a portal perhaps. Stop every "
            "portal on it, then restore again. Nothing was changed."
        )


def _unpack(members: Iterator[tuple[str, BinaryIO]], folder: Path) -> None:
    (folder / "signing-keys").mkdir(mode=0o700)
    for name, content in members:
        if not _is_expected(name):
            raise PortalError(f"There is something unknown in the copy ({name[:40]!r}).")
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while block := content.read(BLOCK):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


def _is_expected(name: str) -> bool:
    plain = name.removeprefix(SIGNING_KEYS)
    if "/" in plain or plain.startswith("."):
        return False
    return plain.endswith(".pem") or name in (DATABASE, SECRET_KEY, CHECKPOINTS, JOURNAL)


def _place_files(config: Config, wanted: Restore, folder: Path) -> None:
    """Put the secrets in their places, and the proofs where the instance has none of its own."""
    if not config.signing_keys.startswith(PEM_START):
        for pem in sorted((folder / "signing-keys").iterdir()):
            _place(pem, Path(config.signing_keys) / pem.name)
    for pem in sorted(folder.glob("*.pem")):
        _place(pem, config.instance / pem.name)
    _place(folder / SECRET_KEY, config.instance / SECRET_KEY)
    for own, given, name in (
        (journal_beside(config.checkpoints), wanted.journal, JOURNAL),
        (config.checkpoints, wanted.checkpoints, CHECKPOINTS),
    ):
        source = given or folder / name
        if not own.exists() and source.exists():
            _place(source, own)


def _place(source: Path, target: Path) -> None:
    """Copy a file to its place, all of it at once."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as new, source.open("rb") as old:
            while block := old.read(BLOCK):
                new.write(block)
            new.flush()
            os.fsync(new.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_all([target.parent])


def _place_database(config: Config, folder: Path) -> None:
    if config.database_file is None:
        put_postgresql_in_place(config, folder / DATABASE, folder / "script")
        return
    file, kept = config.database_file, None
    if file.exists() and file.stat().st_size:
        kept = file.with_name(f"{file.stem}-before-restore-{_when()}.db")
    snapshot = folder / DATABASE
    if snapshot.stat().st_dev != file.parent.stat().st_dev:
        beside = file.with_name(f".{file.name}-restored")
        _place(snapshot, beside)
        snapshot = beside
    put_sqlite_in_place(snapshot, file, kept)
    if kept is not None:
        click.echo(f"The database of before is kept in {kept}.")


def _when() -> str:
    """For the name of a file that there is none of yet."""
    return f"{utcnow():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _finish(config: Config, wanted: Restore, header: CopyHeader) -> Settled:
    """Upgrade what was put in place and settle it; with that it may be served."""
    try:
        upgrade_to_newest(db.engine)
    except CommandError as error:
        raise PortalError(f"The copy cannot be upgraded ({error}).") from None
    done = _settle(
        config,
        journal=wanted.journal or journal_beside(config.checkpoints),
        note=_note_of(wanted.checkpoints or config.checkpoints),
        made_at=header.made_at,
        trust=wanted.trust,
    )
    _set_checkpoints_aside(config)
    return done


def _settle(
    config: Config,
    *,
    journal: Path,
    note: str | None,
    made_at: datetime | None,
    trust: bool,
) -> Settled:
    """In one transaction with the end of the mark: a copy is settled, or nobody starts on it."""
    with changing() as session:
        forget_undelivered(session, now=utcnow())  # and then tell of what is ended now
        done = settle_restored_copy(
            session,
            journal=journal,
            newest_note=note,
            made_at=made_at,
            trust=trust,
            actor=COMMAND_LINE,
            now=utcnow(),
            limits=config.agent_limits,
        )
        lapse_all_requests(session, now=utcnow())
        publish_all_from_now(session)
        if is_unfinished(session.connection()):
            UNFINISHED.drop(session.connection())
    return done


def _note_of(checkpoints: Path) -> str | None:
    """The newest checkpoint of the file; one that cannot be read is unknown to every journal."""
    try:
        return last_note(checkpoints)
    except (NoteInvalid, OSError):
        return "unreadable"


@contextmanager
def _told(config: Config) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        click.echo(
            f"PORTAL_CHECKPOINTS: {config.checkpoints} cannot be set aside ({error.strerror}); "
            "move it away by hand, and keep it.",
            err=True,
        )


def _set_checkpoints_aside(config: Config) -> None:
    """Begin a new file of checkpoints if the one of before knows more than the database.

    The old one is kept: it proves what the copy lacks.
    """
    if not _knows_more(config):
        return
    file = config.checkpoints
    kept = file.with_name(f"{file.name}-before-restore-{_when()}")
    with _told(config):
        file.rename(kept)
        click.echo(f"The checkpoints of before are kept in {kept}.")


def _knows_more(config: Config) -> bool:
    """Whether the file of checkpoints is of this log, and knows of more events than it has."""
    try:
        head = last_head(config.checkpoints)
    except (NoteInvalid, OSError):
        return False
    if head is None:
        return False
    with reading() as session:
        key, newest = stored_log_key(session), newest_checkpoint(session)
        size = newest.size if newest else 0
    return head.size > size and (not key or key.startswith(f"{head.origin}+"))


def settle_if_put_back(config: Config) -> Settled | None:
    """At the start: treat a database that is older than the checkpoints beside it as restored."""
    if not _knows_more(config):
        return None
    with reading() as session:
        newest = newest_checkpoint(session)
        made_at = newest.signed_at if newest else None
    click.echo("The database is older than its checkpoints: it was put back, so it is settled.")
    done = _settle(
        config,
        journal=journal_beside(config.checkpoints),
        note=_note_of(config.checkpoints),
        made_at=made_at,
        trust=False,
    )
    for line in sentences(done):
        click.echo(line)
    _set_checkpoints_aside(config)
    return done


def sentences(done: Settled) -> Iterator[str]:
    """What was done to a restored copy, for people."""
    journal = {
        "complete": "The journal is complete",
        "missing": "There is no journal",
        "stops_early": "The journal stops early",
        "damaged": "The journal is damaged",
    }[done.journal.value]
    rest = {
        "left": "what was withdrawn since the copy is withdrawn again.",
        "ended": "all sessions were ended and all active keys revoked.",
        "trusted": "the copy was trusted: what it has as active still is.",
    }[done.rest]
    yield f"{journal}: {rest}"
    yield (
        f"Keys revoked: {done.keys}; sessions ended: {done.sessions}; users disabled: "
        f"{done.users}; machines withdrawn: {done.machines}; signing keys retired: "
        f"{done.signing_keys}."
    )
    if done.rest != "left":
        yield (
            "Which users were disabled, machines detached and signing keys retired since the copy "
            "cannot be known: look through them before you let people in."
        )
