"""A project's License tab: generating, showing and revoking temporary keys."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, flash, make_response, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from htmx_flask import request

from app.access.issuing import issue_under_policy
from app.access.policies import policy_in_force
from app.accounts.users import remember_ttl
from app.agents.live_sessions import live_sessions_under
from app.agents.logout_status import EndedSession, ended_by_revocation
from app.agents.spans import spans_under
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.clock import utc_text, utcnow
from app.core.durations import format_length
from app.core.errors import InvalidInput, NotFound, SigningKeyMissing
from app.core.permissions import Permission
from app.core.timelines import Timeline
from app.core.tokens import new_token
from app.extensions import db
from app.keyformat.key_ids import normalise_key_id
from app.licenses.disclosures import log_disclosure
from app.licenses.key_records import KeyRecord, is_later, list_keys
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import (
    count_licenses,
    find_license,
    has_ended,
    part_of_licenses,
    state_of,
)
from app.licenses.rules import LicenseState
from app.licenses.services import key_text, lock_license, revoke_license
from app.licenses.timeline import PAST, KeyBar, timeline
from app.licenses.wording import purpose
from app.models import AgentSession, Project, Request, TemporaryLicense
from app.portal.confirmations import Confirmation, LogOuts, ask
from app.portal.gate import begin_checked_write
from app.portal.license_form import UNTIL, GenerateForm, form_like
from app.portal.license_listing import Listing
from app.portal.license_options import preview_of
from app.portal.showings import JUST_GENERATED, NOT_LOGGED, log_showing
from app.portal.ticket_links import ticket_address
from app.projects.services import get_project, organisation_of_project
from app.web.access import current_actor, requires, restore_fields
from app.web.forms_again import entered, undone
from app.web.htmx import is_partial, is_seen, redirect_see_other, render
from app.web.paging import requested_page
from app.web.transaction import defer_write

blueprint = Blueprint("licenses", __name__, url_prefix="/projects/<id:project_id>/license")

PAGE_SIZE = 50
SHOWN_CHARACTERS = 40
WAITING = "Waiting for approval: request {} is for another super admin to decide."
MOST_DRAWN = 200
"""Of so many keys the timeline draws those for which it has room."""
PARTIALS = {"keys": "licenses/_keys.html"}
"""The template for each target element of htmx; for any other, that of the whole tab."""


@blueprint.after_request
def never_store(response: Response) -> Response:
    """Responses that may contain a key must not be cached anywhere."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def license_tab(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    asked = request.values.get("key", "").strip()
    listing = _listing(project, asked)
    form = _first_form(listing)
    if is_seen(listing.fingerprint):
        return "", 204
    listing = _with_showing_logged(listing)
    unknown = "" if listing.shows(asked) else asked[:SHOWN_CHARACTERS]
    return _show_tab(project, form, listing, status=404 if unknown else 200, unknown=unknown)


@blueprint.post("")
@requires(Permission.ISSUE_LICENSES)
@restore_fields("ttl", "key")
@undone("nothing was generated")
@defer_write
def generate(project_id: int) -> ResponseReturnValue:
    organisation_id = organisation_of_project(db.session(), project_id)
    form = GenerateForm()
    begin_checked_write()
    try:
        options = form.options()
        made = issue_under_policy(
            db.session(),
            actor=current_actor(),
            config=current_config(),
            organisation_id=organisation_id,
            options=options,
            cut_ttl=True,
            now=utcnow(),
            form_token=form.token,
        )
    except InvalidInput as error:
        form.show(error)
        project = get_project(db.session(), project_id)
        asked = request.values.get("key", "").strip()
        listing = _with_showing_logged(_listing(project, asked))
        return _show_tab(project, form, listing, status=422)
    if options.ttl not in (0, current_user.last_ttl):
        remember_ttl(db.session(), current_user.id, options.ttl)
    if isinstance(made, Request):
        flash(WAITING.format(made.id), "success")
        return redirect_see_other(tab_address(project_id, key=None))
    license, key = made
    message = (
        f"{license.key_id} was generated. {_told_of_length(license, options, organisation_id)}"
    )
    ttl = None if form.ttl.data == UNTIL else form.ttl.data
    address = tab_address(project_id, key=license.key_id, ttl=ttl)
    if not is_partial():
        flash(message, "success")
        session[JUST_GENERATED] = license.key_id
        return redirect_see_other(address)
    project = get_project(db.session(), project_id)
    listing = _with_showing_logged(_listing(project, license.key_id, key), generated=True)
    empty = GenerateForm(formdata=None, ttl=ttl)
    copies = "copy" in request.form
    response = _show_tab(project, empty, listing, message=message, focus="copy-key", copies=copies)
    response.headers["HX-Replace-Url"] = address
    return response


