"""The interface's own description: the OpenAPI document, and a page to read."""

from typing import Any

from flask import Blueprint, Response, jsonify, render_template
from flask.typing import ResponseReturnValue

from app.web.access import public
from app.web.api import openapi_document

blueprint = Blueprint("docs", __name__, url_prefix="/api")

TITLE = "The OP Agent's interface"
VERSION = "1.0.0"
DESCRIPTION = (
    "JSON over HTTP for OP Agents, and what is published for checking licenses off-line. Times are "
    "RFC 3339 in UTC. Errors are RFC 9457 problems with a stable `code`. Unknown fields are "
    "refused; bodies are at most 64 KiB. An answer never repeats a password or a key."
)


@blueprint.get("/openapi.json")
@public
def openapi() -> Response:
    return jsonify(_document())


@blueprint.get("/docs")
@public
def page() -> ResponseReturnValue:
    return render_template("docs/api.html", document=_document())


def _document() -> dict[str, Any]:
    return openapi_document(TITLE, VERSION, DESCRIPTION)
