"""Your account: one's own password, browsers, and how pages look."""

from typing import Any

from flask import Blueprint, Response, flash, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import PasswordField, SelectField

from app.accounts.authentication import Authentication
from app.accounts.browsers import browsers_of, sign_out_browser, sign_out_other_browsers
from app.accounts.passkeys import passkeys_of
from app.accounts.passwords import hash_new_password
from app.accounts.second_factor import factors_of
from app.accounts.users import PROVIDER_ONLY, change_own_password, get_user
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput
from app.core.permissions import Permission
from app.core.text import counted
from app.extensions import db
from app.portal.gate import outside_checked_transaction
from app.portal.passkeys import own_site
from app.portal.proofs import prove, too_many
from app.web.access import current_actor, requires
from app.web.forms_again import shown_again_by
from app.web.htmx import redirect_see_other
from app.web.proxies import path_prefix
from app.web.transaction import defer_write

blueprint = Blueprint("account", __name__, url_prefix="/account")

YEAR_SECONDS = 365 * 24 * 3600
TIMES = [("local", "This browser's"), ("utc", "UTC")]
THEMES = [("system", "System's"), ("light", "Light"), ("dark", "Dark")]
"""The first of each is that of a browser without the cookie."""


class PasswordForm(FlaskForm):
    current_password = PasswordField(
        "Current password", render_kw={"autocomplete": "current-password", "aria-required": "true"}
    )
    new_password = PasswordField(
        "New password", render_kw={"autocomplete": "new-password", "aria-required": "true"}
    )


class DisplayForm(FlaskForm):
    """How pages look in this browser: kept in cookies, which JavaScript writes too."""

    times = SelectField("Time zone", validate_choice=False)
    theme = SelectField("Theme", validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.times.choices = TIMES
        self.theme.choices = THEMES


@blueprint.get("")
@requires(Permission.OWN_ACCOUNT)
def own() -> ResponseReturnValue:
    return page()


@blueprint.post("/password")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(own)
@defer_write
def change_password() -> ResponseReturnValue:
    form = PasswordForm(request.form)
    name = get_user(db.session(), current_user.id).name
    db.session.rollback()
    chosen = form.new_password.data or ""
    try:
        password_hash = hash_new_password(chosen, email=current_user.email, name=name)
    except InvalidInput as error:
        form.new_password.errors = [error.detail]
        return page(form), 422
    typed = form.current_password.data or ""
    who = prove(current_user.email, typed, outside_checked_transaction)
    if who.user is None or who.user.id != current_user.id:
        return _refused(form, who)
    change_own_password(
        db.session(),
        password_hash=password_hash,
        kept_session_id=current_user.session_id,
        actor=current_actor(),
        now=utcnow(),
    )
    flash("Your password is changed. Your other browsers are signed out.", "success")
    return redirect_see_other(url_for("account.own"))


def _page_of_browsers(browser_id: int) -> ResponseReturnValue:  # noqa: ARG001 (of the address)
    return own()


@blueprint.post("/browsers/<id:browser_id>/sign-out")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(_page_of_browsers)
def sign_out(browser_id: int) -> ResponseReturnValue:
    sign_out_browser(db.session(), session_id=browser_id, actor=current_actor(), now=utcnow())
    flash("That browser is signed out.", "success")
    return redirect_see_other(url_for("account.own"))


@blueprint.post("/sign-out-others")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(own)
def sign_out_others() -> ResponseReturnValue:
    ended = sign_out_other_browsers(
        db.session(),
        kept_session_id=current_user.session_id,
        actor=current_actor(),
        now=utcnow(),
    )
    flash(f"You are signed out in {counted(ended, 'other browser')}.", "success")
    return redirect_see_other(url_for("account.own"))


@blueprint.post("/display")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(own)
def save_display() -> ResponseReturnValue:
    form = DisplayForm()
    response = redirect_see_other(url_for("account.own"))
    for field in (form.times, form.theme):
        values = [value for value, _ in field.choices]
        chosen = field.data if field.data in values else values[0]
        _keep(response, field.name, chosen, usual=values[0])
    flash("Saved for this browser.", "success")
    return response


def _keep(response: Response, name: str, value: str, *, usual: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=0 if value == usual else YEAR_SECONDS,
        path=path_prefix() or "/",
        secure=request.is_secure,
        samesite="Lax",
    )


def _refused(form: PasswordForm, who: Authentication) -> ResponseReturnValue:
    tag = AuditTag.PASSWORD_REFUSED
    log_event(db.session(), tag, actor=current_actor(), now=utcnow(), subject=current_user.email)
    if not who.wait_seconds:
        form.current_password.errors = ["That is not your present password."]
        return page(form), 422
    form.current_password.errors = [too_many(who)]
    response = make_response(page(form), 429)
    response.headers["Retry-After"] = str(who.wait_seconds)
    return response


def page(form: PasswordForm | None = None, passkey_error: str = "") -> str:
    """The page, with what was wrong in the form of the password or with a passkey."""
    config, session = current_config(), db.session()
    user = get_user(session, current_user.id)
    live = browsers_of(
        session,
        user_id=current_user.id,
        now=utcnow(),
        idle_seconds=config.session_idle_seconds,
        max_seconds=config.session_max_seconds,
    )
    return render_template(
        "accounts/account.html",
        form=form or PasswordForm(formdata=None),
        display=DisplayForm(formdata=None, data=request.cookies),
        user=user,
        has_password=user.password_hash != PROVIDER_ONLY,
        provider=config.oidc_name,
        browsers=live,
        factors=factors_of(session, current_user.id),
        passkeys=passkeys_of(session, current_user.id),
        passkey_error=passkey_error,
        site=own_site(),
    )
