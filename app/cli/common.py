"""What commands share: options, transactions, printing and refusals."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.users import find_user
from app.audit.finding import parse_day
from app.config import Config
from app.core.actor import COMMAND_LINE, Actor
from app.core.durations import parse_ttl
from app.core.errors import InvalidInput, MalformedTTL, PortalError
from app.core.permissions import Permission, allows
from app.core.text import is_email
from app.extensions import db
from app.models.database_errors import explain_database_error
from app.models.engine import reading_only, writing

REFUSED = 1
USED_WRONGLY = 2
NOTICE_AFTER_MS = 500


def email_value(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """The callback of options and arguments that are e-mails: exit status 2 if malformed."""
    if not is_email(text):
        raise click.BadParameter(f"{text!r} is not an e-mail address; write name@example.com.")
    return text


def ttl_value(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """The callback of options that are TTLs, in seconds: exit status 2 if malformed."""
    try:
        return None if text is None else parse_ttl(text)
    except MalformedTTL as error:
        raise click.BadParameter(error.detail) from None


def moment_value(
    _context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    """The callback of options that are days, which `end` has to its end, or instants: exit status 2
    if neither."""
    try:
        return parse_day("", text or "", end=parameter.name == "end")
    except InvalidInput as error:
        raise click.BadParameter(error.detail) from None


as_option = click.option(
    "--as",
    "admin_email",
    metavar="ADMIN_EMAIL",
    required=True,
    callback=email_value,
    help="The super admin on whose behalf it is done.",
)
start_option = click.option(
    "--from",
    "start",
    callback=moment_value,
    metavar="TIME",
    help="Only from then on: a day or an instant, in UTC unless it says so.",
)
end_option = click.option(
    "--to",
    "end",
    callback=moment_value,
    metavar="TIME",
    help="Only before then; of a day, to its end.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
organisation_option = click.option(
    "--organisation", "organisation_id", metavar="ID", required=True, help="The Organisation ID."
)


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads. A refusal prints a sentence and ends with exit status 1."""
    with refusals(), reading_only():
        yield db.session()
        db.session.rollback()


@contextmanager
def changing() -> Iterator[Session]:
    """A session in one writing transaction, committed at the end unless something is refused.

    If another process is writing, says so on standard error and waits.
    """
    with refusals():
        try:
            _wait_for_turn()
            yield db.session()
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise


def actor_who_may(session: Session, email: str, permission: Permission) -> Actor:
    """The user with this e-mail, as an actor. Raises PortalError unless they may do that."""
    user = find_user(session, email)
    if user is None or user.disabled_at is not None or not allows(user.role, permission):
        raise PortalError(f"{email} is not a super admin here; name one with --as.")
    return replace(COMMAND_LINE, user_id=user.id, email=user.email, role=user.role)


def portal_address(config: Config) -> str:
    """The portal's address as people reach it, to be printed."""
    return config.address or f"http{'s' if config.https else ''}://YOUR-NAME"


def print_json(records: Any) -> None:
    click.echo(json.dumps(records, ensure_ascii=False, indent=2))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns; nothing at all if there are no rows."""
    if not rows:
        return
    table = [[*map(str, row)] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def refuse(sentence: str, status: int = REFUSED) -> None:
    """Print `sentence` on standard error and end with the exit status."""
    click.echo(sentence, err=True)
    sys.exit(status)


def _wait_for_turn() -> None:
    """Begin the writing transaction; say so if it has to wait for another one."""
    try:
        with writing(wait_ms=NOTICE_AFTER_MS):
            db.session.connection()
    except DBAPIError as error:
        if "locked" not in str(error.orig):
            raise
        db.session.rollback()
        click.echo("Another change is being written (an import, perhaps); waiting...", err=True)
        db.session.connection()


@contextmanager
def refusals() -> Iterator[None]:
    """Around what may be refused: a refusal prints a sentence and ends with exit status 1."""
    try:
        yield
    except MalformedTTL as error:
        refuse(error.detail, USED_WRONGLY)
    except PortalError as error:
        refuse(error.detail)
    except DBAPIError as error:
        sentence = explain_database_error(error)
        if sentence is None:
            raise
        refuse(sentence)
