"""Signing in at an OpenID provider, proving there again who one is, and its log-outs.

Authorization code with PKCE (RFC 7636), state and nonce; RFC 9207's `iss` where it is sent.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime

from flask import Blueprint, current_app, flash, jsonify, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.authentication import Authentication
from app.accounts.identities import log_out_by_provider
from app.accounts.oidc_provider import Provider, ProviderDown, Tokens
from app.accounts.oidc_rules import (
    FLOW_LASTS,
    LEEWAY,
    AnswerRefused,
    Claims,
    Expected,
    check_id_token,
    is_pending,
    read_log_out,
    role_of,
    value_of,
    verified_email,
)
from app.accounts.used_once import use_once
from app.accounts.web_sessions import note_proof
from app.agents.identities import IdentityRefused, ProvenIdentity, admit
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.actor import Actor
from app.core.clock import utcnow
from app.core.errors import Conflict, NotFound
from app.core.permissions import Role
from app.core.tokens import new_token
from app.extensions import csrf, db
from app.models import User
from app.portal.half_way import open_session
from app.portal.sign_in import WORKS_ON_AGENT, refused_sign_in_page, sign_in_page
from app.portal.start_page import start_page
from app.web.access import client_address, public, safe_next
from app.web.forms_again import shown_again_by
from app.web.htmx import redirect_see_other
from app.web.proxies import path_prefix, reached_root
from app.web.transaction import begin_write, defer_write

blueprint = Blueprint("oidc", __name__, url_prefix="/login/oidc")
FLOW = "provider"
"""What the browser's cookie has of a sign-in that was begun."""
NEVER_STORE = {"Cache-Control": "no-store"}


def provider() -> Provider:
    """The identity provider. Raises NotFound where none is set up."""
    found: Provider | None = current_app.extensions["identity_provider"]
    if found is None:
        raise NotFound("This portal has no identity provider.")
    return found


@blueprint.post("")
@public
@shown_again_by(sign_in_page)
@defer_write
def begin() -> ResponseReturnValue:
    """Send the browser to the provider: to sign in, or to prove again who is signed in."""
    next_address = safe_next(request.form.get("next")) or ""
    try:
        return _send_to_provider(next_address, proves=current_user.is_authenticated)
    except ProviderDown as error:
        return refused_sign_in_page(error.detail, error.status, next_address)


@blueprint.get("/callback")
@public
def take_answer() -> ResponseReturnValue:
    """What the provider has sent the browser back with."""
    own, flow = provider(), session.pop(FLOW, None)
    if not _answers(flow, utcnow()):
        return _begun_elsewhere()
    next_address = safe_next(flow["next"])
    try:
        _refuse_error(own)
        tokens, claims = _redeem(flow)
        identity = _identity(tokens, claims)
        begin_write()
        _use_once(flow["state"])
        user = admit(db.session(), identity=identity, provider=_provider_actor(), now=utcnow())
    except ProviderDown as error:
        return refused_sign_in_page(error.detail, error.status, next_address)
    except (AnswerRefused, IdentityRefused, Conflict) as error:
        return _refused(error, next_address)
    if flow["proves"] and current_user.is_authenticated:
        return _note_proof(user, next_address)
    return _sign_in(user, claims, next_address)


@blueprint.post("/back-channel-logout")
@csrf.exempt  # type: ignore[untyped-decorator]
@public
@defer_write
def log_out() -> ResponseReturnValue:
    """The provider itself signs somebody out (OpenID Connect Back-Channel Logout 1.0)."""
    own, now = provider(), utcnow()
    db.session.rollback()
    try:
        token = own.decode(request.form.get("logout_token", ""), now)
        log_out = read_log_out(token.claims, token.header, own.issuer, own.client_id, now)
        begin_write()
        _use_once(log_out.token_id)
    except AnswerRefused as error:
        answer = jsonify(error="invalid_request", error_description=error.detail)
        return answer, 400, NEVER_STORE
    log_out_by_provider(
        db.session(),
        issuer=own.issuer,
        log_out=log_out,
        actor=_provider_actor(),
        now=utcnow(),
    )
    return "", 200, NEVER_STORE


def _use_once(text: str) -> None:
    """Raises AnswerRefused if a sign-in's state, or a log-out token's ID, was taken before."""
    keep_for = 2 * (FLOW_LASTS + LEEWAY)
    if not use_once(db.session(), text, keep_for=keep_for, now=utcnow()):
        raise AnswerRefused("It was used before.")


def _send_to_provider(next_address: str, *, proves: bool) -> ResponseReturnValue:
    """A page that leads on: of a form, browsers follow a redirect to this very site alone."""
    own, state, now = provider(), new_token(), utcnow()
    db.session.rollback()
    again = {"prompt": "login", "max_age": "0"} if proves else {}
    address = own.authorization_address(
        now,
        current_config().oidc_role_claim,
        redirect_uri=_redirect_uri(),
        state=state,
        nonce=_derived("nonce", state),
        code_challenge=_base64url(hashlib.sha256(_derived("verifier", state).encode()).digest()),
        **again,
    )
    session[FLOW] = {
        "state": state,
        "at": now.isoformat(),
        "next": next_address,
        "proves": proves,
    }
    page = render_template("accounts/going_on.html", address=address, name=own.name)
    return page, 200, NEVER_STORE