@blueprint.post("/<key_id>/copied")
@requires(Permission.SEE_LICENSE_KEYS)
def copied(project_id: int, key_id: str) -> ResponseReturnValue:
    """The page reports that it has put a whole key into the clipboard."""
    project = get_project(db.session(), project_id)
    log_disclosure(
        db.session(),
        AuditTag.LICENSE_COPIED,
        actor=current_actor(),
        license=must_find(project, key_id),
        clock=utcnow,
    )
    return "", 204


@blueprint.get("/all")
@requires(Permission.VIEW_PORTAL)
def all_keys(project_id: int) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    now = utcnow()
    page = requested_page(
        size=PAGE_SIZE, total=count_licenses(db.session(), project.organisation_id)
    )
    licenses = part_of_licenses(
        db.session(), project.organisation_id, now, offset=page.offset, limit=page.size
    )
    return render_template(
        "licenses/all.html",
        project=project,
        rows=[(license, state_of(license, now)) for license in licenses],
        page=page,
        now=now,
    )


@blueprint.get("/<key_id>/revoke")
@requires(Permission.REVOKE_LICENSES)
def ask_to_revoke(project_id: int, key_id: str) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    license = must_find(project, key_id)
    organisation, now = project.organisation.name, utcnow()
    ended_on = f"This key of {organisation} ended on "
    over = (ended_on, license.ended_at, ". There is nothing to revoke.")
    confirmation = Confirmation(
        title=f"Revoke {license.key_id}?",
        button="Revoke key",
        crumbs=[
            ("Manage Projects", url_for("projects.list_projects")),
            (project.name, tab_address(project_id, key=license.key_id)),
        ],
        sentences=[
            f"Nobody will be able to sign in to {organisation} with this key any more. "
            "This cannot be undone; a new key can be generated at any time."
        ],
        log_outs=LogOuts(
            sessions=_sessions_under(license, now),
            heading="Signed in now; revoking logs them out:",
            nobody="Nobody is signed in under it now.",
            names_license=False,
        ),
        nothing_to_do=over if has_ended(license, now) else "",
        replaces="license",
        sends="#generate-form",
    )
    return ask(confirmation)


@blueprint.post("/<key_id>/revoke")
@requires(Permission.REVOKE_LICENSES)
def revoke(project_id: int, key_id: str) -> ResponseReturnValue:
    project = get_project(db.session(), project_id)
    license = lock_license(db.session(), must_find(project, key_id))
    now = utcnow()
    if has_ended(license, now):
        message = f"{license.key_id} had ended already. Nothing was changed."
    else:
        people = len({session.user_id for session in _sessions_under(license, now)})
        revoke_license(db.session(), actor=current_actor(), key_id=license.key_id, now=now)
        message = f"{license.key_id} was revoked. {_told_of_revocation(people)}"
    if not is_partial():
        flash(message, "success")
        return redirect_see_other(tab_address(project_id, key=license.key_id))
    form = GenerateForm(request.form)
    response = _show_tab(
        project, form, _listing(project, license.key_id), message=message, focus="license-keys"
    )
    response.data += render_template("confirm/_close.html").encode()
    return response


def show_keys(project: Project, key_id: str, message: str) -> Response:
    """The list of keys after a change that a dialog asked for, which closes."""
    listing = _with_showing_logged(_listing(project, key_id))
    form = GenerateForm(formdata=None)
    context = _context(project, listing) | preview_of(form, project.organisation_id, listing.now)
    context |= {"message": message, "focus": "copy-key", "copies": False}
    return make_response(render_template("licenses/_changed.html", **context))


def _first_form(listing: Listing) -> GenerateForm:
    """The form as the tab shows it at first: as it was typed, or like the chosen key."""
    may_issue = current_user.may(Permission.ISSUE_LICENSES)
    if may_issue and listing.chosen and listing.shows(request.args.get("like", "")):
        return form_like(listing.chosen, current_config().license_ttls, listing.now)
    return GenerateForm(formdata=entered(), ttl=request.args.get("ttl"))


def _show_tab(
    project: Project,
    form: GenerateForm,
    listing: Listing,
    *,
    status: int = 200,
    unknown: str = "",
    message: str = "",
    focus: str = "",
    copies: bool = False,
) -> Response:
    """The tab, or the part of it that htmx swaps.

    `unknown` is the Key ID that was asked for but does not exist here; `message` is shown and
    announced; `focus` is the id of the element that gets the focus; with `copies` the page puts the
    key into the clipboard.
    """
    form.form_token.data = new_token()
    page, partial = "licenses/tab.html", "licenses/_license.html"
    previewed = preview_of(form, project.organisation_id, listing.now)
    context = {
        **_context(project, listing),
        **previewed,
        "more_options": previewed["asks"] or form.options_used or current_user.more_options,
        "unknown": unknown,
        "message": message,
        "focus": focus,
        "copies": copies,
    }
    target = request.headers.get("HX-Target", "").partition("#")[2]
    return render(page, PARTIALS.get(target, partial), status, **context)


