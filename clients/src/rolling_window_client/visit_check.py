"""`license-check visit`: says of a visit's signed record whether it is good."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from .documents import read_document
from .errors import KeySetInvalid, PortalUnreachable, VisitRecordInvalid
from .public_keys import read_jwk_set
from .terminal import MAX_INPUT, forgiving_output, printable
from .usage import Parser, add_keys, add_network, add_version, guarded, table, transport_of
from .visits import VisitRecord, read_visit_record
from .words import instant, rfc3339

GOOD = 0
NOT_GOOD = 5
UNREADABLE = 7

_STATUSES = {
    GOOD: "good",
    NOT_GOOD: "not good: no record, changed, of another portal, or under a key that was retired",
    UNREADABLE: "the public keys could not be read or are not good",
}


def main(argv: Sequence[str]) -> int:
    """The command after its word `visit`. Gives its exit status."""
    forgiving_output()
    arguments = _parser().parse_args(argv)
    return guarded("license-check", lambda: _check(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog="license-check visit",
        description="Reads the signed record of a visit from standard input.",
        epilog=table(_STATUSES),
    )
    add_keys(parser)
    parser.add_argument("--issuer", metavar="ADDRESS", help="whose the record must be")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_network(parser)
    add_version(parser)
    return parser


def _check(arguments: argparse.Namespace) -> int:
    transport = transport_of(arguments)
    try:
        public_keys = read_jwk_set(read_document(arguments.keys, transport))
    except (KeySetInvalid, PortalUnreachable) as error:
        print(f"license-check: {printable(str(error))}", file=sys.stderr)
        return UNREADABLE
    record, sentence = None, "The record is good."
    try:
        record = read_visit_record(sys.stdin.buffer.read(MAX_INPUT), public_keys)
    except VisitRecordInvalid as error:
        sentence = str(error)
    is_good = record is not None
    if record and arguments.issuer is not None and record.issuer != arguments.issuer:
        is_good, sentence = False, "It is a record of another portal than the one asked for."
    if arguments.json:
        print(json.dumps(_as_json(record, sentence, is_good=is_good), indent=2))
    else:
        for line in (*_as_lines(record), sentence):
            print(printable(line))
    return GOOD if is_good else NOT_GOOD


def _as_json(record: VisitRecord | None, sentence: str, *, is_good: bool) -> dict[str, object]:
    said: dict[str, object] = {"good": is_good, "reason": sentence}
    if record is None:
        return said
    return said | {
        "issuer": record.issuer,
        "recorded_at": rfc3339(record.recorded_at),
        "record_id": record.record_id,
        "organisation_id": record.organisation_id,
        "person": record.person,
        "role": record.role,
        "why": record.reason,
        "ticket": record.ticket,
        "key_id": record.key_id,
        "issued_by": record.issued_by,
        "machine": record.machine,
        "mac_id": record.mac_id,
        "address": record.address,
        "started_at": rfc3339(record.started_at),
        "ended_at": rfc3339(record.ended_at),
        "ended_by": record.ended_by,
        "logout_confirmed_at": rfc3339(record.logout_confirmed),
        "kid": record.kid,
    }


def _as_lines(record: VisitRecord | None) -> Iterator[str]:
    if record is None:
        return
    confirmed = record.logout_confirmed
    yield f"Record:       {record.record_id}"
    yield f"Portal:       {record.issuer}"
    yield f"Organisation: {record.organisation_id}"
    yield f"Person:       {record.person} ({record.role})"
    yield f"Reason:       {record.reason or '-'}"
    yield f"Ticket:       {record.ticket or '-'}"
    yield f"Key ID:       {record.key_id}, issued by {record.issued_by}"
    yield f"Machine:      {record.machine} ({record.mac_id}), from {record.address or 'unknown'}"
    yield f"Start:        {instant(record.started_at)}"
    yield f"End:          {instant(record.ended_at)} ({record.ended_by})"
    yield f"Log-out:      {'confirmed ' + instant(confirmed) if confirmed else 'not confirmed'}"
