"""How a user proves who they are: a super admin resets a second factor, and unties an identity."""

from flask import Blueprint, flash, url_for
from flask.typing import ResponseReturnValue

from app.accounts.authentication import lock_user
from app.accounts.identities import identity_of, untie
from app.accounts.second_factor import factors_of, reset_second_factor
from app.accounts.users import get_user, lock_by_email
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.extensions import db
from app.models import User
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
            crumbs=_crumbs(user),
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


@blueprint.get("/<id:user_id>/untie")
@requires(Permission.MANAGE_USERS)
def ask_to_untie(user_id: int) -> ResponseReturnValue:
    user, config = get_user(db.session(), user_id), current_config()
    tied = identity_of(db.session(), user.id, config.oidc_issuer) is not None
    return ask(
        Confirmation(
            title=f"Untie {user.email} from {config.oidc_name or 'the identity provider'}?",
            button="Untie",
            crumbs=_crumbs(user),
            sentences=[
                "They are signed out of the portal. Whoever signs in there next with this e-mail "
                "as a verified one is tied to them: for somebody whose account there was made anew."
            ],
            nothing_to_do="" if tied else "They are tied to no identity.",
        )
    )


@blueprint.post("/<id:user_id>/untie")
@requires(Permission.MANAGE_USERS)
@needs_proof
def untie_from_provider(user_id: int) -> ResponseReturnValue:
    user = lock_by_email(db.session(), get_user(db.session(), user_id).email)
    issuer = current_config().oidc_issuer
    untie(db.session(), user=user, issuer=issuer, actor=current_actor(), now=utcnow())
    flash(f"{user.email} is no longer tied to an identity.", "success")
    return redirect_see_other(url_for("users.show_user", user_id=user.id))


def _crumbs(user: User) -> list[tuple[str, str]]:
    own = url_for("users.show_user", user_id=user.id)
    return [("Users", url_for("users.list_users")), (user.email, own)]
