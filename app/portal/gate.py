"""The check of access before every request, of whichever face."""

from flask import current_app, g
from flask_login import current_user
from htmx_flask import request

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.clock import utcnow
from app.core.errors import NotAllowed
from app.core.permissions import Permission, allows
from app.extensions import db
from app.web.access import SignInNeeded, address_to_return_to, current_actor
from app.web.same_origin import check_form
from app.web.transaction import SAFE_METHODS, begin_write, choose_transaction


def check_access() -> None:
    """Before every request: check the sign-in, the CSRF token and the permission.

    Raises SignInNeeded (303 or 401), CSRFError or FormFromElsewhere (400), or NotAllowed (403).
    """
    choose_transaction()
    if request.endpoint is None:
        return
    view = current_app.view_functions[request.endpoint]
    if not hasattr(view, "permission"):
        raise NotAllowed("This address says nothing about who may use it, so nobody may.")
    permission: Permission | None = view.permission
    if permission is not None and not current_user.is_authenticated:
        raise SignInNeeded(address_to_return_to(getattr(view, "restored_fields", ())))
    check_form()
    if permission is not None and not allows(current_user.role, permission):
        if request.method not in SAFE_METHODS:
            _log_denial(permission)
        raise NotAllowed(
            "Your role does not allow this. Ask a super admin if you think that it should."
        )


def begin_checked_write() -> None:
    """Begin the writing transaction of a view that deferred it, and check the user again.

    They may have been disabled, or signed out, while the view did its slow work or waited for the
    write lock. Raises SignInNeeded or NotAllowed.
    """
    begin_write()
    g.pop("_login_user", None)  # Flask-Login keeps the user of the transaction before
    view = current_app.view_functions[str(request.endpoint)]
    permission: Permission = getattr(view, "permission")  # noqa: B009 (mypy knows no stamps)
    if not current_user.is_authenticated:
        raise SignInNeeded(address_to_return_to(()))
    if not allows(current_user.role, permission):
        raise NotAllowed("Your role does not allow this any more.")


def _log_denial(permission: Permission) -> None:
    begin_write()
    log_event(
        db.session(),
        AuditTag.NOT_ALLOWED,
        actor=current_actor(),
        now=utcnow(),
        subject=request.path,
        permission=permission.value,
    )
    db.session.commit()
