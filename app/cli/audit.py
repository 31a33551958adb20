"""`flask audit ...`: proving the audit log, and handing it out with its proofs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click
from sqlalchemy.orm import Session

from app.audit.checkpoints import verified_heads
from app.audit.cutting import was_cut_to
from app.audit.exporting import EXPORTS, Proofs, prove_event, proven_events
from app.audit.finding import AuditSearch, conditions
from app.audit.log import log_event
from app.audit.log_key import public_log_key, read_private_log_key, stored_log_key
from app.audit.notes import Head, LogKey, NoteInvalid, read_log_key, verify_note
from app.audit.tags import AuditTag
from app.audit.tree import count_pending, newest_checkpoint
from app.audit.verifying import RecordBroken, verify_record
from app.cli.common import changing, end_option, print_json, reading, refuse, start_option
from app.config import current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import utcnow
from app.core.errors import PortalError, SigningKeyMissing


@click.group("audit")
def group() -> None:
    """The audit log: prove that nothing of it was changed, export it."""


@group.command("verify")
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another file of checkpoints than the portal's own, one kept elsewhere.",
)
def verify_command(checkpoints: Path | None) -> None:
    """Recompute the tree over all events and compare it with every checkpoint.

    Exit status 1 if an event was changed, is missing, was put in between or cut off.
    """
    file = checkpoints or current_config().checkpoints
    with reading() as session:
        try:
            heads = [*_heads(session, file)]
            verified = verify_record(session, heads=heads, now=utcnow())
            cut_to = was_cut_to(session)
        except (RecordBroken, NoteInvalid) as error:
            raise PortalError(str(error)) from None
        except OSError as error:
            raise PortalError(f"{file} cannot be read ({error.strerror}).") from None
    click.echo(f"{verified.events} events, verified to checkpoint {verified.size}")
    if cut_to:
        click.echo(f"Those before index {cut_to} were cut off for their age.", err=True)


def _heads(session: Session, file: Path) -> Iterator[Head]:
    """What was signed: each checkpoint of the file, and the newest of the database."""
    key = _trusted_key(session)
    if file.exists():
        yield from verified_heads(file, key)
    else:
        click.echo(
            f"There is no file of checkpoints {file}: compared with the database's own alone.",
            err=True,
        )
    newest = newest_checkpoint(session)
    if newest is not None:
        try:
            yield verify_note(newest.note, key)
        except NoteInvalid as error:
            raise NoteInvalid(f"the newest checkpoint of the database: {error}") from None


def _trusted_key(session: Session) -> LogKey:
    """The log's key: by its file, since whoever changes the log could change the database's."""
    stored = stored_log_key(session)
    try:
        key = public_log_key(read_private_log_key(current_config().instance))
    except SigningKeyMissing as error:
        click.echo(f"{error.detail} The database's own record of the key is used.", err=True)
        return read_log_key(stored)
    if str(key) != stored:
        raise NoteInvalid("The database names another key of the audit log than the one in use.")
    return key


@group.command("key")
def key_command() -> None:
    """Print the verifier key, with which anyone can check checkpoints and exports."""
    with reading() as session:
        key = stored_log_key(session)
    if not key:
        refuse("The audit log has no key yet: start the portal once.")
    click.echo(key)


@group.command("prove")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def prove_command(index: int, as_json: bool) -> None:
    """Prove that the event with this INDEX of the tree is in the audit log."""
    with reading() as session:
        proofs = Proofs(session)
        proven = prove_event(session, index, proofs)
        line = proven.as_json() | {"checkpoint": proofs.note}
    if as_json:
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    click.echo(f"Event {proven.content['id']}, index {index} of {proofs.size}:")
    print_json(proven.content)
    click.echo(f"Leaf hash: {line['leaf_hash']}")
    for part in line["proof"]:
        click.echo(f"Beside it: {part}")
    click.echo(f"\n{proofs.note}", nl=False)


@group.command("export")
@start_option
@end_option
@click.option("--format", "form", type=click.Choice([*EXPORTS]), default="jsonl")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: print.")
def export_command(
    start: datetime | None, end: datetime | None, form: str, output: Path | None
) -> None:
    """Print the events of the signed tree, each with the proof that it is in it.

    What is not in the tree yet is left out; how many those are is said on standard error.
    """
    with changing() as session:
        log_event(session, AuditTag.AUDIT_EXPORTED, actor=COMMAND_LINE, now=utcnow(), subject=form)
    with reading() as session:
        proofs = Proofs(session)
        pending = count_pending(session, utcnow())
        search = AuditSearch(start=start, end=end)
        events = proven_events(session, proofs, *conditions(session, search))
        lines = EXPORTS[form](events, proofs, stored_log_key(session))
        with _whole_file(output) as out:
            out.writelines(lines)
    if pending:
        click.echo(f"{pending} events are not in the tree yet and were left out.", err=True)


@contextmanager
def _whole_file(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its place when all of it was written."""
    if output is None:
        yield sys.stdout
        return
    draft = output.with_name(f".{output.name}-unfinished")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(output)
    except OSError as error:
        raise PortalError(f"{output} cannot be written ({error.strerror}).") from None
    finally:
        draft.unlink(missing_ok=True)
