"""Whether the process lives: asked by whatever watches it. No database, no session."""

from flask import Blueprint, Response

from app.web.access import public

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def healthz() -> Response:
    return Response("ok", mimetype="text/plain", headers={"Cache-Control": "no-store"})
