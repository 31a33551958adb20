"""`flask webhooks ...`: the programs that are told of what happens."""

from typing import Any

import click
from sqlalchemy.orm import Session

from app.audit.notice_kinds import KINDS
from app.cli.common import (
    REFUSED,
    actor_who_may,
    changing,
    email_value,
    json_option,
    print_json,
    print_table,
    reading,
    refusals,
    refuse,
)
from app.config import current_config
from app.core.actor import COMMAND_LINE, Actor
from app.core.clock import rfc3339, utcnow, whole_second
from app.core.permissions import Permission
from app.notices.courier import webhook_errand
from app.notices.deliveries import last_deliveries, note_outcome
from app.notices.webhooks import (
    add_test,
    add_webhook,
    check_address,
    find_webhook,
    list_webhooks,
    remove_webhook,
)

address_argument = click.argument("address", metavar="ADDRESS")
by_option = click.option(
    "--as",
    "admin_email",
    metavar="ADMIN_EMAIL",
    callback=lambda *given: given[-1] and email_value(*given),
    help="The super admin on whose behalf it is done.",
)


@click.group("webhooks")
def group() -> None:
    """Programs that are told of what happens, by the Standard Webhooks specification."""


@group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the webhooks, each with its last answer."""
    with reading() as session:
        rows: list[dict[str, Any]] = []
        for webhook in list_webhooks(session):
            tried = [each for each in last_deliveries(session, webhook.id, limit=10) if each.tries]
            rows.append(
                {
                    "address": webhook.address,
                    "events": webhook.events,
                    "added_at": rfc3339(whole_second(webhook.created_at)),
                    "added_by": webhook.added_by.email if webhook.added_by else None,
                    "last_answer": tried[0].answer if tried else None,
                }
            )
    if as_json:
        print_json(rows)
    else:
        shown = [
            (row["address"], ", ".join(row["events"]), row["last_answer"] or "-") for row in rows
        ]
        print_table(("Address", "Events", "Last answer"), shown)


@group.command()
@address_argument
@click.option(
    "--event",
    "events",
    metavar="E",
    multiple=True,
    type=click.Choice(list(KINDS)),
    help="What it is told of, such as key.revoked; given several times, or not at all for all.",
)
@by_option
@json_option
def add(address: str, events: tuple[str, ...], admin_email: str | None, as_json: bool) -> None:
    """Add a webhook; its secret is printed, this once."""
    config = current_config()
    with refusals():
        check_address(address, config)
    with changing() as session:
        _, secret = add_webhook(
            session,
            actor=_actor(session, admin_email),
            address=address,
            events=events or list(KINDS),
            config=config,
            now=utcnow(),
        )
    if as_json:
        print_json({"address": address, "events": list(events or KINDS), "secret": secret})
    else:
        click.echo(f"Added. Its secret, shown only now: {secret}")


@group.command()
@address_argument
@by_option
def remove(address: str, admin_email: str | None) -> None:
    """Remove a webhook; what waits for it is not delivered."""
    with changing() as session:
        actor = _actor(session, admin_email)
        remove_webhook(session, find_webhook(session, address), actor=actor, now=utcnow())
    click.echo("Removed.")


@group.command()
@address_argument
@by_option
@json_option
def test(address: str, admin_email: str | None, as_json: bool) -> None:
    """Send a test at once, and print the answer; exit status 1 if it was not taken."""
    config = current_config()
    with changing() as session:
        webhook = find_webhook(session, address)
        actor, now = _actor(session, admin_email), utcnow()
        delivery = add_test(session, webhook, actor=actor, now=now, once=True)
        session.flush()
        delivery_id, errand = delivery.id, webhook_errand(config, delivery, webhook, now)
    outcome = errand()
    with changing() as session:
        note_outcome(session, delivery_id, outcome, now=utcnow(), once=True)
    if as_json:
        print_json({"delivered": outcome.delivered, "answer": outcome.answer})
    else:
        click.echo(outcome.answer)
    if not outcome.delivered:
        refuse(f"{address} has not taken it.", REFUSED)


def _actor(session: Session, email: str | None) -> Actor:
    return actor_who_may(session, email, Permission.MANAGE_WEBHOOKS) if email else COMMAND_LINE
