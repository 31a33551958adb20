"""Attacks by what is imported, and on what waits to be. Each docstring tells the attack."""

import csv
import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.extensions import db
from app.models import ImportDraft, Project
from app.models.engine import reading_only, writing
from app.portal import imports
from app.portal.import_forms import MOST_BYTES
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.security.meanwhile import SHUT_OUT, demote
from tests.web.test_import_page import (
    CONFIRM,
    PAGE,
    TEXT,
    fields_of,
    names,
    plain,
    preview,
    upload,
    upload_large,
)


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|' /C calc'!A0",
        '"=HYPERLINK(""http://evil.example"",""x"")"',
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "＝1+1",
        '"\t=1+1"',
    ],
)
@pytest.mark.parametrize("row", ["{},Name,a@b.c,Plan", "1,{},a@b.c,Plan", "1,Name,a@b.c,{}"])
def test_a_formula_is_refused_wherever_it_stands(ada: Visitor, cell: str, row: str) -> None:
    """A client names itself a formula, which runs once the list is opened in a spreadsheet."""
    page = preview(ada, "CIK,Name,E-mail,Plan\n" + row.format(cell) + "\n")
    assert "is a spreadsheet formula" in page
    assert "Import</button>" not in page


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_markup_in_headings_cells_reasons_and_file_names_is_text(ada: Visitor) -> None:
    """A file from outside is made to run a script in the admin's browser as it is previewed."""
    header = f'CIK,Name,"{MARKUP}",E-mail\n'
    for row in (f'1,"{MARKUP}",x,"{MARKUP}"\n', f'1,"{MARKUP}","{MARKUP}",\n'):
        address = upload(ada, header + row, name=f"{MARKUP}.csv").headers["Location"]
        page = ada.get(address).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img" not in page
        assert not re.search(r"<[^>]*\sonerror=", page)
    assert "is not an e-mail address" not in page
    ada.post(CONFIRM, fields_of(" ".join(page.split())))
    assert "&lt;script&gt;alert(1)" in ada.get("/projects").text
    assert "<script>alert" not in ada.get("/projects").text


def test_a_huge_cell_is_refused_and_not_shown_whole(ada: Visitor) -> None:
    """A cell of megabytes is to fill the page, the log or the database."""
    page = preview(ada, f"CIK,Name,Note\n1,One,{'x' * 100_000}\n2,{'y' * 100_000},\n")
    assert "The project name is too long: 100000 characters" in page
    assert "x" * 100 not in page
    assert "y" * 100 not in page
    page = preview(ada, f"CIK,Name,Note\n1,One,{'x' * 140_000}\n")
    assert "From here on it is not valid CSV" in page
    assert len(page) < 40_000


def work_of(doing: Callable[[], object]) -> float:
    """Seconds of this process's own work: what else the machine does counts for nothing."""
    began = time.process_time()
    doing()
    return time.process_time() - began


@pytest.mark.parametrize("rows", [1, 5])
def test_a_line_of_millions_of_cells_costs_little_more_than_reading_it(
    ada: Visitor, rows: int
) -> None:
    """A small file unfolds: a header of millions of columns, each a choice in five dropdowns."""
    line = b"," * (MOST_BYTES // (rows + 1) - 20)
    wide = b"CIK,Name\n" + (b"x" + line + b"x\n") * rows
    reading = work_of(lambda: sum(map(len, csv.reader(io.StringIO(wide.decode())))))

    def refuse() -> None:
        answer = upload_large(ada, b"a" + line + b"\n1\n")
        assert answer.status_code == 422
        assert "columns; at most 1000 can be read." in answer.text

    def show() -> None:
        page = ada.get(upload_large(ada, wide).headers["Location"])
        assert "cells, the header has 2." in page.text
        assert len(page.text) < 60_000

    assert work_of(refuse) + work_of(show) < 30 * reading


def test_millions_of_lines_are_not_looked_at(app: Flask, ada: Visitor) -> None:
    """Ten megabytes of the shortest lines unfold to a gigabyte of refused rows."""
    refused = upload_large(ada, b"CIK,Name\n" + b"1,a\n" * 2_500_000)
    assert refused.status_code == 413
    assert "up to 10 MB and 500,000 lines can be imported here" in refused.text
    with app.app_context():
        assert db.session.scalar(select(ImportDraft.token)) is None
        db.session.remove()


def test_a_thousand_columns_are_not_all_shown(ada: Visitor) -> None:
    """As many columns as are read still make no endless page."""
    header = ",".join(f"column {number}" for number in range(1000))
    page = preview(ada, header + "\n" + ",".join("x" * 50 for _ in range(1000)) + "\n")
    assert page.count("<th ") == 21
    assert "and 980 more columns" in page
    assert len(page) < 500_000


def test_the_file_of_another_person_is_neither_seen_nor_imported(
    app: Flask, ada: Visitor, grace: Visitor
) -> None:
    """Grace has seen Ada's address and wants to look at Ada's file, or to import it as her own."""
    fields = fields_of(preview(ada, "CIK,Name\n1,Ada's secret client\n"))
    seen = grace.get(f"{PAGE}?draft={fields['draft']}")
    assert (seen.status_code, seen.headers["Location"]) == (303, PAGE)
    assert grace.post(CONFIRM, fields).headers["Location"] == PAGE
    sent = upload(grace, "", **{str(k): str(v) for k, v in fields.items()})
    assert "secret client" not in seen.text + grace.get(PAGE).text + sent.text
    assert names(app) == []
    ada.post(CONFIRM, fields)
    assert names(app) == ["Ada's secret client"]


@pytest.mark.parametrize(
    "token",
    [
        *("", "../../../etc/passwd", "..%2f..%2fsecret-key", "/etc/passwd", "%00", "x\x00"),
        *("' OR 1=1 --", "%", "_" * 43, "x" * 5000, "\ud800"),
    ],
)
def test_a_token_is_no_path_and_no_pattern(app: Flask, ada: Visitor, token: str) -> None:
    """The token is written so that it names another file, every file, or breaks the database."""
    preview(ada)
    token = token.encode("utf-8", "replace").decode()
    seen = ada.client.get(PAGE, query_string={"draft": token})
    assert (seen.status_code, seen.headers["Location"]) == (303, PAGE)
    assert ada.post(CONFIRM, {"draft": token, "expected": "2-0-0-2"}).headers["Location"] == PAGE
    assert names(app) == []


@pytest.fixture
def folder(app: Flask) -> Iterator[set[Path]]:
    """The instance folder's files, which an upload leaves as they are."""
    instance: Path = app.extensions["config"].instance
    before = {path for path in instance.rglob("*") if "portal.db" not in path.name}
    yield before
    after = {path for path in instance.rglob("*") if "portal.db" not in path.name}
    assert after == before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["../../evil.py", "/tmp/evil", "..\\..\\evil", "a/b.csv\x00.py"])
