"""`flask licenses ...`: temporary license keys."""

import sys

import click

from app.cli.common import (
    REFUSED,
    as_option,
    changing,
    config,
    json_option,
    organisation_option,
    print_json,
    print_table,
    reading,
    super_admin,
)
from app.clock import rfc3339, utcnow
from app.errors import MalformedTTL, NotFound
from app.licenses.rules import LicenseState
from app.licenses.services import (
    Inspection,
    find_license,
    has_ended,
    inspect_key,
    issue_license,
    key_text,
    licenses_of,
    revoke_license,
    state_of,
)
from app.licenses.ttl import parse_ttl
from app.projects.services import get_organisation

MAX_KEY_BYTES = 2 * 1024 * 1024
"""How much `check` reads of what it is given; a key has under two hundred characters."""


def _ttl(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise click.BadParameter(error.detail) from None


@click.group("licenses")
def group() -> None:
    """Issue, list, revoke and check temporary license keys."""


@group.command()
@organisation_option
@click.option(
    "--ttl", required=True, metavar="TTL", callback=_ttl, help="How long it works, such as 3h."
)
@as_option
@json_option
def issue(organisation_id: str, ttl: int, admin_email: str, as_json: bool) -> None:
    """Issue a key and print it."""
    settings = config()
    with changing() as session:
        license = issue_license(
            session,
            actor=super_admin(session, admin_email),
            organisation_id=organisation_id,
            ttl=ttl,
            choices=settings.license_ttls,
            now=utcnow(),
        )
        row = {
            "license_key": key_text(license, settings.signing_keys),
            "key_id": license.key_id,
            "organisation_id": license.organisation_id,
            "issued_at": rfc3339(license.issued_at),
            "expires_at": rfc3339(license.expires_at),
        }
    if as_json:
        print_json(row)
        return
    click.echo(row["license_key"])
    click.echo(f"{row['key_id']} works until {row['expires_at']}.", err=True)


@group.command("list")
@organisation_option
@json_option
def list_command(organisation_id: str, as_json: bool) -> None:
    """List an organisation's keys: the active ones, then those that ended."""
    now = utcnow()
    with reading() as session:
        get_organisation(session, organisation_id)
        rows = [
            {
                "key_id": license.key_id,
                "kind": "temporary",
                "state": state_of(license, now).value,
                "issued_at": rfc3339(license.issued_at),
                "expires_at": rfc3339(license.expires_at),
            }
            for license in licenses_of(session, organisation_id, now, ended_limit=None)
        ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("Key ID", "Kind", "State", "Issued", "Expires"), [[*row.values()] for row in rows]
        )


@group.command()
@click.argument("key_id", metavar="KEY_ID")
@as_option
def revoke(key_id: str, admin_email: str) -> None:
    """Revoke a key: nobody can sign in with it any more, and who is signed in is logged out."""
    now = utcnow()
    with changing() as session:
        actor = super_admin(session, admin_email)
        license = find_license(session, key_id)
        if license is None:
            raise NotFound(f"There is no key {key_id[:40]!r}.")
        if has_ended(license, now):
            sentence = f"{license.key_id} had ended already. Nothing was changed."
        else:
            revoke_license(session, actor=actor, key_id=license.key_id, now=now)
            sentence = f"{license.key_id} was revoked."
    click.echo(sentence)


@group.command()
@json_option
def check(as_json: bool) -> None:
    """Read a key on standard input and say what it is; exit status 0 only if it is active."""
    text = sys.stdin.buffer.read(MAX_KEY_BYTES).decode("utf-8", "replace")
    with reading() as session:
        found = inspect_key(session, text=text, now=utcnow())
        row = _inspected(found)
    if as_json:
        print_json(row)
    else:
        for name, label in (
            ("state", "State"),
            ("key_id", "Key ID"),
            ("organisation_id", "Organisation"),
            ("expires_at", "Expires"),
        ):
            click.echo(f"{label + ':':<14}{row[name] or '-'}")
    sys.exit(0 if found.state is LicenseState.ACTIVE else REFUSED)


def _inspected(found: Inspection) -> dict[str, str | None]:
    return {
        "state": found.state.value,
        "key_id": found.key_id,
        "organisation_id": found.organisation_id,
        "expires_at": rfc3339(found.expires_at) if found.expires_at else None,
    }
