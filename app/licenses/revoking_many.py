"""Revoking many temporary keys at once: which they are, and doing it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import Session, joinedload

from app.accounts.users import must_find_user
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import InvalidInput, NotFound
from app.core.permissions import Permission
from app.core.text import shortened
from app.keyformat.key_ids import normalise_key_id
from app.licenses.option_rules import checked_reason
from app.licenses.withdrawing import revoke_where
from app.models import AuditEvent, Organisation, TemporaryLicense, User

MOST_AT_ONCE = 1000
MOST_OFFERED = 200


@dataclass(frozen=True)
class KeySelection:
    """Which keys are meant: those that fit all that is given, or every one."""

    organisation: str = ""
    """Its ID."""
    recipient: str = ""
    """An e-mail, as the next."""
    issued_by: str = ""
    everything: bool = False
    key_ids: tuple[str, ...] = ()
    """Those that were chosen one by one, as they were typed."""

    @property
    def is_blank(self) -> bool:
        return self == KeySelection()


@dataclass(frozen=True)
class Revoked:
    """What was done: the Key IDs that were revoked, that had ended, and that were not previewed."""

    revoked: list[str]
    ended: list[str]
    left: list[str]


def keys_to_revoke(
    session: Session, selection: KeySelection, now: datetime
) -> list[TemporaryLicense]:
    """The keys of a selection that have not ended, the soonest ending first.

    One more than MOST_AT_ONCE if there are more than that.

    Raises InvalidInput with the field "organisation", "for", "issued_by", "all" or "key".
    """
    query = (
        select(TemporaryLicense)
        .where(_selected(session, selection), TemporaryLicense.is_open(now))
        .options(joinedload(TemporaryLicense.recipient))
        .order_by(TemporaryLicense.ends_at, TemporaryLicense.id)
        .limit(MOST_AT_ONCE + 1)
    )
    return list(session.scalars(query))


def revoke_keys(
    session: Session,
    *,
    actor: Actor,
    selection: KeySelection,
    key_ids: Sequence[str],
    reason: str,
    clock: Callable[[], datetime],
) -> Revoked:
    """Revoke exactly the keys of a selection that were previewed: those with `key_ids`.

    The `clock` is read after their locks. Raises NotAllowed, and InvalidInput as `keys_to_revoke`
    does, or with the field "reason" or "previewed".
    """
    actor.must(Permission.REVOKE_LICENSES)
    reason = checked_reason(reason)
    if not reason:
        raise InvalidInput("reason", "Write why: it stands in the audit log with each key.")
    if not 0 < len(key_ids) <= MOST_AT_ONCE:
        raise InvalidInput("previewed", f"Preview the keys first; up to {MOST_AT_ONCE:,} at once.")
    selected = _selected(session, selection)
    shown = [key_id for key_id in map(normalise_key_id, key_ids) if key_id]
    previewed = and_(selected, TemporaryLicense.key_id.in_(shown))
    locked = select(TemporaryLicense.key_id).where(previewed).order_by(TemporaryLicense.id)
    known = session.scalars(locked.with_for_update()).all()
    now = clock()
    revoked = revoke_where(session, previewed, actor=actor, now=now, reason=reason)
    for key_id in revoked:
        note_withdrawal(session, Withdrawal.KEY_REVOKED, key_id, now)
    log_event(
        session,
        AuditTag.LICENSES_REVOKED,
        actor=actor,
        now=now,
        organisation_id=selection.organisation or None,
        keys=len(revoked),
        reason=reason,
        recipient=selection.recipient,
        issued_by=selection.issued_by,
        key_ids=" ".join(revoked),
    )
    made_since = select(TemporaryLicense.key_id).where(selected, TemporaryLicense.is_open(now))
    left = session.scalars(made_since.order_by(TemporaryLicense.id).limit(MOST_AT_ONCE)).all()
    return Revoked(revoked, [key for key in known if key not in set(revoked)], list(left))


def _selected(session: Session, selection: KeySelection) -> ColumnElement[bool]:
    if selection.is_blank:
        raise InvalidInput("organisation", "Say whose keys: fill in one of these, or choose all.")
    if selection.everything and selection != KeySelection(everything=True):
        raise InvalidInput("all", "All keys are more than those above: leave one or the other out.")
    conditions: list[ColumnElement[bool]] = [true()]
    if selection.organisation:
        if session.get(Organisation, selection.organisation) is None:
            shown = shortened(selection.organisation, 60)
            raise InvalidInput("organisation", f"There is no organisation with the ID {shown}.")
        conditions.append(TemporaryLicense.organisation_id == selection.organisation)
    if selection.recipient:
        recipient = must_find_user(session, "for", selection.recipient)
        conditions.append(TemporaryLicense.recipient_id == recipient.id)
    if selection.issued_by:
        issuer = must_find_user(session, "issued_by", selection.issued_by)
        conditions.append(TemporaryLicense.issued_by_id == issuer.id)
    if selection.key_ids:
        conditions.append(TemporaryLicense.key_id.in_(_known(session, selection.key_ids)))
    return and_(*conditions)


def _known(session: Session, key_ids: tuple[str, ...]) -> list[str]:
    """The Key IDs as they are stored. Raises InvalidInput (field "key") for one that is unknown."""
    if len(key_ids) > MOST_AT_ONCE:
        raise InvalidInput("key", f"Up to {MOST_AT_ONCE:,} keys can be revoked at once.")
    meant = {normalise_key_id(text): text for text in key_ids}
    query = select(TemporaryLicense.key_id).where(TemporaryLicense.key_id.in_(meant))
    known = list(session.scalars(query))
    for key_id, text in meant.items():
        if key_id not in known:
            raise InvalidInput("key", f"There is no key {shortened(text, 40)}.")
    return known


@dataclass(frozen=True)
class Offered:
    """What can be chosen: of whom there are keys that have not ended."""

    organisations: list[tuple[str, str]]
    """ID and name."""
    recipients: list[str]
    issuers: list[str]


def offered_selections(session: Session, now: datetime) -> Offered:
    """The first of each, for somebody who types a part of it."""
    is_open = TemporaryLicense.is_open(now)
    organisations = session.execute(
        select(Organisation.id, Organisation.name)
        .where(Organisation.id.in_(select(TemporaryLicense.organisation_id).where(is_open)))
        .order_by(Organisation.search_text, Organisation.id)
        .limit(MOST_OFFERED)
    )
    return Offered(
        [(row.id, row.name) for row in organisations],
        _emails(session, TemporaryLicense.recipient_id, is_open),
        _emails(session, TemporaryLicense.issued_by_id, is_open),
    )


def _emails(session: Session, user_id: Any, is_open: ColumnElement[bool]) -> list[str]:
    """Of the users whom open keys name in this column."""
    named = select(user_id).where(is_open)
    query = select(User.email).where(User.id.in_(named)).order_by(User.email).limit(MOST_OFFERED)
    return list(session.scalars(query))


def find_revocation(session: Session, event_id: int) -> AuditEvent:
    """The event of a revocation of many keys. Raises NotFound."""
    event = session.get(AuditEvent, event_id)
    if event is None or event.tag != AuditTag.LICENSES_REVOKED:
        raise NotFound("There was no such revocation.")
    return event


def last_revocation(session: Session, request_id: str) -> int:
    """The id of the event that this request has made."""
    own = AuditEvent.tag == AuditTag.LICENSES_REVOKED, AuditEvent.request_id == request_id
    return (
        session.scalars(select(AuditEvent.id).where(*own).order_by(AuditEvent.id.desc())).first()
        or 0
    )
