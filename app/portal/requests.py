"""Requests for keys: those that wait, and the decision on one."""

from typing import Any

from flask import Blueprint, flash, g, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import StringField

from app.access.issuing import approve_request
from app.access.policies import policy_in_force
from app.access.policy_rules import Level, PolicyInForce
from app.access.request_rules import RequestState, as_of_now, asked_length, read_options
from app.access.requests import (
    asked_options,
    count_waiting,
    decided_requests,
    get_request,
    refuse_request,
    state_of,
    waiting_requests,
)
from app.config import current_config
from app.core.clock import utc_text, utcnow
from app.core.durations import format_ttl
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Permission
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.licenses.recipients import offered_recipients
from app.models import Organisation, Request
from app.portal.license_form import UNTIL, GenerateForm, form_for
from app.portal.ticket_links import ticket_address
from app.web.access import current_actor, requires
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import redirect_see_other

blueprint = Blueprint("requests", __name__, url_prefix="/requests")
DECIDED_SHOWN = 50


@blueprint.app_context_processor
def count_for_navigation() -> dict[str, Any]:
    """How many wait, counted once a page."""
    return {"requests_waiting": _waiting}


def _waiting() -> int:
    if "requests_waiting" not in g:
        g.requests_waiting = count_waiting(db.session(), utcnow())
    waiting: int = g.requests_waiting
    return waiting


class RefuseForm(FlaskForm):
    """Why a request is refused."""

    reason = StringField("Reason", id="refuse-reason", render_kw={"aria-required": "true"})


@blueprint.get("")
@requires(Permission.VIEW_REQUESTS)
def list_requests() -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    return render_template(
        "requests/list.html",
        waiting=[(request, *_asked(request)) for request in waiting_requests(session, now)],
        decided=[
            (request, *_asked(request), state_of(request, now))
            for request in decided_requests(session, DECIDED_SHOWN)
        ],
    )


@blueprint.get("/<id:request_id>")
@requires(Permission.VIEW_REQUESTS)
def show(request_id: int) -> ResponseReturnValue:
    request = get_request(db.session(), request_id)
    return _page(request, _form_of(request), RefuseForm(formdata=None))


@blueprint.post("/<id:request_id>/approve")
@requires(Permission.DECIDE_REQUESTS)
@shown_again_by(show)
def approve(request_id: int) -> ResponseReturnValue:
    request, form = get_request(db.session(), request_id), GenerateForm()
    try:
        approve_request(
            db.session(),
            actor=current_actor(),
            config=current_config(),
            request_id=request_id,
            options=None if request.extends_id else _given(form, read_options(request.options)),
            clock=utcnow,
        )
    except InvalidInput as error:
        form.show(error)
        return _page(request, form, RefuseForm(formdata=None)), error.status
    except Conflict as error:
        return _page(request, form, RefuseForm(formdata=None), error.detail), error.status
    flash(f"Request {request_id} was approved. {_told_of_key(request)}", "success")
    return redirect_see_other(url_for("requests.show", request_id=request_id))


@blueprint.post("/<id:request_id>/refuse")
@requires(Permission.DECIDE_REQUESTS)
@shown_again_by(show)
def refuse(request_id: int) -> ResponseReturnValue:
    request, form = get_request(db.session(), request_id), RefuseForm()
    try:
        refuse_request(
            db.session(),
            actor=current_actor(),
            request_id=request_id,
            reason=form.reason.data or "",
            clock=utcnow,
        )
    except InvalidInput as error:
        form.reason.errors = [error.detail]
        return _page(request, _form_of(request), form), error.status
    except Conflict as error:
        return _page(request, _form_of(request), form, error.detail), error.status
    flash(f"Request {request_id} was refused.", "success")
    return redirect_see_other(url_for("requests.list_requests"))


def _given(form: GenerateForm, asked: KeyOptions) -> KeyOptions:
    """What the form gives; a TTL that was chosen stands in the place of the end asked for.

    Raises InvalidInput with the name of a field of the form.
    """
    given = form.options()
    if asked.ends_at and form.ttl.data != UNTIL:
        filled_in = asked.ends_at.replace(second=0)
        if given.ends_at == filled_in:
            form.ends_at.data = ""
            given = form.options()
    return given


def _asked(request: Request) -> tuple[KeyOptions, int]:
    asked = read_options(request.options)
    return asked, asked_length(asked, request.asked_at)


def _form_of(request: Request) -> GenerateForm:
    """The form as it was asked for."""
    kept = entered()
    if kept and "ttl" in kept:
        return GenerateForm(formdata=kept)
    return form_for(as_of_now(asked_options(db.session(), request), utcnow()))


def _page(request: Request, form: GenerateForm, refusal: RefuseForm, conflict: str = "") -> str:
    session, config = db.session(), current_config()
    session.refresh(request)
    holds = policy_in_force(session, config, request.organisation_id)
    form.obey(holds)
    asked, length = _asked(request)
    ttls = tuple(sorted({*config.license_ttls, asked.ttl} - {0}))
    form.offer(ttls, holds.default_choice(ttls))
    state = state_of(request, utcnow())
    return render_template(
        "requests/request.html",
        asked_for=request,
        asked=asked,
        length=length,
        state=state,
        form=form,
        refusal=refusal,
        conflict=conflict,
        organisation=session.get(Organisation, request.organisation_id),
        may_decide=state is RequestState.WAITING and current_user.may(Permission.DECIDE_REQUESTS),
        own=request.asked_by_id == current_user.id,
        ceiling=_ceiling_in_words(holds),
        recipients=_offered(asked) if state is RequestState.WAITING else [],
        ticket_address=ticket_address,
    )


def _told_of_key(request: Request) -> str:
    """Until when the key works that a request has got, which may be less than was asked for."""
    db.session.flush()
    db.session.refresh(request)
    if (license := request.license) is None:
        return ""
    return f"{license.key_id} works until {utc_text(license.expires_at)} UTC."


def _ceiling_in_words(holds: PolicyInForce) -> str:
    """To what a longer TTL is cut, and by whom; "" if none that is offered is longer."""
    ceiling, level = holds.ceiling
    return "" if level is Level.SETTINGS else f"{format_ttl(ceiling)}: {level.ceiling}"


def _offered(asked: KeyOptions) -> list[str]:
    """For whom it can be: for whom it was asked, if for anybody."""
    if asked.recipient:
        return [asked.recipient]
    return [user.email for user in offered_recipients(db.session(), "")]
