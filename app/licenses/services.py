"""Temporary licenses: issuing, revoking and inspecting them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import bindparam, exists, insert, or_, select
from sqlalchemy.orm import Session

from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import whole_second
from app.core.durations import KeyLimits, format_ttl
from app.core.errors import Conflict, InvalidInput, KeyInvalid, NotFound, TwoKeys
from app.core.permissions import Permission
from app.keyformat.key_ids import new_key_id
from app.keyformat.license_keys import SignedLicense, read_temporary_key, sign_temporary_key
from app.licenses.key_records import (
    AnyKey,
    KeyRecord,
    find_key_of_form,
    find_key_record,
    is_later,
)
from app.licenses.keyring import current_kid, find_public_key, private_key
from app.licenses.option_rules import (
    KeyOptions,
    KeyWindow,
    checked_options,
    checked_reason,
    key_window,
    last_use,
)
from app.licenses.queries import (
    bound_machine,
    has_ended,
    lock_by_key_id,
    sign_ins_left,
    state_of,
)
from app.licenses.recipients import find_recipient
from app.licenses.rules import (
    INVALID,
    NOT_YET_VALID,
    TWO_KEYS,
    Inspection,
    KeyTerms,
    LicenseState,
    MachineIds,
)
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
    options: KeyOptions,
    limits: KeyLimits,
    signing_keys: str,
    now: datetime,
    form_token: str | None = None,
) -> tuple[KeyRecord, str]:
    """Issue a temporary license at the whole second of `now`: (record, key).

    `form_token` identifies the form: the same form sent again returns the same license.

    Raises InvalidInput, with the name of one of KeyOptions' fields, if an option is refused or the
    form has issued a key with others, NotFound, Conflict if the form has issued a key for somebody
    or something else, NotAllowed, and SigningKeyMissing, after which the caller must roll back.
    """
    actor.must(Permission.ISSUE_LICENSES)
    options = checked_options(options)
    window = key_window(options, limits, now)
    # Locked until the commit, so that nobody deletes the organisation meanwhile.
    organisations = read_rows(session, _LOCKED_ORGANISATION, {"organisation_id": organisation_id})
    if organisations.first() is None:
        raise NotFound(f"There is no organisation {organisation_id!r}.")
    if form_token is not None:
        # The same form may be sent twice at once: the second one sees what the first has issued.
        one_at_a_time(session, f"form {form_token}")
    license = _issued_by_form(session, form_token, actor, organisation_id, options)
    if license is None:
        license = _record_license(
            session,
            actor=actor,
            organisation_id=organisation_id,
            options=options,
            window=window,
            now=now,
            form_token=form_token,
        )
    return license, key_text(license, signing_keys)


def _record_license(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    options: KeyOptions,
    window: KeyWindow,
    now: datetime,
    form_token: str | None,
) -> KeyRecord:
    recipient = find_recipient(session, options.recipient) if options.recipient else None
    stored: dict[str, Any] = {
        "key_id": free_key_id(session),
        "organisation_id": organisation_id,
        "kid": current_kid(session, lock=True),
        "ttl_seconds": window.ttl,
        "first_ttl_seconds": None,
        "issued_at": whole_second(now),
        "starts_at": window.starts_at,
        "expires_at": window.expires_at,
        "ends_at": window.ends_at,
        "revoked_at": None,
        "last_used_at": None,
        "reason": options.reason,
        "ticket": options.ticket,
        "recipient_id": recipient.id if recipient else None,
        "collected_at": None,
        "sign_ins_allowed": options.sign_ins,
        "sign_ins_used": 0,
        "first_machine": options.first_machine,
        "bound_mac_id": "",
        "bound_machine_id": "",
        "use_by": window.use_by,
    }
    of_form = {"issued_by_id": actor.user_id, "form_token": form_token}
    license = KeyRecord(
        id=session.connection().execute(_ISSUED, stored | of_form).scalar_one(),
        issued_by=actor.email,
        issuer_name="",
        revoked_by=None,
        recipient=recipient.email if recipient else None,
        recipient_name=recipient.name if recipient else None,
        **stored,
    )
    log_event(
        session,
        AuditTag.LICENSE_ISSUED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=license.key_id,
        ttl=window.ttl,
        expires_at=license.expires_at.isoformat(),
        **_carried(license),
    )
    return license


def _carried(license: KeyRecord) -> dict[str, str | int | None]:
    """What a new license carries, for the audit log: only what it does."""
    carried = {
        "starts_at": license.starts_at.isoformat() if is_later(license) else None,
        "recipient": license.recipient,
        "reason": license.reason,
        "ticket": license.ticket,
        "sign_ins": license.sign_ins_allowed,
        "first_machine": "yes" if license.first_machine else None,
        "use_by": license.use_by.isoformat() if license.use_by else None,
    }
    return {name: value for name, value in carried.items() if value}


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
        starts_at=license.starts_at,
    )


def lock_license(session: Session, license: TemporaryLicense) -> TemporaryLicense:
    """The license as it is now, locked against sign-ins and other changes until the commit."""
    session.refresh(license, with_for_update={"of": TemporaryLicense})
    return license


def revoke_license(
    session: Session, *, actor: Actor, key_id: str, now: datetime, reason: str = ""
) -> TemporaryLicense:
    """Revoke a temporary license at the whole second of `now`; one that has ended is unchanged.

    Raises NotFound, NotAllowed, and InvalidInput (field "reason").
    """
    actor.must(Permission.REVOKE_LICENSES)
    reason = checked_reason(reason)
    license = lock_by_key_id(session, key_id)
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
        reason=reason,
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
    return Inspection(
        state,
        license.key_id,
        license.organisation_id,
        expires_at=license.ends_at if state is LicenseState.EXPIRED else license.expires_at,
        starts_at=license.starts_at,
        ends_at=license.ends_at,
        terms=KeyTerms(license.recipient_id, sign_ins_left(license), bound_machine(license)),
    )


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


def note_sign_in(
    session: Session, license: TemporaryLicense, machine: MachineIds, now: datetime
) -> None:
    """Count a sign-in with a locked license: it was used in time, and on which machine."""
    license.last_used_at = now
    license.sign_ins_used += 1
    if sign_ins_left(license) == 0:
        note_withdrawal(session, Withdrawal.KEY_USED_UP, license.key_id, now)
    license.ends_at = license.expires_at
    if license.first_machine:
        license.bound_mac_id = license.bound_mac_id or machine.mac_id
        license.bound_machine_id = license.bound_machine_id or machine.machine_id


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
        and _is_a_ttl_of(license, signed.ttl)
        and signed.issued_at == license.issued_at
        and signed.starts_at == license.starts_at
    )


def _is_a_ttl_of(license: AnyKey, ttl: int) -> bool:
    """Whether a text with this TTL is the license's: the present one, or one from before.

    Any between the first and the present will do, since nobody else can sign one.
    """
    return (license.first_ttl_seconds or license.ttl_seconds) <= ttl <= license.ttl_seconds


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
    session: Session,
    form_token: str | None,
    actor: Actor,
    organisation_id: str,
    options: KeyOptions,
) -> KeyRecord | None:
    """The license that the form has issued before, or None. Raises Conflict, InvalidInput."""
    if form_token is None:
        return None
    license = find_key_of_form(session, form_token)
    if license is None:
        return None
    if (license.issued_by, license.organisation_id) != (actor.email, organisation_id):
        raise Conflict("This form was sent before, for something else. Load the page again.")
    if not _is_asked_for(license, options):
        raise InvalidInput(
            "ttl",
            f"This form has generated {license.key_id} ({format_ttl(license.ttl_seconds)}) "
            "already, with other choices. For another key, press the button once more.",
        )
    return license


def _is_asked_for(license: KeyRecord, options: KeyOptions) -> bool:
    """Whether a license is what these options asked for at first."""
    first_ttl = license.first_ttl_seconds or license.ttl_seconds
    ends_at = license.starts_at + timedelta(seconds=first_ttl)
    starts_at = max(options.starts_at or license.issued_at, license.issued_at)
    ends_so = ends_at == options.ends_at if options.ends_at else first_ttl == options.ttl
    used_so = license.use_by == last_use(starts_at, ends_at, options.use_within)
    asked = (options.reason, options.ticket, options.sign_ins, options.first_machine)
    carried = (
        license.reason,
        license.ticket,
        license.sign_ins_allowed,
        license.first_machine,
    )
    same_recipient = (license.recipient or "") == options.recipient.lower()
    return (
        starts_at == license.starts_at
        and ends_so
        and used_so
        and asked == carried
        and same_recipient
    )
