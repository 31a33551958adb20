"""Projects > Manage Projects, and a project's own pages."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.permissions import Permission
from app.web.access import requires

blueprint = Blueprint("projects", __name__)


@blueprint.get("/projects")
@requires(Permission.VIEW_PORTAL)
def list_projects() -> ResponseReturnValue:
    return render_template("projects/list.html")
