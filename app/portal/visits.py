"""A project's Visits tab: who was there under a temporary key; one visit, and its signed record."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from flask import (
    Blueprint,
    Response,
    flash,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue

from app.access.visit_exports import EXPORTS, sign_record
from app.access.visit_sharing import let_clients_see_visits
from app.access.visit_timeline import visits_timeline
from app.access.visits import (
    VisitEntry,
    VisitSearch,
    every_visit,
    find_visits,
    get_visit,
    latest_visits,
)
from app.audit.finding import parse_day
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput
from app.core.permissions import ROLE_LABELS, Permission
from app.core.text import one_line
from app.extensions import db
from app.models.engine import reading_only
from app.models.positions import Stretch
from app.portal.projects import overview
from app.portal.seen_form import SeenForm
from app.portal.ticket_links import ticket_address
from app.projects.search import LONGEST_SEARCH
from app.projects.services import get_project
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import shown_again_by
from app.web.htmx import is_partial, keep_address_in_step, redirect_see_other, render
from app.web.ids import requested_id

blueprint = Blueprint("visits", __name__, url_prefix="/projects/<id:project_id>/visits")

PAGE_SIZE = 50
MOST_DRAWN = 1000
LINES_AT_ONCE = 200
FIELDS = ("q", "from", "to")
"""The filters, as the address has them."""
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def visits_tab(project_id: int) -> ResponseReturnValue:
    session, now, limits = db.session(), utcnow(), current_config().agent_limits
    project, typed = get_project(session, project_id), _typed()
    before, after = requested_id("before"), requested_id("after")
    errors: dict[str, str] = {}
    page: Stretch[VisitEntry] = Stretch([], goes_back=False, goes_on=False)
    drawn = None
    try:
        search = _search(project.organisation_id, typed)
        place = replace(search, older_than=before, newer_than=after)
        page = find_visits(session, place, now=now, limits=limits, size=PAGE_SIZE)
        latest = latest_visits(session, search, now=now, limits=limits, limit=MOST_DRAWN)
        drawn = visits_timeline(latest, now, begins_at=search.start, ends_at=search.end)
    except InvalidInput as error:
        errors[error.field] = error.detail
    filters: dict[str, Any] = {name: text for name, text in typed.items() if text}

    def address(**more: int | None) -> str:
        return url_for("visits.visits_tab", project_id=project_id, **(filters | more))

    response = render(
        "visits/tab.html",
        "visits/_visits.html",
        422 if errors else 200,
        project=project,
        now=now,
        page=page,
        timeline=drawn,
        typed=typed,
        errors=errors,
        filtered=bool(filters),
        address=address,
        role_labels=ROLE_LABELS,
        ticket_address=ticket_address,
        heartbeat_seconds=limits.heartbeat_seconds,
        longest_search=LONGEST_SEARCH,
        fresh=is_partial(),
    )
    if is_partial():
        keep_address_in_step(response, address(before=before, after=after))
    return response


@blueprint.post("/export.csv", defaults={"form": "csv"})
@blueprint.post("/export.json", defaults={"form": "json"})
@requires(Permission.EXPORT_AUDIT)
@needs_proof
@shown_again_by(lambda project_id, **_: visits_tab(project_id))
def export(project_id: int, form: str) -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    project = get_project(session, project_id)
    search = _search(project.organisation_id, _typed())
    log_event(
        session,
        AuditTag.VISITS_EXPORTED,
        actor=current_actor(),
        now=now,
        organisation_id=project.organisation_id,
        subject=form,
    )
    name = f"visits-{now:%Y%m%dT%H%M%SZ}.{form}"
    return _file(stream_with_context(_export(form, search)), name, MEDIA_TYPES[form])


@blueprint.get("/<id:visit_id>")
@requires(Permission.VIEW_PORTAL)
def show(project_id: int, visit_id: int) -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    project = get_project(session, project_id)
    visit = get_visit(
        session,
        visit_id,
        organisation_id=project.organisation_id,
        now=now,
        limits=current_config().agent_limits,
    )
    return render_template(
        "visits/visit.html",
        project=project,
        visit=visit,
        now=now,
        role_labels=ROLE_LABELS,
        ticket_address=ticket_address,
        heartbeat_seconds=current_config().heartbeat_seconds,
    )


@blueprint.post("/<id:visit_id>/record")
@requires(Permission.EXPORT_AUDIT)
@shown_again_by(show)
def record(project_id: int, visit_id: int) -> ResponseReturnValue:
    config = current_config()
    visit, text = sign_record(
        db.session(),
        actor=current_actor(),
        organisation_id=get_project(db.session(), project_id).organisation_id,
        visit_id=visit_id,
        issuer=config.address,
        signing_keys=config.signing_keys,
        now=utcnow(),
        limits=config.agent_limits,
    )
    name = f"visit-{visit.key_id}-{visit.started_at:%Y%m%dT%H%M%SZ}.jws"
    return _file(text + "\n", name, "application/jose")


@blueprint.post("/seen")
@requires(Permission.MANAGE_PROJECTS)
@shown_again_by(overview)
def save_seen(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    seen = bool(SeenForm().clients_see_visits.data)
    changed = let_clients_see_visits(
        db.session(),
        actor=current_actor(),
        organisation_id=project.organisation_id,
        seen=seen,
        now=utcnow(),
    )
    says = f"Visits from now on are {'in' if seen else 'not in'} the clients' Feed."
    flash(says if changed else "Nothing was changed.", "success")
    return redirect_see_other(url_for("projects.overview", project_id=project_id))


def _export(form: str, search: VisitSearch) -> Iterator[str]:
    """The lines, some at once; read after the request's own transaction, in another one."""
    with reading_only():
        session = db.session()
        visits = every_visit(session, search, now=utcnow(), limits=current_config().agent_limits)
        lines = EXPORTS[form](visits)
        while some := "".join(islice(lines, LINES_AT_ONCE)):
            yield some
        session.rollback()


def _file(content: Iterator[str] | str, name: str, media_type: str) -> Response:
    response = Response(content, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _typed() -> dict[str, str]:
    """The filters as they were typed; an address may have anything in it."""
    texts = {name: request.values.get(name, "").strip() for name in FIELDS}
    kept = {name: text if text.isprintable() else "" for name, text in texts.items()}
    return kept | {"q": one_line(request.values.get("q", ""))[:LONGEST_SEARCH]}


def _search(organisation_id: str, typed: dict[str, str]) -> VisitSearch:
    """What is looked for. Raises InvalidInput for a field that makes no sense."""
    return VisitSearch(
        organisation_id=organisation_id,
        text=typed["q"],
        start=parse_day("from", typed["from"]),
        end=parse_day("to", typed["to"], end=True),
    )
