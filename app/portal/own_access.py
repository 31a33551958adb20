"""The keys made for a partner or developer, and what they ask for: "My access"."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from flask import Blueprint, Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.datastructures import MultiDict

from app.access.asking import (
    ask_for_key,
    ask_for_more_time,
    organisations_known_to,
    requests_of,
    withdraw_request,
)
from app.access.policies import policy_in_force
from app.access.policy_rules import PolicyInForce
from app.access.request_rules import RequestState, asked_length, read_options
from app.access.requests import state_of as request_state_of
from app.config import current_config
from app.core.clock import utcnow
from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import Conflict, InvalidInput, NotFound, SigningKeyMissing
from app.core.permissions import Permission
from app.core.tokens import new_token
from app.extensions import db
from app.keyformat.key_ids import normalise_key_id
from app.licenses.disclosures import NOT_YOURS, log_own_copy
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import find_license, licenses_for, state_of
from app.licenses.rules import LicenseState
from app.licenses.services import key_text
from app.models import Request, TemporaryLicense
from app.portal.ask_forms import AskForm, MoreTimeForm
from app.portal.showings import NOT_LOGGED, log_collection
from app.portal.start_page import start_endpoint
from app.portal.ticket_links import ticket_address
from app.web.access import current_actor, requires
from app.web.forms_again import entered, shown_again_by, undone
from app.web.htmx import fingerprint, is_seen, redirect_see_other, render

blueprint = Blueprint("own_access", __name__, url_prefix="/access")
WORKING = (LicenseState.ACTIVE, LicenseState.SCHEDULED)
OVER = (LicenseState.EXPIRED, LicenseState.REVOKED)
ASKED = "Request {} was sent. You see here when a super admin has decided."


class OwnKey(NamedTuple):
    """One of the person's keys: its text while it can be used, or why that is not shown."""

    license: TemporaryLicense
    state: LicenseState
    text: str
    problem: str


class OwnRequest(NamedTuple):
    """One of the person's requests: what was asked for, and for how many seconds."""

    request: Request
    asked: KeyOptions
    length: int
    state: RequestState


@dataclass(frozen=True)
class OwnAccess:
    """What one person has and has asked for at one instant."""

    now: datetime
    keys: list[OwnKey] = field(repr=False)
    requests: list[OwnRequest]

    @property
    def working(self) -> list[OwnKey]:
        """What can be used, now or later; an invalid key too, which time may mend."""
        return [own for own in self.keys if own.state not in OVER]

    @property
    def ended(self) -> list[OwnKey]:
        return [own for own in self.keys if own.state in OVER]

    @property
    def fingerprint(self) -> str:
        """A hash that changes when anything shown changes, except the countdowns."""
        shown: list[object] = [(own.request.id, own.state) for own in self.requests]
        for license, state, _, problem in self.keys:
            shown += [license.key_id, state, problem, license.expires_at, license.sign_ins_used]
        return fingerprint(shown)


@blueprint.app_context_processor
def add_start_endpoint() -> dict[str, Any]:
    """Every page links to the one on which its reader begins."""
    return {"start_endpoint": start_endpoint}


