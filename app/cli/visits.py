"""`flask visits ...`: who was there under temporary keys."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click

from app.access.visit_exports import EXPORTS, as_row
from app.access.visits import VisitEntry, VisitSearch, every_visit
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.cli.common import (
    changing,
    end_option,
    json_option,
    print_json,
    print_table,
    reading,
    start_option,
)
from app.config import current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import utcnow
from app.projects.services import get_organisation

COLUMNS = {
    "id": "ID",
    "email": "Who",
    "organisation_id": "Organisation",
    "key_id": "Key ID",
    "machine": "Machine",
    "started_at": "Start",
    "ended_at": "End",
    "ended_by": "Ended by",
    "reason": "Reason",
}

organisation_option = click.option(
    "--organisation", "organisation_id", metavar="ID", help="Only of this Organisation ID."
)


@click.group("visits")
def group() -> None:
    """Visits under temporary keys."""


@group.command("list")
@organisation_option
@start_option
@end_option
@json_option
def list_command(
    organisation_id: str | None, start: datetime | None, end: datetime | None, as_json: bool
) -> None:
    """List visits, the newest first."""
    with _visits(VisitSearch(organisation_id, start=start, end=end)) as visits:
        rows = [as_row(visit) for visit in visits]
    if as_json:
        print_json(rows)
    else:
        shown = [[row[name] or "-" for name in COLUMNS] for row in rows]
        print_table([*COLUMNS.values()], shown)


@group.command("export")
@organisation_option
@start_option
@end_option
@click.option("--format", "form", type=click.Choice([*EXPORTS]), default="csv")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def export_command(
    organisation_id: str | None,
    start: datetime | None,
    end: datetime | None,
    form: str,
    as_json: bool,
) -> None:
    """Print visits for a spreadsheet, or as JSON; the audit log says so."""
    form = "json" if as_json else form
    with changing() as session:
        log_event(
            session,
            AuditTag.VISITS_EXPORTED,
            actor=COMMAND_LINE,
            now=utcnow(),
            organisation_id=organisation_id,
            subject=form,
        )
    with _visits(VisitSearch(organisation_id, start=start, end=end)) as visits:
        sys.stdout.writelines(EXPORTS[form](visits))


@contextmanager
def _visits(search: VisitSearch) -> Iterator[Iterator[VisitEntry]]:
    """The visits that are looked for. Raises NotFound for an organisation that is unknown."""
    with reading() as session:
        if search.organisation_id is not None:
            get_organisation(session, search.organisation_id)
        limits = current_config().agent_limits
        yield every_visit(session, search, now=utcnow(), limits=limits)
