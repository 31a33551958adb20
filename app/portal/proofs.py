"""Proving by a password who one is, on the pages."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from app.accounts.authentication import Authentication, authenticate
from app.config import current_config
from app.core.clock import utcnow
from app.core.text import counted
from app.extensions import db
from app.web.access import client_address


def prove(
    login_id: str, password: str, outside_transaction: Callable[[], AbstractContextManager[None]]
) -> Authentication:
    """Check a password that somebody has typed, as `authenticate` says. Raises Busy."""
    return authenticate(
        db.session(),
        login_id=login_id,
        password=password,
        address=client_address(),
        secret=current_config().secret_key,
        limit=current_config().signin_failures,
        clock=utcnow,
        outside_transaction=outside_transaction,
    )


def too_many(who: Authentication) -> str:
    """The sentence for somebody who has to wait."""
    seconds = counted(who.wait_seconds, "second")
    return f"Too many wrong passwords for this account from your address. Try again in {seconds}."
