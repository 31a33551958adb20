"""The page on which somebody with a one-time link chooses their password."""

from flask import Blueprint, Response, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import PasswordField

from app.accounts.links import LINK_PATH, lets_in, user_of_link
from app.accounts.passwords import hash_new_password
from app.agents.people import set_password_by_link
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import InvalidInput
from app.core.permissions import Permission, allows
from app.extensions import db
from app.models import User
from app.portal.half_way import asks_second_factor, begin_half_way, open_session_of
from app.portal.start_page import start_page
from app.web.access import client_address, public
from app.web.htmx import redirect_see_other
from app.web.transaction import begin_write, defer_write

blueprint = Blueprint("new_password", __name__, url_prefix=LINK_PATH)


class NewPasswordForm(FlaskForm):
    new_password = PasswordField(
        "New password", render_kw={"autocomplete": "new-password", "aria-required": "true"}
    )


@blueprint.after_request
def never_store(response: Response) -> Response:
    """The address is a secret, so nothing of the page is kept anywhere."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/<token>")
@public
def choose(token: str) -> ResponseReturnValue:
    user = user_of_link(db.session(), token=token, now=utcnow())
    return _page(user, NewPasswordForm(formdata=None))


@blueprint.post("/<token>")
@public
@defer_write
def set_chosen(token: str) -> ResponseReturnValue:
    # Not request.files: an uploaded file is never taken for the text of a field.
    form = NewPasswordForm(request.form)
    user = user_of_link(db.session(), token=token, now=utcnow())
    email, name = user.email, user.name
    db.session.rollback()
    try:
        password_hash = hash_new_password(form.new_password.data or "", email=email, name=name)
    except InvalidInput as error:
        form.new_password.errors = [error.detail]
        return _page(user_of_link(db.session(), token=token, now=utcnow()), form, 422)
    begin_write()
    user = set_password_by_link(
        db.session(),
        token=token,
        password_hash=password_hash,
        address=client_address(),
        now=utcnow(),
    )
    may_enter = allows(user.role, Permission.OWN_ACCOUNT)
    if may_enter and not current_config().local_sign_in and lets_in(db.session(), token):
        return _let_in(user)
    where = "here" if may_enter and current_config().local_sign_in else "on the OP Agent"
    flash(f"Your password is set. Sign in with it {where}.", "success")
    return redirect_see_other(url_for("accounts.sign_in_page"))


def _let_in(user: User) -> ResponseReturnValue:
    """The way in where passwords open nothing here: for when the identity provider fails."""
    if asks_second_factor(user):
        begin_half_way(user, "")
        return redirect_see_other(url_for("second_factor.ask"))
    open_session_of(user)
    return redirect_see_other(start_page(user.role))


def _page(user: User, form: NewPasswordForm, status: int = 200) -> ResponseReturnValue:
    return render_template("accounts/new_password.html", user=user, form=form), status
