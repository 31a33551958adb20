"""`flask users ...`: creating, inviting, listing, changing and disabling users, and passwords."""

import sys
from dataclasses import replace
from datetime import datetime

import click

from app.accounts.links import LINK_PATH, make_link
from app.accounts.passwords import hash_new_password
from app.accounts.second_factor import reset_second_factor
from app.accounts.users import (
    NO_PASSWORD,
    create_user,
    disable_user,
    fields_of,
    find_user,
    list_users,
    lock_before_own,
    lock_by_email,
)
from app.agents.people import change_user, enable_user, reset_password
from app.cli.common import (
    USED_WRONGLY,
    changing,
    email_value,
    json_option,
    portal_address,
    print_json,
    print_table,
    reading,
    refusals,
    refuse,
)
from app.config import current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import rfc3339, utcnow, whole_second
from app.core.permissions import Role
from app.models import User
from app.notices.outbox import mail_link

email_argument = click.argument("email", metavar="E", callback=email_value)
email_option = click.option(
    "--email", metavar="E", required=True, callback=email_value, help="The login ID."
)
role_choice = click.Choice([role.value for role in Role])
role_option = click.option("--role", required=True, type=role_choice)
role_argument = click.argument("role", type=role_choice)
organisation_option = click.option(
    "--organisation", "organisation_id", metavar="ID", help="A client user's Organisation ID."
)
name_option = click.option("--name", default="", help="Their name, shown with the e-mail.")
stdin_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input."
)


@click.group("users")
def group() -> None:
    """Create, invite, list, change and disable users, and reset their passwords."""


@group.command()
@email_option
@role_option
@name_option
@organisation_option
@stdin_option
def create(email: str, role: str, name: str, organisation_id: str | None, from_stdin: bool) -> None:
    """Create a user; the password is asked for, or read from standard input."""
    _check_organisation(role, organisation_id)
    password_hash = _new_password(email, from_stdin)
    with changing() as session:
        user = create_user(
            session,
            email=email,
            name=name,
            role=Role(role),
            password_hash=password_hash,
            actor=COMMAND_LINE,
            now=utcnow(),
            organisation_id=organisation_id,
        )
        sentence = f"Created {user.email} ({user.role})."
    click.echo(sentence)


@group.command()
@email_option
@role_option
@name_option
@organisation_option
def invite(email: str, role: str, name: str, organisation_id: str | None) -> None:
    """Create a user who chooses a password by a one-time link, which is printed."""
    _check_organisation(role, organisation_id)
    with changing() as session:
        user = create_user(
            session,
            email=email,
            name=name,
            role=Role(role),
            password_hash=NO_PASSWORD,
            actor=COMMAND_LINE,
            now=utcnow(),
            organisation_id=organisation_id,
        )
        token = make_link(session, user=user, actor=COMMAND_LINE, now=utcnow(), lets_in=True)
        config = current_config()
        if config.mails_links:
            mail_link(session, email=user.email, token=token, secret_key=config.secret_key)
        sentence = f"Invited {user.email} ({user.role})."
    click.echo(sentence)
    _print_link(token)
    if config.mails_links:
        click.echo("It is mailed as well.")


@group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List every user."""
    with reading() as session:
        rows = [_row(user) for user in list_users(session)]
    if as_json:
        print_json(rows)
    else:
        headings = ("E-mail", "Name", "Role", "State", "Organisation", "Last sign-in")
        shown = ("email", "name", "role", "state", "organisation_id", "last_sign_in_at")
        print_table(headings, [[row[name] or "-" for name in shown] for row in rows])


@group.command("set-role")
@email_argument
@role_argument
@organisation_option
def set_role(email: str, role: str, organisation_id: str | None) -> None:
    """Give a user another role; it holds at once, and ends their sessions on OP Agents."""
    _check_organisation(role, organisation_id)
    with changing() as session:
        if known := find_user(session, email):
            lock_before_own(session, known.id)
        fields = fields_of(lock_by_email(session, email))
        fields = replace(fields, role=Role(role), organisation_id=organisation_id)
        user = change_user(
            session,
            email=email,
            fields=fields,
            actor=COMMAND_LINE,
            now=utcnow(),
            second_factor=current_config().second_factor,
        )
        sentence = f"{user.email} is now {user.role}."
    click.echo(sentence)


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
@click.option("--link", "by_link", is_flag=True, help="Print a one-time link instead.")
def reset_command(email: str, from_stdin: bool, by_link: bool) -> None:
    """Give a user a new password, and end every session of theirs.

    With --link, they choose it by the one-time link that is printed; until then nothing changes.
    """
    if by_link and from_stdin:
        refuse("--link and --password-stdin exclude each other.", USED_WRONGLY)
    if by_link:
        _make_and_print_link(email)
        return
    password_hash = _new_password(email, from_stdin)
    with changing() as session:
        user = reset_password(
            session, email=email, password_hash=password_hash, actor=COMMAND_LINE, now=utcnow()
        )
        sentence = f"{user.email} has a new password, and is signed out everywhere."
    click.echo(sentence)


@group.command("reset-second-factor")
@email_argument
def reset_factor_command(email: str) -> None:
    """Forget a user's authenticator app, passkeys and recovery codes, which they have lost."""
    with changing() as session:
        user = lock_by_email(session, email)
        reset_second_factor(session, user=user, actor=COMMAND_LINE, now=utcnow())
        sentence = f"{user.email} signs in with the password, and sets up another second factor."
    click.echo(sentence)


def _make_and_print_link(email: str) -> None:
    with changing() as session:
        user = lock_by_email(session, email)
        token = make_link(session, user=user, actor=COMMAND_LINE, now=utcnow(), lets_in=True)
    _print_link(token)


def _print_link(token: str) -> None:
    click.echo("This link sets the password, once, within 72 hours, and is shown only now:")
    click.echo(f"{portal_address(current_config())}{LINK_PATH}/{token}")


def _check_organisation(role: str, organisation_id: str | None) -> None:
    if (role == Role.CLIENT) != (organisation_id is not None):
        refuse("--organisation goes with the role client, and only with it.", USED_WRONGLY)


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
        "name": user.name,
        "role": user.role.value,
        "state": user.state.value,
        "organisation_id": user.organisation_id,
        "last_sign_in_at": _instant(user.last_sign_in_at),
        "created_at": _instant(user.created_at),
        "disabled_at": _instant(user.disabled_at),
    }


def _instant(at: datetime | None) -> str | None:
    return rfc3339(whole_second(at)) if at else None