def _context(project: Project, listing: Listing) -> dict[str, Any]:
    """What the list of keys is shown with."""
    return {
        "project": project,
        "listing": listing,
        "now": listing.now,
        "heartbeat_seconds": current_config().heartbeat_seconds,
        "instructions": _instructions(project, listing),
        "ticket_address": ticket_address,
        "timeline": _timeline(listing),
        "purpose": purpose,
    }


def _timeline(listing: Listing) -> Timeline[KeyBar]:
    listed = (*listing.keys.active, *listing.keys.scheduled, *listing.keys.ended)
    keys = [key for key in listed if key.ended_at > listing.now - PAST][:MOST_DRAWN]
    limits = current_config().agent_limits
    spans = spans_under(db.session(), [key.id for key in keys], listing.now, limits)
    return timeline(keys, spans, listing.now)


def _listing(project: Project, asked: str, issued_key: str | None = None) -> Listing:
    """The keys of the project's organisation, as the current user may see them.

    The key with the Key ID `asked` is shown in detail, the first one if there is none; `issued_key`
    is its text if it was issued by this request.
    """
    now, asked_id = utcnow(), normalise_key_id(asked)
    keys = list_keys(db.session(), project.organisation_id, now, asked=asked_id)
    listed = [*keys.active, *keys.scheduled, *keys.ended]
    first = listed[0] if listed else None
    chosen = next((record for record in listed if record.key_id == asked_id), first)
    state = state_of(chosen, now) if chosen else None
    key, key_problem = None, None
    works = state in (LicenseState.ACTIVE, LicenseState.SCHEDULED)
    if chosen and works and current_user.may(Permission.SEE_LICENSE_KEYS):
        try:
            key = issued_key or key_text(chosen, current_config().signing_keys)
        except SigningKeyMissing as error:
            key_problem = error.detail
    logged_out = _ended_by_revocation(chosen, now) if chosen else []
    return Listing(now, keys, chosen, state, key, key_problem, logged_out)


def _with_showing_logged(listing: Listing, *, generated: bool = False) -> Listing:
    """`listing`, the showing of its key being logged; without the key if that cannot be done."""
    if listing.key is None or listing.chosen is None:
        return listing
    if log_showing(listing.chosen, generated=generated):
        return listing
    return replace(listing, key=None, key_problem=NOT_LOGGED)


def _instructions(project: Project, listing: Listing) -> str:
    """The text to send to a partner with the chosen key: plain text, not HTML."""
    if listing.key is None:
        return ""
    return render_template(
        "licenses/instructions.txt", project=project, license=listing.chosen, key=listing.key
    )


def _license_of(project: Project, key_id: str) -> TemporaryLicense | None:
    """The license with this Key ID if it belongs to the project's organisation, else None."""
    license = find_license(db.session(), key_id)
    if license is None or license.organisation_id != project.organisation_id:
        return None
    return license


def must_find(project: Project, key_id: str) -> TemporaryLicense:
    """The license with this Key ID of the project's organisation. Raises NotFound."""
    license = _license_of(project, key_id)
    if license is None:
        raise NotFound(f"{project.organisation.name} has no key {key_id[:SHOWN_CHARACTERS]}.")
    return license


def _sessions_under(license: TemporaryLicense, now: datetime) -> list[AgentSession]:
    return live_sessions_under(db.session(), license.id, now, current_config().agent_limits)


def _ended_by_revocation(license: KeyRecord, now: datetime) -> list[EndedSession]:
    limits = current_config().agent_limits
    return ended_by_revocation(db.session(), license, now=now, limits=limits)


def _told_of_revocation(people: int) -> str:
    if people == 0:
        return "Nobody was signed in under it."
    return f"{people} {'person is' if people == 1 else 'people are'} being logged out."


def _told_of_length(license: KeyRecord, options: KeyOptions, organisation_id: str) -> str:
    """How long a new key works, from when, and who has cut the TTL that was chosen."""
    told = f"It works for {format_length(license.ttl_seconds)}"
    if is_later(license):
        told += f" from {utc_text(license.starts_at)} UTC"
    if license.ttl_seconds < options.ttl:
        holds = policy_in_force(db.session(), current_config(), organisation_id)
        told += f", cut to {holds.ceiling.level.ceiling}"
    return f"{told}."


def tab_address(project_id: int, *, key: str | None, ttl: str | None = None) -> str:
    return url_for("licenses.license_tab", project_id=project_id, key=key, ttl=ttl)
