"""`flask requests ...`: keys that somebody has asked for, and the decisions."""

from dataclasses import replace

import click

from app.access.issuing import approve_request
from app.access.request_rules import as_of_now, asked_length, read_options
from app.access.requests import asked_options, get_request, refuse_request, waiting_requests
from app.cli.common import (
    actor_who_may,
    as_option,
    changing,
    json_option,
    print_json,
    print_table,
    reading,
    ttl_value,
)
from app.config import current_config
from app.core.clock import rfc3339, utcnow, whole_second
from app.core.permissions import Permission

HEADINGS = ("ID", "Asked by", "Asked at", "Organisation", "Seconds", "For", "Extends", "Reason")


@click.group("requests")
def group() -> None:
    """Keys that were asked for, and wait to be approved or refused."""


@group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the requests that wait, the oldest first."""
    with reading() as session:
        rows = []
        for request in waiting_requests(session, utcnow()):
            asked = read_options(request.options)
            rows.append(
                {
                    "id": request.id,
                    "asked_by": request.asked_by.email,
                    "asked_at": rfc3339(whole_second(request.asked_at)),
                    "organisation_id": request.organisation_id,
                    "ttl": asked_length(asked, request.asked_at),
                    "for": asked.recipient or None,
                    "extends": request.extends.key_id if request.extends else None,
                    "reason": asked.reason or None,
                    "ticket": asked.ticket or None,
                }
            )
    if as_json:
        print_json(rows)
    else:
        shown = [[value or "-" for name, value in row.items() if name != "ticket"] for row in rows]
        print_table(HEADINGS, shown)


@group.command()
@click.argument("request_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
@click.option(
    "--ttl", metavar="TTL", callback=ttl_value, help="Less than was asked for, such as 1h."
)
@as_option
@json_option
def approve(request_id: int, ttl: int | None, admin_email: str, as_json: bool) -> None:
    """Approve a request; its key is generated, and its time starts now."""
    now = utcnow()
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.DECIDE_REQUESTS)
        options = None
        if ttl is not None:
            asked = as_of_now(asked_options(session, get_request(session, request_id)), now)
            options = replace(asked, ttl=ttl, ends_at=None)
        request = approve_request(
            session,
            actor=actor,
            config=current_config(),
            request_id=request_id,
            options=options,
            clock=utcnow,
            cut_ttl=ttl is None,
        )
        session.flush()
        session.refresh(request)
        license = request.license
        row = {
            "request_id": request_id,
            "key_id": license.key_id if license else None,
            "expires_at": rfc3339(license.expires_at) if license else None,
        }
    if as_json:
        print_json(row)
    else:
        told = f"{row['key_id']} works until {row['expires_at']}"
        click.echo(f"Request {request_id} was approved: {told}.")


@group.command()
@click.argument("request_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
@click.option("--reason", required=True, help="Why: told to who asked.")
@as_option
def refuse(request_id: int, reason: str, admin_email: str) -> None:
    """Refuse a request."""
    with changing() as session:
        refuse_request(
            session,
            actor=actor_who_may(session, admin_email, Permission.DECIDE_REQUESTS),
            request_id=request_id,
            reason=reason,
            clock=utcnow,
        )
    click.echo(f"Request {request_id} was refused.")
