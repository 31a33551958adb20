"""Users: the list, a user's page, creating and inviting one, and what a super admin may do."""

from typing import Any

from flask import Blueprint, Response, flash, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from app.accounts.finding import LONGEST_SEARCH, UserSearch, find_users, read_user_search
from app.accounts.identities import identity_of
from app.accounts.links import LINK_LIFE, LINK_PATH, make_link
from app.accounts.passwords import hash_new_password
from app.accounts.users import (
    NO_PASSWORD,
    create_user,
    disable_user,
    get_user,
    is_last_super_admin,
    lock_by_email,
)
from app.agents.people import (
    active_keys_issued_by,
    change_user,
    disable_and_revoke,
    enable_user,
    sign_out_everywhere,
)
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import ROLE_LABELS, Permission, Role
from app.core.text import counted
from app.extensions import db
from app.models import Organisation, User, UserState
from app.notices.outbox import mail_link
from app.portal.confirmations import Choice, Confirmation, Name, Sentence, ask
from app.portal.gate import begin_checked_write
from app.portal.user_form import NewUserForm, UserForm, form_of, version_of
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import is_partial, keep_address_in_step, redirect_see_other, render
from app.web.paging import requested_number
from app.web.proxies import reached_root
from app.web.transaction import defer_write

blueprint = Blueprint("users", __name__, url_prefix="/users")

PAGE_SIZE = 50
CHANGED_MEANWHILE = (
    "Somebody else has changed this user since you opened the form. It shows now what you entered; "
    "look at it again, and save."
)


@blueprint.get("")
@requires(Permission.VIEW_USERS)
def list_users() -> ResponseReturnValue:
    search = read_user_search(request.args)
    page, users = find_users(db.session(), search, number=requested_number(), size=PAGE_SIZE)

    def page_address(number: int) -> str:
        return _list_address(search, number)

    response = render(
        "users/list.html",
        "users/_results.html",
        search=search,
        page=page,
        page_address=page_address,
        users=users,
        role_labels=ROLE_LABELS,
        states=list(UserState),
        longest_search=LONGEST_SEARCH,
        fresh=is_partial(),
    )
    if is_partial():
        keep_address_in_step(response, page_address(page.number))
    return response


@blueprint.get("/new")
@requires(Permission.MANAGE_USERS)
def new_user() -> ResponseReturnValue:
    return _new_page(NewUserForm(formdata=entered()))


@blueprint.post("/new")
@requires(Permission.MANAGE_USERS)
@needs_proof
@defer_write
def create() -> ResponseReturnValue:
    form = NewUserForm()
    db.session.rollback()
    try:
        fields, password = form.fields(), form.password.data or ""
        password_hash = hash_new_password(password, email=fields.email, name=fields.name)
        begin_checked_write()
        user = _create(form, password_hash)
    except InvalidInput as error:
        form.refuse(error)
        return _new_page(form, 422)
    flash(f"{user.email} was created.", "success")
    return redirect_see_other(_address(user))


@blueprint.get("/invite")
@requires(Permission.MANAGE_USERS)
def new_invitation() -> ResponseReturnValue:
    return _invite_page(UserForm(formdata=entered()))


@blueprint.post("/invite")
@requires(Permission.MANAGE_USERS)
@needs_proof
def invite() -> ResponseReturnValue:
    form = UserForm()
    try:
        user = _create(form, NO_PASSWORD)
    except InvalidInput as error:
        form.refuse(error)
        return _invite_page(form, 422)
    return _show_link(user)


