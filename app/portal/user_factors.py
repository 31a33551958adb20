"""A user's second factor, which a super admin resets when it is lost."""

from flask import Blueprint, flash, url_for
from flask.typing import ResponseReturnValue

from app.accounts.authentication import lock_user
from app.accounts.second_factor import factors_of, reset_second_factor
from app.accounts.users import get_user
from app.core.clock import utcnow
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.extensions import db
from app.portal.confirmations import Confirmation, ask
from app.web.access import current_actor, needs_proof, requires
from app.web.htmx import redirect_see_other

blueprint = Blueprint("user_factors", __name__, url_prefix="/users")


@blueprint.get("/<id:user_id>/reset-second-factor")
@requires(Permission.MANAGE_USERS)
def ask_to_reset(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    has_any = factors_of(db.session(), user.id).any
    return ask(
        Confirmation(
            title=f"Reset the second factor of {user.email}?",
            button="Reset second factor",
            crumbs=[
                ("Users", url_for("users.list_users")),
                (user.email, url_for("users.show_user", user_id=user.id)),
            ],
            sentences=[
                "Their authenticator app, passkeys and recovery codes work no more. Make sure by "
                "another way than e-mail that it is they who ask.",
                "Where a second factor is required, they set one up at their next sign-in.",
            ],
            nothing_to_do="" if has_any else "They have no second factor.",
        )
    )


@blueprint.post("/<id:user_id>/reset-second-factor")
@requires(Permission.MANAGE_USERS)
@needs_proof
def reset(user_id: int) -> ResponseReturnValue:
    user = lock_user(db.session(), get_user(db.session(), user_id).id)
    if user is None:
        raise Conflict("They are disabled. Enable them first.")
    reset_second_factor(db.session(), user=user, actor=current_actor(), now=utcnow())
    flash(f"The second factor of {user.email} is reset.", "success")
    return redirect_see_other(url_for("users.show_user", user_id=user.id))
