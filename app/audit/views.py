"""The audit log."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.permissions import Permission
from app.web.access import requires

blueprint = Blueprint("audit", __name__)


@blueprint.get("/audit")
@requires(Permission.VIEW_PORTAL)
def list_events() -> ResponseReturnValue:
    return render_template("audit/list.html")