@blueprint.after_request
def never_store(response: Response) -> Response:
    """Responses that may contain a key must not be cached anywhere."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("")
@requires(Permission.OWN_ACCESS)
def show() -> ResponseReturnValue:
    own = _own_access()
    if is_seen(own.fingerprint):
        return "", 204
    return _page(own)


@blueprint.post("")
@requires(Permission.OWN_ACCESS)
@undone("nothing was sent")
def ask() -> ResponseReturnValue:
    form = AskForm()
    try:
        made = ask_for_key(
            db.session(),
            actor=current_actor(),
            config=current_config(),
            organisation_id=form.organisation_id.data or "",
            options=form.options(),
            now=utcnow(),
            form_token=form.token,
        )
    except InvalidInput as error:
        form.show(error)
        return _page(_own_access(), form=form, status=422)
    flash(ASKED.format(made.id), "success")
    return redirect_see_other(url_for("own_access.show"))


@blueprint.post("/<key_id>/more")
@requires(Permission.OWN_ACCESS)
@shown_again_by(lambda **_: show())
@undone("nothing was sent")
def ask_for_more(key_id: str) -> ResponseReturnValue:
    form = MoreTimeForm()
    try:
        made = ask_for_more_time(
            db.session(),
            actor=current_actor(),
            config=current_config(),
            key_id=key_id,
            seconds=parse_ttl(form.ttl.data or ""),
            reason=form.reason.data or "",
            clock=utcnow,
        )
    except InvalidInput as error:
        (form.reason if error.field == "reason" else form.ttl).errors = [error.detail]
        return _page(_own_access(), more=key_id, more_form=form, status=422)
    except Conflict as error:
        return _page(_own_access(), conflict=error.detail, status=error.status)
    flash(ASKED.format(made.id), "success")
    return redirect_see_other(url_for("own_access.show"))


@blueprint.post("/requests/<id:request_id>/withdraw")
@requires(Permission.OWN_ACCESS)
@shown_again_by(lambda **_: show())
def withdraw(request_id: int) -> ResponseReturnValue:
    try:
        withdraw_request(db.session(), actor=current_actor(), request_id=request_id, clock=utcnow)
    except Conflict as error:
        return _page(_own_access(), conflict=error.detail, status=error.status)
    flash(f"Request {request_id} was withdrawn.", "success")
    return redirect_see_other(url_for("own_access.show"))


@blueprint.post("/<key_id>/copied")
@requires(Permission.OWN_ACCESS)
def copied(key_id: str) -> ResponseReturnValue:
    """The page reports that it has put a whole key into the clipboard."""
    license = find_license(db.session(), key_id)
    if license is None:
        raise NotFound(NOT_YOURS)
    log_own_copy(db.session(), actor=current_actor(), license=license, clock=utcnow)
    return "", 204


def _own_access() -> OwnAccess:
    """What the current user has, each key whose text is shown being logged."""
    session, now = db.session(), utcnow()
    licenses = [(one, state_of(one, now)) for one in licenses_for(session, current_user.id, now)]
    logged = log_collection([license for license, state in licenses if state in WORKING])
    keys = [_own_key(license, state, logged=logged) for license, state in licenses]
    requests = []
    for made in requests_of(session, current_user.id):
        asked = read_options(made.options)
        length = asked_length(asked, made.asked_at)
        requests.append(OwnRequest(made, asked, length, request_state_of(made, now)))
    return OwnAccess(now, keys, requests)


def _own_key(license: TemporaryLicense, state: LicenseState, *, logged: bool) -> OwnKey:
    if state not in WORKING:
        return OwnKey(license, state, "", "")
    if not logged:
        return OwnKey(license, state, "", NOT_LOGGED)
    try:
        return OwnKey(license, state, key_text(license, current_config().signing_keys), "")
    except SigningKeyMissing as error:
        return OwnKey(license, state, "", error.detail)


def _page(
    own: OwnAccess,
    *,
    form: AskForm | None = None,
    more: str = "",
    more_form: MoreTimeForm | None = None,
    conflict: str = "",
    status: int = 200,
) -> Response:
    """The page, or the part of it that refreshes itself."""
    holds = policy_in_force(db.session(), current_config())
    extended = _to_extend(own, more or request.args.get("more", ""))
    asked = {} if extended else _asked_by_address()
    typed = _typed()
    form = form or AskForm(formdata=typed, data=asked)
    context: dict[str, Any] = {
        "own": own,
        "now": own.now,
        "may_ask": holds.partners_may_ask.value,
        "form": _offered(form, holds),
        "asking": bool(typed or asked),
        "known": organisations_known_to(db.session(), current_user.id),
        "extended": extended,
        "more_form": _offered_more(more_form, holds) if extended else None,
        "conflict": conflict,
        "ticket_address": ticket_address,
    }
    return render("access/own.html", "access/_own.html", status, **context)


def _asked_by_address() -> dict[str, str]:
    """What an OP Agent's "Ask for more time" has in its address, for a key of anybody."""
    organisation_id = request.args.get("organisation_id", "")
    return {"organisation_id": organisation_id} if organisation_id else {}


def _typed() -> MultiDict[str, str] | None:
    """What was entered in the form that asks for a key; the page has others too."""
    form = entered()
    return form if form and "organisation_id" in form else None


def _offered(form: AskForm, holds: PolicyInForce) -> AskForm:
    """Ready to be shown: with the TTLs that the installation's policy lets through."""
    choices = holds.limits(current_config().license_ttls).choices
    form.offer(choices, holds.default_choice(choices))
    form.obey(holds)
    form.form_token.data = new_token()
    return form


def _offered_more(form: MoreTimeForm | None, holds: PolicyInForce) -> MoreTimeForm:
    form = form or MoreTimeForm(formdata=None)
    choices = holds.limits(current_config().license_ttls).choices
    form.ttl.choices = [(short_ttl(choice), format_ttl(choice)) for choice in choices]
    if holds.reason_required.value:
        form.reason.render_kw = {**form.reason.render_kw, "aria-required": "true"}
    return form


def _to_extend(own: OwnAccess, key_id: str) -> OwnKey | None:
    """The key with this Key ID, if it is theirs and has not ended."""
    asked = normalise_key_id(key_id)
    theirs = (key for key in own.keys if key.state in WORKING)
    return next((key for key in theirs if key.license.key_id == asked), None)
