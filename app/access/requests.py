"""Requests for a key: made, listed, refused and forgotten. Approving is in `issuing`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from app.access.request_rules import (
    LAPSES_AFTER,
    RECIPIENT_ID,
    RequestState,
    read_options,
    stored_options,
)
from app.accounts.users import get_user
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM, Actor
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import Permission
from app.licenses.option_rules import KeyOptions, checked_reason
from app.models import Request, TemporaryLicense
from app.models.rows import read_rows
from app.throttle import one_at_a_time

LAPSED_AT_ONCE = 100
_WORDS = {
    RequestState.APPROVED: "was approved",
    RequestState.REFUSED: "was refused",
    RequestState.WITHDRAWN: "was withdrawn",
    RequestState.LAPSED: "has lapsed",
}


def add_request(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    options: KeyOptions,
    length: int,
    now: datetime,
    recipient_id: int | None = None,
    extends: TemporaryLicense | None = None,
    form_token: str | None = None,
) -> Request:
    """Ask for a key of `length` seconds, or for a later end of one that there is.

    `recipient_id` is the user who has the recipient's e-mail now.
    """
    request = Request(
        organisation_id=organisation_id,
        asked_by_id=actor.user_id,
        asked_at=now,
        options=stored_options(options, recipient_id),
        extends=extends,
        form_token=form_token,
        state=RequestState.WAITING,
    )
    session.add(request)
    session.flush()
    log_event(
        session,
        AuditTag.REQUEST_MADE,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=name_of(request),
        ttl=length,
        recipient=options.recipient,
        reason=options.reason,
        ticket=options.ticket,
        extends=extends.key_id if extends else None,
    )
    return request


def request_of_form(
    session: Session,
    *,
    actor: Actor,
    form_token: str | None,
    organisation_id: str,
    options: KeyOptions,
) -> Request | None:
    """What the same form has asked for before; None if it has not, or is not known.

    Raises InvalidInput (field "ttl") if that was something else, and Conflict if somebody else has
    sent a form with this token.
    """
    if form_token is None:
        return None
    one_at_a_time(session, f"form {form_token}")
    request = session.scalar(select(Request).where(Request.form_token == form_token))
    if request is None:
        return None
    if request.asked_by_id != actor.user_id:
        raise Conflict("This form was sent before, by somebody else. Load the page again.")
    if (request.organisation_id, read_options(request.options)) != (organisation_id, options):
        raise InvalidInput(
            "ttl",
            f"This form has sent {name_of(request)} already, with other choices. For another one, "
            "press the button once more.",
        )
    return request


def name_of(request: Request) -> str:
    """What a request is called in sentences."""
    return f"request {request.id}"


def get_request(session: Session, request_id: int) -> Request:
    """The request with this number. Raises NotFound."""
    request = session.get(Request, request_id)
    if request is None:
        raise NotFound("There is no such request.")
    return request


def asked_options(session: Session, request: Request) -> KeyOptions:
    """What was asked for; the e-mail is the one that its recipient has now."""
    asked, recipient_id = read_options(request.options), request.options.get(RECIPIENT_ID)
    if recipient_id is None:
        return asked
    return replace(asked, recipient=get_user(session, recipient_id).email)


def state_of(request: Request, now: datetime) -> RequestState:
    """Its state at `now`: one that is over has lapsed, whether or not that is stored yet."""
    state = RequestState(request.state)
    over = state is RequestState.WAITING and request.asked_at + LAPSES_AFTER <= now
    return RequestState.LAPSED if over else state


def waiting_requests(session: Session, now: datetime) -> list[Request]:
    """Those that wait to be decided, the oldest first."""
    return list(session.scalars(waiting(now).order_by(Request.asked_at, Request.id)))


def decided_requests(session: Session, limit: int) -> list[Request]:
    """The last that were decided or lapsed, the newest first."""
    query = select(Request).where(Request.state != RequestState.WAITING)
    return list(session.scalars(query.order_by(Request.id.desc()).limit(limit)))


def count_waiting(session: Session, now: datetime) -> int:
    """How many wait."""
    counted: int = read_rows(session, _COUNT, {"since": now - LAPSES_AFTER}).scalar_one()
    return counted


_COUNT = select(func.count(Request.id)).where(
    Request.state == RequestState.WAITING, Request.asked_at > bindparam("since")
)


def lock_waiting(session: Session, request_id: int, now: Callable[[], datetime]) -> Request:
    """The request, locked until the commit. Raises NotFound, and Conflict if it is decided."""
    request = session.scalar(
        select(Request)
        .where(Request.id == request_id)
        .with_for_update(of=Request)
        .execution_options(populate_existing=True)
    )
    if request is None:
        raise NotFound("There is no such request.")
    state = state_of(request, now())
    if state is not RequestState.WAITING:
        by = f" by {request.decided_by.email}" if request.decided_by else ""
        raise Conflict(f"This request {_WORDS[state]}{by} already. Nothing was changed.")
    return request


def refuse_request(
    session: Session,
    *,
    actor: Actor,
    request_id: int,
    reason: str,
    clock: Callable[[], datetime],
) -> Request:
    """Refuse a request, with a reason for who asked.

    Raises NotFound, NotAllowed, Conflict if it is decided, InvalidInput (field "reason").
    """
    actor.must(Permission.DECIDE_REQUESTS)
    reason = checked_reason(reason)
    if not reason:
        raise InvalidInput("reason", "Say why: it is told to who asked.")
    request = lock_waiting(session, request_id, clock)
    decide(session, request, RequestState.REFUSED, actor=actor, now=clock(), reason=reason)
    return request


def decide(
    session: Session,
    request: Request,
    state: RequestState,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
    key_id: str | None = None,
) -> None:
    """Note the decision on a locked request."""
    request.state, request.decided_at, request.decided_by_id = state, now, actor.user_id
    request.answer = reason
    log_event(
        session,
        _TAGS[state],
        actor=actor,
        now=now,
        organisation_id=request.organisation_id,
        subject=name_of(request),
        asked_by=request.asked_by.email,
        reason=reason,
        key_id=key_id,
    )


_TAGS = {
    RequestState.APPROVED: AuditTag.REQUEST_APPROVED,
    RequestState.REFUSED: AuditTag.REQUEST_REFUSED,
    RequestState.WITHDRAWN: AuditTag.REQUEST_WITHDRAWN,
    RequestState.LAPSED: AuditTag.REQUEST_LAPSED,
}


def lapse_requests(session: Session, *, now: datetime) -> int:
    """Let some of those lapse that nobody has decided in time; how many."""
    query = (
        select(Request)
        .where(Request.state == RequestState.WAITING, Request.asked_at <= now - LAPSES_AFTER)
        .limit(LAPSED_AT_ONCE)
        .with_for_update(of=Request)
    )
    lapsed = list(session.scalars(query))
    for request in lapsed:
        decide(session, request, RequestState.LAPSED, actor=SYSTEM, now=now)
    return len(lapsed)


def lapse_all_requests(session: Session, *, now: datetime) -> None:
    """Let every waiting one lapse: after a restore nobody knows which were decided since the copy,
    and what was approved twice would be two keys."""
    waiting = select(Request).where(Request.state == RequestState.WAITING)
    for request in session.scalars(waiting.with_for_update(of=Request)):
        decide(session, request, RequestState.LAPSED, actor=SYSTEM, now=now)


def waiting(now: datetime) -> Select[Request]:
    """Those that wait at `now`."""
    return select(Request).where(
        Request.state == RequestState.WAITING, Request.asked_at > now - LAPSES_AFTER
    )
