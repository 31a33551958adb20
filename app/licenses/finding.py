"""Finding keys of all organisations: filters, and pages by position, whose cost does not grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, joinedload

from app.accounts.users import must_find_user
from app.audit.finding import organisations_named
from app.core.durations import short_ttl
from app.core.errors import InvalidInput
from app.core.text import one_line, shortened
from app.keyformat.key_ids import normalise_key_id
from app.models import Organisation, TemporaryLicense
from app.models.positions import Stretch, read_stretch

WITHIN = {short_ttl(seconds): seconds for seconds in (3600, 4 * 3600, 86400, 7 * 86400)}
"""The lengths of time within which a key may be asked to end."""
LONGEST = 300
SHOWN_CHARACTERS = 60


class KeyGroup(StrEnum):
    """What keys are told apart by."""

    ACTIVE = "active"
    SCHEDULED = "scheduled"
    EXPIRED = "expired"
    REVOKED = "revoked"
    USED_UP = "used_up"
    """Active, with no sign-ins left."""

    @property
    def label(self) -> str:
        return self.value.replace("_", " ").capitalize()


@dataclass(frozen=True)
class KeySearch:
    """What keys are looked for; empty texts and None filter nothing.

    `organisation` is an Organisation ID or a whole name, `recipient` and `issued_by` are e-mails,
    `within` is one of WITHIN. The keys that end last come first, or with `soonest` last. A page has
    those after the key with the id `after`, or the nearest before that with `before`.
    """

    key_id: str = ""
    group: KeyGroup | None = None
    organisation: str = ""
    recipient: str = ""
    issued_by: str = ""
    within: str = ""
    soonest: bool = False
    after: int | None = None
    before: int | None = None

    def to_args(self) -> dict[str, str]:
        """The query arguments of this search's address, the position left out."""
        args = {
            "q": self.key_id,
            "state": self.group or "",
            "organisation": self.organisation,
            "for": self.recipient,
            "issued_by": self.issued_by,
            "within": self.within,
            "sort": "soonest" if self.soonest else "",
        }
        return {name: str(value) for name, value in args.items() if value}


def read_key_search(args: Mapping[str, str]) -> KeySearch:
    """The search that the query arguments ask for; arguments that make no sense are ignored."""
    typed = {name: one_line(args.get(name, ""))[:LONGEST] for name in _TYPED}
    state, within = args.get("state", ""), args.get("within", "")
    return KeySearch(
        key_id=typed["q"],
        group=KeyGroup(state) if state in list(KeyGroup) else None,
        organisation=typed["organisation"],
        recipient=typed["for"],
        issued_by=typed["issued_by"],
        within=within if within in WITHIN else "",
        soonest=args.get("sort") == "soonest",
    )


_TYPED = ("q", "organisation", "for", "issued_by")


def find_keys(
    session: Session, search: KeySearch, now: datetime, *, size: int
) -> Stretch[TemporaryLicense]:
    """A page of the keys that are looked for: found by an index, however many there are.

    Raises InvalidInput with the field "q", "organisation", "for" or "issued_by".
    """
    backwards = search.before is not None and search.after is None
    query = (
        select(TemporaryLicense)
        .where(*_conditions(session, search, now))
        .options(joinedload(TemporaryLicense.recipient))
    )
    return read_stretch(
        session.scalars,
        query,
        (TemporaryLicense.ends_at, TemporaryLicense.id),
        anchor=_position(session, search.before if backwards else search.after),
        size=size,
        backwards=backwards,
        descending=not search.soonest,
    )


def _conditions(session: Session, search: KeySearch, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search.key_id:
        found.append(TemporaryLicense.key_id == _key_id(search.key_id))
    if search.group:
        found.append(_is_in(search.group, now))
    if search.organisation:
        found.append(_of_organisation(session, search.organisation))
    if search.recipient:
        recipient = must_find_user(session, "for", search.recipient)
        found.append(TemporaryLicense.recipient_id == recipient.id)
    if search.issued_by:
        issuer = must_find_user(session, "issued_by", search.issued_by)
        found.append(TemporaryLicense.issued_by_id == issuer.id)
    if search.within:
        end = now + timedelta(seconds=WITHIN[search.within])
        found.append(and_(TemporaryLicense.is_open(now), TemporaryLicense.ends_at <= end))
    return found


def _is_in(group: KeyGroup, now: datetime) -> ColumnElement[bool]:
    """`licenses.rules.license_state` in SQL; of keys issued later than now nothing is said."""
    key = TemporaryLicense
    if group is KeyGroup.ACTIVE:
        return key.is_active(now)
    if group is KeyGroup.SCHEDULED:
        return and_(key.is_open(now), key.starts_at > now, key.issued_at <= now)
    if group is KeyGroup.EXPIRED:
        ran_out = or_(key.revoked_at.is_(None), key.revoked_at >= key.ends_at)
        return and_(key.ends_at <= now, ran_out)
    if group is KeyGroup.REVOKED:
        return and_(key.revoked_at.is_not(None), key.revoked_at < key.ends_at)
    used_up = key.sign_ins_used >= key.sign_ins_allowed
    return and_(key.is_active(now), key.sign_ins_allowed.is_not(None), used_up)


def _key_id(text: str) -> str:
    key_id = normalise_key_id(text)
    if key_id is None:
        raise InvalidInput("q", "That is no Key ID. It looks like K7QF-3MXP.")
    return key_id


def _of_organisation(session: Session, text: str) -> ColumnElement[bool]:
    named = organisations_named(session, text)
    if session.get(Organisation, text) is not None:
        named.append(text)
    if not named:
        shown = shortened(text, SHOWN_CHARACTERS)
        raise InvalidInput("organisation", f"No organisation has the ID or the name {shown}.")
    if len(named) == 1:
        return TemporaryLicense.organisation_id == named[0]
    return TemporaryLicense.organisation_id.in_(named)


def _position(session: Session, license_id: int | None) -> tuple[datetime, int] | None:
    if license_id is None:
        return None
    key = TemporaryLicense
    ends_at = session.scalar(select(key.ends_at).where(key.id == license_id))
    return (ends_at, license_id) if ends_at else None
