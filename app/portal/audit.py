"""The audit log."""

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.audit.log import page_of_events
from app.core.permissions import Permission
from app.core.text import ORGANISATION_ID_LENGTH
from app.extensions import db
from app.web.access import requires
from app.web.paging import requested_number

blueprint = Blueprint("audit", __name__)
PAGE_SIZE = 50


@blueprint.get("/audit")
@requires(Permission.VIEW_PORTAL)
def list_events() -> ResponseReturnValue:
    organisation_id = _organisation_asked_for()
    page, entries = page_of_events(
        db.session(), organisation_id=organisation_id, number=requested_number(), size=PAGE_SIZE
    )
    return render_template(
        "audit/list.html",
        entries=entries,
        page=page,
        page_address=lambda number: url_for(
            "audit.list_events", organisation=organisation_id, page=number
        ),
        organisation_id=organisation_id,
    )


def _organisation_asked_for() -> str | None:
    text = request.args.get("organisation", "").strip()
    return text if text and text.isprintable() and len(text) <= ORGANISATION_ID_LENGTH else None
