"""The texts of mails: a subject, a sentence, the facts, and where to go. Pure functions."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.audit.notice_kinds import NoticeKind
from app.core.clock import utc_text
from app.core.durations import format_length
from app.core.permissions import TEMPORARY_KEY_ROLES
from app.core.text import one_line, shortened

SUBJECT_LENGTH = 150
SHOWN_LENGTH = 600
FSI, PDI = "\u2068", "\u2069"
_REORDERING = str.maketrans("", "", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Wording(NamedTuple):
    """How mails of one kind read; in braces stand the facts."""

    subject: str
    sentence: str


_WORDINGS = {
    NoticeKind.REQUEST_MADE: Wording(
        "Request {request_id}: {asked_by} asks for a key",
        "{asked_by} asks for a temporary key. It waits for a super admin to decide.",
    ),
    NoticeKind.REQUEST_APPROVED: Wording(
        "Request {request_id} was approved",
        "{approved_by} has approved what you asked for. A key is never mailed: the portal has it.",
    ),
    NoticeKind.REQUEST_REFUSED: Wording(
        "Request {request_id} was refused",
        "{refused_by} has refused what you asked for.",
    ),
    NoticeKind.KEY_GENERATED: Wording(
        "Key {key_id} was generated for you",
        "{issued_by} has generated a temporary key for you. A key is never mailed: you find it in "
        "the portal, under My access.",
    ),
    NoticeKind.KEY_ENDS_SOON: Wording(
        "Key {key_id} ends soon", "A temporary key ends soon. It can be extended until then."
    ),
    NoticeKind.KEY_EXTENDED: Wording(
        "Key {key_id} works longer", "{extended_by} has extended a temporary key of yours."
    ),
    NoticeKind.KEY_REVOKED: Wording(
        "Key {key_id} was revoked",
        "{revoked_by} has revoked a temporary key of yours. It no longer lets anybody in.",
    ),
    NoticeKind.KEY_EXPIRED: Wording(
        "Key {key_id} has expired", "A temporary key has expired. It no longer lets anybody in."
    ),
    NoticeKind.USER_INVITED: Wording(
        "You are invited to Rolling Window",
        "{invited_by} has made an account for you. Choose a password to use it.",
    ),
    NoticeKind.SIGNING_KEY_ROTATED: Wording(
        "The signing key is now {kid}",
        "{rotated_by} has rotated the portal's signing key. Keys of before go on working.",
    ),
    NoticeKind.NEW_BROWSER: Wording(
        "Sign-in from a new browser",
        "Somebody has signed in to the portal as {email} with a browser that was not used for "
        "that before. If it was not you, tell a super admin now, and change your password.",
    ),
}
_LABELS = {
    "request_id": "Request",
    "key_id": "Key ID",
    "organisation": "Organisation",
    "organisation_id": "Organisation ID",
    "asked_by": "Asked for by",
    "for": "For",
    "issued_by": "Issued by",
    "extends": "Extending",
    "ttl": "TTL",
    "reason": "Reason",
    "ticket": "Ticket",
    "starts_at": "Starts",
    "ended_before": "Ended at first",
    "expires_at": "Ends",
    "ended_at": "Ended",
    "unused": "Unused",
    "revoked_at": "Revoked",
    "revoked_because": "Revoked because",
    "extended_because": "Extended because",
    "refused_because": "Refused because",
    "email": "Account",
    "kid": "Signing key",
    "browser": "Browser",
    "address": "Network address",
    "signed_in_at": "Signed in",
}
"""The facts that mails show, in this order."""
_INSTANTS = {"starts_at", "ended_before", "expires_at", "ended_at", "revoked_at", "signed_in_at"}


def subject_of(kind: NoticeKind, data: Mapping[str, Any]) -> str:
    """The subject of a mail: one line, whatever names have in them."""
    return shortened(_filled(_WORDINGS[kind].subject, data), SUBJECT_LENGTH)


def text_of(kind: NoticeKind, data: Mapping[str, Any], *, root: str, link: str = "") -> str:
    """The text of a mail. `root` is the portal's address, `link` an invitation's; "": unknown."""
    wording = _WORDINGS[kind]
    facts = [f"{label}: {shown}" for name, label in _LABELS.items() if (shown := _fact(name, data))]
    parts = [_filled(wording.sentence, data), "\n".join(facts), _where(kind, data, root, link)]
    signed = "Sent by Rolling Window" + (f", {root}" if root else "") + ". Times are in UTC."
    return "\n\n".join([part for part in parts if part] + [signed]) + "\n"


def _where(kind: NoticeKind, data: Mapping[str, Any], root: str, link: str) -> str:
    if kind is NoticeKind.USER_INVITED:
        if not link:
            return f"Ask {_shown(data.get('invited_by'))} for the link that lets you in."
        return (
            "This link works once, within 72 hours of the invitation. "
            f"Whoever opens it chooses your password, so pass it on to nobody:\n{link}"
        )
    path = _path(kind, data)
    return root + path if root and path else ""


def _path(kind: NoticeKind, data: Mapping[str, Any]) -> str:
    """The page that has more, of those that its reader may open; "" if there is none."""
    if kind.startswith("key."):
        return "/access" if data.get("for") else f"/projects?q={data.get('key_id')}"
    if kind.startswith("request."):
        is_decided = kind is not NoticeKind.REQUEST_MADE
        if is_decided and data.get("asked_by_role") in TEMPORARY_KEY_ROLES:
            return "/access"
        return f"/requests/{data.get('request_id')}"
    return "/account" if kind is NoticeKind.NEW_BROWSER else ""


def _fact(name: str, data: Mapping[str, Any]) -> str:
    """A fact as people read it; "" if there is none."""
    value = data.get(name)
    if not value:
        return ""
    if name in _INSTANTS:
        return _moment(str(value))
    if name == "ttl" and isinstance(value, int):
        return format_length(value)
    return "yes" if value is True else _shown(value)


def _moment(text: str) -> str:
    try:
        return f"{utc_text(datetime.fromisoformat(text))} UTC"
    except ValueError:
        return _shown(text)


def _filled(wording: str, data: Mapping[str, Any]) -> str:
    return wording.format_map({name: _shown(value) for name, value in data.items()})


def _shown(value: Any) -> str:
    """Text that somebody typed: on one line, and turning round nothing that stands beside it."""
    text = shortened(one_line(str(value or "").translate(_REORDERING)), SHOWN_LENGTH)
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in text):
        return f"{FSI}{text}{PDI}"
    return text
