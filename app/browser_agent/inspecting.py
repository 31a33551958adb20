"""What a pasted key is, said under its field before anybody logs in."""

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from app.agents.codes import RefusalCode
from app.browser_agent.wording import with_instant
from app.config import current_config
from app.core.clock import utcnow
from app.core.text import counted
from app.extensions import db
from app.licenses.rules import Inspection, LicenseState
from app.licenses.services import inspect_key
from app.models import Organisation
from app.throttle import counted_as, wait_to_inspect
from app.web.access import client_address, public
from app.web.transaction import defer_write

blueprint = Blueprint("inspecting", __name__)
REFUSED = {
    LicenseState.EXPIRED: RefusalCode.KEY_EXPIRED,
    LicenseState.REVOKED: RefusalCode.KEY_REVOKED,
    LicenseState.INVALID: RefusalCode.KEY_INVALID,
}


@blueprint.after_request
def never_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/agent/inspect")
@public
@defer_write
def pasted_key() -> ResponseReturnValue:
    text = request.form.get("registration_key", "")
    if not text.strip():
        return ""
    wait_seconds = wait_to_inspect(
        db.engine,
        address=f"page {counted_as(client_address())}",
        limit=current_config().inspect_limit,
        clock=utcnow,
    )
    if wait_seconds:
        problem = (
            "Too many keys were looked at from your address. You can log in all the same, or "
            f"paste the key again in {counted(wait_seconds, 'second')}."
        )
        return _told(problem=problem), 429
    inspection = inspect_key(db.session(), text=text, now=utcnow())
    if inspection.state in REFUSED:
        return _told(problem=_problem(inspection))
    organisation = db.session.get_one(Organisation, inspection.organisation_id)
    return _told(inspection=inspection, organisation=organisation)


def _problem(inspection: Inspection) -> str:
    sentence = inspection.because or REFUSED[inspection.state].sentence
    return with_instant(sentence, inspection.expires_at)


def _told(**context: object) -> str:
    return render_template("browser_agent/_inspected.html", now=utcnow(), **context)
