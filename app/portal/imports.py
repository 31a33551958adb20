"""The Import page: upload a file, choose its columns, see a preview, import it."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from flask import Blueprint, Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import RequestEntityTooLarge

from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Permission
from app.core.text import printable, shortened
from app.extensions import db
from app.models import ImportDraft
from app.portal.gate import begin_checked_write
from app.portal.import_forms import (
    CHARACTERS_SHOWN,
    MOST_BYTES,
    MOST_LINES,
    MOST_MEGABYTES,
    ColumnsForm,
    FileTooLarge,
    UploadForm,
    columns_form,
    expectation,
    heading_labels,
    layout_of,
    optional_columns,
    read_expectation,
    read_with,
)
from app.projects.drafts import find_draft, import_draft, keep_draft
from app.projects.fields import DETAILS, FIELDS
from app.projects.importing import ImportResult, preview_projects
from app.projects.reading import Head, read_head
from app.projects.rows import ReadFile, guess_columns, name_unused, read_projects
from app.projects.tables import AS_IT_SEEMS, Layout
from app.web.access import current_actor, requires
from app.web.errors import http_error
from app.web.forms_again import shown_again_by, undone
from app.web.htmx import is_partial, redirect_see_other, render
from app.web.transaction import abandon_write, defer_write, takes_uploads

blueprint = Blueprint("imports", __name__, url_prefix="/projects/import")

ROWS_SHOWN = 5
COLUMNS_SHOWN = 20
BAD_ROWS_SHOWN = 100
PROJECTS_SHOWN = 20
ONE_COLUMN = "Everything stands in one column: choose another delimiter."
FIELDS_OF_A_FORM = 64 * 1024
"""How many bytes an upload may have besides the file."""


@blueprint.get("")
@requires(Permission.MANAGE_PROJECTS)
def page() -> ResponseReturnValue:
    draft = _draft_of(request.values)
    if "draft" in request.values and not _is_waiting(draft):
        return _not_to_import(draft)
    return _import_page(UploadForm(formdata=None), draft, request.values)


@blueprint.post("")
@requires(Permission.MANAGE_PROJECTS)
@defer_write
@takes_uploads(MOST_BYTES + FIELDS_OF_A_FORM)
def preview() -> ResponseReturnValue:
    form = UploadForm()
    last = _draft_of(request.form)
    try:
        content = form.content()
        head = _head(content, AS_IT_SEEMS)
        if head.more_lines > MOST_LINES:
            raise FileTooLarge
    except InvalidInput as error:
        form.refuse(error)
        return _import_page(form, last, request.form, error.status)
    columns = _columns_kept(last, content)
    begin_checked_write()
    token = keep_draft(
        db.session(),
        actor=current_actor(),
        file_name=form.file.data.filename or "",
        content=content,
        now=utcnow(),
    )
    return redirect_see_other(_address(token, columns))


@blueprint.errorhandler(RequestEntityTooLarge)
def file_too_large(error: RequestEntityTooLarge) -> ResponseReturnValue:
    """The response to an upload so large that its body was not read."""
    uploads = request.endpoint == "imports.preview" and current_user.is_authenticated
    if not (uploads and current_user.may(Permission.MANAGE_PROJECTS)):
        return http_error(error)
    form = UploadForm(formdata=None)
    form.refuse(FileTooLarge())
    return _import_page(form, None, {}, FileTooLarge.status)


@blueprint.post("/confirm")
@requires(Permission.MANAGE_PROJECTS)
@defer_write
@shown_again_by(page)
@undone("nothing was imported")
def confirm() -> ResponseReturnValue:
    draft = _draft_of(request.form)
    if draft is None or not _is_waiting(draft):
        return _not_to_import(draft)
    form = columns_form(request.form, _head_of(draft, request.form)[0])
    expected = read_expectation(request.form.get("expected", ""))
    again = redirect_see_other(_address(draft.token, form.chosen))
    file = _rows(draft, form)
    if file is None or file.bad_rows or expected is None:
        return again
    begin_checked_write()
    draft = _draft_of(request.form, lock=True)
    if draft is None or not _is_waiting(draft):
        return _not_to_import(draft)
    try:
        result = import_draft(
            db.session(),
            actor=current_actor(),
            draft=draft,
            file=file,
            expected=expected,
            now=utcnow(),
        )
    except Conflict as error:
        abandon_write()
        flash(f"{error.detail} This is what would be done now.", "warning")
        return again
    flash(f"{draft.file_name} was imported: {_counts(result)}.", "success")
    return redirect_see_other(url_for("projects.list_projects", sort="newest"))


def _draft_of(args: Mapping[str, str], *, lock: bool = False) -> ImportDraft | None:
    """The uploaded file that `args` name, if it is this user's."""
    return find_draft(
        db.session(), actor=current_actor(), token=args.get("draft", ""), now=utcnow(), lock=lock
    )


