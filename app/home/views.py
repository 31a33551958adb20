"""Home: what matters now, at a glance."""

from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue

from app.clock import utcnow
from app.extensions import db
from app.home.services import overview
from app.permissions import Permission
from app.web.access import requires

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@requires(Permission.VIEW_PORTAL)
def index() -> ResponseReturnValue:
    now = utcnow()
    idle_seconds = current_app.extensions["config"].agent_idle_seconds
    return render_template(
        "home/index.html",
        overview=overview(db.session(), now=now, idle_seconds=idle_seconds),
        now=now,
    )
