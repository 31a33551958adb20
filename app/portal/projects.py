"""Manage Projects, and a project's own pages."""

from typing import Any

from flask import Blueprint, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.users import show_projects_as_rows
from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Permission
from app.core.text import ORGANISATION_ID_LENGTH
from app.extensions import db
from app.licenses.queries import count_active
from app.models import Organisation, Project
from app.portal.confirmations import Confirmation, Link, Name, ask
from app.portal.policy_card import card, organisation_form
from app.portal.project_form import ProjectForm, differences, form_of
from app.portal.seen_form import seen_form
from app.portal.tabs import tabs_for
from app.projects.fields import DETAILS
from app.projects.finding import find_page
from app.projects.search import LONGEST_SEARCH, Search, read_search
from app.projects.services import (
    archive_project,
    common_values,
    create_project,
    delete_project,
    get_project,
    other_projects,
    restore_project,
    update_project,
    version_of,
    why_not_deletable,
)
from app.projects.totals import project_totals
from app.web.access import current_actor, requires
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import is_partial, keep_address_in_step, redirect_see_other, render
from app.web.paging import requested_number

blueprint = Blueprint("projects", __name__, url_prefix="/projects")
blueprint.add_app_template_global(tabs_for)

PAGE_SIZE = 24
OTHERS_SHOWN = 12
SUGGESTIONS = 6


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def list_projects() -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    search = read_search(request.args)
    totals = project_totals(session, now)
    number = requested_number()
    found = find_page(session, search, now, totals=totals, number=number, size=PAGE_SIZE)

    def page_address(number: int) -> str:
        return _list_address(search, number)

    response = render(
        "projects/list.html",
        "projects/_results.html",
        search=search,
        page=found.page,
        page_address=page_address,
        projects=found.projects,
        plans=totals.plans,
        today=now.date(),
        longest_search=LONGEST_SEARCH,
        fresh=is_partial(),
    )
    if is_partial():
        keep_address_in_step(response, page_address(found.page.number))
    return response


@blueprint.post("/shown-as")
@requires(Permission.VIEW_PORTAL)
@shown_again_by(list_projects)
def show_as() -> ResponseReturnValue:
    """Rows or cards, kept for this person; then on to the same search."""
    show_projects_as_rows(db.session(), current_user.id, request.form.get("rows") == "1")
    return redirect_see_other(_list_address(read_search(request.form), 1))


@blueprint.get("/new")
@requires(Permission.MANAGE_PROJECTS)
def new_project() -> ResponseReturnValue:
    """The form; for htmx, which sends an Organisation ID while it is typed, whether it is known."""
    form = ProjectForm(formdata=entered(), data=request.args)
    return render("projects/new.html", "projects/_organisation.html", **_form_context(form))


@blueprint.post("/new")
@requires(Permission.MANAGE_PROJECTS)
def create() -> ResponseReturnValue:
    form = ProjectForm()
    fields = form.checked()
    if fields is None:
        return _new_page(form, 422)
    try:
        created = create_project(db.session(), actor=current_actor(), fields=fields, now=utcnow())
    except InvalidInput as error:
        form.refuse(error)
        return _new_page(form, 422)
    organisation = created.project.organisation
    sentence = f"{fields.name} was created."
    if created.joined:
        sentence += f" It was added to {organisation.name} ({organisation.id})."
    if created.joined and fields.organisation_name not in ("", organisation.name):
        sentence += f" The organisation keeps that name; “{fields.organisation_name}” was not used."
    flash(sentence, "success")
    return redirect_see_other(url_for("projects.overview", project_id=created.project.id))


