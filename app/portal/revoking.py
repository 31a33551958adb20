"""Revoking many keys: which, who would be logged out, doing it, and the proof."""

import re

from flask import Blueprint, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from app.agents.live_sessions import live_sessions_under_any
from app.agents.logout_status import ended_by_revocations
from app.agents.session_rules import LogoutState
from app.config import current_config
from app.core.clock import utcnow, whole_second
from app.core.errors import InvalidInput
from app.core.permissions import Permission
from app.core.request_ids import current_request_id
from app.core.text import counted
from app.extensions import db
from app.licenses.queries import state_of
from app.licenses.revoking_many import (
    MOST_AT_ONCE,
    KeySelection,
    Revoked,
    find_revocation,
    keys_to_revoke,
    last_revocation,
    offered_selections,
    revoke_keys,
)
from app.web.access import current_actor, needs_proof, requires, restore_fields
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import fingerprint, is_partial, redirect_see_other, render

blueprint = Blueprint("revoking", __name__, url_prefix="/revoke")
FIELDS = ("organisation", "for", "issued_by", "all", "key")
"""Those of a selection, as addresses and the form have them; "key" may be there many times."""
NONE_CHOSEN = "No key was chosen. Go back to the list and choose some, or say here whose."


@blueprint.get("")
@requires(Permission.VIEW_PORTAL)
def choose() -> ResponseReturnValue:
    """The selection, and what it would revoke, if there is one."""
    given = any(text for name in FIELDS for text in request.args.getlist(name))
    error = None if given or "key" not in request.args else InvalidInput("key", NONE_CHOSEN)
    return _page(request.args, previews=given, error=error)


@blueprint.post("")
@requires(Permission.REVOKE_LICENSES)
@needs_proof
@restore_fields(*FIELDS)
@shown_again_by(choose)
def revoke() -> ResponseReturnValue:
    selection = _selection(request.form)
    try:
        done = revoke_keys(
            db.session(),
            actor=current_actor(),
            selection=selection,
            key_ids=request.form.get("previewed", "").split(),
            reason=request.form.get("reason", ""),
            clock=utcnow,
        )
    except InvalidInput as error:
        return _page(request.form, previews=True, error=error)
    flash(_told(done), "success")
    event_id = last_revocation(db.session(), current_request_id())
    return redirect_see_other(url_for("revoking.proof", event_id=event_id))


@blueprint.get("/<id:event_id>")
@requires(Permission.VIEW_PORTAL)
def proof(event_id: int) -> ResponseReturnValue:
    """Whether the agents of all who were signed in under the keys have logged out."""
    session, now = db.session(), utcnow()
    event = find_revocation(session, event_id)
    key_ids = str(event.data.get("key_ids", "")).split()
    ended = ended_by_revocations(
        session,
        key_ids,
        revoked_at=whole_second(event.happened_at),
        now=now,
        limits=current_config().agent_limits,
    )
    waiting = sum(one.status.state is not LogoutState.CONFIRMED for one in ended)
    shown = fingerprint([(one.agent_session.id, str(one.status)) for one in ended])
    if is_partial() and request.args.get("seen") == shown:
        return "", 204
    return render(
        "revoking/proof.html",
        "revoking/_proof.html",
        event=event,
        key_ids=key_ids,
        ended=ended,
        waiting=waiting,
        shown=shown,
        now=now,
        heartbeat_seconds=current_config().heartbeat_seconds,
    )


def _page(
    typed: MultiDict[str, str], *, previews: bool, error: InvalidInput | None = None
) -> ResponseReturnValue:
    session, now = db.session(), utcnow()
    selection, keys = _selection(typed), []
    if previews and (error is None or error.field in ("reason", "previewed")):
        try:
            keys = keys_to_revoke(session, selection, now)
        except InvalidInput as wrong:
            error = wrong
    listed = keys[:MOST_AT_ONCE]
    page = render_template(
        "revoking/choose.html",
        selection=selection,
        offered=offered_selections(session, now),
        previews=previews and (error is None or error.field in ("reason", "previewed")),
        keys=[(key, state_of(key, now)) for key in listed],
        more=len(keys) > len(listed),
        most=MOST_AT_ONCE,
        sessions=live_sessions_under_any(
            session, [key.key_id for key in listed], now, current_config().agent_limits
        ),
        reason=(entered() or typed).get("reason", ""),
        errors={error.field: error.detail} if error else {},
        now=now,
    )
    return page, 422 if error else 200


def _selection(typed: MultiDict[str, str]) -> KeySelection:
    """What was typed; an address may have anything in it."""
    texts = {name: " ".join(typed.get(name, "").split())[:300] for name in FIELDS}
    texts = {name: text if text.isprintable() else "" for name, text in texts.items()}
    return KeySelection(
        organisation=_organisation_id(texts["organisation"]),
        recipient=texts["for"],
        issued_by=texts["issued_by"],
        everything=texts["all"] not in ("", "0"),
        key_ids=tuple(" ".join(typed.getlist("key")).split()),
    )


def _organisation_id(text: str) -> str:
    """The ID in what was typed or chosen, such as "Acme (ORG-000123)"."""
    match = re.fullmatch(r".* \(([^()]+)\)", text)
    return match[1] if match else text


def _told(done: Revoked) -> str:
    sentences = [f"{counted(len(done.revoked), 'key')} revoked."]
    if done.ended:
        sentences.append(f"Ended before that: {', '.join(done.ended[:10])}.")
    if done.left:
        more = f" and {len(done.left) - 10} more" if len(done.left) > 10 else ""
        named = ", ".join(done.left[:10])
        sentences.append(f"Made since the preview, and left: {named}{more}.")
    return " ".join(sentences)
