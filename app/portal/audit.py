"""The audit log: its filters, its pages, and its exports."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from flask import Blueprint, Response, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue

from app.audit.exporting import EXPORTS, Proofs, proven_events
from app.audit.finding import AuditSearch, conditions, find_events, parse_day
from app.audit.log import AuditEntry, log_event
from app.audit.log_key import stored_log_key
from app.audit.tags import AuditTag
from app.audit.tree import newest_checkpoint
from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import ROLE_LABELS, Permission
from app.core.text import EMAIL_LENGTH, NAME_LENGTH
from app.extensions import db
from app.keyformat.key_ids import normalise_key_id
from app.models.engine import reading_only
from app.models.positions import Stretch
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import shown_again_by
from app.web.ids import requested_id

blueprint = Blueprint("audit", __name__)
PAGE_SIZE = 50
LINES_AT_ONCE = 200
FIELDS = ("person", "organisation", "kind", "key", "from", "to")
"""The filters, as the address has them."""
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@blueprint.get("/audit")
@requires(Permission.VIEW_PORTAL)
def list_events() -> ResponseReturnValue:
    typed = _typed()
    errors: dict[str, str] = {}
    page: Stretch[AuditEntry] = Stretch([], goes_back=False, goes_on=False)
    try:
        page = find_events(db.session(), _search(typed), size=PAGE_SIZE)
    except InvalidInput as error:
        errors[error.field] = error.detail
    filters: dict[str, Any] = {name: text for name, text in typed.items() if text}
    return render_template(
        "audit/list.html",
        page=page,
        typed=typed,
        errors=errors,
        filtered=bool(filters),
        tags=sorted(AuditTag, key=lambda tag: tag.label),
        role_labels=ROLE_LABELS,
        address=lambda **more: url_for("audit.list_events", **(filters | more)),
        can_export=newest_checkpoint(db.session()) is not None,
    ), 422 if errors else 200


@blueprint.post("/audit/export.csv", defaults={"form": "csv"})
@blueprint.post("/audit/export.jsonl", defaults={"form": "jsonl"})
@requires(Permission.EXPORT_AUDIT)
@needs_proof
@shown_again_by(lambda **_: list_events())
def export(form: str) -> ResponseReturnValue:
    search, now = _search(_typed()), utcnow()
    if newest_checkpoint(db.session()) is None:
        raise Conflict("Nothing of the log is signed yet. Try again in ten seconds.")
    log_event(db.session(), AuditTag.AUDIT_EXPORTED, actor=current_actor(), now=now, subject=form)
    response = Response(stream_with_context(_export(form, search)), content_type=MEDIA_TYPES[form])
    name = f"audit-log-{now:%Y%m%dT%H%M%SZ}.{form}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _export(form: str, search: AuditSearch) -> Iterator[str]:
    """The lines, some at once; read after the request's own transaction, in another one."""
    with reading_only():
        session = db.session()
        proofs = Proofs(session)
        events = proven_events(session, proofs, *conditions(session, search))
        lines = EXPORTS[form](events, proofs, stored_log_key(session))
        while some := "".join(islice(lines, LINES_AT_ONCE)):
            yield some
        session.rollback()


def _typed() -> dict[str, str]:
    """The filters as they were typed; an address may have anything in it."""
    texts = {name: request.values.get(name, "").strip() for name in FIELDS}
    return {name: text if text.isprintable() else "" for name, text in texts.items()}


def _search(typed: dict[str, str]) -> AuditSearch:
    """What is looked for. Raises InvalidInput for a field that makes no sense."""
    for name, longest in (("person", EMAIL_LENGTH), ("organisation", NAME_LENGTH)):
        if len(typed[name]) > longest:
            raise InvalidInput(name, f"That is too long: at most {longest} characters.")
    key_id = normalise_key_id(typed["key"]) if typed["key"] else ""
    if key_id is None:
        raise InvalidInput("key", "That is no Key ID. It looks like K7QF-3MXP.")
    search = AuditSearch(
        person=typed["person"],
        organisation=typed["organisation"],
        kind=typed["kind"],
        key_id=key_id,
        start=parse_day("from", typed["from"]),
        end=parse_day("to", typed["to"], end=True),
    )
    return replace(search, older_than=requested_id("before"), newer_than=requested_id("after"))
