"""Visits for whoever looks at them elsewhere: lists of them, and the signed record of one."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.access.visits import VisitEntry, get_visit
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import rfc3339, whole_second
from app.core.durations import SessionLimits
from app.core.errors import Conflict
from app.core.permissions import Permission
from app.core.spreadsheets import csv_line, spreadsheet_safe
from app.keyformat.visit_records import VisitFacts, sign_visit_record
from app.licenses.keyring import current_kid, private_key
from app.models import SigningKey

TEXTS = ("email", "name", "role", "reason", "ticket", "key_id", "issued_by")
WHERE = ("machine", "mac_id", "address")


def as_row(visit: VisitEntry) -> dict[str, Any]:
    """A visit in lists for programs; null is what it has not."""
    status, confirmed_at = visit.status, visit.confirmed_at
    return {
        "id": visit.id,
        "organisation_id": visit.organisation_id,
        **{name: getattr(visit, name) or None for name in TEXTS + WHERE},
        "started_at": rfc3339(whole_second(visit.started_at)),
        "ended_at": rfc3339(visit.end.at) if visit.end else None,
        "ended_by": visit.end.cause.value if visit.end else None,
        "logout": status.state.value if status else None,
        "logout_confirmed_at": rfc3339(whole_second(confirmed_at)) if confirmed_at else None,
    }


COLUMNS = (
    *("id", "organisation_id", *TEXTS, *WHERE, "started_at", "ended_at", "ended_by", "logout"),
    "logout_confirmed_at",
)


def json_lines(visits: Iterable[VisitEntry]) -> Iterator[str]:
    """One JSON array, a line a visit."""
    before = "[\n"
    for visit in visits:
        yield before + json.dumps(as_row(visit), ensure_ascii=False)
        before = ",\n"
    yield "\n]\n" if before != "[\n" else "[]\n"


def csv_lines(visits: Iterable[VisitEntry]) -> Iterator[str]:
    """The same for spreadsheets, which take no text in it for a formula."""
    yield csv_line(COLUMNS)
    for visit in visits:
        row = as_row(visit)
        yield csv_line(spreadsheet_safe(row[column]) for column in COLUMNS)


EXPORTS: dict[str, Callable[[Iterable[VisitEntry]], Iterator[str]]] = {
    "csv": csv_lines,
    "json": json_lines,
}
"""What writes an export, by the name of its format."""


def sign_record(
    session: Session,
    *,
    actor: Actor,
    organisation_id: str,
    visit_id: int,
    issuer: str,
    signing_keys: str,
    now: datetime,
    limits: SessionLimits,
) -> tuple[VisitEntry, str]:
    """A visit of an organisation, and its signed record. `issuer` is this portal's address, or "".

    The key that signs stays in the JWK Set from now on. Raises NotAllowed, NotFound,
    SigningKeyMissing, and Conflict while the visit lasts or the portal has no address.
    """
    actor.must(Permission.EXPORT_AUDIT)
    visit = get_visit(session, visit_id, organisation_id=organisation_id, now=now, limits=limits)
    if visit.end is None:
        raise Conflict("The visit has not ended yet; its record can be had once it has.")
    if not issuer:
        raise Conflict("A record names the portal: set PORTAL_PUBLIC_URL to its address.")
    kid = current_kid(session, lock=True)
    facts = VisitFacts(
        record_id=visit.record_id,
        organisation_id=visit.organisation_id,
        email=visit.email,
        role=visit.role,
        reason=visit.reason,
        ticket=visit.ticket,
        key_id=visit.key_id,
        issued_by=visit.issued_by,
        machine=visit.machine,
        mac_id=visit.mac_id,
        address=visit.address,
        started_at=visit.started_at,
        ended_at=visit.end.at,
        ended_by=visit.end.cause.value,
        confirmed_at=visit.confirmed_at,
    )
    record = sign_visit_record(private_key(signing_keys, kid), facts, issuer=issuer, now=now)
    session.get_one(SigningKey, kid).signed_visits = True
    log_event(
        session,
        AuditTag.VISIT_SIGNED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=visit.email,
        record_id=visit.record_id,
        key_id=visit.key_id,
    )
    return visit, record
