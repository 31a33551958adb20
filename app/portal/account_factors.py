"""Your account: adding and removing one's own second factors."""

from flask import Blueprint, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.authentication import lock_user
from app.accounts.browsers import browser_name
from app.accounts.passkeys import add_passkey
from app.accounts.second_factor import (
    remove_authenticator,
    remove_passkey,
    renew_recovery_codes,
)
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput, NotFound
from app.core.permissions import Permission
from app.extensions import db
from app.models import User
from app.portal import account
from app.portal.passkeys import challenges, own_site
from app.portal.second_factor import show_recovery_codes
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import shown_again_by
from app.web.htmx import redirect_see_other

blueprint = Blueprint("account_factors", __name__, url_prefix="/account")


@blueprint.post("/passkeys")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(account.own)
@needs_proof
def add_key() -> ResponseReturnValue:
    site = own_site()
    if site is None:
        raise NotFound("Passkeys need a portal with a name: an IP address has none.")
    try:
        codes = add_passkey(
            db.session(),
            user=_user(),
            answer=request.form.get("passkey", ""),
            name=browser_name(request.user_agent.string) or "added here",
            site=site,
            challenges=challenges(),
            actor=current_actor(),
            now=utcnow(),
        )
    except InvalidInput as error:
        return account.page(passkey_error=error.detail), 422
    flash("The passkey is added.", "success")
    return show_recovery_codes(codes, url_for("account.own")) if codes else _back()


@blueprint.post("/passkeys/<id:passkey_id>/remove")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(lambda **_: account.own())
@needs_proof
def remove_key(passkey_id: int) -> ResponseReturnValue:
    remove_passkey(
        db.session(), user=_user(), passkey_id=passkey_id, actor=current_actor(), now=utcnow()
    )
    flash("The passkey is removed.", "success")
    return _back()


@blueprint.post("/authenticator/remove")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(account.own)
@needs_proof
def remove_app() -> ResponseReturnValue:
    remove_authenticator(db.session(), user=_user(), actor=current_actor(), now=utcnow())
    flash("The authenticator app is removed.", "success")
    return _back()


@blueprint.post("/recovery-codes")
@requires(Permission.OWN_ACCOUNT)
@shown_again_by(account.own)
@needs_proof
def renew_codes() -> ResponseReturnValue:
    codes = renew_recovery_codes(
        db.session(),
        user=_user(),
        secret_key=current_config().secret_key,
        actor=current_actor(),
        now=utcnow(),
    )
    return show_recovery_codes(codes, url_for("account.own"))


def _user() -> User:
    user = lock_user(db.session(), current_user.id)
    if user is None:
        raise NotFound("You are not a user any more.")
    return user


def _back() -> ResponseReturnValue:
    return redirect_see_other(url_for("account.own"))
