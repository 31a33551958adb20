"""The JSON interface for OP Agents, version 1."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, request

from app.accounts.authentication import authenticate
from app.agents.codes import EndCause, EndCode, RefusalCode
from app.agents.configuration import configuration_of, save_configuration
from app.agents.heartbeats import LiveSession, heartbeat, live_session_of
from app.agents.registration import SignInRequest
from app.agents.session_rules import SessionEnd
from app.agents.sessions import lock_session, sign_out
from app.agents.sign_in import SignedIn, Throttled, sign_in
from app.agents.sign_in_rules import Refusal
from app.api.operations import AnyObject, answer, nothing, operation
from app.api.schemas import (
    InspectBody,
    InspectionOut,
    LicenseOut,
    NewSessionOut,
    OrganisationOut,
    SessionOut,
    SignInBody,
    UserOut,
)
from app.config import current_config
from app.core.clock import rfc3339, utcnow
from app.core.text import counted
from app.extensions import csrf, db
from app.licenses.rules import Inspection, LicenseState
from app.licenses.services import inspect_key
from app.throttle import wait_to_inspect
from app.web.access import client_address, public
from app.web.deadline import answer_before
from app.web.errors import problem
from app.web.request_log import note_person
from app.web.transaction import begin_write, defer_write, outside_transaction

blueprint = Blueprint("agent_api", __name__, url_prefix="/api/agent/v1")
csrf.exempt(blueprint)

REFUSAL_CODES = ", ".join(
    f"`{code}`"
    for code in RefusalCode
    if code.field and code is not RefusalCode.INVALID_CREDENTIALS
)
END_CODES = ", ".join(f"`{code}`" for code in EndCode)
NO_SESSION = {401: f"The session has ended, or there is none; `code` says how: {END_CODES}."}
TOO_LARGE = {413: "The body is too large: it may have 64 KiB (`payload_too_large`)."}
BAD_REQUEST = {
    **TOO_LARGE,
    415: "The body is not application/json (`unsupported_media_type`).",
    422: "Something in the request is not right; `detail` says what (`invalid_request`).",
}
UNAVAILABLE = {503: "The database cannot be used just now (`unavailable`)."}
NO_SIGNING_KEY = {
    503: "The database cannot be used just now (`unavailable`), or the private signing key is not "
    "there to sign a machine's license (`signing_key_missing`)."
}


@blueprint.post("/sessions")
@public
@defer_write
@operation(
    "Sign in on an OP Agent",
    body=SignInBody,
    example={
        "login_id": "you@example.com",
        "password": "...",
        "mac_id": "00:1A:2B:3C:4D:5E",
        "registration_key": "rw1....",
    },
    answers={201: NewSessionOut},
    problems={
        401: "Login ID or password is wrong (`invalid_credentials`).",
        403: f"Refused; `code` says why: {REFUSAL_CODES}.",
        429: "Too many wrong passwords, or too many machines registered (`throttled`).",
        **BAD_REQUEST,
        **NO_SIGNING_KEY,
    },
)
def open_session(body: SignInBody) -> Response:
    sign_in_request = SignInRequest(
        registration_key=body.registration_key or "",
        mac_id=body.mac_id,
        machine_id=(body.machine_id or "").strip(),
        hostname=body.hostname or "",
        agent_version=body.agent_version or "",
    )
    who = authenticate(
        db.session(),
        login_id=body.login_id,
        password=body.password,
        address=client_address(),
        secret=current_config().secret_key,
        limit=current_config().signin_failures,
        clock=utcnow,
        outside_transaction=outside_transaction,
    )
    outcome = sign_in(
        db.session(),
        who=who,
        request=sign_in_request,
        signing_keys=current_config().signing_keys,
        registrations=current_config().registrations,
        clock=utcnow,
    )
    if isinstance(outcome, Throttled):
        return _throttled(
            "You have registered too many machines."
            if outcome.registering
            else "Too many wrong passwords for this account.",
            outcome.wait_seconds,
        )
    if isinstance(outcome, Refusal):
        return _refused(outcome)
    return _opened(outcome)


@blueprint.get("/session")
@public
@operation(
    "The heartbeat: is the session alive, and how long is left?",
    answers={200: SessionOut},
    problems={**NO_SESSION, **UNAVAILABLE},
    bearer=True,
)
def show_session() -> Response:
    outcome = _heartbeat()
    return (
        _ended(outcome)
        if isinstance(outcome, SessionEnd)
        else answer(SessionOut(**_session_fields(outcome)))
    )


@blueprint.delete("/session")
@public
@operation(
    "Sign out, or confirm that the agent has logged out after its session ended",
    answers={204: None},
    problems={
        401: "There is no session with this token (`session_ended`).",
        **TOO_LARGE,
        **UNAVAILABLE,
    },
    bearer=True,
)
def close_session() -> Response:
    limits = current_config().agent_limits
    known = sign_out(db.session(), token=_token(), now=utcnow(), limits=limits)
    return nothing() if known else _unknown_session()


@blueprint.get("/configuration")
@public
@operation(
    "The organisation's saved configuration data",
    answers={200: AnyObject},
    problems={**NO_SESSION, **UNAVAILABLE},
    bearer=True,
)
def show_configuration() -> Response:
    outcome = _heartbeat()
    if isinstance(outcome, SessionEnd):
        return _ended(outcome)
    return answer(AnyObject(configuration_of(db.session(), outcome.organisation_id)))


@blueprint.put("/configuration")
@public
@defer_write
@operation(
    "Save the organisation's configuration data",
    body=AnyObject,
    example={"interval": 15},
    answers={204: None},
    problems={
        **NO_SESSION,
        403: "Under a temporary license nothing is saved (`configuration_read_only`).",
        **BAD_REQUEST,
        **UNAVAILABLE,
    },
    bearer=True,
)
def put_configuration(body: AnyObject) -> Response:
    outcome = _heartbeat()
    if isinstance(outcome, SessionEnd):
        return _ended(outcome)
    begin_write()
    locked = lock_session(
        db.session(), token=_token(), clock=utcnow, limits=current_config().agent_limits
    )
    if isinstance(locked, SessionEnd):
        return _ended(locked)
    refusal = save_configuration(db.session(), agent_session=locked, data=body.root, now=utcnow())
    return _refused(refusal) if refusal else nothing()


@blueprint.post("/keys/inspect")
@public
@defer_write
@operation(
    "The state of a registration key",
    body=InspectBody,
    example={"registration_key": "rw1...."},
    answers={200: InspectionOut},
    problems={
        429: "Too many keys were inspected from one address (`throttled`).",
        **BAD_REQUEST,
        **UNAVAILABLE,
    },
)
def inspect(body: InspectBody) -> Response:
    wait_seconds = wait_to_inspect(
        db.engine, address=client_address(), limit=current_config().inspect_limit, clock=utcnow
    )
    if wait_seconds:
        return _throttled("Too many keys were inspected from your address.", wait_seconds)
    inspection = inspect_key(db.session(), text=body.registration_key, now=utcnow())
    if inspection.state is LicenseState.ACTIVE and inspection.ends_at:
        expired = replace(inspection, state=LicenseState.EXPIRED, expires_at=inspection.ends_at)
        answer_before(inspection.ends_at, lambda: _inspected(expired))
    return _inspected(inspection)


def _inspected(inspection: Inspection) -> Response:
    return answer(
        InspectionOut(
            state=inspection.state.value,
            key_id=inspection.key_id,
            organisation_id=inspection.organisation_id,
            starts_at=inspection.starts_at,
            expires_at=inspection.expires_at,
        )
    )


def _opened(signed_in: SignedIn) -> Response:
    fields: dict[str, Any] = {"license_key": signed_in.license_key} if signed_in.license_key else {}
    fields |= _session_fields(live_session_of(signed_in.agent_session))
    note_person(signed_in.agent_session.user_id)
    if key := signed_in.agent_session.temporary_license:
        late = Refusal(RefusalCode.KEY_EXPIRED, expired_at=key.expires_at)
        answer_before(key.expires_at, lambda: _refused(late))
    return answer(NewSessionOut(session_token=signed_in.token, **fields), 201)


def _session_fields(live: LiveSession) -> dict[str, Any]:
    """The fields of SessionOut for a live session."""
    key_expires_at = live.key_expires_at
    return {
        "organisation": OrganisationOut(
            organisation_id=live.organisation_id, name=live.organisation_name
        ),
        "user": UserOut(login_id=live.login_id, role=live.role),
        "license": LicenseOut(
            kind="temporary" if key_expires_at else "permanent",
            key_id=live.key_id,
            starts_at=live.key_starts_at,
            expires_at=key_expires_at,
        ),
        "expires_in": _seconds_until(key_expires_at, utcnow()) if key_expires_at else None,
        "heartbeat_seconds": current_config().heartbeat_seconds,
        "can_save_configuration": key_expires_at is None,
    }


def _seconds_until(moment: datetime, now: datetime) -> float:
    """Seconds until `moment`, rounded down to a thousandth, at least 0."""
    return max(0, (moment - now) // timedelta(milliseconds=1)) / 1000


def _heartbeat() -> LiveSession | SessionEnd:
    limits = current_config().agent_limits
    outcome = heartbeat(db.session(), token=_token(), now=utcnow(), limits=limits)
    if isinstance(outcome, LiveSession) and outcome.key_expires_at:
        late = SessionEnd(EndCause.KEY_EXPIRED, outcome.key_expires_at)
        answer_before(late.at, lambda: _ended(late))
    if isinstance(outcome, LiveSession):
        note_person(outcome.user_id)
    return outcome


def _token() -> str:
    """The bearer token of the request, or "" (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refused(refusal: Refusal) -> Response:
    more = {
        "expired_at": rfc3339(refusal.expired_at) if refusal.expired_at else None,
        "starts_at": rfc3339(refusal.starts_at) if refusal.starts_at else None,
        "registered_to": refusal.registered_to,
    }
    return problem(
        401 if refusal.code is RefusalCode.INVALID_CREDENTIALS else 403,
        refusal.code.value,
        "The request was refused",
        refusal.detail,
        **{name: value for name, value in more.items() if value is not None},
    )


def _ended(end: SessionEnd) -> Response:
    more = {"expired_at": rfc3339(end.at)} if end.code is EndCode.KEY_EXPIRED else {}
    response = problem(401, end.code.value, "The session has ended", end.detail, **more)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _unknown_session() -> Response:
    response = problem(
        401,
        EndCode.SESSION_ENDED.value,
        "There is no such session",
        "This token belongs to no session. Sign in again.",
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _throttled(sentence: str, wait_seconds: int) -> Response:
    response = problem(
        429,
        "throttled",
        "Too many tries",
        f"{sentence} Try again in {counted(wait_seconds, 'second')}.",
    )
    response.headers["Retry-After"] = str(wait_seconds)
    return response
