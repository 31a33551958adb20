"""OpenID Connect: what a token must say to count, and which role it gives (pure).

OpenID Connect Core 1.0, 3.1.3.7 (ID tokens), and Back-Channel Logout 1.0, 2.6 (log-out tokens). The
signature has been checked before.
"""

import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.errors import PortalError
from app.core.permissions import PROVIDED_ROLES, Role
from app.core.text import is_email

Claims = Mapping[str, Any]
LEEWAY = timedelta(seconds=60)
"""How far the provider's clock and ours may differ."""
FLOW_LASTS = timedelta(minutes=10)
"""How long after it was begun a sign-in at the provider is taken."""
LOG_OUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LONGEST = 255
"""Characters of a subject, as OpenID Connect has it, and of a session's name."""


class AnswerRefused(PortalError):
    """What came from the provider, or by way of a browser from there, is not to be believed."""

    status = 401
    code = "provider_answer_refused"
    title = "The sign-in did not work"


@dataclass(frozen=True)
class Expected:
    """What a sign-in that this browser began at `begun_at` expects of its ID token."""

    issuer: str
    client_id: str
    nonce: str
    begun_at: datetime
    fresh: bool = False
    """Whether the person must have signed in at the provider since then."""


@dataclass(frozen=True)
class LogOut:
    """Whom a log-out token signs out: a session of the provider's, else all of a subject's."""

    subject: str
    provider_session: str
    token_id: str


def is_pending(begun_at: datetime, now: datetime) -> bool:
    """Whether the answer to a sign-in that was begun at `begun_at` is still taken."""
    return timedelta(0) <= now - begun_at < FLOW_LASTS


def check_id_token(claims: Claims, expected: Expected, now: datetime) -> None:
    """Raises AnswerRefused unless an ID token is for this portal, this sign-in and this moment."""
    _check_origin(claims, expected.issuer, expected.client_id)
    if not hmac.compare_digest(_text(claims, "nonce").encode(), expected.nonce.encode()):
        raise AnswerRefused("It answers another sign-in than the one begun here. Try again.")
    if not 0 < len(_text(claims, "sub")) <= LONGEST:
        raise AnswerRefused("It does not say who you are.")
    issued_at, expires_at = _instant(claims, "iat"), _instant(claims, "exp")
    if issued_at > now + LEEWAY or issued_at < expected.begun_at - LEEWAY:
        raise AnswerRefused(
            "Its time is wrong by more than a minute: the clocks of the provider and of this "
            "portal differ. Tell the person who runs this portal."
        )
    if now >= expires_at + LEEWAY:
        raise AnswerRefused("It has expired. Try again.")
    if expected.fresh and _instant(claims, "auth_time") < expected.begun_at - LEEWAY:
        raise AnswerRefused("It does not say that you have signed in there just now.")


def read_log_out(
    claims: Claims, header: Claims, issuer: str, client_id: str, now: datetime
) -> LogOut:
    """Whom a log-out token signs out. Raises AnswerRefused unless it is one, ours, and new."""
    _check_origin(claims, issuer, client_id)
    if str(header.get("typ", "logout+jwt")).lower() not in ("logout+jwt", "jwt"):
        raise AnswerRefused("That is a token of another type.")
    if abs(_instant(claims, "iat") - now) > FLOW_LASTS or now >= _instant(claims, "exp") + LEEWAY:
        raise AnswerRefused("The token is too old, or from the future.")
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(LOG_OUT_EVENT), Mapping):
        raise AnswerRefused("The token is not one that signs somebody out.")
    if "nonce" in claims:
        raise AnswerRefused("The token has a nonce, as one that signs somebody in.")
    log_out = LogOut(_text(claims, "sub"), _text(claims, "sid"), _text(claims, "jti"))
    if not log_out.token_id or not (log_out.subject or log_out.provider_session):
        raise AnswerRefused("The token lacks its ID, or whom it signs out.")
    return log_out


def role_of(claims: Claims, claim: str, role_map: Mapping[str, Role]) -> Role | None:
    """The highest role that the values of `claim` give; None if they give none.

    The claim may be a text or a list of texts; a name with dots leads into nested objects, unless
    there is a claim of just that name.
    """
    found = value_of(claims, claim)
    values = found if isinstance(found, list) else [found]
    given = {role_map[value] for value in values if isinstance(value, str) and value in role_map}
    return next((role for role in PROVIDED_ROLES if role in given), None)


def value_of(claims: Claims, claim: str) -> Any:
    """The value of a claim, also within others ("realm_access.roles"); None if there is none."""
    if claim in claims:
        return claims[claim]
    found: Any = claims
    for step in claim.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def verified_email(claims: Claims) -> str:
    """The e-mail that the provider vouches for; "" if it does not, or it is none.

    Some signs become other letters when they are made small (the Kelvin sign, a k): an address with
    these, which is not in Unicode's NFC, is somebody else's than the one that it would become.
    """
    said = _text(claims, "email").strip()
    email = said.lower()
    its_own = is_email(email) and unicodedata.is_normalized("NFC", said)
    return email if claims.get("email_verified") is True and its_own else ""


def _check_origin(claims: Claims, issuer: str, client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer:
        raise AnswerRefused("It comes from another provider.")
    if client_id not in audiences:
        raise AnswerRefused("It is meant for another application.")
    authorized = claims.get("azp", client_id if len(audiences) == 1 else None)
    if authorized != client_id:
        raise AnswerRefused("It was made for another application.")


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) and len(value) <= 10 * LONGEST else ""


def _instant(claims: Claims, name: str) -> datetime:
    """Raises AnswerRefused if there is no such instant (NumericDate: seconds since 1970)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**37:
        raise AnswerRefused(f"It lacks a time that it must have ({name}).")
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=value)
