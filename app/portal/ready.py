"""Whether the portal can do its work: asked by whatever sends it requests."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from time import monotonic

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, TimeoutError

from app.audit.tree import count_pending
from app.config import ROOT, current_config
from app.core.clock import utcnow
from app.core.errors import SigningKeyMissing
from app.extensions import db
from app.licenses.keyring import current_kid, private_key
from app.models.database_errors import explain_database_error
from app.web.access import public

BEHIND = timedelta(minutes=1)
blueprint = Blueprint("ready", __name__)


@blueprint.get("/readyz")
@public
def readyz() -> Response:
    reasons = not_ready()
    response = jsonify({"ready": not reasons} | ({"reasons": reasons} if reasons else {}))
    response.status_code = 503 if reasons else 200
    response.headers["Cache-Control"] = "no-store"
    return response


def not_ready() -> list[str]:
    """A sentence for each thing that is wrong; where the database fails, for that alone."""
    try:
        return [reason for check in CHECKS if (reason := check())]
    except DBAPIError as error:
        db.session.rollback()
        return [explain_database_error(error) or "The database refused to answer."]
    except TimeoutError:
        return ["No connection to the database is free."]


def _migrations() -> str | None:
    at = db.session.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if at == newest_migration():
        return None
    return (
        f"The database is at migration {at}, and this program needs {newest_migration()}; "
        "stop every portal and start this version."
    )


@lru_cache
def newest_migration() -> str:
    """The last of the migrations; their files are named in order. A server needs no Alembic."""
    last = max((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    [revision] = re.findall(r'^revision = "(\w+)"', last.read_text(encoding="utf-8"), re.M)
    return str(revision)


def _signing_key() -> str | None:
    try:
        private_key(current_config().signing_keys, current_kid(db.session()))
    except SigningKeyMissing as error:
        return error.detail
    return None


def _background() -> str | None:
    """Just after the start it has not had the time to catch up."""
    now = utcnow()
    if monotonic() - loaded_at < BEHIND.total_seconds():
        return None
    if not count_pending(db.session(), now, before=now - BEHIND):
        return None
    return (
        "The background process is more than a minute behind: look at its lines in the log, or "
        "start it with `rolling-window jobs`."
    )


loaded_at = monotonic()
"""When this process began."""
CHECKS: list[Callable[[], str | None]] = [_migrations, _signing_key, _background]
"""Each returns what is wrong, or None. They only read from the database, and raise its errors."""
