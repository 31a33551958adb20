"""A project's Agents tab: who is signed in now, and ending their sessions."""

from flask import Blueprint, current_app, flash, url_for
from flask.typing import ResponseReturnValue

from app.accounts.login import ROLE_LABELS
from app.agents.services import end_session, get_session, has_ended, live_sessions_of
from app.clock import utcnow
from app.config import Config
from app.errors import Conflict, NotFound
from app.extensions import db
from app.models import AgentSession, Project
from app.permissions import Permission
from app.projects.services import get_project
from app.web.access import current_actor, requires
from app.web.htmx import redirect_see_other, render

blueprint = Blueprint("agents", __name__, url_prefix="/projects/<int:project_id>/agents")


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def agents_tab(project_id: int) -> ResponseReturnValue:
    project, now = get_project(db.session(), project_id), utcnow()
    return render(
        "agents/tab.html",
        "agents/_sessions.html",
        project=project,
        now=now,
        role_labels=ROLE_LABELS,
        sessions=live_sessions_of(
            db.session(), project.organisation_id, now, _config().agent_idle_seconds
        ),
    )


@blueprint.get("/<int:session_id>/end")
@requires(Permission.END_SESSIONS)
def confirm_end(project_id: int, session_id: int) -> ResponseReturnValue:
    project, found = _find(project_id, session_id)
    return render(
        "agents/end.html",
        "agents/_end.html",
        project=project,
        found=found,
        ended=has_ended(
            db.session(), found, now=utcnow(), idle_seconds=_config().agent_idle_seconds
        ),
        heartbeat_seconds=_config().heartbeat_seconds,
    )


@blueprint.post("/<int:session_id>/end")
@requires(Permission.END_SESSIONS)
def end(project_id: int, session_id: int) -> ResponseReturnValue:
    _, found = _find(project_id, session_id)
    try:
        end_session(
            db.session(),
            actor=current_actor(),
            session_id=session_id,
            now=utcnow(),
            idle_seconds=_config().agent_idle_seconds,
        )
        flash(f"The session of {found.user.email} was ended.", "success")
    except Conflict as conflict:
        flash(conflict.detail, "info")
    return redirect_see_other(url_for("agents.agents_tab", project_id=project_id))


def _find(project_id: int, session_id: int) -> tuple[Project, AgentSession]:
    """A project and one of its organisation's sessions. Raises NotFound."""
    project = get_project(db.session(), project_id)
    found = get_session(db.session(), session_id)
    if found.organisation_id != project.organisation_id:
        raise NotFound("There is no such session.")
    return project, found


def _config() -> Config:
    config: Config = current_app.extensions["config"]
    return config
