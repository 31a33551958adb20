"""`license-check`: says of a license key whether it is good, without asking the portal."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from .check import KeyCheck, KeyState, check_key
from .documents import read_document
from .errors import KeySetInvalid, PortalUnreachable, RevocationListInvalid
from .keys import KeyKind, SignedKey, looks_whole
from .machine import parse_mac_id
from .public_keys import read_jwk_set
from .revocations import RevocationList, read_revocation_list
from .terminal import MAX_INPUT, ask_hidden, forgiving_output, printable
from .usage import Parser, add_keys, add_network, add_version, guarded, table, transport_of
from .visit_check import main as check_visit
from .words import instant, length, rfc3339

STATUS_OF_STATE = {
    KeyState.ACTIVE: 0,
    KeyState.EXPIRED: 3,
    KeyState.REVOKED: 4,
    KeyState.INVALID: 5,
    KeyState.UNKNOWN: 6,
    KeyState.SCHEDULED: 9,
}
UNREADABLE = 7
ANOTHER = 8

_STATUSES = {
    0: "active",
    3: "expired",
    4: "revoked",
    5: "invalid: no license key, wrongly signed, not issued yet, or valid for over 30 days",
    6: "unknown whether revoked: the list of revoked licenses is out of date",
    7: "the public keys, or the list, could not be read or are not good",
    8: "active, but of another organisation or machine than asked for",
    9: "scheduled: good, but it has not started yet",
}


def main(argv: list[str] | None = None) -> int:
    """The command. Gives its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["visit"]:
        return check_visit(argv[1:])
    forgiving_output()
    arguments = _parser().parse_args(argv)
    return guarded("license-check", lambda: _check(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog="license-check",
        description="Reads a license key of either kind from standard input, or asks for it. "
        "`license-check visit` reads the signed record of a visit instead.",
        epilog=table(_STATUSES),
    )
    add_keys(parser)
    parser.add_argument(
        "--revoked",
        metavar="FILE_OR_URL",
        help="the list of revoked licenses: the portal's /.well-known/revoked-licenses",
    )
    parser.add_argument(
        "--accept-stale", action="store_true", help="use the list even if it is out of date"
    )
    parser.add_argument("--organisation", metavar="ID", help="whose the key must be")
    parser.add_argument("--mac-id", metavar="MAC", help="whose the permanent license must be")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_network(parser)
    add_version(parser)
    return parser


def _check(arguments: argparse.Namespace) -> int:
    mac_id = None if arguments.mac_id is None else parse_mac_id(arguments.mac_id)
    transport = transport_of(arguments)
    try:
        public_keys = read_jwk_set(read_document(arguments.keys, transport))
        revoked = None
        if arguments.revoked is not None:
            document = read_document(arguments.revoked, transport)
            revoked = read_revocation_list(document, public_keys)
    except (KeySetInvalid, RevocationListInvalid, PortalUnreachable) as error:
        print(f"license-check: {printable(str(error))}", file=sys.stderr)
        return UNREADABLE
    now = datetime.now(UTC)
    check = check_key(
        _given_key(), public_keys, revoked=revoked, now=now, accept_stale=arguments.accept_stale
    )
    another = _another(check, arguments.organisation, mac_id)
    revocation = _revocation(check, revoked, now)
    if arguments.json:
        print(json.dumps(_as_json(check, revocation, another), indent=2))
    else:
        for line in _as_lines(check, revocation, another, now):
            print(printable(line))
    return ANOTHER if another and check.state is KeyState.ACTIVE else STATUS_OF_STATE[check.state]


def _given_key() -> str:
    """The key; whatever is not text is no key."""
    if sys.stdin.isatty():
        return ask_hidden("License key: ", looks_whole)
    return sys.stdin.buffer.read(MAX_INPUT).decode("utf-8", "replace")


def _another(check: KeyCheck, organisation_id: str | None, mac_id: str | None) -> str | None:
    """In a sentence, what the key is for that was not asked for."""
    key = check.key
    if key is None:
        return None
    if organisation_id is not None and key.organisation_id != organisation_id:
        return "It is a key of another organisation than the one asked for."
    if mac_id is not None and key.mac_id != mac_id:
        return "It is not the license of the machine asked for."
    return None


def _revocation(check: KeyCheck, revoked: RevocationList | None, now: datetime) -> str:
    """What is known of a revocation, in a word for programs."""
    if revoked is None:
        return "not_checked"
    if check.state is KeyState.REVOKED:
        return "revoked"
    return "not_revoked" if revoked.is_current(now) else "unknown"


def _as_json(check: KeyCheck, revocation: str, another: str | None) -> dict[str, object]:
    key = check.key
    return {
        "state": check.state,
        "reason": check.sentence if another is None else another,
        "matches": another is None,
        "revocation": revocation,
        "revoked_at": rfc3339(check.revoked_at),
        "kind": key and key.kind,
        "key_id": key and key.key_id,
        "organisation_id": key and key.organisation_id,
        "issued_at": rfc3339(key.issued_at) if key else None,
        "starts_at": rfc3339(key.starts_at) if key else None,
        "expires_at": rfc3339(key.expires_at) if key else None,
        "mac_id": key and key.mac_id,
        "machine": key and key.machine,
        "kid": key and key.kid,
    }


_REVOCATIONS = {
    "not_checked": "not checked (--revoked names the list)",
    "not_revoked": "not revoked, says the list",
    "unknown": "unknown: the list is out of date",
}


def _as_lines(
    check: KeyCheck, revocation: str, another: str | None, now: datetime
) -> Iterator[str]:
    yield f"State:        {check.state}"
    if (key := check.key) is not None:
        yield f"Kind:         {key.kind} license"
        yield f"Key ID:       {key.key_id}"
        yield f"Organisation: {key.organisation_id}"
        yield f"Issued:       {instant(key.issued_at)}"
        if key.not_before is not None:
            yield f"Starts:       {instant(key.starts_at)}"
        yield f"Expires:      {_expiry(key, now)}"
        if key.kind is KeyKind.PERMANENT:
            yield f"MAC ID:       {key.mac_id}"
        if check.revoked_at is not None:
            yield f"Revoked:      {instant(check.revoked_at)}"
        elif check.state is KeyState.REVOKED:
            yield f"Signing key:  {key.kid}, retired"
        else:
            yield f"Revocation:   {_REVOCATIONS[revocation]}"
    yield check.sentence
    if another is not None:
        yield another


def _expiry(key: SignedKey, now: datetime) -> str:
    if key.expires_at is None:
        return "never; valid while the organisation's subscription is"
    left = (key.expires_at - now).total_seconds()
    return instant(key.expires_at) + (f" (in {length(left)})" if left > 0 else "")
