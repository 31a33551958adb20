"""The second factor: asked for at the sign-in and before what cannot be undone; set up."""

from secrets import token_urlsafe

import segno
from flask import Blueprint, flash, make_response, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.authentication import lock_user
from app.accounts.identities import identity_of
from app.accounts.passkeys import prove_by_passkey
from app.accounts.second_factor import (
    WRONG_CODE,
    Attempt,
    Factors,
    check_code,
    factors_of,
    set_up_authenticator,
)
from app.accounts.second_factor_rules import is_fresh
from app.accounts.totp import offered_secret, otpauth_address
from app.accounts.users import PROVIDER_ONLY
from app.accounts.web_sessions import note_proof
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.actor import Actor
from app.core.clock import utcnow
from app.core.durations import time_left
from app.core.errors import InvalidInput
from app.core.text import counted
from app.extensions import db
from app.models import User
from app.portal.gate import outside_checked_transaction
from app.portal.half_way import half_way_user, next_of_half_way, open_session_of
from app.portal.passkeys import challenges, own_site, purpose_of
from app.portal.proofs import prove as prove_password
from app.portal.proofs import too_many
from app.portal.sign_in import must_be_local
from app.portal.start_page import start_page
from app.web.access import (
    ProofNeeded,
    SignInNeeded,
    client_address,
    current_actor,
    public,
    safe_next,
)
from app.web.forms_again import shown_again_by
from app.web.htmx import redirect_see_other
from app.web.transaction import defer_write

blueprint = Blueprint("second_factor", __name__)
NONCE = "authenticator_nonce"
SENTENCES = {"code": WRONG_CODE, "recovery": "That is none of your recovery codes that are left."}


@blueprint.get("/login/second-factor")
@public
def ask() -> ResponseReturnValue:
    user = half_way_user()
    if user is None:
        return _sign_in_anew()
    if not factors_of(db.session(), user.id).any:
        return redirect_see_other(url_for("second_factor.set_up_page"))
    return _asking("second-factor", user)


@blueprint.post("/login/second-factor")
@public
@shown_again_by(ask)
def answer() -> ResponseReturnValue:
    user = half_way_user()
    if user is None:
        return _sign_in_anew()
    next_address = next_of_half_way()
    refused = _refusal("second-factor", user)
    if refused is not None:
        return refused
    if not open_session_of(user):
        return _sign_in_anew()
    return redirect_see_other(start_page(user.role, safe_next(next_address)))


@blueprint.post("/login/passkey")
@public
@shown_again_by(lambda: redirect_see_other(url_for("accounts.sign_in_page")))
def sign_in_by_passkey() -> ResponseReturnValue:
    """The passkey alone: it has verified its user itself (by a fingerprint, say, or a PIN)."""
    must_be_local()
    user_id = None
    try:
        user_id = _user_of_passkey("sign-in")
    except InvalidInput as error:
        log_event(
            db.session(),
            AuditTag.SECOND_FACTOR_REFUSED,
            actor=Actor(None, "", None, client_address()),
            now=utcnow(),
            reason="passkey",
        )
        flash(error.detail, "danger")
    user = lock_user(db.session(), user_id) if user_id else None
    if user is None or not open_session_of(user):
        return redirect_see_other(url_for("accounts.sign_in_page"))
    return redirect_see_other(start_page(user.role, safe_next(request.form.get("next"))))


@blueprint.get("/prove")
@public
def prove_page() -> ResponseReturnValue:
    return _asking("prove", _signed_in_user())


@blueprint.post("/prove")
@public
@shown_again_by(prove_page)
@defer_write
def prove() -> ResponseReturnValue:
    """Prove again who one is: by the second factor, or by the password where there is none."""
    user = _signed_in_user()
    if factors_of(db.session(), user.id).any:
        with outside_checked_transaction():
            pass
        user = _signed_in_user()
        refused = _refusal("prove", user)
    else:
        refused = _password_refusal(user)
    if refused is not None:
        return refused
    note_proof(
        db.session(), session_id=current_user.session_id, actor=current_actor(), now=utcnow()
    )
    return redirect_see_other(start_page(user.role, safe_next(request.values.get("next"))))


@blueprint.get("/second-factor/set-up")
@public
def set_up_page() -> ResponseReturnValue:
    user = _user_to_set_up()
    return _setting_up(user) if user else _sign_in_anew()


@blueprint.post("/second-factor/set-up")
@public
@shown_again_by(set_up_page)
def set_up() -> ResponseReturnValue:
    user = _user_to_set_up()
    if user is None:
        return _sign_in_anew()
    next_address = url_for("account.own")
    if not current_user.is_authenticated:
        next_address = start_page(user.role, safe_next(next_of_half_way()))
    actor = Actor(user.id, user.email, user.role, client_address())
    try:
        codes = set_up_authenticator(
            db.session(),
            user=user,
            secret=_offered(user),
            code=request.form.get("code", ""),
            secret_key=current_config().secret_key,
            actor=actor,
            now=utcnow(),
        )
    except InvalidInput as error:
        return _setting_up(user, error.detail, 422)
    session.pop(NONCE, None)
    if not current_user.is_authenticated and not open_session_of(user):
        return _sign_in_anew()
    if not codes:
        flash("Your authenticator app is set up.", "success")
        return redirect_see_other(next_address)
    return show_recovery_codes(codes, next_address)


