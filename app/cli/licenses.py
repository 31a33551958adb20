"""`flask licenses ...`: temporary license keys and permanent licenses."""

import sys
from datetime import datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from app.access.issuing import extend_under_policy, issue_under_policy
from app.agents.machines import revoke_permanent_license
from app.cli.common import (
    REFUSED,
    USED_WRONGLY,
    actor_who_may,
    as_option,
    changing,
    email_value,
    json_option,
    organisation_option,
    print_json,
    print_table,
    reading,
    refuse,
    ttl_value,
)
from app.config import current_config
from app.core.actor import Actor
from app.core.clock import rfc3339, utcnow
from app.core.durations import parse_ttl, short_ttl
from app.core.errors import NotFound
from app.core.instants import NoInstant, read_rfc3339
from app.core.permissions import Permission
from app.core.text import counted
from app.licenses.key_records import AnyKey, is_later
from app.licenses.option_rules import MOST_SIGN_INS, USE_WITHIN, KeyOptions
from app.licenses.queries import (
    all_licenses_of,
    bound_machine,
    find_license,
    find_permanent_license,
    has_ended,
    sign_ins_left,
)
from app.licenses.revoking_many import (
    MOST_AT_ONCE,
    KeySelection,
    keys_to_revoke,
    revoke_keys,
)
from app.licenses.rules import Inspection, LicenseState
from app.licenses.services import (
    inspect_key,
    revoke_license,
)
from app.models import Request, TemporaryLicense
from app.projects.services import get_organisation

MAX_KEY_BYTES = 2 * 1024 * 1024
"""How much of standard input `check` reads; a key has under 200 characters."""


def _email_or_nothing(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> str | None:
    return None if text is None else email_value(context, parameter, text)


def _instant(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> datetime | None:
    try:
        return None if text is None else read_rfc3339(text)
    except NoInstant as error:
        raise click.BadParameter(str(error)) from None


@click.group("licenses")
def group() -> None:
    """Issue and check temporary license keys; list and revoke licenses of either kind."""


@group.command()
@organisation_option
@click.option("--ttl", metavar="TTL", callback=ttl_value, help="How long it works, such as 3h.")
@click.option("--reason", default="", help="Why: shown with the key and in the audit log.")
@click.option("--ticket", default="", help="A ticket's reference.")
@click.option(
    "--for",
    "recipient",
    metavar="E",
    callback=_email_or_nothing,
    help="The partner or developer who alone may use it.",
)
@click.option(
    "--starts", metavar="INSTANT", callback=_instant, help="When it starts (2026-11-26T09:00:00Z)."
)
@click.option(
    "--ends", metavar="INSTANT", callback=_instant, help="When it ends, in place of --ttl."
)
@click.option(
    "--sign-ins", type=click.IntRange(1, MOST_SIGN_INS), help="How many sign-ins it allows in all."
)
@click.option(
    "--first-machine", is_flag=True, help="It works on the machine of its first sign-in alone."
)
@click.option(
    "--use-within",
    type=click.Choice([short_ttl(seconds) for seconds in USE_WITHIN]),
    help="Not used so soon after its start, it ends.",
)
@as_option
@json_option
def issue(
    *,
    organisation_id: str,
    ttl: int | None,
    reason: str,
    ticket: str,
    recipient: str | None,
    starts: datetime | None,
    ends: datetime | None,
    sign_ins: int | None,
    first_machine: bool,
    use_within: str | None,
    admin_email: str,
    as_json: bool,
) -> None:
    """Issue a key and print it."""
    if ttl is None and ends is None:
        raise click.UsageError("Say how long it works, with --ttl, or when it ends, with --ends.")
    options = KeyOptions(
        ttl=ttl or 0,
        reason=reason,
        ticket=ticket,
        recipient=recipient or "",
        starts_at=starts,
        ends_at=ends,
        sign_ins=sign_ins,
        first_machine=first_machine,
        use_within=parse_ttl(use_within) if use_within else None,
    )
    with changing() as session:
        made = issue_under_policy(
            session,
            actor=actor_who_may(session, admin_email, Permission.ISSUE_LICENSES),
            config=current_config(),
            organisation_id=organisation_id,
            options=options,
            cut_ttl=False,
            now=utcnow(),
        )
        if isinstance(made, Request):
            session.commit()
            _say_waiting(made, as_json)
            return
        license, key = made
        row = {
            "license_key": key,
            "key_id": license.key_id,
            "organisation_id": license.organisation_id,
            "issued_at": rfc3339(license.issued_at),
            "expires_at": rfc3339(license.expires_at),
            **_carried(license, license.recipient),
        }
    if as_json:
        print_json(row)
        return
    click.echo(row["license_key"])
    begins = f" from {row['starts_at']}" if is_later(license) else ""
    click.echo(f"{row['key_id']} works{begins} until {row['expires_at']}.", err=True)


def _say_waiting(request: Request, as_json: bool) -> None:
    """Another super admin has to approve it: there is no key yet."""
    if as_json:
        print_json({"request_id": request.id})
    click.echo(f"Waiting for approval: request {request.id}.", err=True)


@group.command()
@click.argument("key_id", metavar="KEY_ID")
@click.option("--ends", metavar="INSTANT", required=True, callback=_instant, help="The new end.")
@click.option("--reason", default="", help="Why: in the audit log.")
@as_option
@json_option
def extend(key_id: str, ends: datetime, reason: str, admin_email: str, as_json: bool) -> None:
    """Let a temporary key work longer; who is signed in under it goes on."""
    with changing() as session:
        license = extend_under_policy(
            session,
            actor=actor_who_may(session, admin_email, Permission.ISSUE_LICENSES),
            config=current_config(),
            key_id=key_id,
            ends_at=ends,
            reason=reason,
            clock=utcnow,
        )
        if isinstance(license, Request):
            session.commit()
            _say_waiting(license, as_json)
            return
        row = {"key_id": license.key_id, "expires_at": rfc3339(license.expires_at)}
    if as_json:
        print_json(row)
    else:
        click.echo(f"{row['key_id']} works until {row['expires_at']} now.")


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
                "expires_at": _or_none(license.expires_at),
                "ended_at": _or_none(license.ended_at if _is_over(license.state) else None),
                **_carried(license.temporary, _recipient_of(license.temporary)),
            }
            for license in all_licenses_of(session, organisation_id, now)
        ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("Key ID", "Kind", "State", "Issued", "Expires", "Starts", "For"),
            [[row[name] or "-" for name in SHOWN] for row in rows],
        )


