"""A project's Agents tab: the organisation's machines, who is signed in on them, and ending it."""

from collections import defaultdict

from flask import Blueprint, flash, url_for
from flask.typing import ResponseReturnValue

from app.agents.live_sessions import (
    end_session,
    end_temporary_sessions,
    get_session,
    live_sessions_of,
    live_sessions_on,
    session_has_ended,
)
from app.agents.logout_status import ended_lately
from app.agents.machines import (
    attach,
    count_machines,
    detach,
    dissociate,
    get_agent,
    machines_of,
    revoke_machine_license,
)
from app.agents.registration import machine_name
from app.config import current_config
from app.core.clock import utcnow
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotFound
from app.core.permissions import ROLE_LABELS, Permission
from app.extensions import db
from app.models import Agent, AgentSession, Project
from app.portal.agent_questions import (
    Question,
    about_attaching,
    about_detaching,
    about_dissociating,
    about_ending,
    about_ending_all,
    about_revoking,
)
from app.projects.services import get_project
from app.projects.subscriptions import subscription_ends_at
from app.web.access import current_actor, requires
from app.web.htmx import redirect_see_other, render
from app.web.paging import page_asked_for

blueprint = Blueprint("agents", __name__, url_prefix="/projects/<id:project_id>/agents")

PAGE_SIZE = 50


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def agents_tab(project_id: int) -> ResponseReturnValue:
    project, now = get_project(db.session(), project_id), utcnow()
    own = project.organisation_id
    page = page_asked_for(size=PAGE_SIZE, total=count_machines(db.session(), own))
    sessions = live_sessions_of(db.session(), own, now, _limits())
    return render(
        "agents/tab.html",
        "agents/_agents.html",
        project=project,
        now=now,
        role_labels=ROLE_LABELS,
        page=page,
        machines=machines_of(db.session(), own, offset=page.offset, limit=page.size),
        sessions=sessions,
        sessions_on=_by_machine(sessions),
        elsewhere=[found for found in sessions if not _on_own_machine(found)],
        temporary=[found for found in sessions if found.temporary_license],
        ended=ended_lately(db.session(), own, now=now, limits=_limits()),
        subscription_ends_at=subscription_ends_at(db.session(), own),
    )


# Machines