def test_a_file_name_names_no_file_here(app: Flask, ada: Visitor, name: str) -> None:
    """The name of the uploaded file is a path out of the folder where files are kept."""
    upload(ada, TEXT, name=name)
    with app.app_context():
        kept = db.session.scalars(select(ImportDraft.file_name)).one()
        assert not set(kept) & set("/\\\x00")
        db.session.remove()


@pytest.mark.parametrize("path", [PAGE, CONFIRM])
def test_another_site_imports_nothing_on_ones_behalf(app: Flask, ada: Visitor, path: str) -> None:
    """A page of another site sends the form with the admin's cookie, but has no token."""
    fields = fields_of(preview(ada))
    ada.csrf_token = "guessed"
    assert ada.post(path, fields).status_code == 422
    assert names(app) == []


def test_large_requests_are_taken_by_the_upload_alone(ada: Visitor) -> None:
    """What is allowed for one page is used to fill the memory through another."""
    for path in (CONFIRM, "/projects/new", "/login"):
        answer = ada.client.post(path, data=b"x" * 3_000_000, content_type="text/plain")
        assert answer.status_code == 413
    field = b'--part\r\nContent-Disposition: form-data; name="draft"\r\n\r\n'
    body = field + b"x" * 3_000_000 + b"\r\n--part--\r\n"
    answer = ada.client.post(PAGE, data=body, content_type="multipart/form-data; boundary=part")
    assert answer.status_code == 413


def test_what_the_file_says_of_other_clients_projects_is_only_what_columns_may_say(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    """Columns named like the database's are to change what an import may not."""
    page = preview(
        ada,
        "id,CIK,Name,organisation_name,archived_at,search_text\n"
        f"1,{cast.acme},Acme ERP,Evil,2020-01-01,x\n",
    )
    assert "1 project will be left alone" in page
    ada.post(CONFIRM, fields_of(page))
    with app.app_context():
        project = db.session.get_one(Project, cast.acme_project)
        assert (project.status, project.organisation.name) == ("Active", "Acme")
        assert (project.archived_at, project.updated_at) == (None, NOW)
        db.session.remove()


def test_the_audit_log_names_the_file_and_holds_nothing_of_it(ada: Visitor) -> None:
    """A file's name is to bring markup, or its rows, into the audit log."""
    answer = upload(ada, "CIK,Name\n1,Confidential Ltd\n", name="<b>x</b>.csv")
    ada.post(CONFIRM, fields_of(plain(ada.get(answer.headers["Location"]))))
    page = ada.get("/audit").text
    assert "&lt;b&gt;x&lt;/b&gt;.csv" in page or "b&gt;.csv" in page
    assert "<b>x" not in page
    assert "Confidential" not in page


@pytest.mark.parametrize("change", SHUT_OUT)
@pytest.mark.parametrize("step", ["preview", "import"])
def test_who_loses_the_right_while_their_file_is_read_imports_nothing(
    app: Flask,
    ada: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    change: Callable[[Session], None],
) -> None:
    """Mallory, about to be shut out, sends a file that takes minutes to read."""

    def meanwhile(read: Callable[..., object]) -> Callable[..., object]:
        def slow(*arguments: object, **options: object) -> object:
            with writing(), Session(db.engine) as other, other.begin():
                change(other)
            return read(*arguments, **options)

        return slow

    fields = fields_of(preview(ada)) if step == "import" else {}
    before = kept(app)
    monkeypatch.setattr(imports, "read_head", meanwhile(imports.read_head))
    answer = ada.post(CONFIRM, fields) if step == "import" else upload(ada, TEXT)
    assert answer.status_code == (403 if change is demote else 401)
    assert kept(app) == before


def kept(app: Flask) -> tuple[int, int]:
    """How many projects and how many waiting files there are."""
    with app.app_context(), reading_only():
        counts = [
            db.session.scalar(select(func.count()).select_from(table)) or 0
            for table in (Project, ImportDraft)
        ]
        db.session.remove()
    return counts[0], counts[1]
