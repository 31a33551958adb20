"""The check of access before every request, of whichever face."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, current_app, g
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from htmx_flask import request

from app.accounts.second_factor_rules import is_fresh
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.clock import utcnow
from app.core.errors import NotAllowed
from app.core.permissions import Permission, allows
from app.extensions import db
from app.portal.login import reason_to_sign_in, sign_in_that_ended
from app.web.access import ProofNeeded, SignInNeeded, address_to_return_to, current_actor
from app.web.errors import wants_problem
from app.web.forms_again import (
    PROVEN_AGAIN,
    bring_form_back,
    has_page_of_its_own,
    keep_form,
    page_of_form,
    show_again,
)
from app.web.proxies import path_prefix
from app.web.same_origin import check_form
from app.web.transaction import SAFE_METHODS, begin_write, choose_transaction


def check_access() -> Response | None:
    """Before every request: check the sign-in, the CSRF token and the permission.

    Raises SignInNeeded (303 or 401), CSRFError or FormFromElsewhere (400) or NotAllowed (403). A
    form that is out of date is answered with the same form.
    """
    choose_transaction()
    if request.endpoint is None:
        return None
    view = current_app.view_functions[request.endpoint]
    if not hasattr(view, "permission"):
        raise NotAllowed("This address says nothing about who may use it, so nobody may.")
    permission: Permission | None = view.permission
    if permission is not None and not current_user.is_authenticated:
        raise _sign_in_needed(getattr(view, "restored_fields", ()))
    try:
        check_form()
    except CSRFError as error:
        return _out_of_date(error)
    _check_role(permission)
    _check_proof(view)
    if permission is not None:
        bring_form_back(current_user.id)
    return None


def begin_checked_write() -> None:
    """Begin the writing transaction of a view that deferred it, and check the user again.

    They may have been disabled, or signed out, while the view did its slow work or waited for the
    write lock. Raises SignInNeeded or NotAllowed.
    """
    begin_write()
    g.pop("_login_user", None)  # Flask-Login keeps the user of the transaction before
    view = current_app.view_functions[str(request.endpoint)]
    if not current_user.is_authenticated:
        raise _sign_in_needed(())
    _check_role(getattr(view, "permission", None))


@contextmanager
def outside_checked_transaction() -> Iterator[None]:
    """Around slow work of a view that deferred its write: `begin_checked_write` follows it."""
    db.session.rollback()
    yield
    begin_checked_write()


def _check_proof(view: object) -> None:
    """Raise ProofNeeded, and keep the form, if it asks for a proof and the last one is too old."""
    asks = getattr(view, "needs_proof", False) and request.method not in SAFE_METHODS
    if not asks or is_fresh(current_user.proven_at, utcnow()):
        return
    own = path_prefix() + request.path
    address = own if has_page_of_its_own() else address_to_return_to(())
    keep_form(address.removeprefix(path_prefix()), current_user.id, PROVEN_AGAIN)
    raise ProofNeeded(address)


def _check_role(permission: Permission | None) -> None:
    if permission is None or allows(current_user.role, permission):
        return
    _record(AuditTag.NOT_ALLOWED, permission=permission.value)
    raise NotAllowed(
        "Your role does not allow this. Ask a super admin if you think that it should."
    )


def _out_of_date(error: CSRFError) -> Response:
    """The answer to a form without this sign-in's token: nothing is done, it is shown again."""
    if current_user.is_authenticated:
        _record(AuditTag.FORM_REFUSED)
    page = None if wants_problem() else page_of_form()
    _check_role(getattr(page, "permission", None))
    answer = show_again(page) if page else None
    if answer is None:
        raise error
    return answer


def _sign_in_needed(restored_fields: tuple[str, ...]) -> SignInNeeded:
    """The sign-in that is asked for; a form that was sent is kept until then."""
    address = address_to_return_to(restored_fields)
    ended = sign_in_that_ended()
    undone = keep_form(address, ended.user_id if ended else None)
    return SignInNeeded(address, reason_to_sign_in(ended, undone))


def _record(tag: AuditTag, **data: str) -> None:
    begin_write()
    log_event(db.session(), tag, actor=current_actor(), now=utcnow(), subject=request.path, **data)
    db.session.commit()
