"""Extending a temporary key, in a dialog or on a page of its own."""

from datetime import datetime, timedelta

from flask import Blueprint, Response, flash
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from htmx_flask import request
from wtforms import HiddenField, StringField

from app.access.issuing import extend_under_policy
from app.access.policies import policy_in_force
from app.config import current_config
from app.core.clock import utc_text, utcnow
from app.core.errors import InvalidInput
from app.core.instants import NoInstant, read_local, zone_named
from app.core.permissions import Permission
from app.extensions import db
from app.licenses.queries import has_ended
from app.models import Project, Request, TemporaryLicense
from app.portal.licenses import WAITING, must_find, show_keys, tab_address
from app.projects.services import get_project
from app.web.access import current_actor, requires
from app.web.forms_again import entered
from app.web.htmx import is_partial, redirect_see_other, render

blueprint = Blueprint(
    "license_extending", __name__, url_prefix="/projects/<id:project_id>/license/<key_id>"
)


class ExtendForm(FlaskForm):
    """The new end of a key, and why."""

    ends_at = StringField(
        "New end",
        name="ends",
        id="new-end",
        render_kw={"type": "datetime-local", "aria-required": "true"},
    )
    reason = StringField("Reason", id="extend-reason", render_kw={"dir": "auto"})
    zone = HiddenField(id="extend-zone")

    def new_end(self) -> datetime:
        """The end that was chosen. Raises InvalidInput."""
        try:
            ends_at = read_local(self.ends_at.data or "", zone_named(self.zone.data or ""))
        except NoInstant as error:
            raise InvalidInput("ends_at", str(error)) from None
        if ends_at is None:
            raise InvalidInput("ends_at", "Choose when the key is to end.")
        return ends_at


@blueprint.after_request
def never_store(response: Response) -> Response:
    """The tab that it leads back to may contain a key."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/extend")
@requires(Permission.ISSUE_LICENSES)
def ask(project_id: int, key_id: str) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    return _show(ExtendForm(formdata=entered()), project, must_find(project, key_id))


@blueprint.post("/extend")
@requires(Permission.ISSUE_LICENSES)
def extend(project_id: int, key_id: str) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    license, form = must_find(project, key_id), ExtendForm()
    try:
        extended = extend_under_policy(
            db.session(),
            actor=current_actor(),
            config=current_config(),
            key_id=license.key_id,
            ends_at=form.new_end(),
            reason=form.reason.data or "",
            clock=utcnow,
        )
    except InvalidInput as error:
        form[error.field].errors = [error.detail]
        return _show(form, project, license, 422)
    message = f"{license.key_id} works until {utc_text(license.expires_at)} UTC now."
    if isinstance(extended, Request):
        message = WAITING.format(extended.id)
    if is_partial():
        return show_keys(project, license.key_id, message)
    flash(message, "success")
    return redirect_see_other(tab_address(project.id, key=license.key_id))


def _show(
    form: ExtendForm, project: Project, license: TemporaryLicense, status: int = 200
) -> Response:
    now = utcnow()
    holds = policy_in_force(db.session(), current_config(), project.organisation_id)
    if holds.reason_required.value:
        form.reason.render_kw = {**form.reason.render_kw, "aria-required": "true"}
    response = render(
        "licenses/extend.html",
        "licenses/_extend_dialog.html",
        status,
        form=form,
        project=project,
        license=license,
        over=has_ended(license, now),
        latest=license.starts_at + timedelta(seconds=holds.ceiling.value),
        tab=tab_address(project.id, key=license.key_id),
        here=request.path,
    )
    response.headers["HX-Retarget"] = "#dialog"
    response.headers["HX-Reswap"] = "innerHTML"
    return response
