"""The OP Agent in the browser. It uses the same services as the agents' JSON interface.

It has its own cookie: being signed in here is independent of being signed in on the portal.
"""

import hashlib
from math import ceil

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    make_response,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf

from app.accounts.authentication import authenticate
from app.agents.codes import EndCause, EndCode, RefusalCode
from app.agents.configuration import configuration_of, save_configuration
from app.agents.heartbeats import LiveSession, heartbeat, live_session_of
from app.agents.mac import new_local_mac, normalise_mac
from app.agents.registration import SignInRequest
from app.agents.session_rules import SessionEnd
from app.agents.sessions import confirm_end, lock_session, session_behind, sign_out
from app.agents.sign_in import SignedIn, Throttled, sign_in
from app.agents.sign_in_rules import Refusal
from app.browser_agent.forms import AgentSignInForm
from app.browser_agent.wording import with_instant
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput
from app.core.permissions import ROLE_LABELS
from app.core.text import counted
from app.extensions import db
from app.models import AgentSession
from app.web.access import client_address, public
from app.web.errors import note_refusal
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import is_partial, redirect_see_other, render
from app.web.request_log import note_person
from app.web.transaction import begin_write, defer_write, outside_transaction

blueprint = Blueprint("console", __name__)

ADDRESS = "/agent"
COOKIE = "op_agent"
ENDED_COOKIE = "op_agent_ended"
"""Holds the token of an ended session from when a page says so until the page confirms it."""
CONFIRM_SECONDS = 300
MAC_COOKIE = "op_agent_mac"
ONE_YEAR_SECONDS = 365 * 24 * 3600
BROWSER_CONFIGURATION = {"agent": "browser"}
"""What this agent saves; other members of the saved configuration data are kept."""


@blueprint.get(ADDRESS)
@public
def window() -> ResponseReturnValue:
    token = request.cookies.get(COOKIE)
    if token is None:
        return _sign_in_window(AgentSignInForm(formdata=entered()))
    outcome = _heartbeat(token)
    if isinstance(outcome, SessionEnd):
        return _ended(outcome)
    if request.endpoint == "console.log_in":
        return redirect_see_other(ADDRESS)
    return _workspace(outcome)


@blueprint.post(ADDRESS)
@public
@defer_write
def log_in() -> ResponseReturnValue:
    # Not request.files: an uploaded file is never taken for the text of a field.
    form = AgentSignInForm(formdata=request.form)
    if not form.validate():
        return _sign_in_window(form, 422)
    who = authenticate(
        db.session(),
        login_id=form.login_id.data,
        password=form.password.data,
        address=client_address(),
        secret=current_config().secret_key,
        limit=current_config().signin_failures,
        clock=utcnow,
        outside_transaction=outside_transaction,
    )
    outcome = sign_in(
        db.session(),
        who=who,
        request=SignInRequest(
            registration_key=form.registration_key.data or "",
            mac_id=form.mac_id.data or _own_mac(),
            agent_version="browser",
        ),
        signing_keys=current_config().signing_keys,
        registrations=current_config().registrations,
        clock=utcnow,
    )
    if isinstance(outcome, Throttled):
        return _throttled(form, outcome)
    if isinstance(outcome, Refusal):
        return _refused(form, outcome)
    return _signed_in(form, outcome)


@blueprint.post(f"{ADDRESS}/configuration")
@public
@defer_write
@shown_again_by(window)
def configuration() -> ResponseReturnValue:
    outcome = _heartbeat(request.cookies.get(COOKIE, ""))
    if isinstance(outcome, SessionEnd):
        return _ended(outcome)
    begin_write()
    locked = lock_session(
        db.session(),
        token=request.cookies.get(COOKIE, ""),
        clock=utcnow,
        limits=current_config().agent_limits,
    )
    if isinstance(locked, SessionEnd):
        return _ended(locked)
    refusal = _save_configuration(locked)
    if refusal is not None:
        return _workspace(live_session_of(locked), 403, refusal=refusal)
    return redirect_see_other(url_for("console.window"))


@blueprint.post(f"{ADDRESS}/logout")
@public
@shown_again_by(window)
def log_out() -> ResponseReturnValue:
    _end_session_of_cookie()
    if "shown" in request.form:
        # The page shut its window before it asked, and says so itself.
        return _without_cookie(make_response("", 204), COOKIE)
    flash("You are logged out.", "success")
    return _without_cookie(redirect_see_other(url_for("console.window")), COOKIE)


@blueprint.post(f"{ADDRESS}/confirm")
@public
@shown_again_by(window)
def confirm() -> ResponseReturnValue:
    """Called by the page when it has logged out after its session's end."""
    token = request.cookies.get(ENDED_COOKIE) or request.cookies.get(COOKIE, "")
    limits = current_config().agent_limits
    confirm_end(db.session(), token=token, now=utcnow(), limits=limits)
    return _without_cookie(make_response("", 204), ENDED_COOKIE)


@blueprint.after_request
def keep_to_this_browser(response: Response) -> Response:
    """Forbid caching; store the browser's own MAC ID in a cookie for a year."""
    response.headers["Cache-Control"] = "no-store"
    if "own_mac" in g:
        _set_cookie(response, MAC_COOKIE, g.own_mac, max_age=ONE_YEAR_SECONDS)
    return response


def _sign_in_window(form: AgentSignInForm, status: int = 200) -> Response:
    return _window(status, title="OP Agent log-in", form=form)


