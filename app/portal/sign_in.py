"""Signing in to the portal, and out of it."""

from flask import Blueprint, flash, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import EmailField, HiddenField, PasswordField
from wtforms.validators import InputRequired, Length

from app.accounts.authentication import Authentication
from app.accounts.web_sessions import touch_web_session
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import NotAllowed
from app.core.text import EMAIL_LENGTH, PASSWORD_LENGTHS
from app.extensions import db
from app.portal.half_way import asks_second_factor, begin_half_way, end_session, open_session
from app.portal.login import reason_to_sign_in, sign_in_that_ended
from app.portal.passkeys import own_site
from app.portal.proofs import prove, too_many
from app.portal.start_page import start_page
from app.web.access import SignInNeeded, public, safe_next
from app.web.forms_again import entered, shown_again_by, undone_by_kept_form
from app.web.htmx import redirect_see_other
from app.web.transaction import defer_write, outside_transaction

WORKS_ON_AGENT = "Your account works on the OP Agent, not on this portal. Sign in on the OP Agent."


class SignInForm(FlaskForm):
    email = EmailField(
        "E-mail",
        validators=[
            InputRequired("Enter your e-mail."),
            Length(
                max=EMAIL_LENGTH,
                message=f"An e-mail address has at most {EMAIL_LENGTH} characters.",
            ),
        ],
        render_kw={"autocomplete": "username"},
    )
    password = PasswordField(
        "Password",
        validators=[
            InputRequired("Enter your password."),
            Length(
                max=PASSWORD_LENGTHS[1],
                message=f"A password has at most {PASSWORD_LENGTHS[1]} characters.",
            ),
        ],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()


blueprint = Blueprint("accounts", __name__)


@blueprint.get("/login")
@public
def sign_in_page() -> ResponseReturnValue:
    next_address = safe_next(request.values.get("next"))
    if current_user.is_authenticated:
        return redirect_see_other(start_page(current_user.role, next_address))
    return _sign_in_form(SignInForm(entered(), next=next_address), 200)


@blueprint.post("/login")
@public
@defer_write
def sign_in() -> ResponseReturnValue:
    must_be_local()
    # Not request.files: an uploaded file is never taken for the text of a field.
    form = SignInForm(request.form)
    if not form.validate():
        return _sign_in_form(form, 422)
    who = prove(form.email.data, form.password.data, outside_transaction)
    next_address = safe_next(form.next.data)
    if who.user is not None and asks_second_factor(who.user):
        begin_half_way(who.user, next_address or "")
        return redirect_see_other(url_for("second_factor.ask"))
    if not open_session(who):
        return _refused(form, who)
    return redirect_see_other(start_page(current_user.role, next_address))


@blueprint.post("/stay-signed-in")
@public
@shown_again_by(sign_in_page)
def stay() -> ResponseReturnValue:
    """The answer to a page's notice that the sign-in is about to end: this was activity."""
    if not current_user.is_authenticated:
        raise SignInNeeded(url_for("home.index"))
    touch_web_session(db.session(), session_id=current_user.session_id, now=utcnow())
    return "", 204


def must_be_local() -> None:
    """Raises NotAllowed where only the identity provider lets people in."""
    if not current_config().local_sign_in:
        raise NotAllowed(
            f"Here one signs in with {current_config().oidc_name}, and with nothing else."
        )


def refused_sign_in_page(
    sentence: str, status: int, next_address: str | None = None
) -> ResponseReturnValue:
    """The sign-in page, which says why somebody was not signed in."""
    return _sign_in_form(SignInForm(None, next=next_address), status, sentence)


def _signed_out_already() -> ResponseReturnValue | None:
    """A second sign-out has nothing left to do, so nothing speaks against it."""
    return None if current_user.is_authenticated else _signed_out()


@blueprint.post("/logout")
@public
@shown_again_by(_signed_out_already)
def sign_out() -> ResponseReturnValue:
    end_session()
    return _signed_out()


def _signed_out() -> ResponseReturnValue:
    flash("You are signed out.", "success")
    return redirect_see_other(url_for("accounts.sign_in_page"))


def _refused(form: SignInForm, who: Authentication) -> ResponseReturnValue:
    if who.wait_seconds:
        form.password.errors = [too_many(who)]
        response = make_response(_sign_in_form(form, 429))
        response.headers["Retry-After"] = str(who.wait_seconds)
        return response
    if who.user is not None:
        form.email.errors = [WORKS_ON_AGENT]
        return _sign_in_form(form, 401)
    form.password.errors = [
        "E-mail or password is wrong. Check both, or ask a super admin to reset your password."
    ]
    return _sign_in_form(form, 401)


def _sign_in_form(form: SignInForm, status: int, refused: str = "") -> ResponseReturnValue:
    config = current_config()
    page = render_template(
        "accounts/sign_in.html",
        form=form,
        reason=reason_to_sign_in(sign_in_that_ended(), undone_by_kept_form()),
        refused=refused,
        site=own_site(),
        provider=config.oidc_name if config.oidc_issuer else "",
        local=config.local_sign_in,
    )
    return page, status