def show_recovery_codes(codes: list[str], next_address: str) -> ResponseReturnValue:
    """The one page that shows recovery codes; no cache keeps it."""
    response = make_response(
        render_template("accounts/recovery_codes.html", codes=codes, next_address=next_address)
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _user_to_set_up() -> User | None:
    """Who sets up an authenticator app: somebody signed in, or half way without any factor.

    Whoever knows a password alone must not put a factor of theirs beside the person's own.
    """
    if current_user.is_authenticated:
        if not is_fresh(current_user.proven_at, utcnow()):
            raise ProofNeeded(url_for("second_factor.set_up_page"))
        return _signed_in_user()
    user = half_way_user()
    return None if user is None or factors_of(db.session(), user.id).any else user


def _signed_in_user() -> User:
    user = lock_user(db.session(), current_user.id) if current_user.is_authenticated else None
    if user is None:
        raise SignInNeeded(request.full_path.removesuffix("?"))
    return user


def _offered(user: User) -> str:
    nonce = session.setdefault(NONCE, token_urlsafe(16))
    return offered_secret(current_config().secret_key, user.id, nonce)


def _setting_up(user: User, error: str = "", status: int = 200) -> ResponseReturnValue:
    secret = _offered(user)
    code = segno.make(otpauth_address(secret, user.email), micro=False)
    response = make_response(
        render_template(
            "accounts/set_up_authenticator.html",
            secret=secret,
            qr_code=code.svg_data_uri(scale=4, light="#fff"),
            error=error,
            required=not current_user.is_authenticated,
        ),
        status,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _user_of_passkey(purpose: str, user_id: int | None = None) -> int:
    site = own_site()
    if site is None:
        raise InvalidInput("passkey", "Passkeys need a portal with a name.")
    proven = prove_by_passkey(
        db.session(),
        answer=request.form.get("passkey", ""),
        purpose=purpose_of(purpose, user_id),
        site=site,
        challenges=challenges(),
        now=utcnow(),
    )
    if user_id is not None and proven != user_id:
        raise InvalidInput("passkey", "That is the passkey of somebody else.")
    return proven


def _refusal(purpose: str, user: User) -> ResponseReturnValue | None:
    """The page again, with what was wrong, unless what was sent proves who `user` is."""
    if request.form.get("passkey"):
        try:
            _user_of_passkey(purpose, user.id)
        except InvalidInput as error:
            return _refused(purpose, user, "passkey", error.detail)
        return None
    recovery = "recovery" in request.values
    attempt = check_code(
        db.session(),
        user=user,
        code=request.form.get("code", ""),
        recovery=recovery,
        secret_key=current_config().secret_key,
        limit=current_config().signin_failures,
        now=utcnow(),
    )
    if attempt.right:
        return None
    if attempt.wait_seconds:
        sentence = f"Too many wrong codes. {_what_next(attempt)}"
        return _refused(purpose, user, "throttled", sentence, attempt.wait_seconds)
    return _refused(purpose, user, "wrong", SENTENCES["recovery" if recovery else "code"])


def _what_next(attempt: Attempt) -> str:
    if not attempt.of_the_day:
        return f"Try again in {counted(attempt.wait_seconds, 'second')}."
    later = time_left(attempt.wait_seconds)
    return f"Codes of the app count again in {later}; recovery codes and passkeys do now."


def _refused(
    purpose: str, user: User, reason: str, sentence: str, wait_seconds: int = 0
) -> ResponseReturnValue:
    actor = Actor(user.id, user.email, user.role, client_address())
    tag = AuditTag.SECOND_FACTOR_REFUSED
    log_event(db.session(), tag, actor=actor, now=utcnow(), reason=reason)
    response = make_response(_asking(purpose, user, sentence, 429 if wait_seconds else 401))
    if wait_seconds:
        response.headers["Retry-After"] = str(wait_seconds)
    return response


def _password_refusal(user: User) -> ResponseReturnValue | None:
    typed = request.form.get("password", "")
    who = prove_password(user.email, typed, outside_checked_transaction)
    if who.user is not None and who.user.id == current_user.id:
        return None
    sentence = too_many(who) if who.wait_seconds else "That is not your password."
    reason = "throttled" if who.wait_seconds else "wrong"
    return _refused("prove", _signed_in_user(), reason, sentence, who.wait_seconds)


def _asking(purpose: str, user: User, error: str = "", status: int = 200) -> ResponseReturnValue:
    factors: Factors = factors_of(db.session(), user.id)
    page = render_template(
        "accounts/second_factor.html",
        purpose=purpose,
        email=user.email,
        factors=factors,
        has_password=user.password_hash != PROVIDER_ONLY,
        provider=_provider_of(user) if purpose == "prove" else "",
        recovery="recovery" in request.values and factors.recovery_codes > 0,
        next_address=safe_next(request.values.get("next")) or "",
        site=own_site(),
        error=error,
    )
    return page, status


def _provider_of(user: User) -> str:
    """The name of the identity provider at which a user can prove who they are; "" if at none."""
    config = current_config()
    return config.oidc_name if identity_of(db.session(), user.id, config.oidc_issuer) else ""


def _sign_in_anew() -> ResponseReturnValue:
    flash("That took too long, or was begun in another browser. Sign in again.", "warning")
    return redirect_see_other(url_for("accounts.sign_in_page"))
