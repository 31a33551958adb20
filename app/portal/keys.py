"""The keys of all organisations: found by filters, and chosen to be revoked together."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import utcnow
from app.core.durations import format_ttl
from app.core.errors import InvalidInput
from app.core.permissions import Permission
from app.extensions import db
from app.licenses.finding import WITHIN, KeyGroup, KeySearch, find_keys, read_key_search
from app.licenses.queries import has_ended, sign_ins_left, state_of
from app.models import TemporaryLicense
from app.models.positions import Stretch
from app.projects.services import projects_of
from app.web.access import requires
from app.web.ids import requested_id

blueprint = Blueprint("keys", __name__)
PAGE_SIZE = 50
WITHIN_LABELS = {short: format_ttl(seconds) for short, seconds in WITHIN.items()}


@blueprint.get("/keys")
@requires(Permission.VIEW_PORTAL)
def list_keys() -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    search = read_key_search(request.args)
    search = replace(search, after=requested_id("after"), before=requested_id("before"))
    found: Stretch[TemporaryLicense] = Stretch([], goes_back=False, goes_on=False)
    errors: dict[str, str] = {}
    try:
        found = find_keys(session, search, now, size=PAGE_SIZE)
    except InvalidInput as error:
        errors[error.field] = error.detail
    return render_template(
        "keys/list.html",
        search=search,
        typed=search.to_args(),
        errors=errors,
        found=found,
        keys=[(key, state_of(key, now), sign_ins_left(key)) for key in found.rows],
        revocable=any(not has_ended(key, now) for key in found.rows),
        projects_of=projects_of(session, {key.organisation_id for key in found.rows}),
        in_force=_in_force(search),
        groups=[(group.value, group.label) for group in KeyGroup],
        within=list(WITHIN_LABELS.items()),
        address=lambda **more: _address(search.to_args() | more),
        now=now,
    ), 422 if errors else 200


def _in_force(search: KeySearch) -> list[tuple[str, str]]:
    """The filters in force, in words, each with the address of the search without it."""
    words = {
        "q": search.key_id,
        "state": search.group.label if search.group else "",
        "organisation": search.organisation,
        "for": f"for {search.recipient}",
        "issued_by": f"issued by {search.issued_by}",
        "within": f"ending within {WITHIN_LABELS.get(search.within)}",
    }
    args = search.to_args()
    return [
        (words[name], _address({other: args[other] for other in args if other != name}))
        for name in words
        if name in args
    ]


def _address(args: dict[str, Any]) -> str:
    return url_for("keys.list_keys", **args)
