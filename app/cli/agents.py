"""`flask agents ...`: listing and changing registered agents."""

import click
from sqlalchemy.orm import Session

from app.agents.mac import normalise_mac
from app.agents.machines import attach, detach, dissociate, machines_of, machines_with
from app.cli.common import (
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
from app.core.clock import rfc3339, utcnow
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import Permission
from app.models import Agent
from app.models.types import HIGHEST_ID
from app.projects.services import get_organisation

LONGEST_ID = 10
"""The most digits of an agent's own ID; a MAC ID has twelve."""


def _machine(_context: click.Context, _parameter: click.Parameter, text: str) -> str | int:
    """The argument as a MAC ID (text, as it is stored) or as an agent's own ID (number)."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID:
        return int(text)
    try:
        return normalise_mac(text)
    except InvalidInput as error:
        raise click.BadParameter(f"{error.detail} An agent's own ID serves too.") from None


machine_argument = click.argument("machine", metavar="MAC", callback=_machine)


@click.group("agents")
def group() -> None:
    """Machines: list, detach, attach, dissociate. MAC may be an agent's own ID."""


@group.command("list")
@organisation_option
@json_option
def list_agents(organisation_id: str, as_json: bool) -> None:
    """List the machines registered to an organisation, the latest registered first."""
    with reading() as session:
        get_organisation(session, organisation_id)
        rows = [_row(agent) for agent in machines_of(session, organisation_id)]
    if as_json:
        print_json(rows)
    else:
        print_table(HEADINGS, [[value or "-" for value in row.values()] for row in rows])


@group.command("detach")
@machine_argument
@as_option
def detach_agent(machine: str | int, admin_email: str) -> None:
    """Block a machine: nobody signs in on it, and who is signed in is logged out."""
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.MANAGE_AGENTS)
        agent = _find_agent(session, machine)
        ended = detach(
            session,
            actor=actor,
            agent_id=agent.id,
            now=utcnow(),
            limits=current_config().agent_limits,
        )
        sentence = f"Detached {agent.mac_id}; sessions ended: {len(ended)}."
    click.echo(sentence)


@group.command("attach")
@machine_argument
@as_option
def attach_agent(machine: str | int, admin_email: str) -> None:
    """Let people sign in on a detached machine again."""
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.MANAGE_AGENTS)
        agent = _find_agent(session, machine)
        attach(session, actor=actor, agent_id=agent.id, now=utcnow())
        sentence = f"Attached {agent.mac_id}."
    click.echo(sentence)


@group.command("dissociate")
@machine_argument
@as_option
def dissociate_agent(machine: str | int, admin_email: str) -> None:
    """Free a machine: its license is revoked, and it may be registered anew."""
    with changing() as session:
        actor = actor_who_may(session, admin_email, Permission.MANAGE_AGENTS)
        agent = _find_agent(session, machine)
        ended = dissociate(
            session,
            actor=actor,
            agent_id=agent.id,
            now=utcnow(),
            limits=current_config().agent_limits,
        )
        sentence = f"Dissociated {agent.mac_id}; sessions ended: {len(ended)}."
    click.echo(sentence)


HEADINGS = (
    *("ID", "MAC ID", "Host name", "Version", "State", "Key ID"),
    *("Registered", "Registered by", "Last seen"),
)


def _row(agent: Agent) -> dict[str, str | int]:
    return {
        "id": agent.id,
        "mac_id": agent.mac_id,
        "hostname": agent.hostname,
        "agent_version": agent.agent_version,
        "state": "detached" if agent.detached_at else "attached",
        "key_id": agent.license.key_id,
        "registered_at": rfc3339(agent.registered_at),
        "registered_by": agent.registered_by.email,
        "last_seen_at": rfc3339(agent.last_seen_at),
    }


def _find_agent(session: Session, machine: str | int) -> Agent:
    """The registered agent with this MAC ID or this own ID.

    Raises NotFound, and Conflict if several agents have the MAC ID.
    """
    if isinstance(machine, str):
        agents = machines_with(session, mac_id=machine)
    else:
        agents = machines_with(session, agent_id=machine) if machine <= HIGHEST_ID else []
    if not agents:
        raise NotFound(f"There is no machine {machine}; see `agents list`.")
    if len(agents) > 1:
        ids = ", ".join(str(agent.id) for agent in agents)
        raise Conflict(f"{machine} names several machines; name one by its ID: {ids}.")
    return agents[0]
