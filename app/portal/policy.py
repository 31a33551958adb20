"""The policy of the installation, and that of one organisation, on a project's Overview."""

from flask import Blueprint, flash, render_template, url_for
from flask.typing import ResponseReturnValue

from app.access.patterns import fits
from app.access.policies import policy_of, save_policy, version_of
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Permission
from app.core.text import shortened
from app.extensions import db
from app.portal.policy_card import card, installation_form
from app.portal.policy_form import InstallationForm, OrganisationForm, PolicyForm
from app.portal.projects import overview, overview_page
from app.projects.services import get_project
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import shown_again_by
from app.web.htmx import redirect_see_other
from app.web.transaction import defer_write

blueprint = Blueprint("policy", __name__)


@blueprint.get("/settings/policy")
@requires(Permission.VIEW_POLICY)
def show() -> ResponseReturnValue:
    return _page(installation_form())


@blueprint.post("/settings/policy")
@requires(Permission.MANAGE_POLICY)
@needs_proof
def save() -> ResponseReturnValue:
    form = InstallationForm()
    if status := _save(form):
        return _page(form), status
    return redirect_see_other(url_for("policy.show"))


@blueprint.post("/settings/policy/try")
@requires(Permission.MANAGE_POLICY)
@shown_again_by(show)
@defer_write
def try_ticket() -> ResponseReturnValue:
    form = InstallationForm()
    tried = _try(form)
    return _page(form, tried), _status(form)


@blueprint.post("/projects/<id:project_id>/policy")
@requires(Permission.MANAGE_POLICY)
@needs_proof
@shown_again_by(overview)
def save_of_organisation(project_id: int) -> ResponseReturnValue:
    project, form = get_project(db.session(), project_id), OrganisationForm()
    if status := _save(form, project.organisation_id):
        return overview_page(project, card(form, project.organisation_id)), status
    return redirect_see_other(url_for("projects.overview", project_id=project.id))


@blueprint.post("/projects/<id:project_id>/policy/try")
@requires(Permission.MANAGE_POLICY)
@shown_again_by(overview)
@defer_write
def try_ticket_of_organisation(project_id: int) -> ResponseReturnValue:
    project, form = get_project(db.session(), project_id), OrganisationForm()
    tried = _try(form)
    return overview_page(project, card(form, project.organisation_id, tried)), _status(form)


def _status(form: PolicyForm) -> int:
    return 422 if form.errors else 200


def _save(form: PolicyForm, organisation_id: str | None = None) -> int | None:
    """Save what was entered; the status of the refusal, which the form then shows, or None."""
    session = db.session()
    try:
        changed = save_policy(
            session,
            actor=current_actor(),
            config=current_config(),
            policy=form.policy(),
            now=utcnow(),
            organisation_id=organisation_id,
            version=form.version.data or "",
        )
    except InvalidInput as error:
        form.refuse(error)
        return error.status
    except Conflict as error:
        form.version.data = version_of(policy_of(session, organisation_id))
        form.form_errors.append(error.detail)
        return error.status
    flash("The policy was saved." if changed else "Nothing was changed.", "success")
    return None


def _try(form: PolicyForm) -> str:
    """Whether the ticket that was typed fits the pattern that was typed; nothing is saved."""
    ticket = (form.try_ticket.data or "").strip()
    pattern = (form.ticket_pattern.data or "").strip()
    if not ticket:
        return "Type a ticket to try."
    if not pattern:
        return "Without a pattern any ticket fits."
    try:
        good = fits(ticket, pattern)
    except InvalidInput as error:
        form.refuse(error)
        return ""
    return f"{shortened(ticket, 64)} {'fits' if good else 'does not fit'}."


def _page(form: InstallationForm, tried: str = "") -> str:
    return render_template("policy/page.html", policy=card(form, tried=tried))
