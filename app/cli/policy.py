"""`flask policy ...`: what is asked of new keys, of all or of one organisation's."""

from typing import Any

import click

from app.access.policies import policy_in_force, policy_of, save_policy
from app.access.policy_rules import (
    RULES,
    Level,
    Policy,
    PolicyInForce,
    without_effect,
)
from app.access.policy_texts import read, written
from app.cli.common import (
    actor_who_may,
    as_option,
    changing,
    json_option,
    print_json,
    print_table,
    reading,
)
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput, PortalError
from app.core.permissions import Permission
from app.projects.services import get_organisation

of_organisation = click.option(
    "--organisation", "organisation_id", metavar="ID", help="That of one organisation alone."
)


@click.group("policy")
def group() -> None:
    """What is asked of new temporary keys, beyond the settings."""


@group.command()
@of_organisation
@json_option
def show(organisation_id: str | None, as_json: bool) -> None:
    """Show each rule: what is set here, what is in force, and who decides it."""
    with reading() as session:
        if organisation_id:
            get_organisation(session, organisation_id)
        policy = policy_of(session, organisation_id)
        holds = policy_in_force(session, current_config(), organisation_id)
    level = Level.ORGANISATION if organisation_id else Level.INSTALLATION
    idle = without_effect(policy, level, holds)
    rules = {
        name: {
            "value": written(name, getattr(policy, name)) or None,
            "in_force": _in_force(name, holds) or None,
            "set_by": _set_by(name, holds),
            "without_effect": name in idle,
        }
        for name in RULES
    }
    if as_json:
        print_json(rules)
        return
    print_table(
        ("Rule", "Set here", "In force", "Set by"),
        [[name, _here(row), row["in_force"] or "-", row["set_by"]] for name, row in rules.items()],
    )


def _here(row: dict[str, Any]) -> str:
    return f"{row['value']} (no effect)" if row["without_effect"] else row["value"] or "-"


def _in_force(name: str, holds: PolicyInForce) -> str:
    if name == "ticket_pattern":
        return " and ".join(pattern for pattern, _ in holds.ticket_patterns)
    return written(name, getattr(holds, name).value)


def _set_by(name: str, holds: PolicyInForce) -> str:
    if name == "ticket_pattern":
        levels = [level for _, level in holds.ticket_patterns] or [Level.SETTINGS]
        return " and ".join(levels)
    level: Level = getattr(holds, name).level
    return level.value


@group.command("set")
@of_organisation
@as_option
@click.argument("rules", metavar="NAME=VALUE...", nargs=-1, required=True)
def set_command(organisation_id: str | None, admin_email: str, rules: tuple[str, ...]) -> None:
    """Set rules, such as ceiling=4h reason_required=on; a blank value leaves one to those above."""
    changes = dict(_rule(text) for text in rules)
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.MANAGE_POLICY)
        policy = policy_of(session, organisation_id)
        try:
            changed = save_policy(
                session,
                actor=actor,
                config=current_config(),
                policy=Policy(**{name: getattr(policy, name) for name in RULES} | changes),
                now=utcnow(),
                organisation_id=organisation_id,
            )
        except InvalidInput as error:
            raise PortalError(f"{error.field}: {error.detail}") from None
    click.echo("The policy was changed." if changed else "Nothing was changed.")


def _rule(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or name not in RULES:
        raise click.UsageError(f"{text[:60]!r} is not understood; rules: {', '.join(RULES)}.")
    try:
        return name, read(name, value)
    except InvalidInput as error:
        raise click.UsageError(f"{name}: {error.detail}") from None
