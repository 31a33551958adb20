"""What a notice says, and who is told of it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.notice_kinds import KINDS, NoticeKind
from app.core.clock import rfc3339
from app.core.permissions import Permission, Role, allows
from app.keyformat.pasted_keys import blank_keys
from app.licenses.queries import find_license
from app.models import (
    AuditEvent,
    Notice,
    Organisation,
    Request,
    SigningKey,
    TemporaryLicense,
    User,
)

LEFT_OUT = "(a key, left out)"


class Told(NamedTuple):
    """The data of a notice, as webhooks get it, and the e-mails of the people to tell.

    What is `hidden` of the data is not for these people.
    """

    data: dict[str, Any]
    people: list[str]
    hidden: frozenset[str] = frozenset()

    @property
    def data_for_people(self) -> dict[str, Any]:
        return {name: value for name, value in self.data.items() if name not in self.hidden}


def facts_of(session: Session, notice: Notice) -> Told | None:
    """What to tell; None if what it was about is not there any more, or is nothing to tell of."""
    event = session.get(AuditEvent, notice.event_id) if notice.event_id is not None else None
    kind = KINDS.get(notice.kind)  # None: written by another version of the portal
    if kind is None or (event is None and notice.event_id is not None):
        return None
    if kind.startswith("key."):
        told = _of_key(session, kind, notice.key_id, event)
    elif event is None:
        told = None
    else:
        told = _OTHERS[kind](session, kind, event)
    return told and told._replace(data=without_keys(told.data))


def without_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` without what looks like a key's text: somebody may have pasted one as a reason."""
    return {
        name: blank_keys(value, LEFT_OUT) if isinstance(value, str) else value
        for name, value in data.items()
    }


def _of_key(
    session: Session, kind: NoticeKind, key_id: str, event: AuditEvent | None
) -> Told | None:
    license = find_license(session, event.subject if event else key_id)
    if license is None:
        return None
    data: dict[str, Any] = {
        "key_id": license.key_id,
        "organisation_id": license.organisation_id,
        "organisation": license.organisation.name,
        "for": license.recipient.email if license.recipient else None,
        "issued_by": license.issued_by.email,
        "reason": license.reason or None,
        "ticket": license.ticket or None,
        "starts_at": rfc3339(license.starts_at),
        "expires_at": rfc3339(license.expires_at),
    }
    if event is not None:
        data |= _of_key_event(kind, event)
    if kind is NoticeKind.KEY_EXPIRED:
        unused = license.ends_at < license.expires_at
        data |= {"ended_at": rfc3339(license.ends_at), "unused": unused}
    return Told(data, _people_of_key(kind, license))


def _of_key_event(kind: NoticeKind, event: AuditEvent) -> dict[str, Any]:
    """As it was then: the key may have changed since."""
    said, by = event.data, event.actor
    match kind:
        case NoticeKind.KEY_REVOKED:
            at = rfc3339(event.happened_at.replace(microsecond=0))
            return {"revoked_by": by, "revoked_at": at, "revoked_because": _text(said, "reason")}
        case NoticeKind.KEY_EXTENDED:
            return {
                "extended_by": by,
                "ended_before": _instant(said, "ended_before"),
                "expires_at": _instant(said, "expires_at"),
                "extended_because": _text(said, "reason"),
            }
        case _:
            return {"expires_at": _instant(said, "expires_at")}


def _people_of_key(kind: NoticeKind, license: TemporaryLicense) -> list[str]:
    """Those whose business it still is: by another role they see no more of keys."""
    if license.recipient is not None:
        return _enabled([license.recipient], Permission.OWN_ACCESS)
    if kind in (NoticeKind.KEY_ENDS_SOON, NoticeKind.KEY_EXPIRED):
        return _enabled([license.issued_by], Permission.VIEW_PORTAL)
    return []


def _of_request(session: Session, kind: NoticeKind, event: AuditEvent) -> Told | None:
    number = event.subject.rpartition(" ")[2]
    request = session.get(Request, int(number)) if number.isdecimal() else None
    if request is None:
        return None
    organisation = session.get(Organisation, request.organisation_id)
    asked = request.options
    data = {
        "request_id": request.id,
        "organisation_id": request.organisation_id,
        "organisation": organisation.name if organisation else None,
        "asked_by": request.asked_by.email,
        "asked_by_role": request.asked_by.role.value,
        "for": asked.get("recipient") or None,
        "reason": asked.get("reason") or None,
        "ticket": asked.get("ticket") or None,
        "extends": request.extends.key_id if request.extends else None,
    }
    if kind is NoticeKind.REQUEST_MADE:
        return Told(data | {"ttl": event.data.get("ttl")}, _super_admins(session))
    who = _enabled([request.asked_by])
    if kind is NoticeKind.REQUEST_APPROVED:
        data |= {"approved_by": event.actor, "key_id": _text(event.data, "key_id")}
        return Told(data, who)
    data |= {"refused_by": event.actor, "refused_because": _text(event.data, "reason")}
    # Whoever is refused learns neither what an organisation is called, nor whether there is one.
    return Told(data, who, frozenset({"organisation"}))


def _of_invitation(session: Session, _kind: NoticeKind, event: AuditEvent) -> Told | None:
    user = session.scalar(select(User).where(User.email == event.subject))
    if user is None:
        return None
    data = {
        "email": user.email,
        "name": user.name or None,
        "role": _text(event.data, "role"),
        "organisation_id": event.organisation_id,
        "invited_by": event.actor,
    }
    return Told(data, _enabled([user]))


def _of_rotation(session: Session, _kind: NoticeKind, event: AuditEvent) -> Told | None:
    """The first key of all is no rotation."""
    key = session.get(SigningKey, event.subject)
    if key is None or key.turn == 0:
        return None
    return Told({"kid": key.kid, "rotated_by": event.actor}, _super_admins(session))


def _of_new_browser(session: Session, _kind: NoticeKind, event: AuditEvent) -> Told | None:
    user = session.get(User, event.actor_id)
    if user is None:
        return None
    data = {
        "email": user.email,
        "browser": _text(event.data, "new_browser"),
        "address": event.address,
        "signed_in_at": rfc3339(event.happened_at.replace(microsecond=0)),
    }
    return Told(data, _enabled([user]))


_OTHERS = {
    NoticeKind.REQUEST_MADE: _of_request,
    NoticeKind.REQUEST_APPROVED: _of_request,
    NoticeKind.REQUEST_REFUSED: _of_request,
    NoticeKind.USER_INVITED: _of_invitation,
    NoticeKind.SIGNING_KEY_ROTATED: _of_rotation,
    NoticeKind.NEW_BROWSER: _of_new_browser,
}


def _super_admins(session: Session) -> list[str]:
    query = select(User).where(User.role == Role.SUPER_ADMIN).order_by(User.id)
    return _enabled(session.scalars(query))


def _enabled(users: Iterable[User], permission: Permission | None = None) -> list[str]:
    """The e-mails of those who may sign in, and by their role have `permission`."""
    return [
        user.email
        for user in users
        if user.disabled_at is None and (permission is None or allows(user.role, permission))
    ]


def _text(data: Mapping[str, Any], name: str) -> str | None:
    return str(data.get(name) or "") or None


def _instant(data: Mapping[str, Any], name: str) -> str | None:
    """An instant of an event's data (ISO 8601), as webhooks have it."""
    said = _text(data, name)
    return said and said.replace("+00:00", "Z")