@blueprint.get("/<id:project_id>")
@requires(Permission.VIEW_PORTAL)
def overview(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    form = organisation_form(project.organisation_id)
    return overview_page(project, card(form, project.organisation_id))


def overview_page(project: Project, policy: dict[str, Any]) -> str:
    """The Overview; `policy` is what its organisation's policy is shown with."""
    session, now = db.session(), utcnow()
    organisation_id = project.organisation_id
    return render_template(
        "projects/overview.html",
        project=project,
        details=DETAILS,
        others=other_projects(session, project, OTHERS_SHOWN),
        others_shown=OTHERS_SHOWN,
        active_keys=count_active(session, now, {organisation_id}).get(organisation_id, 0),
        deletable=why_not_deletable(session, project) is None,
        today=now.date(),
        policy=policy,
        seen_form=seen_form(project.organisation),
    )


@blueprint.get("/<id:project_id>/edit")
@requires(Permission.MANAGE_PROJECTS)
def edit_project(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    return _edit_page(project, form_of(project, entered()))


@blueprint.post("/<id:project_id>/edit")
@requires(Permission.MANAGE_PROJECTS)
def save(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    form = ProjectForm()
    form.organisation_id.data = project.organisation_id
    fields = form.checked()
    if fields is None:
        return _edit_page(project, form, 422)
    try:
        update_project(
            db.session(),
            actor=current_actor(),
            project_id=project_id,
            version=form.version.data or "",
            fields=fields,
            now=utcnow(),
        )
    except InvalidInput as error:
        form.refuse(error)
        return _edit_page(project, form, 422)
    except Conflict as error:
        form.version.data = version_of(project)
        return _edit_page(project, form, 409, conflict=error.detail)
    flash(f"{project.name} was saved.", "success")
    return redirect_see_other(url_for("projects.overview", project_id=project_id))


@blueprint.get("/<id:project_id>/archive")
@requires(Permission.MANAGE_PROJECTS)
def ask_to_archive(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    confirmation = Confirmation(
        title="Archive this project?",
        button="Archive project",
        crumbs=[(project.name, url_for("projects.overview", project_id=project_id))],
        sentences=[
            (
                Name(project.name),
                " will be left out of Manage Projects, unless archived projects are asked for. "
                "Its organisation's keys keep working. It can be restored at any time.",
            )
        ],
        harmless=True,
    )
    return ask(confirmation)


@blueprint.post("/<id:project_id>/archive")
@requires(Permission.MANAGE_PROJECTS)
def archive(project_id: int) -> ResponseReturnValue:
    project = archive_project(
        db.session(), actor=current_actor(), project_id=project_id, now=utcnow()
    )
    flash(f"{project.name} is archived.", "success")
    return redirect_see_other(url_for("projects.overview", project_id=project_id))


@blueprint.post("/<id:project_id>/restore")
@requires(Permission.MANAGE_PROJECTS)
@shown_again_by(overview)
def restore(project_id: int) -> ResponseReturnValue:
    project = restore_project(
        db.session(), actor=current_actor(), project_id=project_id, now=utcnow()
    )
    flash(f"{project.name} is no longer archived.", "success")
    return redirect_see_other(url_for("projects.overview", project_id=project_id))


@blueprint.get("/<id:project_id>/delete")
@requires(Permission.MANAGE_PROJECTS)
def ask_to_delete(project_id: int) -> ResponseReturnValue:
    return _ask_to_delete(get_project(db.session(), project_id))


@blueprint.post("/<id:project_id>/delete")
@requires(Permission.MANAGE_PROJECTS)
def delete(project_id: int) -> ResponseReturnValue:
    try:
        name = delete_project(
            db.session(), actor=current_actor(), project_id=project_id, now=utcnow()
        )
    except Conflict:
        return _ask_to_delete(get_project(db.session(), project_id), Conflict.status)
    flash(f"{name} was deleted.", "success")
    return redirect_see_other(url_for("projects.list_projects"))


def _ask_to_delete(project: Project, status: int = 200) -> ResponseReturnValue:
    reason = why_not_deletable(db.session(), project)
    alone = not other_projects(db.session(), project, 1)
    organisation = Name(project.organisation.name)
    with_it = (", and with it the organisation ", organisation, ", which has no other project")
    archive_address = url_for("projects.ask_to_archive", project_id=project.id)
    archivable = reason is not None and project.archived_at is None
    confirmation = Confirmation(
        title="This project cannot be deleted" if reason else "Delete this project?",
        button="Delete project",
        crumbs=[(project.name, url_for("projects.overview", project_id=project.id))],
        sentences=[
            (Name(project.name), " will be gone for good", *(with_it if alone else ()), ".")
        ],
        nothing_to_do=reason or "",
        instead=Link("Archive instead", archive_address) if archivable else None,
    )
    return ask(confirmation, status)


def _list_address(search: Search, page: int) -> str:
    args: dict[str, Any] = {**search.to_args(), "page": page if page != 1 else None}
    return url_for("projects.list_projects", **args)


def _new_page(form: ProjectForm, status: int = 200) -> ResponseReturnValue:
    return render_template("projects/new.html", **_form_context(form)), status


def _form_context(form: ProjectForm) -> dict[str, Any]:
    """What the fields show: the organisation that is known already, and the usual words."""
    session, organisation_id = db.session(), (form.organisation_id.data or "").strip()
    possible = organisation_id.isprintable() and len(organisation_id) <= ORGANISATION_ID_LENGTH
    return {
        "form": form,
        "organisation": session.get(Organisation, organisation_id) if possible else None,
        "usual": {
            "plan": common_values(session, Project.plan, SUGGESTIONS),
            "status": common_values(session, Project.status, SUGGESTIONS),
        },
    }


def _edit_page(
    project: Project, form: ProjectForm, status: int = 200, conflict: str | None = None
) -> ResponseReturnValue:
    page = render_template(
        "projects/edit.html",
        project=project,
        **_form_context(form),
        conflict=conflict,
        differences=differences(form, project) if conflict else [],
    )
    return page, status
