"""Temporary licenses: issuing, revoking and inspecting them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import bindparam, exists, insert, or_, select
from sqlalchemy.orm import Session

from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import whole_second
from app.core.durations import format_ttl
from app.core.errors import Conflict, InvalidInput, KeyInvalid, NotFound, TwoKeys
from app.core.permissions import Permission
from app.keyformat.key_ids import new_key_id, normalise_key_id
from app.keyformat.license_keys import SignedLicense, read_temporary_key, sign_temporary_key
from app.licenses.key_records import AnyKey, KeyRecord, find_key_of_form, find_key_record
from app.licenses.keyring import current_kid, find_public_key, private_key
from app.licenses.queries import has_ended, state_of
from app.licenses.rules import INVALID, NOT_YET_VALID, TWO_KEYS, Inspection, LicenseState
from app.models import Organisation, PermanentLicense, TemporaryLicense
from app.models.rows import read_rows
from app.throttle import one_at_a_time

_LOCKED_ORGANISATION = (
    select(Organisation.id)
    .where(Organisation.id == bindparam("organisation_id"))
    .with_for_update(read=True, key_share=True)
)


def issue_license(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    ttl: int,
    choices: tuple[int, ...],
    signing_keys: str,
    now: datetime,
    form_token: str | None = None,
) -> tuple[KeyRecord, str]:
    """Issue a temporary license of `ttl` seconds at the whole second of `now`: (record, key).

    `form_token` identifies the form: the same form sent again returns the same license.

    Raises InvalidInput (field "ttl") if `ttl` is not among `choices` or the form has issued a key
    of another TTL, NotFound, Conflict if the form has issued a key for somebody or something
    else, NotAllowed, and SigningKeyMissing, after which the caller must roll back.
    """
    actor.must(Permission.ISSUE_LICENSES)
    if ttl not in choices:
        offered = ", ".join(format_ttl(choice) for choice in choices)
        raise InvalidInput("ttl", f"Choose one of the TTL intervals offered: {offered}.")
    # Locked until the commit, so that nobody deletes the organisation meanwhile.
    organisations = read_rows(session, _LOCKED_ORGANISATION, {"organisation_id": organisation_id})
    if organisations.first() is None:
        raise NotFound(f"There is no organisation {organisation_id!r}.")
    if form_token is not None:
        # The same form may be sent twice at once: the second one sees what the first has issued.
        one_at_a_time(session, f"form {form_token}")
    license = _issued_by_form(session, form_token, actor, organisation_id, ttl)
    if license is None:
        license = _record_license(
            session,
            actor=actor,
            organisation_id=organisation_id,
            ttl=ttl,
            now=now,
            form_token=form_token,
        )
    return license, key_text(license, signing_keys)


def _record_license(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    ttl: int,
    now: datetime,
    form_token: str | None,
) -> KeyRecord:
    issued_at = whole_second(now)
    license = KeyRecord(
        id=0,
        key_id=free_key_id(session),
        organisation_id=organisation_id,
        kid=current_kid(session, lock=True),
        ttl_seconds=ttl,
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=ttl),
        revoked_at=None,
        last_used_at=None,
        issued_by=actor.email,
        revoked_by=None,
    )
    stored = {
        "key_id": license.key_id,
        "organisation_id": license.organisation_id,
        "kid": license.kid,
        "ttl_seconds": license.ttl_seconds,
        "issued_at": license.issued_at,
        "expires_at": license.expires_at,
        "issued_by_id": actor.user_id,
        "form_token": form_token,
    }
    license = license._replace(id=session.connection().execute(_ISSUED, stored).scalar_one())
    log_event(
        session,
        AuditTag.LICENSE_ISSUED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=license.key_id,
        ttl=ttl,
        expires_at=license.expires_at.isoformat(),
    )
    return license


def key_text(license: AnyKey, signing_keys: str) -> str:
    """The text of a license's key, derived from its record and the private key in `signing_keys`.

    Raises SigningKeyMissing.
    """
    return sign_temporary_key(
        private_key(signing_keys, license.kid),
        jti=license.key_id,
        organisation_id=license.organisation_id,
        ttl=license.ttl_seconds,
        issued_at=license.issued_at,
    )


def lock_license(session: Session, license: TemporaryLicense) -> TemporaryLicense:
    """The license as it is now, locked against sign-ins and other changes until the commit."""
    session.refresh(license, with_for_update={"of": TemporaryLicense})
    return license


def revoke_license(
    session: Session, *, actor: Actor, key_id: str, now: datetime
) -> TemporaryLicense:
    """Revoke a temporary license at the whole second of `now`; one that has ended is unchanged.

    Raises NotFound, NotAllowed.
    """
    actor.must(Permission.REVOKE_LICENSES)
    license = session.scalar(
        select(TemporaryLicense)
        .where(TemporaryLicense.key_id == normalise_key_id(key_id))
        .with_for_update(of=TemporaryLicense)
        .execution_options(populate_existing=True)
    )
    if license is None:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    if has_ended(license, now):
        return license
    license.revoked_at = whole_second(now)
    license.revoked_by_id = actor.user_id
    note_withdrawal(session, Withdrawal.KEY_REVOKED, license.key_id, now)
    log_event(
        session,
        AuditTag.LICENSE_REVOKED,
        actor=actor,
        now=now,
        organisation_id=license.organisation_id,
        subject=license.key_id,
        expires_at=license.expires_at.isoformat(),
    )
    return license


def inspect_key(session: Session, *, text: str, now: datetime) -> Inspection:
    """The state of the key in `text` at `now`; blank text is an invalid key.

    A key that was not made here, or that was issued in the future, is invalid.
    """
    signed = _read_key(session, text)
    if not isinstance(signed, SignedLicense):
        return signed or INVALID
    record = find_key_record(session, signed.jti)
    return _inspect(record, now) if record and _agrees_with_record(signed, record) else INVALID


def _inspect(license: AnyKey, now: datetime) -> Inspection:
    state = state_of(license, now)
    if state is LicenseState.INVALID:
        return NOT_YET_VALID
    return Inspection(state, license.key_id, license.organisation_id, license.expires_at)


@dataclass(frozen=True)
class PresentedKey:
    """A key that somebody presents, and its record; none if it was not made here."""

    license: TemporaryLicense | None
    if_none: Inspection = INVALID

    def inspect(self, now: datetime) -> tuple[Inspection, TemporaryLicense | None]:
        """The state at `now`, and the record unless the key is invalid."""
        if self.license is None:
            return self.if_none, None
        inspection = _inspect(self.license, now)
        return inspection, None if inspection == INVALID else self.license


def read_presented_key(session: Session, text: str, *, lock: bool = False) -> PresentedKey | None:
    """The key in `text`; None if it is blank.

    The signed content must agree with the record in everything. With `lock` nobody revokes the
    key until the commit: whoever then reads the clock decides on what is still so when it is
    written down.
    """
    signed = _read_key(session, text)
    if signed is None:
        return None
    if isinstance(signed, Inspection):
        return PresentedKey(None, signed)
    query = select(TemporaryLicense).where(TemporaryLicense.key_id == signed.jti)
    if lock:
        query = query.with_for_update(key_share=True, of=TemporaryLicense)
        query = query.execution_options(populate_existing=True)
    license = session.scalar(query)
    agrees = license is not None and _agrees_with_record(signed, license)
    return PresentedKey(license if agrees else None)


def _read_key(session: Session, text: str) -> SignedLicense | Inspection | None:
    """What the key in `text` says, signed here; or that it is invalid; None if it is blank."""
    try:
        return read_temporary_key(text, partial(find_public_key, session))
    except TwoKeys:
        return TWO_KEYS
    except KeyInvalid:
        return INVALID


def _agrees_with_record(signed: SignedLicense, license: AnyKey) -> bool:
    return (
        signed.kid == license.kid
        and signed.organisation_id == license.organisation_id
        and signed.ttl == license.ttl_seconds
        and signed.issued_at == license.issued_at
    )


def free_key_id(session: Session) -> str:
    """A new Key ID that no license of either kind has."""
    key_id = new_key_id()
    while read_rows(session, _IS_TAKEN, {"key_id": key_id}).scalar():
        key_id = new_key_id()
    return key_id


_ISSUED = insert(TemporaryLicense).returning(TemporaryLicense.id)
_IS_TAKEN = select(
    or_(
        exists().where(TemporaryLicense.key_id == bindparam("key_id")),
        exists().where(PermanentLicense.key_id == bindparam("key_id")),
    )
)


def _issued_by_form(
    session: Session, form_token: str | None, actor: Actor, organisation_id: str, ttl: int
) -> KeyRecord | None:
    """The license that the form has issued before, or None. Raises Conflict, InvalidInput."""
    if form_token is None:
        return None
    license = find_key_of_form(session, form_token)
    if license is None:
        return None
    if (license.issued_by, license.organisation_id) != (actor.email, organisation_id):
        raise Conflict("This form was sent before, for something else. Load the page again.")
    if license.ttl_seconds != ttl:
        raise InvalidInput(
            "ttl",
            f"This form has generated {license.key_id} ({format_ttl(license.ttl_seconds)}) "
            f"already. For another key of {format_ttl(ttl)}, press the button once more.",
        )
    return license