@blueprint.get("/machines/<id:agent_id>/detach")
@requires(Permission.MANAGE_AGENTS)
def ask_to_detach(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_machine(project_id, agent_id)
    return _ask(project, about_detaching(agent, _sessions_on(agent)))


@blueprint.post("/machines/<id:agent_id>/detach")
@requires(Permission.MANAGE_AGENTS)
def detach_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_machine(project_id, agent_id)
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
    return _back(project_id, f"{machine_name(agent)} was detached. {_logged_out(ended)}")


@blueprint.get("/machines/<id:agent_id>/attach")
@requires(Permission.MANAGE_AGENTS)
def ask_to_attach(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_machine(project_id, agent_id)
    return _ask(project, about_attaching(agent))


@blueprint.post("/machines/<id:agent_id>/attach")
@requires(Permission.MANAGE_AGENTS)
def attach_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_machine(project_id, agent_id)
    try:
        attach(db.session(), actor=current_actor(), agent_id=agent_id, now=utcnow())
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(project_id, f"{machine_name(agent)} was attached. People can sign in on it again.")


@blueprint.get("/machines/<id:agent_id>/dissociate")
@requires(Permission.MANAGE_AGENTS)
def ask_to_dissociate(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_machine(project_id, agent_id)
    return _ask(project, about_dissociating(agent, _sessions_on(agent)))


@blueprint.post("/machines/<id:agent_id>/dissociate")
@requires(Permission.MANAGE_AGENTS)
def dissociate_machine(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_machine(project_id, agent_id)
    ended = dissociate(
        db.session(),
        actor=current_actor(),
        agent_id=agent_id,
        now=utcnow(),
        limits=_limits(),
    )
    return _back(project_id, f"{machine_name(agent)} was dissociated. {_logged_out(ended)}")


@blueprint.get("/machines/<id:agent_id>/revoke-license")
@requires(Permission.REVOKE_LICENSES)
def ask_to_revoke_license(project_id: int, agent_id: int) -> ResponseReturnValue:
    project, agent = _find_machine(project_id, agent_id)
    return _ask(project, about_revoking(agent, _sessions_on(agent)))


@blueprint.post("/machines/<id:agent_id>/revoke-license")
@requires(Permission.REVOKE_LICENSES)
def revoke_license(project_id: int, agent_id: int) -> ResponseReturnValue:
    _, agent = _find_machine(project_id, agent_id)
    try:
        ended = revoke_machine_license(
            db.session(),
            actor=current_actor(),
            agent_id=agent_id,
            now=utcnow(),
            limits=_limits(),
        )
    except Conflict as conflict:
        return _back(project_id, conflict.detail, "info")
    return _back(project_id, f"License {agent.license.key_id} was revoked. {_logged_out(ended)}")


# Sessions


@blueprint.get("/<id:session_id>/end")
@requires(Permission.END_SESSIONS)
def confirm_end(project_id: int, session_id: int) -> ResponseReturnValue:
    project, found = _find_session(project_id, session_id)
    ended = session_has_ended(db.session(), found, now=utcnow(), limits=_limits())
    return _ask(project, about_ending(found, ended=ended))


@blueprint.post("/<id:session_id>/end")
@requires(Permission.END_SESSIONS)
def end(project_id: int, session_id: int) -> ResponseReturnValue:
    _, found = _find_session(project_id, session_id)
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
    return _back(project_id, f"The session of {found.user.email} was ended.")


@blueprint.get("/end-temporary")
@requires(Permission.END_SESSIONS)
def confirm_end_temporary(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    live = live_sessions_of(db.session(), project.organisation_id, utcnow(), _limits())
    temporary = [found for found in live if found.temporary_license]
    return _ask(project, about_ending_all(project.organisation, temporary))


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
    return _back(project_id, f"All temporary sessions were ended. {_logged_out(ended)}")


def _ask(project: Project, question: Question) -> ResponseReturnValue:
    """The question, for the dialog or as a page; its form posts to the same address."""
    return render(
        "agents/ask.html",
        "agents/_ask.html",
        project=project,
        question=question,
        heartbeat_seconds=current_config().heartbeat_seconds,
    )


def _back(project_id: int, news: str, category: str = "success") -> ResponseReturnValue:
    flash(news, category)
    return redirect_see_other(url_for("agents.agents_tab", project_id=project_id))


def _logged_out(ended: list[AgentSession]) -> str:
    people = len({found.user_id for found in ended})
    if people == 0:
        return "Nobody was signed in."
    return f"{people} {'person is' if people == 1 else 'people are'} being logged out: see below."


def _by_machine(sessions: list[AgentSession]) -> dict[int, list[AgentSession]]:
    found: dict[int, list[AgentSession]] = defaultdict(list)
    for session in sessions:
        if session.agent_id is not None:
            found[session.agent_id].append(session)
    return found


def _on_own_machine(found: AgentSession) -> bool:
    """Whether a session is on a machine that is registered to the session's organisation."""
    return found.agent is not None and found.agent.organisation_id == found.organisation_id


def _sessions_on(agent: Agent) -> list[AgentSession]:
    return live_sessions_on(db.session(), agent.id, utcnow(), _limits())


def _find_machine(project_id: int, agent_id: int) -> tuple[Project, Agent]:
    """A project and one of its organisation's machines. Raises NotFound."""
    project, agent = get_project(db.session(), project_id), get_agent(db.session(), agent_id)
    if agent.organisation_id != project.organisation_id:
        raise NotFound("There is no such machine.")
    return project, agent


def _find_session(project_id: int, session_id: int) -> tuple[Project, AgentSession]:
    """A project and one of its organisation's sessions. Raises NotFound."""
    project = get_project(db.session(), project_id)
    found = get_session(db.session(), session_id)
    if found.organisation_id != project.organisation_id:
        raise NotFound("There is no such session.")
    return project, found


def _limits() -> SessionLimits:
    return current_config().agent_limits
