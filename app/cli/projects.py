"""`flask projects ...`: importing and listing them."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import click

from app.cli.common import (
    USED_WRONGLY,
    changing,
    json_option,
    print_json,
    print_table,
    reading,
    refuse,
)
from app.core.actor import COMMAND_LINE
from app.core.clock import utcnow
from app.core.errors import InvalidInput
from app.core.text import counted
from app.models import Project
from app.projects.csv_file import DELIMITERS
from app.projects.fields import BY_NAME, FIELDS, as_text
from app.projects.finding import find_projects
from app.projects.importing import ImportResult, import_projects
from app.projects.rows import BadRow, ReadFile, name_unused, read_projects
from app.projects.search import LONGEST_SEARCH, read_search
from app.projects.tables import Layout

HEADINGS = ("ID", *(field.heading for field in FIELDS))
BAD_ROWS_PRINTED = 100


@click.group("projects")
def group() -> None:
    """Projects and their organisations."""


@group.command("list")
@click.option("--search", "text", metavar="TEXT", default="", help="Only those that match.")
@json_option
def list_projects(text: str, as_json: bool) -> None:
    """List the projects that are not archived, by name.

    Every word of TEXT must be in a project's or its organisation's name, the Organisation ID or
    the contact e-mail, accents and case ignored; or TEXT is a Key ID.
    """
    search = read_search({"q": text})
    if search.too_long:
        refuse(f"--search: write at most {LONGEST_SEARCH} characters.", USED_WRONGLY)
    with reading() as session:
        rows = [_row(project) for project in find_projects(session, search, utcnow())]
    if as_json:
        print_json(rows)
    else:
        print_table(HEADINGS, [[value or "-" for value in row.values()] for row in rows])


def _row(project: Project) -> dict[str, str | int | None]:
    values = {field.name: as_text(getattr(project, field.name)) for field in FIELDS}
    return {"id": project.id, **values}


def _column_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for the column of each field."""
    for field in reversed(FIELDS):
        column = field.column
        option = click.option(column.option, field.name, metavar="C", help=column.help)
        command = option(command)
    return command


@group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_column_options
@click.option(
    "--delimiter",
    type=click.Choice(list(DELIMITERS.values())),
    help="What parts the columns of a CSV file, if it is not found.",
)
@click.option("--sheet", metavar="NAME", help="The sheet of a workbook; else the first.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
def import_file(
    file: Path,
    delimiter: str | None,
    sheet: str | None,
    dry_run: bool,
    as_json: bool,
    **named_columns: str | None,
) -> None:
    """Import projects from the CSV file or .xlsx workbook FILE: all of it, or nothing.

    Each row is a project. Rows with one Organisation ID are projects of one organisation, named
    by the first of them unless it is known already. A project that is known, by Organisation ID
    and name, is updated. C is a column's heading, or "" if the file has no such column; without
    it the usual headings are looked for.
    """
    characters = {name: character for character, name in DELIMITERS.items()}
    layout = Layout(delimiter=characters.get(delimiter or ""), sheet=sheet)
    read = _read(file, layout, named_columns)
    for note in (*read.notes, name_unused(read.unused)):
        if note:
            click.echo(note, err=True)
    if read.bad_rows:
        _refuse_bad_rows(read.bad_rows, as_json)
    # Keep the garbage collector from scanning a million rows while other writers wait.
    gc.freeze()
    with (
        reading() if dry_run else changing() as session,
        _progress("Comparing" if dry_run else "Writing", len(read.rows)) as progress,
    ):
        result = import_projects(
            session,
            actor=COMMAND_LINE,
            file=read,
            file_name=click.format_filename(file.name),
            now=utcnow(),
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        print_json(asdict(result) | {"dry_run": dry_run, "errors": []})
    else:
        click.echo(_summary(result, dry_run))


def _read(file: Path, layout: Layout, named_columns: Mapping[str, str | None]) -> ReadFile:
    try:
        with file.open("rb") as opened, _progress("Reading", file.stat().st_size) as progress:
            # What comes through a pipe cannot be read twice, and its beginning is.
            content = opened if opened.seekable() else BytesIO(opened.read())
            return read_projects(
                content, named_columns=named_columns, layout=layout, progress=progress
            )
    except InvalidInput as error:
        field = BY_NAME.get(error.field)
        refuse(f"{error.detail} ({field.column.option})" if field else error.detail)
        raise


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on a terminal, and nothing otherwise."""
    if not _on_a_terminal():
        yield lambda _done: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


def _on_a_terminal() -> bool:
    return sys.stderr.isatty()


def _refuse_bad_rows(bad_rows: list[BadRow], as_json: bool) -> None:
    if as_json:
        nothing = asdict(ImportResult(0, 0, 0, 0))
        print_json(nothing | {"errors": [asdict(row) for row in bad_rows]})
    for row in bad_rows[:BAD_ROWS_PRINTED]:
        click.echo(f"Line {row.line}: {row.reason}", err=True)
    if len(bad_rows) > BAD_ROWS_PRINTED:
        click.echo(f"... and {len(bad_rows) - BAD_ROWS_PRINTED} more.", err=True)
    rows = "1 row is" if len(bad_rows) == 1 else f"{len(bad_rows)} rows are"
    refuse(f"Nothing was imported: {rows} not right.")


def _summary(result: ImportResult, dry_run: bool) -> str:
    return (
        f"{'Nothing was written; this would be: ' if dry_run else ''}"
        f"{result.created} created, {result.updated} updated, {result.unchanged} unchanged "
        f"(projects); {counted(result.organisations_created, 'organisation')} created."
    )
