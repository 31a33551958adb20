"""A project's Agents tab: the organisation's agents, their sessions, and changing either."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from flask import Blueprint, flash, url_for
from flask.typing import ResponseReturnValue

from app.agents.live_sessions import (
    end_session,
    end_temporary_sessions,
    get_session,
    live_sessions_blocked_by,
    live_sessions_of,
    live_sessions_on,
    session_has_ended,
)
from app.agents.logout_status import EndedSession, ended_lately
from app.agents.mac import machine_name
from app.agents.machines import (
    attach,
    count_machines,
    detach,
    dissociate,
    get_agent,
    machines_of,
    revoke_permanent_license,
)
from app.config import current_config
from app.core.clock import utcnow, whole_minute
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotFound
from app.core.permissions import ROLE_LABELS, Permission
from app.extensions import db
from app.models import Agent, AgentSession, Project
from app.portal.confirmations import Confirmation, Link, Name, Sentence, ask
from app.portal.log_outs import at_next_heartbeat, being_logged_out
from app.projects.services import get_project
from app.projects.subscriptions import subscription_ends_at
from app.web.access import current_actor, requires
from app.web.htmx import fingerprint, is_seen, redirect_see_other, render
from app.web.paging import requested_page

blueprint = Blueprint("agents", __name__, url_prefix="/projects/<id:project_id>/agents")

PAGE_SIZE = 50
DONE = "There is nothing left to do."


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def agents_tab(project_id: int) -> ResponseReturnValue:
    project, now = get_project(db.session(), project_id), utcnow()
    own = project.organisation_id
    page = requested_page(size=PAGE_SIZE, total=count_machines(db.session(), own))
    machines = machines_of(db.session(), own, offset=page.offset, limit=page.size)
    sessions = live_sessions_of(db.session(), own, now, _limits())
    ended = ended_lately(db.session(), own, now=now, limits=_limits())
    ends_at = subscription_ends_at(db.session(), own)
    overdue = ends_at is not None and ends_at <= now
    shown = fingerprint([page, overdue, *_shown(machines, sessions, ended, now)])
    if is_seen(shown):
        return "", 204
    return render(
        "agents/tab.html",
        "agents/_agents.html",
        project=project,
        now=now,
        role_labels=ROLE_LABELS,
        page=page,
        machines=machines,
        sessions=sessions,
        sessions_on=_by_agent(sessions),
        elsewhere={session.id for session in sessions if not _on_own_agent(session)},
        temporary=[session for session in sessions if session.temporary_license],
        ended=ended,
        subscription_ends_at=ends_at,
        fingerprint=shown,
        heartbeat_seconds=_limits().heartbeat_seconds,
    )


def _shown(
    machines: Sequence[Agent],
    sessions: list[AgentSession],
    ended: list[EndedSession],
    now: datetime,
) -> Iterator[object]:
    """What the tab shows of them; its countdowns go on by themselves, its times have no seconds."""
    for agent in machines:
        yield agent.id, agent.mac_id, agent.hostname, agent.agent_version, agent.detached_at
        yield agent.license.revoked_at, whole_minute(agent.last_seen_at)
    for found in sessions:
        yield found.id, found.agent_id, found.mac_id, whole_minute(found.last_heard_at)
    for one in ended:
        over = one.status.at is not None and one.status.at <= now
        yield one.agent_session.id, one.end, one.status, over


# Machines


@blueprint.get("/machines/<id:agent_id>/detach")
@requires(Permission.MANAGE_AGENTS)
def ask_to_detach(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_agent(project_id, agent_id)
    confirmation = Confirmation(
        title=f"Detach {machine_name(agent)}?",
        button="Detach",
        crumbs=_crumbs(project),
        sentences=[
            "Nobody can sign in on this machine any more, neither users of "
            f"{project.organisation.name} nor partners with a key: they are told “Agent is "
            "Blocked.” You can attach it again at any time."
        ],
        log_outs=at_next_heartbeat(
            live_sessions_blocked_by(db.session(), agent, utcnow(), _limits())
        ),
        nothing_to_do=f"This machine is detached already. {DONE}" if agent.detached_at else "",
    )
    return ask(confirmation)


@blueprint.post("/machines/<id:agent_id>/detach")
@requires(Permission.MANAGE_AGENTS)
def detach_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_agent(project_id, agent_id, lock=True)
    try:
        ended = detach(
            db.session(),
            actor=current_actor(),
            agent_id=agent_id,
            now=utcnow(),
            limits=_limits(),
        )
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(project_id, f"{machine_name(agent)} was detached. {being_logged_out(ended)}")


@blueprint.get("/machines/<id:agent_id>/attach")
@requires(Permission.MANAGE_AGENTS)
def ask_to_attach(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_agent(project_id, agent_id)
    confirmation = Confirmation(
        title=f"Attach {machine_name(agent)}?",
        button="Attach",
        crumbs=_crumbs(project),
        sentences=[
            f"Users of {project.organisation.name}, and partners with one of its keys, can sign "
            "in on this machine again. Whoever was logged out when it was detached has to sign "
            "in again."
        ],
        harmless=True,
        nothing_to_do="" if agent.detached_at else f"This machine is attached already. {DONE}",
    )
    return ask(confirmation)


@blueprint.post("/machines/<id:agent_id>/attach")
@requires(Permission.MANAGE_AGENTS)
def attach_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_agent(project_id, agent_id, lock=True)
    try:
        attach(db.session(), actor=current_actor(), agent_id=agent_id, now=utcnow())
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(project_id, f"{machine_name(agent)} was attached. People can sign in on it again.")


@blueprint.get("/machines/<id:agent_id>/dissociate")
@requires(Permission.MANAGE_AGENTS)
def ask_to_dissociate(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_agent(project_id, agent_id)
    confirmation = Confirmation(
        title=f"Dissociate {machine_name(agent)}?",
        button="Dissociate",
        crumbs=_crumbs(project),
        sentences=[
            f"The machine no longer belongs to {project.organisation.name}: its license "
            f"{agent.license.key_id} is revoked, and it is free. The first client user who signs "
            "in on it, of whatever organisation, registers it anew. This cannot be undone."
        ],
        log_outs=at_next_heartbeat(_sessions_on(agent)),
    )
    return ask(confirmation)


@blueprint.post("/machines/<id:agent_id>/dissociate")
@requires(Permission.MANAGE_AGENTS)
def dissociate_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_agent(project_id, agent_id, lock=True)
    ended = dissociate(
        db.session(),
        actor=current_actor(),
        agent_id=agent_id,
        now=utcnow(),
        limits=_limits(),
    )
    return _back(project_id, f"{machine_name(agent)} was dissociated. {being_logged_out(ended)}")


@blueprint.get("/machines/<id:agent_id>/revoke-license")
@requires(Permission.REVOKE_LICENSES)
def ask_to_revoke_license(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_agent(project_id, agent_id)
    sessions, revoked_at = _sessions_on(agent), agent.license.revoked_at
    stay = sorted({session.user.email for session in sessions if session.temporary_license})
    confirmation = Confirmation(
        title=f"Revoke license {agent.license.key_id}?",
        button="Revoke license",
        crumbs=_crumbs(project),
        sentences=[
            f"Users of {project.organisation.name} can no longer sign in on {machine_name(agent)}. "
            "This cannot be undone; to let them in again, dissociate the machine: the next sign-in "
            "registers it with a new license.",
            "Partners and developers are not affected: they work under their temporary keys."
            + (f" Signed in now, and staying: {', '.join(stay)}." if stay else ""),
        ],
        log_outs=at_next_heartbeat(
            [session for session in sessions if session.temporary_license is None]
        ),
        nothing_to_do=f"This license is revoked already. {DONE}" if revoked_at else "",
    )
    return ask(confirmation)


@blueprint.post("/machines/<id:agent_id>/revoke-license")
@requires(Permission.REVOKE_LICENSES)
def revoke_machine_license(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_agent(project_id, agent_id, lock=True)
    try:
        ended = revoke_permanent_license(
            db.session(),
            actor=current_actor(),
            agent_id=agent_id,
            now=utcnow(),
            limits=_limits(),
        )
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(
        project_id, f"License {agent.license.key_id} was revoked. {being_logged_out(ended)}"
    )


# Sessions


@blueprint.get("/<id:session_id>/end")
@requires(Permission.END_SESSIONS)
def ask_to_end(project_id: int, session_id: int) -> ResponseReturnValue:
    project, session = _find_session(project_id, session_id)
    ended = session_has_ended(db.session(), session, now=utcnow(), limits=_limits())
    person = session.user.email
    confirmation = Confirmation(
        title=f"End the session of {person}?",
        button="End session",
        crumbs=_crumbs(project),
        log_outs=at_next_heartbeat([session]),
        kept=_key_stays_active(project, session),
        nothing_to_do=f"The session of {person} has ended already. {DONE}" if ended else "",
    )
    return ask(confirmation)


@blueprint.post("/<id:session_id>/end")
@requires(Permission.END_SESSIONS)
def end(project_id: int, session_id: int) -> ResponseReturnValue:
    _, session = _find_session(project_id, session_id)
    try:
        end_session(
            db.session(),
            actor=current_actor(),
            session_id=session_id,
            now=utcnow(),
            limits=_limits(),
        )
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(project_id, f"The session of {session.user.email} was ended.")


@blueprint.get("/end-temporary")
@requires(Permission.END_SESSIONS)
def ask_to_end_temporary(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    live = live_sessions_of(db.session(), project.organisation_id, utcnow(), _limits())
    temporary = [session for session in live if session.temporary_license]
    confirmation = Confirmation(
        title="End all temporary sessions?",
        button="End all sessions",
        crumbs=_crumbs(project),
        sentences=[
            f"Everybody who works for {project.organisation.name} under a temporary key is logged "
            "out. Its own users stay signed in. The keys stay active: to keep people out, revoke "
            "them on the License tab."
        ],
        log_outs=at_next_heartbeat(temporary),
        nothing_to_do="" if temporary else f"Nobody is signed in under a temporary key. {DONE}",
    )
    return ask(confirmation)


@blueprint.post("/end-temporary")
@requires(Permission.END_SESSIONS)
def end_temporary(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    ended = end_temporary_sessions(
        db.session(),
        actor=current_actor(),
        organisation_id=project.organisation_id,
        now=utcnow(),
        limits=_limits(),
    )
    if not ended:
        return _back(project_id, "Nobody was signed in under a temporary key.", "info")
    return _back(project_id, f"All temporary sessions were ended. {being_logged_out(ended)}")


def _crumbs(project: Project) -> list[tuple[str, str]]:
    tab = url_for("agents.agents_tab", project_id=project.id)
    return [("Manage Projects", url_for("projects.list_projects")), (project.name, tab)]


def _key_stays_active(project: Project, session: AgentSession) -> Sentence:
    """The warning that, after such a session, the person can sign in with the key again."""
    if session.temporary_license is None:
        return ""
    key_id = session.temporary_license.key_id
    return (
        "The key ",
        Name(key_id),
        " stays active, so they can log in with it again. To prevent that, revoke it on the ",
        Link("License tab", url_for("licenses.license_tab", project_id=project.id, key=key_id)),
        ".",
    )


def _back(project_id: int, message: str, category: str = "success") -> ResponseReturnValue:
    flash(message, category)
    return redirect_see_other(url_for("agents.agents_tab", project_id=project_id))


def _by_agent(sessions: list[AgentSession]) -> dict[int, list[AgentSession]]:
    sessions_on: dict[int, list[AgentSession]] = defaultdict(list)
    for session in sessions:
        if session.agent_id is not None:
            sessions_on[session.agent_id].append(session)
    return sessions_on


def _on_own_agent(session: AgentSession) -> bool:
    """Whether a session is on an agent that is registered to the session's organisation."""
    return session.agent is not None and session.agent.organisation_id == session.organisation_id


def _sessions_on(agent: Agent) -> list[AgentSession]:
    return live_sessions_on(db.session(), agent.id, utcnow(), _limits())


def _find_agent(project_id: int, agent_id: int, *, lock: bool = False) -> tuple[Project, Agent]:
    """A project and one of its organisation's agents, locked before the clock is read if `lock`.

    Raises NotFound.
    """
    project = get_project(db.session(), project_id)
    agent = get_agent(db.session(), agent_id, lock=lock)
    if agent.organisation_id != project.organisation_id:
        raise NotFound("There is no such machine.")
    return project, agent


def _find_session(project_id: int, session_id: int) -> tuple[Project, AgentSession]:
    """A project and one of its organisation's sessions. Raises NotFound."""
    project = get_project(db.session(), project_id)
    session = get_session(db.session(), session_id)
    if session.organisation_id != project.organisation_id:
        raise NotFound("There is no such session.")
    return project, session


def _limits() -> SessionLimits:
    return current_config().agent_limits