def _is_waiting(draft: ImportDraft | None) -> bool:
    """Whether there is a file that has not been imported yet."""
    return draft is not None and draft.result is None


def _not_to_import(draft: ImportDraft | None) -> Response:
    """The response if the file is not there, or has been imported already."""
    if draft is None or draft.result is None:
        flash("The file is no longer kept here. Choose it again.", "warning")
        return redirect_see_other(url_for("imports.page"))
    counts = _counts(ImportResult(**draft.result))
    flash(f"{draft.file_name} was imported before: {counts}. Nothing was changed now.", "info")
    return redirect_see_other(url_for("projects.list_projects", sort="newest"))


def _counts(result: ImportResult) -> str:
    return f"{result.created} created, {result.updated} updated, {result.unchanged} left alone"


def _head(content: bytes, layout: Layout) -> Head:
    return read_head(
        BytesIO(content), layout, lambda headings: len(guess_columns(headings)), rows=ROWS_SHOWN
    )


def _head_of(draft: ImportDraft, args: Mapping[str, str]) -> tuple[Head, str]:
    """The beginning of a file, read with the layout in `args`.

    If that fails, it is read without, and a sentence says why.
    """
    try:
        return _head(draft.content, layout_of(args)), ""
    except InvalidInput as error:
        asked = args.get("sheet") or args.get("delimiter", "")
        note = f"“{shortened(asked, CHARACTERS_SHOWN)}” could not be shown. {error.detail}"
        return _head(draft.content, AS_IT_SEEMS), note


def _rows(draft: ImportDraft, form: ColumnsForm) -> ReadFile | None:
    """The rows of a file; None while a required column has not been chosen."""
    if form.errors:
        return None
    return read_projects(
        BytesIO(draft.content), columns=form.columns, layout=layout_of(form.chosen)
    )


def _columns_kept(last: ImportDraft | None, content: bytes) -> dict[str, str]:
    """The columns chosen for the last file, if the new file has the same headings."""
    if last is None or last.result is not None:
        return {}
    layout = layout_of(request.form)
    try:
        before, head = _head(last.content, layout), _head(content, layout)
    except InvalidInput:
        return {}
    return columns_form(request.form, head).chosen if before.headings == head.headings else {}


def _address(token: str, columns: Mapping[str, str]) -> str:
    args: dict[str, Any] = {"draft": token, **columns}
    return url_for("imports.page", **args)


def _import_page(
    form: UploadForm, draft: ImportDraft | None, args: Mapping[str, str], status: int = 200
) -> Response:
    """The page, with the preview of the uploaded file, if any."""
    shown: dict[str, Any] = {"draft": None}
    if draft is not None and draft.result is None:
        shown = _preview_context(draft, args)
    response = render(
        "projects/import.html",
        "projects/_import.html",
        status,
        form=form,
        most_megabytes=MOST_MEGABYTES,
        optional_columns=optional_columns(),
        **shown,
    )
    if is_partial() and draft is not None:
        response.headers["HX-Replace-Url"] = _address(draft.token, shown["columns"].chosen)
    return response


def _preview_context(draft: ImportDraft, args: Mapping[str, str]) -> dict[str, Any]:
    """What templates need for an uploaded file: its beginning, the columns, the preview."""
    head, why_not = _head_of(draft, args)
    columns = columns_form(args, head)
    file = _rows(draft, columns)
    preview = None
    if file is not None and not file.bad_rows:
        preview = preview_projects(
            db.session(), actor=current_actor(), file=file, shown=PROJECTS_SHOWN
        )
    return {
        "draft": draft,
        "rows": [_shortened_cells(row) for row in head.rows],
        "labels": heading_labels(head.headings),
        "columns_shown": COLUMNS_SHOWN,
        "columns": columns,
        "fields": FIELDS,
        "details": DETAILS,
        "read_with": read_with(head),
        "notes": _notes(head, columns, why_not),
        "file": file,
        "bad_rows_shown": BAD_ROWS_SHOWN,
        "preview": preview,
        "expected": expectation(preview.result) if preview else "",
        "fresh": is_partial(),
    }


def _notes(head: Head, columns: ColumnsForm, why_not: str) -> list[str]:
    """Sentences on how the file was read."""
    one = "" if head.table.sheet or len(head.headings) > 1 else ONE_COLUMN
    notes = (why_not, one, *head.table.notes, _unused(head, columns))
    return [note for note in notes if note]


def _unused(head: Head, columns: ColumnsForm) -> str:
    used = columns.columns.values()
    unused = [name for position, name in enumerate(head.headings) if position not in used and name]
    return name_unused([printable(heading) for heading in unused])


def _shortened_cells(row: list[str]) -> list[str]:
    return [shortened(cell, CHARACTERS_SHOWN) for cell in row[:COLUMNS_SHOWN]]