@blueprint.get("/<id:user_id>")
@requires(Permission.VIEW_USERS)
def show_user(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    return _user_page(user, form_of(user, entered()))


@blueprint.post("/<id:user_id>")
@requires(Permission.MANAGE_USERS)
@needs_proof
def save(user_id: int) -> ResponseReturnValue:
    user, form = get_user(db.session(), user_id), UserForm()
    if form.version.data and form.version.data != version_of(user):
        form.version.data = version_of(user)
        return _user_page(user, form, Conflict.status, conflict=CHANGED_MEANWHILE)
    try:
        change_user(
            db.session(),
            email=user.email,
            fields=form.fields(),
            actor=current_actor(),
            now=utcnow(),
            second_factor=current_config().second_factor,
        )
    except InvalidInput as error:
        form.refuse(error)
        return _user_page(user, form, 422)
    except Conflict as error:
        form.role.errors = [error.detail]
        return _user_page(user, form, Conflict.status)
    flash(f"{user.email} was saved.", "success")
    return redirect_see_other(_address(user))


@blueprint.get("/<id:user_id>/disable")
@requires(Permission.MANAGE_USERS)
def ask_to_disable(user_id: int) -> ResponseReturnValue:
    return _ask_to_disable(get_user(db.session(), user_id))


@blueprint.post("/<id:user_id>/disable")
@requires(Permission.MANAGE_USERS)
@needs_proof
def disable(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    actor, now = current_actor(), utcnow()
    message = f"{user.email} is disabled and signed out everywhere."
    try:
        if request.form.get("revoke"):
            _, revoked = disable_and_revoke(db.session(), email=user.email, actor=actor, now=now)
            message += f" {counted(revoked, 'key')} of theirs {_was(revoked)} revoked."
        else:
            disable_user(db.session(), email=user.email, actor=actor, now=now)
    except Conflict:
        return _ask_to_disable(user, Conflict.status)
    flash(message, "success")
    return redirect_see_other(_address(user))


@blueprint.post("/<id:user_id>/enable")
@requires(Permission.MANAGE_USERS)
@shown_again_by(show_user)
def enable(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    enable_user(db.session(), email=user.email, actor=current_actor(), now=utcnow())
    flash(f"{user.email} is enabled, and can sign in again.", "success")
    return redirect_see_other(_address(user))


@blueprint.get("/<id:user_id>/reset-password")
@requires(Permission.MANAGE_USERS)
def ask_to_reset(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    disabled = user.state is UserState.DISABLED
    return _ask(
        user,
        title=f"Reset the password of {user.email}?",
        button="Reset password",
        sentences=[
            "You get a link to send them, with which they choose a new password. It works once, "
            "within 72 hours, and replaces any link of before.",
            "When they have used it, they are signed out everywhere. Until then the present "
            "password goes on working; to keep somebody out at once, disable them.",
        ],
        harmless=True,
        nothing_to_do="They are disabled. Enable them first." if disabled else "",
    )


@blueprint.post("/<id:user_id>/reset-password")
@requires(Permission.MANAGE_USERS)
@needs_proof
def reset(user_id: int) -> ResponseReturnValue:
    email = get_user(db.session(), user_id).email
    return _show_link(lock_by_email(db.session(), email))


@blueprint.get("/<id:user_id>/sign-out")
@requires(Permission.MANAGE_USERS)
def ask_to_sign_out(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    return _ask(
        user,
        title=f"Sign {user.email} out everywhere?",
        button="Sign out everywhere",
        sentences=[
            "Every browser and every OP Agent that they are signed in on is signed out. They can "
            "sign in again."
        ],
    )


@blueprint.post("/<id:user_id>/sign-out")
@requires(Permission.MANAGE_USERS)
def sign_out(user_id: int) -> ResponseReturnValue:
    user = get_user(db.session(), user_id)
    sign_out_everywhere(db.session(), email=user.email, actor=current_actor(), now=utcnow())
    flash(f"{user.email} is signed out everywhere.", "success")
    return redirect_see_other(_address(user))


def _create(form: UserForm, password_hash: str) -> User:
    fields = form.fields()
    try:
        return create_user(
            db.session(),
            email=fields.email,
            name=fields.name,
            role=fields.role,
            organisation_id=fields.organisation_id,
            password_hash=password_hash,
            actor=current_actor(),
            now=utcnow(),
        )
    except Conflict as error:
        raise InvalidInput("email", error.detail) from None


def _ask_to_disable(user: User, status: int = 200) -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    keys = len(active_keys_issued_by(session, user, now))
    issued = f"They have issued {counted(keys, 'key')} that {_is(keys)} active now."
    nothing_to_do: Sentence = ""
    if user.state is UserState.DISABLED:
        nothing_to_do = "They are disabled already."
    elif is_last_super_admin(session, user):
        nothing_to_do = (
            Name(user.email),
            " is the last super admin who can sign in. Create or enable another one first.",
        )
    return _ask(
        user,
        title=f"Disable {user.email}?",
        button="Disable",
        sentences=[
            "They are signed out everywhere at once and can no longer sign in, on the portal or on "
            "an OP Agent. They can be enabled again at any time.",
            *([issued] if keys else []),
        ],
        choice=Choice("revoke", "Revoke what they issued") if _issues(user) else None,
        nothing_to_do=nothing_to_do,
        status=status,
    )


def _issues(user: User) -> bool:
    return user.role is Role.SUPER_ADMIN


def _ask(
    user: User,
    *,
    title: str,
    button: str,
    sentences: list[Sentence],
    harmless: bool = False,
    choice: Choice | None = None,
    nothing_to_do: Sentence = "",
    status: int = 200,
) -> Response:
    confirmation = Confirmation(
        title=title,
        button=button,
        crumbs=[("Users", url_for("users.list_users")), (user.email, _address(user))],
        sentences=sentences,
        harmless=harmless,
        choice=choice,
        nothing_to_do=nothing_to_do,
    )
    return ask(confirmation, status)


def _show_link(user: User) -> Response:
    """Make a one-time link and show it, this once; that of an invitation is mailed as well."""
    now, config = utcnow(), current_config()
    token = make_link(db.session(), user=user, actor=current_actor(), now=now)
    mailed = config.mails_links and mail_link(
        db.session(), email=user.email, token=token, secret_key=config.secret_key
    )
    page = render_template(
        "users/link.html",
        user=user,
        link=f"{reached_root()}{LINK_PATH}/{token}",
        works_until=now + LINK_LIFE,
        mailed=mailed,
    )
    return make_response(page, {"Cache-Control": "no-store"})


def _new_page(form: NewUserForm, status: int = 200) -> ResponseReturnValue:
    return render_template("users/new.html", form=form, user=None), status


def _invite_page(form: UserForm, status: int = 200) -> ResponseReturnValue:
    return render_template("users/invite.html", form=form, user=None), status


def _user_page(
    user: User, form: UserForm, status: int = 200, conflict: str = ""
) -> ResponseReturnValue:
    page = render_template(
        "users/user.html",
        user=user,
        form=form,
        conflict=conflict,
        organisation=_organisation_of(db.session(), user),
        own=user.id == current_user.id,
        role_labels=ROLE_LABELS,
        identity=identity_of(db.session(), user.id, current_config().oidc_issuer),
        provider=current_config().oidc_name,
    )
    return page, status


def _organisation_of(session: Session, user: User) -> Organisation | None:
    return session.get(Organisation, user.organisation_id) if user.organisation_id else None


def _address(user: User) -> str:
    return url_for("users.show_user", user_id=user.id)


def _list_address(search: UserSearch, page: int) -> str:
    args: dict[str, Any] = {**search.to_args(), "page": page if page != 1 else None}
    return url_for("users.list_users", **args)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
