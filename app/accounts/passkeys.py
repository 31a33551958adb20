"""Passkeys (WebAuthn, level 3): adding one, and proving oneself by one, user verified.

The library (py_webauthn) is imported when it is needed: few processes ever do.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.second_factor import ensure_recovery_codes
from app.accounts.used_once import use_once
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import InvalidInput
from app.core.tokens import new_token
from app.models import Passkey, User

NAME = "Rolling Window"
CHALLENGE_SECONDS = 300
MOST_PASSKEYS = 20
NOT_ACCEPTED = "The passkey was not accepted. Try again, or use another way to prove who you are."


@dataclass(frozen=True)
class Site:
    """The portal as browsers know it: the relying party's ID and the origin of its pages."""

    rp_id: str
    origin: str


@dataclass(frozen=True)
class Challenges:
    """Makes and checks what a passkey signs: good for one purpose, once, for five minutes."""

    secret_key: str

    def new(self, purpose: str) -> bytes:
        """A new challenge; nothing is stored until it has been answered."""
        return self._serializer(purpose).dumps(new_token()).encode()

    def use(self, session: Session, challenge: bytes, purpose: str, now: datetime) -> None:
        """Take an answered challenge. Raises InvalidInput unless it is a new one of ours."""
        try:
            text = challenge.decode("ascii")
            self._serializer(purpose).loads(text, max_age=CHALLENGE_SECONDS)
        except (BadData, UnicodeDecodeError):
            raise InvalidInput("passkey", NOT_ACCEPTED) from None
        if not use_once(session, text, keep_for=timedelta(seconds=2 * CHALLENGE_SECONDS), now=now):
            raise InvalidInput("passkey", NOT_ACCEPTED)

    def _serializer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret_key, salt=f"passkey-challenge/{purpose}")


def options_to_add(session: Session, *, user: User, site: Site, challenge: bytes) -> str:
    """The JSON with which a browser makes a new passkey for `user`."""
    from webauthn import generate_registration_options, options_to_json  # noqa: PLC0415
    from webauthn.helpers.structs import (  # noqa: PLC0415
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    known = session.scalars(select(Passkey.credential_id).where(Passkey.user_id == user.id))
    return options_to_json(
        generate_registration_options(
            rp_id=site.rp_id,
            rp_name=NAME,
            user_name=user.email,
            user_id=f"rolling-window-user-{user.id}".encode(),
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
        )
    )


def options_to_prove(session: Session, *, user_id: int | None, site: Site, challenge: bytes) -> str:
    """The JSON with which a browser asks for a passkey: one of the user's, or any it knows."""
    from webauthn import generate_authentication_options, options_to_json  # noqa: PLC0415
    from webauthn.helpers.structs import (  # noqa: PLC0415
        PublicKeyCredentialDescriptor,
        UserVerificationRequirement,
    )

    known = session.scalars(select(Passkey.credential_id).where(Passkey.user_id == user_id))
    return options_to_json(
        generate_authentication_options(
            rp_id=site.rp_id,
            challenge=challenge,
            allow_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def add_passkey(
    session: Session,
    *,
    user: User,
    answer: str,
    name: str,
    site: Site,
    challenges: Challenges,
    actor: Actor,
    now: datetime,
) -> list[str]:
    """Keep the passkey that a browser has made; `user` must be locked.

    Returns the recovery codes if the user had none, else []. Raises InvalidInput (field "passkey").
    """
    from webauthn import verify_registration_response  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    credential, challenge = _read(answer)
    challenges.use(session, challenge, f"add/{user.id}", now)
    try:
        made = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError):
        raise InvalidInput("passkey", "The passkey could not be added. Try again.") from None
    of_user = session.scalars(select(Passkey.id).where(Passkey.user_id == user.id)).all()
    if len(of_user) >= MOST_PASSKEYS:
        raise InvalidInput("passkey", f"You have {MOST_PASSKEYS} passkeys; remove one first.")
    if _find(session, made.credential_id) is not None:
        raise InvalidInput("passkey", "This passkey was added before.")
    session.add(
        Passkey(
            user_id=user.id,
            credential_id=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            name=name,
            added_at=now,
        )
    )
    log_event(session, AuditTag.PASSKEY_ADDED, actor=actor, now=now, subject=user.email, name=name)
    return ensure_recovery_codes(session, user=user, secret_key=challenges.secret_key)


def prove_by_passkey(
    session: Session,
    *,
    answer: str,
    purpose: str,
    site: Site,
    challenges: Challenges,
    now: datetime,
) -> int:
    """The id of the user whose passkey has answered a challenge for `purpose`.

    Raises InvalidInput (field "passkey") for an unknown passkey, one of another site, an answer
    given before, and a counter that went back (then the passkey was copied).
    """
    from webauthn import verify_authentication_response  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    credential, challenge = _read(answer)
    challenges.use(session, challenge, purpose, now)
    passkey = _find(session, _bytes(credential.get("rawId")))
    if passkey is None:
        raise InvalidInput("passkey", "This portal does not know that passkey.")
    try:
        proven = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError):
        raise InvalidInput("passkey", NOT_ACCEPTED) from None
    passkey.sign_count = proven.new_sign_count
    passkey.last_used_at = now
    return passkey.user_id


def passkeys_of(session: Session, user_id: int) -> list[Passkey]:
    """The user's passkeys, the latest first."""
    of_user = select(Passkey).where(Passkey.user_id == user_id)
    return [*session.scalars(of_user.order_by(Passkey.id.desc()))]


def _find(session: Session, credential_id: bytes) -> Passkey | None:
    """The passkey, locked: of two answers of one counter, the second finds what the first left."""
    query = select(Passkey).where(Passkey.credential_id == credential_id)
    return session.scalar(query.with_for_update().execution_options(populate_existing=True))


def _read(answer: str) -> tuple[dict[str, Any], bytes]:
    """A browser's answer, and the challenge that it says it answers. Raises InvalidInput."""
    try:
        credential = json.loads(answer)
        client_data = json.loads(_bytes(credential["response"]["clientDataJSON"]))
        return credential, _bytes(client_data["challenge"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidInput("passkey", NOT_ACCEPTED) from None


def _bytes(text: Any) -> bytes:
    """The bytes of base64url without padding. Raises ValueError."""
    from webauthn.helpers import base64url_to_bytes  # noqa: PLC0415

    if not isinstance(text, str):
        raise ValueError("no text")  # noqa: TRY004 - told like every other malformed answer
    return base64url_to_bytes(text)
