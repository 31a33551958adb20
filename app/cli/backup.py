"""`flask backup` and `flask restore`: a copy of everything in one file, and back."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.cli.common import changing, refuse
from app.cli.copies import make_copy
from app.cli.restoring import Restore, restore_copy, sentences
from app.config import Config, current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import utcnow
from app.core.errors import PortalError

MOST = 10_000
"""Characters of a passphrase."""
FILE = click.Path(dir_okay=False, path_type=Path)


def passphrase_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--passphrase-stdin",
        "from_stdin",
        is_flag=True,
        help="Read the passphrase from standard input.",
    )(command)


@click.command()
@click.argument("file", type=FILE)
@passphrase_option
@with_appcontext
def backup(file: Path, from_stdin: bool) -> None:
    """Make a copy of everything in FILE, while the portal runs.

    The database, the secret key, the signing keys, the key of the audit log, its checkpoints and
    the journal, sealed with a passphrase: PORTAL_BACKUP_PASSPHRASE, or what is typed.
    """
    settings = current_config()
    try:
        passphrase = _passphrase(settings, from_stdin, new=True)
        make_copy(settings, file.absolute(), passphrase=passphrase)
    except PortalError as error:
        refuse(error.detail)
    with changing() as session:
        log_event(session, AuditTag.BACKED_UP, actor=COMMAND_LINE, now=utcnow(), subject=str(file))
    click.echo(f"{file} has a copy of everything; it was read again and is whole.")


@click.command()
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Replace the portal that is in this instance.")
@click.option(
    "--trust-copy",
    "trust",
    is_flag=True,
    help="Where the journal is missing or stops early, leave sessions and keys as they were.",
)
@click.option("--journal", type=FILE, metavar="FILE", help="The journal, if it is elsewhere.")
@click.option(
    "--checkpoints", type=FILE, metavar="FILE", help="The checkpoints, if they are elsewhere."
)
@passphrase_option
@with_appcontext
def restore(
    file: Path, replace: bool, trust: bool, from_stdin: bool, **proofs: Path | None
) -> None:
    """Restore a copy into an empty instance, or in place of what is there with --replace.

    Stop the portal first. What was revoked, disabled, detached or ended since the copy, as the
    journal says, is so again; where the journal is missing or stops early, all sessions are ended
    and all active keys revoked.
    """
    settings = current_config()
    try:
        wanted = Restore(
            file=file.absolute(),
            passphrase=_passphrase(settings, from_stdin, new=False),
            replace=replace,
            trust=trust,
            **{name: given and given.absolute() for name, given in proofs.items()},
        )
        done = restore_copy(settings, wanted)
    except PortalError as error:
        refuse(error.detail)
    click.echo(f"{file} was restored.")
    for sentence in sentences(done):
        click.echo(sentence)


def _passphrase(settings: Config, from_stdin: bool, *, new: bool) -> str:
    """From the setting, from standard input if that is asked for, or typed. Raises PortalError."""
    if from_stdin:
        text = sys.stdin.readline(MOST).rstrip("\r\n")
    elif settings.backup_passphrase:
        text = settings.backup_passphrase
    elif sys.stdin.isatty():
        text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new)
    else:
        text = ""
    if not text:
        raise PortalError(
            "There is no passphrase: set PORTAL_BACKUP_PASSPHRASE, or give it on standard input "
            "with --passphrase-stdin."
        )
    return text
