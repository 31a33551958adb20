"""Temporary keys as pages list them and inspections look at them: columns, without the ORM."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Select, bindparam, select, union_all
from sqlalchemy.orm import Session, aliased

from app.models import TemporaryLicense, User
from app.models.rows import read_rows
from app.models.types import UTCDateTime

ENDED_LISTED = 50
"""How many of the keys that ended a list has, the latest."""


class KeyRecord(NamedTuple):
    """The record of a temporary license. People are e-mails; else as the table has it."""

    id: int
    key_id: str
    organisation_id: str
    kid: str
    ttl_seconds: int
    first_ttl_seconds: int | None
    issued_at: datetime
    starts_at: datetime
    expires_at: datetime
    ends_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    reason: str
    ticket: str
    recipient_id: int | None
    collected_at: datetime | None
    sign_ins_allowed: int | None
    sign_ins_used: int
    first_machine: bool
    bound_mac_id: str
    bound_machine_id: str
    use_by: datetime | None
    issued_by: str
    issuer_name: str
    revoked_by: str | None
    recipient: str | None
    recipient_name: str | None

    @property
    def ended_at(self) -> datetime:
        """The instant from which it does not work: its revocation, if that is before its end."""
        return min(self.revoked_at or self.ends_at, self.ends_at)


AnyKey = TemporaryLicense | KeyRecord


def is_later(license: AnyKey) -> bool:
    """Whether a license starts later than it was issued."""
    return license.starts_at != license.issued_at


_issuer, _revoker, _recipient = aliased(User), aliased(User), aliased(User)
_OF_PEOPLE = ("issued_by", "issuer_name", "revoked_by", "recipient", "recipient_name")
_RECORD = (
    # Outer joins, so that the database begins with the licenses, in the order of an index.
    select(
        *(getattr(TemporaryLicense, name) for name in KeyRecord._fields if name not in _OF_PEOPLE),
        _issuer.email.label("issued_by"),
        _issuer.name.label("issuer_name"),
        _revoker.email.label("revoked_by"),
        _recipient.email.label("recipient"),
        _recipient.name.label("recipient_name"),
    )
    .outerjoin(_issuer, TemporaryLicense.issued_by_id == _issuer.id)
    .outerjoin(_revoker, TemporaryLicense.revoked_by_id == _revoker.id)
    .outerjoin(_recipient, TemporaryLicense.recipient_id == _recipient.id)
)
_BY_KEY_ID = _RECORD.where(TemporaryLicense.key_id == bindparam("key_id"))
_OF_FORM = _RECORD.where(TemporaryLicense.form_token == bindparam("form_token"))


def find_key_record(session: Session, key_id: str) -> KeyRecord | None:
    """The record of the key with this Key ID, spelt as it is stored, or None."""
    row = read_rows(session, _BY_KEY_ID, {"key_id": key_id}).one_or_none()
    return KeyRecord(*row) if row else None


def find_key_of_form(session: Session, form_token: str) -> KeyRecord | None:
    """The record of the key that the form with this token has issued, or None."""
    row = read_rows(session, _OF_FORM, {"form_token": form_token}).one_or_none()
    return KeyRecord(*row) if row else None


class KeyList(NamedTuple):
    """An organisation's keys in the usual order, in their groups."""

    active: list[KeyRecord]
    scheduled: list[KeyRecord]
    ended: list[KeyRecord]


def list_keys(
    session: Session, organisation_id: str, now: datetime, *, asked: str | None = None
) -> KeyList:
    """An organisation's keys: all that are active or scheduled, and others.

    Of the others the first `ENDED_LISTED`, and at their end the one with the Key ID `asked` if it
    is the organisation's and would not be listed. One query, whatever the number of keys.
    """
    values = {"organisation_id": organisation_id, "now": now, "key_id": asked}
    found = read_rows(session, _LISTED, values)
    records = {record.id: record for record in (KeyRecord(*row) for row in found)}.values()
    active = [record for record in records if _is_active(record, now)]
    active.sort(key=lambda record: (record.issued_at, record.id), reverse=True)
    scheduled = [record for record in records if _is_scheduled(record, now)]
    scheduled.sort(key=lambda record: (record.issued_at, record.id), reverse=True)
    scheduled.sort(key=lambda record: record.starts_at)
    listed = {record.id for record in (*active, *scheduled)}
    others = [record for record in records if record.id not in listed]
    others.sort(key=lambda record: (record.ended_at, record.issued_at, record.id), reverse=True)
    further = [record for record in others[ENDED_LISTED:] if record.key_id == asked]
    return KeyList(active, scheduled, others[:ENDED_LISTED] + further)


def _is_active(record: KeyRecord, now: datetime) -> bool:
    return record.revoked_at is None and record.starts_at <= now < record.ends_at


def _is_scheduled(record: KeyRecord, now: datetime) -> bool:
    return record.revoked_at is None and record.issued_at <= now < record.starts_at


def _listed() -> Any:
    """Three ranges of two indexes: not over yet, run out, revoked; and one key by its Key ID.

    A key is revoked before it runs out or never, so that of the latest that ended each is among
    the latest that ran out or the latest that were revoked.
    """
    now: BindParameter[datetime] = bindparam("now", type_=UTCDateTime())
    own = _RECORD.where(TemporaryLicense.organisation_id == bindparam("organisation_id"))
    unrevoked = own.where(TemporaryLicense.revoked_at.is_(None))
    run_out = unrevoked.where(TemporaryLicense.ends_at <= now).order_by(
        TemporaryLicense.ends_at.desc(),
        TemporaryLicense.issued_at.desc(),
        TemporaryLicense.id.desc(),
    )
    revoked = own.where(TemporaryLicense.revoked_at.is_not(None)).order_by(
        TemporaryLicense.revoked_at.desc(),
        TemporaryLicense.issued_at.desc(),
        TemporaryLicense.id.desc(),
    )
    return union_all(
        unrevoked.where(TemporaryLicense.ends_at > now),
        _first(run_out),
        _first(revoked),
        own.where(TemporaryLicense.key_id == bindparam("key_id")),
    )


def _first(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return select(query.limit(ENDED_LISTED).subquery())


_LISTED = _listed()