def _answers(flow: dict[str, str] | None, now: datetime) -> bool:
    """Whether this is the answer to the sign-in that this browser began, in time."""
    state = request.args.get("state", "")
    return (
        flow is not None
        and hmac.compare_digest(flow["state"].encode(), state.encode())
        and is_pending(datetime.fromisoformat(flow["at"]), now)
    )


def _refuse_error(own: Provider) -> None:
    """Raises AnswerRefused if another provider answers, or this one has refused."""
    if request.args.get("iss", own.issuer) != own.issuer:
        raise AnswerRefused("It comes from another provider.")
    error = request.args.get("error")
    if error == "access_denied":
        raise AnswerRefused("The sign-in was broken off there.")
    if error:
        raise AnswerRefused(f"It says {error[:100]!r}.")


def _redeem(flow: dict[str, str]) -> tuple[Tokens, Claims]:
    """The tokens for the code, and the claims of the ID token, checked."""
    own, now = provider(), utcnow()
    db.session.rollback()
    tokens = own.redeem(
        now,
        code=request.args.get("code", ""),
        verifier=_derived("verifier", flow["state"]),
        redirect_uri=_redirect_uri(),
    )
    claims = own.decode(tokens.id_token, utcnow()).claims
    expected = Expected(
        issuer=own.issuer,
        client_id=own.client_id,
        nonce=_derived("nonce", flow["state"]),
        begun_at=datetime.fromisoformat(flow["at"]),
        fresh=bool(flow["proves"]),
    )
    check_id_token(claims, expected, utcnow())
    return tokens, claims


def _identity(tokens: Tokens, claims: Claims) -> ProvenIdentity:
    """Who has signed in there; what the ID token does not say is asked for once more."""
    config, own = current_config(), provider()
    if "email" not in claims or value_of(claims, config.oidc_role_claim) is None:
        claims = {**own.userinfo(tokens.access_token, claims["sub"], utcnow()), **claims}
    email = verified_email(claims)
    role = role_of(claims, config.oidc_role_claim, dict(config.oidc_role_map))
    if role is None:
        raise IdentityRefused(email, "no_role", f"{own.name} gives you no role on this portal.")
    return ProvenIdentity(own.issuer, claims["sub"], email, role)


def _sign_in(user: User, claims: Claims, next_address: str | None) -> ResponseReturnValue:
    sid = claims.get("sid")
    at_provider = sid if isinstance(sid, str) and len(sid) <= 255 else ""
    who = Authentication(user.email, client_address(), user)
    if not open_session(who, provider_session=at_provider):
        return refused_sign_in_page(WORKS_ON_AGENT, 403)
    return redirect_see_other(start_page(user.role, next_address))


def _note_proof(user: User, next_address: str | None) -> ResponseReturnValue:
    if current_user.id != user.id:
        error = AnswerRefused(f"It is of {user.email}, and not of who is signed in here.")
        return _refused(error, next_address)
    actor = Actor(user.id, user.email, user.role, client_address())
    note_proof(db.session(), session_id=current_user.session_id, actor=actor, now=utcnow())
    return redirect_see_other(start_page(user.role, next_address))


def _refused(
    error: AnswerRefused | IdentityRefused | Conflict, next_address: str | None
) -> ResponseReturnValue:
    """The sign-in page with the reason; that is logged, and nothing else is done."""
    begin_write()
    reason, email, sentence = "answer", "", error.detail
    if isinstance(error, IdentityRefused):
        reason, email = error.reason, error.email
    if isinstance(error, AnswerRefused):
        sentence = f"The answer of {provider().name} was not accepted. {sentence}"
    actor = Actor(None, email, None, client_address())
    log_event(db.session(), AuditTag.SIGN_IN_REFUSED, actor=actor, now=utcnow(), reason=reason)
    return refused_sign_in_page(sentence, error.status, next_address)


def _begun_elsewhere() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect_see_other(start_page(current_user.role))
    if "error" in request.args:
        flash(f"{provider().name} did not sign you in.", "warning")
    else:
        sentence = "That sign-in was begun in another browser, or too long ago. Begin it here."
        flash(sentence, "warning")
    return redirect_see_other(url_for("accounts.sign_in_page"))


def _redirect_uri() -> str:
    return reached_root() + url_for("oidc.take_answer").removeprefix(path_prefix())


def _provider_actor() -> Actor:
    """In whose name users are made and changed: the provider decides that like a super admin."""
    return Actor(None, provider().name, Role.SUPER_ADMIN, client_address())


def _derived(purpose: str, state: str) -> str:
    """A secret of one sign-in, which the cookie need not hold."""
    key = current_config().secret_key.encode()
    return _base64url(hmac.digest(key, f"oidc-{purpose}/{state}".encode(), "sha256"))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
