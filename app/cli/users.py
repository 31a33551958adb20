"""`flask users ...`: creating, listing and disabling users, and resetting passwords."""

import sys

import click

from app.accounts.passwords import hash_new_password
from app.accounts.users import create_user, disable_user, list_users
from app.agents.people import enable_user, reset_password
from app.cli.common import (
    USED_WRONGLY,
    changing,
    email_value,
    json_option,
    print_json,
    print_table,
    reading,
    refusals,
    refuse,
)
from app.core.actor import COMMAND_LINE
from app.core.clock import rfc3339, utcnow, whole_second
from app.core.permissions import Role
from app.models import User

email_argument = click.argument("email", metavar="E", callback=email_value)
stdin_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input."
)


@click.group("users")
def group() -> None:
    """Create, list and disable users, and reset their passwords."""


@group.command()
@click.option("--email", metavar="E", required=True, callback=email_value, help="The login ID.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option(
    "--organisation", "organisation_id", metavar="ID", help="A client user's Organisation ID."
)
@stdin_option
def create(email: str, role: str, organisation_id: str | None, from_stdin: bool) -> None:
    """Create a user; the password is asked for, or read from standard input."""
    if (role == Role.CLIENT) != (organisation_id is not None):
        refuse("--organisation goes with the role client, and only with it.", USED_WRONGLY)
    password_hash = _new_password(email, from_stdin)
    with changing() as session:
        user = create_user(
            session,
            email=email,
            role=Role(role),
            password_hash=password_hash,
            actor=COMMAND_LINE,
            now=utcnow(),
            organisation_id=organisation_id,
        )
        sentence = f"Created {user.email} ({user.role})."
    click.echo(sentence)


@group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List every user."""
    with reading() as session:
        rows = [_row(user) for user in list_users(session)]
    if as_json:
        print_json(rows)
    else:
        headings = ("E-mail", "Role", "Organisation", "Created", "Disabled")
        print_table(headings, [[value or "-" for value in row.values()] for row in rows])


@group.command()
@email_argument
def disable(email: str) -> None:
    """Disable a user: no sign-in any more, and every session of theirs ends."""
    with changing() as session:
        user = disable_user(session, email=email, actor=COMMAND_LINE, now=utcnow())
        sentence = f"Disabled {user.email}."
    click.echo(sentence)


@group.command("enable")
@email_argument
def enable_command(email: str) -> None:
    """Let a disabled user sign in again; sessions of before stay ended."""
    with changing() as session:
        user = enable_user(session, email=email, actor=COMMAND_LINE, now=utcnow())
        sentence = f"Enabled {user.email}."
    click.echo(sentence)


@group.command("reset-password")
@email_argument
@stdin_option
def reset_command(email: str, from_stdin: bool) -> None:
    """Give a user a new password, and end every session of theirs."""
    password_hash = _new_password(email, from_stdin)
    with changing() as session:
        user = reset_password(
            session, email=email, password_hash=password_hash, actor=COMMAND_LINE, now=utcnow()
        )
        sentence = f"{user.email} has a new password, and is signed out everywhere."
    click.echo(sentence)


def _new_password(email: str, from_stdin: bool) -> str:
    """The hash of a password that is typed or read; made before any transaction begins."""
    password = _read_line() if from_stdin else _ask()
    with refusals():
        return hash_new_password(password, email=email)


def _ask() -> str:
    text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return text


def _read_line() -> str:
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not UTF-8.") from None


def _row(user: User) -> dict[str, str | None]:
    return {
        "email": user.email,
        "role": user.role.value,
        "organisation_id": user.organisation_id,
        "created_at": rfc3339(whole_second(user.created_at)),
        "disabled_at": rfc3339(whole_second(user.disabled_at)) if user.disabled_at else None,
    }