SHOWN = ("key_id", "kind", "state", "issued_at", "expires_at", "starts_at", "for")
"""The columns of the list; `--json` has more."""


def _carried(license: AnyKey | None, recipient: str | None) -> dict[str, str | int | None]:
    """What a key carries, each None where it carries nothing; all None for a permanent license."""
    if license is None:
        return dict.fromkeys(CARRIED)
    machine = bound_machine(license)
    values = (
        rfc3339(license.starts_at),
        recipient,
        license.reason or None,
        license.ticket or None,
        sign_ins_left(license),
        str(machine) if machine else None,
        _or_none(license.use_by),
    )
    return dict(zip(CARRIED, values, strict=True))


CARRIED = ("starts_at", "for", "reason", "ticket", "sign_ins_left", "machine", "use_by")


def _recipient_of(license: TemporaryLicense | None) -> str | None:
    return license.recipient.email if license and license.recipient else None


def _is_over(state: LicenseState) -> bool:
    return state in (LicenseState.EXPIRED, LicenseState.REVOKED)


def _or_none(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


@group.command()
@click.argument("key_id", metavar="KEY_ID", required=False)
@click.option("--organisation", metavar="ID", default="", help="All keys of this organisation.")
@click.option("--for", "recipient", metavar="E", default="", help="All keys for this person alone.")
@click.option("--issued-by", metavar="E", default="", help="All keys that this person has issued.")
@click.option("--all", "everything", is_flag=True, help="All keys.")
@click.option("--reason", default="", help="Why: needed for many, and in the audit log with each.")
@as_option
def revoke(key_id: str | None, reason: str, admin_email: str, **whose: Any) -> None:
    """Revoke a license of either kind: nobody signs in with it, who is signed in is logged out.

    With options in the place of KEY_ID, revoke every temporary key that fits all of them and has
    not ended.
    """
    selection = KeySelection(**whose)
    if (key_id is None) == selection.is_blank:
        refuse("Name a KEY_ID, or say whose keys, and not both.", USED_WRONGLY)
    if key_id is None:
        _revoke_many(selection, reason, admin_email)
        return
    now = utcnow()
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.REVOKE_LICENSES)
        sentence = _revoke_either(session, actor, key_id, reason, now)
    click.echo(sentence)


def _revoke_many(selection: KeySelection, reason: str, admin_email: str) -> None:
    """Revoke what is selected, some at a time; prints their Key IDs."""
    if not reason.strip():
        refuse("Say why with --reason: it stands in the audit log with each key.", USED_WRONGLY)
    revoked: list[str] = []
    while True:
        with changing() as session:
            actor = actor_who_may(session, admin_email, Permission.REVOKE_LICENSES)
            keys = [key.key_id for key in keys_to_revoke(session, selection, utcnow())]
            if not keys:
                break
            done = revoke_keys(
                session,
                actor=actor,
                selection=selection,
                key_ids=keys[:MOST_AT_ONCE],
                reason=reason,
                clock=utcnow,
            )
        revoked += done.revoked
    for key_id in revoked:
        click.echo(key_id)
    click.echo(f"{counted(len(revoked), 'key')} revoked.", err=True)


def _revoke_either(session: Session, actor: Actor, key_id: str, reason: str, now: datetime) -> str:
    """Revoke the license and return a sentence about it. Raises NotFound."""
    temporary = find_license(session, key_id)
    permanent = find_permanent_license(session, key_id)
    if temporary is not None and not has_ended(temporary, now):
        revoke_license(session, actor=actor, key_id=temporary.key_id, now=now, reason=reason)
        return f"{temporary.key_id} was revoked."
    if permanent is not None and permanent.revoked_at is None:
        ended = revoke_permanent_license(
            session,
            actor=actor,
            agent_id=permanent.agent_id,
            now=now,
            limits=current_config().agent_limits,
            reason=reason,
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
            ("starts_at", "Starts"),
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
        "starts_at": _or_none(inspection.starts_at),
        "expires_at": _or_none(inspection.expires_at),
    }
