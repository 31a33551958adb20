"""A project's Feed tab: its organisation's activity as the organisation itself sees it."""

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from app.audit.feed import KINDS, FeedKind, count_entries, feed_of
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

    response = render(
        "projects/feed.html",
        "projects/_feed.html",
        project=project,
        entries=feed_of(
            session,
            project.organisation_id,
            kind=kind,
            text=text,
            offset=page.offset,
            limit=page.size,
        ),
        page=page,
        page_address=page_address,
        text=text,
        kind=kind,
        kinds=list(FeedKind),
        longest_search=LONGEST_SEARCH,
        fresh=is_partial(),
    )
    if is_partial():
        keep_address_in_step(response, page_address(page.number))
    return response
