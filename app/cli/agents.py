"""`flask agents ...`: machines, for the person at the server."""

import click
from sqlalchemy.orm import Session

from app.agents.mac import normalise_mac
from app.agents.machines import attach, detach, dissociate, machines_of, machines_with
from app.cli.common import (
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
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Agent

machine_argument = click.argument("machine", metavar="MAC")


@click.group("agents")
def group() -> None:
    """Machines: list, detach, attach, dissociate. MAC may be an agent's own ID."""


@group.command("list")
@organisation_option
@json_option
def list_agents(organisation_id: str, as_json: bool) -> None:
    """The machines registered to an organisation."""
    with reading() as session:
        records = [_as_record(agent) for agent in machines_of(session, organisation_id)]
    if as_json:
        print_json(records)
    else:
        print_table([*RECORD], [[*record.values()] for record in records])


@group.command("detach")
@machine_argument
@as_option
def detach_agent(machine: str, admin_email: str) -> None:
    """Block a machine: nobody signs in on it, and who is signed in is logged out."""
    with changing() as session:
        actor, agent = super_admin(session, admin_email), _find(session, machine)
        ended = detach(
            session, actor=actor, agent_id=agent.id, now=utcnow(), idle_seconds=_idle_seconds()
        )
    click.echo(f"Detached {agent.mac_id}; sessions ended: {len(ended)}.")


@group.command("attach")
@machine_argument
@as_option
def attach_agent(machine: str, admin_email: str) -> None:
    """Let people sign in on a detached machine again."""
    with changing() as session:
        actor, agent = super_admin(session, admin_email), _find(session, machine)
        attach(session, actor=actor, agent_id=agent.id, now=utcnow())
    click.echo(f"Attached {agent.mac_id}.")


@group.command("dissociate")
@machine_argument
@as_option
def dissociate_agent(machine: str, admin_email: str) -> None:
    """Free a machine: its license is revoked, and it may be registered anew."""
    with changing() as session:
        actor, agent = super_admin(session, admin_email), _find(session, machine)
        ended = dissociate(
            session, actor=actor, agent_id=agent.id, now=utcnow(), idle_seconds=_idle_seconds()
        )
    click.echo(f"Dissociated {agent.mac_id}; sessions ended: {len(ended)}.")


RECORD = (
    "id",
    "mac_id",
    "hostname",
    "agent_version",
    "state",
    "key_id",
    "registered_at",
    "registered_by",
    "last_seen_at",
)


def _as_record(agent: Agent) -> dict[str, object]:
    values = (
        agent.id,
        agent.mac_id,
        agent.hostname,
        agent.agent_version,
        "detached" if agent.detached_at else "attached",
        agent.license.key_id,
        rfc3339(agent.registered_at),
        agent.registered_by.email,
        rfc3339(agent.last_seen_at),
    )
    return dict(zip(RECORD, values, strict=True))


def _find(session: Session, machine: str) -> Agent:
    """The machine with this MAC ID or this ID of its own.

    Raises NotFound, and Conflict where a MAC ID names several machines.
    """
    try:
        found = machines_with(session, mac_id=normalise_mac(machine))
    except InvalidInput:
        found = machines_with(session, agent_id=int(machine)) if machine.isdecimal() else []
    if not found:
        raise NotFound(f"There is no machine {machine!r}; see `agents list`.")
    if len(found) > 1:
        ids = ", ".join(str(agent.id) for agent in found)
        raise Conflict(f"{machine} names several machines; name one by its ID: {ids}.")
    return found[0]


def _idle_seconds() -> int:
    return config().agent_idle_seconds
