"""Home: what matters now, at a glance."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.permissions import Permission
from app.web.access import requires

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@requires(Permission.VIEW_PORTAL)
def index() -> ResponseReturnValue:
    return render_template("home/index.html")
