"""`flask licenses ...`: temporary license keys and permanent licenses."""

import sys
from datetime import datetime

import click
from sqlalchemy.orm import Session

from app.agents.machines import revoke_permanent_license
from app.cli.common import (
    REFUSED,
    actor_who_may,
    as_option,
    changing,
    json_option,
    organisation_option,
    print_json,
    print_table,
    reading,
)
from app.config import current_config
from app.core.actor import Actor
from app.core.clock import rfc3339, utcnow
from app.core.durations import parse_ttl
from app.core.errors import MalformedTTL, NotFound
from app.core.permissions import Permission
from app.licenses.queries import all_licenses_of, find_license, find_permanent_license, has_ended
from app.licenses.rules import Inspection, LicenseState
from app.licenses.services import inspect_key, issue_license, revoke_license
from app.projects.services import get_organisation

MAX_KEY_BYTES = 2 * 1024 * 1024
"""How much of standard input `check` reads; a key has under 200 characters."""


def _ttl(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise click.BadParameter(error.detail) from None


@click.group("licenses")
def group() -> None:
    """Issue and check temporary license keys; list and revoke licenses of either kind."""


@group.command()
@organisation_option
@click.option(
    "--ttl", required=True, metavar="TTL", callback=_ttl, help="How long it works, such as 3h."
)
@as_option
@json_option
def issue(organisation_id: str, ttl: int, admin_email: str, as_json: bool) -> None:
    """Issue a key and print it."""
    settings = current_config()
    with changing() as session:
        license, key = issue_license(
            session,
            actor=actor_who_may(session, admin_email, Permission.ISSUE_LICENSES),
            organisation_id=organisation_id,
            ttl=ttl,
            choices=settings.license_ttls,
            signing_keys=settings.signing_keys,
            now=utcnow(),
        )
        row = {
            "license_key": key,
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
    """List an organisation's licenses: the active ones, then those that ended."""
    now = utcnow()
    with reading() as session:
        get_organisation(session, organisation_id)
        rows = [
            {
                "key_id": license.key_id,
                "kind": license.kind,
                "state": license.state.value,
                "issued_at": rfc3339(license.issued_at),
                "expires_at": rfc3339(license.expires_at) if license.expires_at else None,
            }
            for license in all_licenses_of(session, organisation_id, now)
        ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("Key ID", "Kind", "State", "Issued", "Expires"),
            [[value or "-" for value in row.values()] for row in rows],
        )


@group.command()
@click.argument("key_id", metavar="KEY_ID")
@as_option
def revoke(key_id: str, admin_email: str) -> None:
    """Revoke a license of either kind: nobody signs in with it, who is signed in is logged out."""
    now = utcnow()
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.REVOKE_LICENSES)
        sentence = _revoke_either(session, actor, key_id, now)
    click.echo(sentence)


def _revoke_either(session: Session, actor: Actor, key_id: str, now: datetime) -> str:
    """Revoke the license and return a sentence about it. Raises NotFound."""
    temporary = find_license(session, key_id)
    permanent = find_permanent_license(session, key_id)
    if temporary is not None and not has_ended(temporary, now):
        revoke_license(session, actor=actor, key_id=temporary.key_id, now=now)
        return f"{temporary.key_id} was revoked."
    if permanent is not None and permanent.revoked_at is None:
        ended = revoke_permanent_license(
            session,
            actor=actor,
            agent_id=permanent.agent_id,
            now=now,
            limits=current_config().agent_limits,
        )
        return f"{permanent.key_id} was revoked; sessions ended: {len(ended)}."
    if (license := temporary or permanent) is None:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    return f"{license.key_id} had ended already. Nothing was changed."


@group.command()
@json_option
def check(as_json: bool) -> None:
    """Read a key on standard input and say what it is; exit status 0 only if it is active."""
    text = sys.stdin.buffer.read(MAX_KEY_BYTES).decode("utf-8", "replace")
    with reading() as session:
        inspection = inspect_key(session, text=text, now=utcnow())
        row = _inspection_row(inspection)
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
    if inspection.because:
        click.echo(inspection.because, err=True)
    sys.exit(0 if inspection.state is LicenseState.ACTIVE else REFUSED)


def _inspection_row(inspection: Inspection) -> dict[str, str | None]:
    return {
        "state": inspection.state.value,
        "key_id": inspection.key_id,
        "organisation_id": inspection.organisation_id,
        "expires_at": rfc3339(inspection.expires_at) if inspection.expires_at else None,
    }
