"""A project's Feed tab: its organisation's activity as the organisation itself sees it."""

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from app.access.visits import visits_by_id
from app.audit.feed import KINDS, FeedKind, count_entries, feed_of
from app.config import current_config
from app.core.clock import utcnow
from app.core.permissions import Permission
from app.core.text import one_line
from app.extensions import db
from app.projects.search import LONGEST_SEARCH
from app.projects.services import get_project
from app.web.access import requires
from app.web.htmx import is_partial, keep_address_in_step, render
from app.web.paging import requested_page

blueprint = Blueprint("feed", __name__, url_prefix="/projects/<id:project_id>/feed")

PAGE_SIZE = 50


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def feed_tab(project_id: int) -> ResponseReturnValue:
    session = db.session()
    project = get_project(session, project_id)
    text = one_line(request.args.get("q", ""))[:LONGEST_SEARCH]
    kind = KINDS.get(request.args.get("kind", ""))
    total = count_entries(session, project.organisation_id, kind=kind, text=text)
    page = requested_page(size=PAGE_SIZE, total=total)

    def page_address(number: int) -> str:
        args: dict[str, Any] = {"q": text or None, "kind": kind}
        args["page"] = number if number > 1 else None
        return url_for("feed.feed_tab", project_id=project_id, **args)

    entries = feed_of(
        session,
        project.organisation_id,
        kind=kind,
        text=text,
        offset=page.offset,
        limit=page.size,
    )
    told = [entry.visit_id for entry in entries if entry.visit_id is not None]
    limits = current_config().agent_limits
    seen = project.organisation.clients_see_visits
    response = render(
        "projects/feed.html",
        "projects/_feed.html",
        project=project,
        entries=entries,
        visits=visits_by_id(session, told, now=utcnow(), limits=limits),
        page=page,
        page_address=page_address,
        text=text,
        kind=kind,
        kinds=[each for each in FeedKind if seen or each is not FeedKind.VISIT],
        longest_search=LONGEST_SEARCH,
        fresh=is_partial(),
    )
    if is_partial():
        keep_address_in_step(response, page_address(page.number))
    return response
