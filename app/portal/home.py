"""The page Home."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.agents.live_sessions import partners_signed_in
from app.audit.daily import Day, last_days
from app.audit.log import AuditEntry, latest_entries
from app.config import current_config
from app.core.clock import utcnow
from app.core.durations import SessionLimits
from app.core.paging import Total
from app.core.permissions import Permission, SecondFactorPolicy
from app.core.text import one_line
from app.extensions import db
from app.licenses.queries import count_all_active, ending_soonest
from app.models import AgentSession, TemporaryLicense
from app.portal.jumping import found_projects
from app.portal.tabs import address_of_tab
from app.projects.search import LONGEST_SEARCH
from app.projects.services import projects_of
from app.projects.totals import project_totals
from app.web.access import requires
from app.web.htmx import fingerprint, is_partial, is_seen, redirect_see_other, render

RECENT = 8
ENDING = 10
SIGNED_IN = 50


@dataclass(frozen=True)
class Overview:
    """The numbers and lists on Home, as of one instant."""

    projects: int
    active_projects: int
    active_keys: Total
    partners_signed_in: int
    sessions: list[AgentSession]
    """Of those partners, as many as the table shows."""
    ending: list[TemporaryLicense]
    recent: list[AuditEntry]
    days: list[Day]
    projects_of: dict[str, int]
    """A project of each organisation that is named, by Organisation ID."""

    @property
    def fingerprint(self) -> str:
        """Changes when anything that is shown does, except for the countdowns."""
        shown: list[object] = [self.projects, self.active_projects, str(self.active_keys)]
        shown += [found.id for found in self.sessions]
        shown += [(license.key_id, license.expires_at) for license in self.ending]
        return fingerprint([*shown, *self.recent, *self.days])


def build_overview(session: Session, *, now: datetime, limits: SessionLimits) -> Overview:
    """What Home shows at `now`; `limits` are those of sessions on OP Agents."""
    totals = project_totals(session, now)
    people, sessions = partners_signed_in(session, now, limits, SIGNED_IN)
    ending = ending_soonest(session, now, ENDING)
    named = {found.organisation_id for found in sessions}
    named |= {license.organisation_id for license in ending}
    return Overview(
        projects=totals.count(archived=False).number,
        active_projects=totals.count(archived=False, current=True).number,
        active_keys=count_all_active(session, now),
        partners_signed_in=people,
        sessions=sessions,
        ending=ending,
        recent=latest_entries(session, limit=RECENT),
        days=last_days(session, now),
        projects_of=projects_of(session, named),
    )


blueprint = Blueprint("home", __name__)
HITS = "div#hits"
"""The element into which htmx puts the projects that are found."""


@blueprint.get("/")
@requires(Permission.VIEW_PORTAL)
def index() -> ResponseReturnValue:
    """Home; for htmx what has changed of it, or the projects that its search finds."""
    now, text = utcnow(), one_line(request.args.get("q", ""))
    hits = _hits(text, now)
    if is_partial(HITS):
        return render_template("home/_hits.html", **hits)
    if hits["total"] and hits["total"].number == 1 and not is_partial():
        return redirect_see_other(_to_generate(hits["projects"][0].id))
    overview = build_overview(db.session(), now=now, limits=current_config().agent_limits)
    if is_seen(overview.fingerprint):
        return "", 204
    config = current_config()
    return render(
        "home/index.html",
        "home/_overview.html",
        overview=overview,
        now=now,
        **hits,
        trying_out=config.sample_data and config.second_factor is SecondFactorPolicy.OFF,
    )


def _hits(text: str, now: datetime) -> dict[str, Any]:
    """The projects that the search on Home finds; `total` is None if nothing is looked for."""
    found = found_projects(db.session(), text, now) if text else None
    return {
        "text": text,
        "projects": found.projects if found else [],
        "total": found.page.total if found else None,
        "license_tab": _to_generate,
        "longest_search": LONGEST_SEARCH,
    }


def _to_generate(project_id: int) -> str:
    """The License tab, where "Generate and copy" gets the focus."""
    return address_of_tab("License", project_id) + "#generate-and-copy"
