"""The page Home."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.agents.live_sessions import count_partners_signed_in
from app.audit.log import AuditEntry, list_entries
from app.config import current_config
from app.core.clock import utcnow
from app.core.durations import SessionLimits
from app.core.permissions import Permission
from app.extensions import db
from app.licenses.queries import count_all_active, ending_soonest
from app.models import Project, TemporaryLicense
from app.projects.services import count_projects
from app.web.access import requires

RECENT = 8
ENDING = 10


@dataclass(frozen=True)
class EndingKey:
    """An active key, and the id of a project whose License tab shows it, if there is one."""

    license: TemporaryLicense
    project_id: int | None


@dataclass(frozen=True)
class Overview:
    """The numbers and lists on Home, as of one instant."""

    projects: int
    active_projects: int
    active_keys: int
    partners_signed_in: int
    ending: list[EndingKey]
    recent: list[AuditEntry]


def build_overview(session: Session, *, now: datetime, limits: SessionLimits) -> Overview:
    """What Home shows at `now`; `limits` are those of sessions on OP Agents."""
    projects, active_projects = count_projects(session, now)
    return Overview(
        projects=projects,
        active_projects=active_projects,
        active_keys=count_all_active(session, now),
        partners_signed_in=count_partners_signed_in(session, now, limits),
        ending=_with_projects(session, ending_soonest(session, now, ENDING)),
        recent=list_entries(session, limit=RECENT),
    )


def _with_projects(session: Session, licenses: list[TemporaryLicense]) -> list[EndingKey]:
    """Add a project of its organisation to each license, preferring one not archived."""
    in_use = func.min(Project.id).filter(Project.archived_at.is_(None))
    rows = session.execute(
        select(Project.organisation_id, func.coalesce(in_use, func.min(Project.id)))
        .where(Project.organisation_id.in_({license.organisation_id for license in licenses}))
        .group_by(Project.organisation_id)
    )
    projects = dict(rows.all())
    return [EndingKey(license, projects.get(license.organisation_id)) for license in licenses]


blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@requires(Permission.VIEW_PORTAL)
def index() -> ResponseReturnValue:
    now = utcnow()
    limits = current_config().agent_limits
    return render_template(
        "home/index.html",
        overview=build_overview(db.session(), now=now, limits=limits),
        now=now,
    )