def _after_the_end(end: SessionEnd, live: LiveSession | None) -> dict[str, object]:
    """What the sign-in window says after a session's end, ready for the same person to go on."""
    key_ended = end.code in (EndCode.KEY_EXPIRED, EndCode.KEY_REVOKED)
    return {
        "form": AgentSignInForm(formdata=None, login_id=live.login_id if live else ""),
        "ended": with_instant(end.sentence, end.at),
        "key_options_open": live is not None and live.key_expires_at is not None,
        "key_needed_for": live if live and key_ended else None,
    }


def _workspace(live: LiveSession, status: int = 200, refusal: Refusal | None = None) -> Response:
    now, ends_at = utcnow(), live.key_expires_at
    expiry = SessionEnd(EndCause.KEY_EXPIRED, ends_at) if ends_at else None
    seen = _fingerprint(live)
    if is_partial() and request.headers.get("X-Seen") == seen:
        return make_response("", 204)
    return _window(
        status,
        seen=seen,
        title=live.organisation_name,
        live=live,
        role_label=ROLE_LABELS[live.role],
        now=now,
        seconds_left=max(1, ceil((expiry.at - now).total_seconds())) if expiry else None,
        refusal=refusal,
        # For the sign-in window that the page shows by itself if the server is unreachable.
        afterwards=_after_the_end(expiry or SessionEnd(EndCause.SIGNED_OUT, now), live),
    )


def _fingerprint(live: LiveSession) -> str:
    """Changes when anything in the workspace does, the token of its forms included."""
    generate_csrf()
    shown = [live.id, live.organisation_name, live.role.value, live.key_expires_at]
    return hashlib.sha256(repr([*shown, session["csrf_token"]]).encode()).hexdigest()[:16]


def _window(status: int, **context: object) -> Response:
    return render(
        "browser_agent/console.html",
        "browser_agent/_swap.html",
        status,
        own_mac=_own_mac(),
        heartbeat_seconds=current_config().heartbeat_seconds,
        **context,
    )


def _ended(end: SessionEnd) -> Response:
    ended = session_behind(db.session(), request.cookies.get(COOKIE, ""))
    live = live_session_of(ended) if ended else None
    response = _window(401, title="OP Agent log-in", **_after_the_end(end, live))
    if is_partial():
        # After a heartbeat the cookie stays, so that the browser's other windows are told too.
        return response
    if end.cause is not EndCause.UNKNOWN:
        token = request.cookies.get(COOKIE, "")
        _set_cookie(response, ENDED_COOKIE, token, max_age=CONFIRM_SECONDS)
    return _without_cookie(response, COOKIE)


def _signed_in(form: AgentSignInForm, signed_in: SignedIn) -> Response:
    _end_session_of_cookie()
    agent_session = signed_in.agent_session
    if signed_in.license_key is not None:
        organisation = agent_session.organisation.name
        flash(f"This machine is registered with {organisation} now.", "success")
    if form.save_configuration.data:
        _save_configuration(agent_session)
    response = redirect_see_other(url_for("console.window"))
    _set_cookie(response, COOKIE, signed_in.token)
    return response


def _save_configuration(agent_session: AgentSession) -> Refusal | None:
    """Save this agent's configuration data; the next page shows a message."""
    data = configuration_of(db.session(), agent_session.organisation_id) | BROWSER_CONFIGURATION
    refusal = save_configuration(db.session(), agent_session=agent_session, data=data, now=utcnow())
    if refusal is None:
        flash("The configuration data was saved in Cloud.", "success")
    return refusal


def _refused(form: AgentSignInForm, refusal: Refusal) -> Response:
    note_refusal(refusal.code.value)
    field = form[refusal.code.field]
    field.errors = [with_instant(refusal.sentence, refusal.at)]
    return _sign_in_window(form, 401 if refusal.code is RefusalCode.INVALID_CREDENTIALS else 422)


def _throttled(form: AgentSignInForm, throttled: Throttled) -> Response:
    field, reason = (
        (form.mac_id, "You have registered too many machines.")
        if throttled.registering
        else (form.password, "Too many wrong passwords for this account from your address.")
    )
    field.errors = [f"{reason} Try again in {counted(throttled.wait_seconds, 'second')}."]
    response = _sign_in_window(form, 429)
    response.headers["Retry-After"] = str(throttled.wait_seconds)
    return response


def _heartbeat(token: str) -> LiveSession | SessionEnd:
    limits = current_config().agent_limits
    outcome = heartbeat(db.session(), token=token, now=utcnow(), limits=limits)
    if isinstance(outcome, LiveSession):
        note_person(outcome.user_id)
    return outcome


def _end_session_of_cookie() -> None:
    token = request.cookies.get(COOKIE)
    if token is not None:
        limits = current_config().agent_limits
        sign_out(db.session(), token=token, now=utcnow(), limits=limits)


def _own_mac() -> str:
    """This browser's own MAC ID, from its cookie, or a new one."""
    if "own_mac" not in g:
        try:
            g.own_mac = normalise_mac(request.cookies.get(MAC_COOKIE, ""))
        except InvalidInput:
            g.own_mac = new_local_mac()
    return str(g.own_mac)


def _set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path=url_for("console.window"),
        httponly=True,
        samesite="Strict",
        secure=current_config().https,
    )


def _without_cookie(response: Response, name: str) -> Response:
    response.delete_cookie(
        name,
        path=url_for("console.window"),
        httponly=True,
        samesite="Strict",
        secure=current_config().https,
    )
    return response
