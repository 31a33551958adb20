"""Importing projects from CSV: what is read, what is refused, what is written."""

import io
import threading
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from flask import Flask
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from app.core.errors import Conflict, InvalidInput, NotAllowed
from app.extensions import db
from app.models import AuditEvent, Organisation, Project
from app.projects import importing
from app.projects.fields import ProjectFields
from app.projects.finding import find_projects
from app.projects.importing import ImportResult, import_projects
from app.projects.rows import BadRow, ReadFile, choose_columns, read_projects
from app.projects.search import Search
from app.projects.services import archive_project, create_project
from tests.conftest import NOW, SHARED_DATA, Cast, missing

pytestmark = pytest.mark.databases("sqlite", "postgres")

LATER = NOW + timedelta(minutes=1)
HEADER = "Organisation ID,Project name,Contact e-mail,Plan,Plan expiry date\n"


def read(text: str | bytes, **named_columns: str) -> ReadFile:
    content = text if isinstance(text, bytes) else text.encode()
    return read_projects(io.BytesIO(content), named_columns=named_columns)


def refusal(text: str | bytes, **named_columns: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        read(text, **named_columns)
    return refused.value


def bad_rows(text: str) -> list[BadRow]:
    return read(text).bad_rows


def bring_in(session: Session, cast: Cast, text: str, **options: object) -> ImportResult:
    file = read(text)
    assert file.bad_rows == []
    options = {"now": NOW, "file_name": "clients.csv"} | options
    return import_projects(session, actor=cast.actor(cast.ada), file=file, **options)  # type: ignore[arg-type]


# Reading


def test_a_row_is_read_with_all_its_columns() -> None:
    (row,) = read(HEADER + " ORG-1 ,Acmé,a@b.c,Trial,2026-12-31\n").rows
    assert row.line == 2
    assert (row.organisation_id, row.name, row.contact_email) == ("ORG-1", "Acmé", "a@b.c")
    assert (row.plan, row.plan_expires_on) == ("Trial", date(2026, 12, 31))
    assert row.search_text == "acme\na@b.c"


@pytest.mark.parametrize("content", ["ID,Name\n1,Acmé", "\ufeffID,Name\r\n1,Acmé\r\n"])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(content: str) -> None:
    (row,) = read(content, organisation_id="ID").rows
    assert row.name == "Acmé"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_may_be_parted_as_spreadsheets_do(delimiter: str) -> None:
    text = 'CIK,"Name"\n1,"A, B; C\tD"\n' if delimiter == "," else f"CIK{delimiter}Name\n"
    text += f"2{delimiter}Bolt\n"
    assert read(text.replace("A, B; C\tD", "A, B; C")).rows[-1].name == "Bolt"


def test_a_row_is_known_by_the_line_on_which_it_begins() -> None:
    text = 'CIK,Name,Note\n1,Acme,"three\nlines\nlong"\n\n , ,\n2,,short\n'
    file = read(text)
    assert [row.line for row in file.rows] == [2]
    assert file.bad_rows == [BadRow(7, "Enter a project name.")]


def test_rows_of_one_organisation_are_kept_in_their_order() -> None:
    rows = read("CIK,Name\n2,Zeta\n1,Acme\n2,Alpha\n").rows
    assert [row.name for row in rows] == ["Acme", "Zeta", "Alpha"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "The file is empty"),
        ("\n\n", "The file is empty"),
        (",,,\n , \n", "The file is empty"),
        ("\ufeff", "The file is empty"),
        ("CIK,Name\n", "a header and no rows"),
        ("CIK,Name\n\n , \n", "a header and no rows"),
        ('"CIK,Name\n1,Acme\n', "not valid CSV"),
        ("CIK,Name\n1,Acme\n".encode("utf-16")[:-1], "The file is UTF-16, and damaged"),
        ("CIK,Name\n1,Acme\n2,Łódź\n".encode("cp1250"), "Line 3 is not UTF-8"),
        ("<html><table><tr><td>CIK</td></tr></table></html>", "This is a web page or XML"),
        ('<?xml version="1.0"?>\n<Workbook/>', "This is a web page or XML"),
        (b"\xff\xd8\xff\xe0JPEG", "Line 1 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    content: str | bytes, sentence: str
) -> None:
    error = refusal(content)
    assert error.field == "file"
    assert sentence in error.detail


def test_bytes_that_are_no_utf_8_are_found_far_down_too() -> None:
    text = "CIK,Name\n" + "".join(f"{number},Acmé\n" for number in range(50_000))
    assert "Line 50002 is" in refusal(text.encode() + b"9,B\xf6lt\n").detail


# Which column is which


@pytest.mark.parametrize(
    ("headings", "columns"),
    [
        (["Organisation ID", "Project name"], {"organisation_id": 0, "name": 1}),
        (["organization_id", "NAME", "x"], {"organisation_id": 0, "name": 1}),
        (["Org. ID", "Company", "E-Mail"], {"organisation_id": 0, "name": 1, "contact_email": 2}),
        (["Symbol", "Security", "CIK"], {"organisation_id": 2, "name": 1}),
        (
            ["Company", "Project", "CIK"],
            {"organisation_id": 2, "name": 1, "organisation_name": 0},
        ),
        (
            ["Organisation ID", "Organisation", "Project", "Contact", "Ends", "Status"],
            {
                **{"organisation_id": 0, "organisation_name": 1, "name": 2},
                **{"contact_email": 3, "plan_expires_on": 4, "status": 5},
            },
        ),
        (
            ["Plan Expiry", "Plan", "Contact E-mail", "Name", "CIK"],
            {
                **{"organisation_id": 4, "name": 3, "contact_email": 2},
                **{"plan": 1, "plan_expires_on": 0},
            },
        ),
    ],
)
def test_columns_are_known_by_their_usual_headings(
    headings: list[str], columns: dict[str, int]
) -> None:
    assert choose_columns(headings, {}) == columns


def test_a_named_column_counts_more_than_a_usual_heading() -> None:
    headings = ["CIK", "Name", "Client no.", "Brand"]
    named = {"organisation_id": "Client no.", "name": " Brand ", "plan": None}
    assert choose_columns(headings, named) == {"organisation_id": 2, "name": 3}


def test_a_file_without_a_header_is_told_what_its_first_line_has() -> None:
    error = refusal("ORG-1,Acme\nORG-2,Bolt\n")
    assert error.field == "organisation_id"
    assert "holds the Organisation ID" in error.detail
    assert "“ORG-1”, “Acme”" in error.detail


def test_a_column_that_is_not_there_is_refused_by_name() -> None:
    error = refusal("CIK,Name\n1,Acme\n", contact_email="Mail")
    assert error.field == "contact_email"
    assert error.detail == ("There is no column “Mail”. The file's headings are: “CIK”, “Name”.")


@pytest.mark.parametrize("named", [{}, {"name": "Name"}])
def test_a_heading_that_stands_twice_is_refused_where_it_matters(named: dict[str, str]) -> None:
    assert "“Name” heads 2 columns" in refusal("CIK,Name,Name\n1,A,B\n", **named).detail
    assert read("CIK,Name,Note,Note\n1,A,B,C\n").rows


def test_a_thousand_headings_are_not_all_repeated() -> None:
    detail = refusal(",".join(f"column {number}" for number in range(1000))).detail
    assert "and 970 more" in detail


# Rows that are refused


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("ORG-1", "Enter a project name."),
        ("ORG-1,Acme,,,,x", "The row has 6 cells, the header has 5."),
        (",Acme,,,", "Enter an Organisation ID."),
        ("ORG-1, ,,,", "Enter a project name."),
        ("ORG-1,Acme,nobody,,", "“nobody” is not an e-mail address; write name@example.com."),
        ("ORG-1,Acme,,,31.12.2026", "“31.12.2026” is not a date"),
        ("ORG-1,Acme,,,2026-02-30", "There is no day 2026-02-30."),
        (f"ORG-1,{'x' * 300},,,", "too long: 300 characters, and 200 are allowed"),
        (f"{'1' * 65},Acme,,,", "too long: 65 characters, and 64 are allowed"),
        ("ORG-1,=cmd|' /C calc'!A0,,,", "is a spreadsheet formula"),
        ("=1+1,Acme,,,", "is a spreadsheet formula"),
        ("ORG-1,Ac\x00me,,,", "control character (U+0000)"),
        ('ORG-1,"Ac\nme",,,', "control character (U+000A)"),
        (f'ORG-1,"{"x" * 140_000}",,,', "From here on it is not valid CSV"),
        ('ORG-1,"Acme" Inc,,,', "From here on it is not valid CSV"),
        ('ORG-1,"Acme,,,', "From here on it is not valid CSV"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_its_reason(row: str, reason: str) -> None:
    (bad,) = bad_rows(HEADER + "ORG-0,Good,,,\n" + row + "\n")
    assert bad.line == 3
    assert reason in bad.reason


def test_every_bad_row_is_reported_with_every_reason_in_the_files_order() -> None:
    text = HEADER + "1,A,x,,y\n2,B,,,\n2,B,,,\n3,,,,\n2,B,,,\n"
    assert bad_rows(text) == [
        BadRow(
            2,
            "“x” is not an e-mail address; write name@example.com. "
            "“y” is not a date; write year-month-day, such as 2026-12-31.",
        ),
        BadRow(4, "Same project as line 3."),
        BadRow(5, "Enter a project name."),
        BadRow(6, "Same project as line 3."),
    ]


def test_the_same_project_is_the_same_in_any_spelling_of_its_letters() -> None:
    assert bad_rows("CIK,Name\n1,Caf\u00e9\n1, Cafe\u0301 \n") == [
        BadRow(3, "Same project as line 2.")
    ]


# Writing


def test_rows_with_one_organisation_id_are_projects_of_one_organisation(
    session: Session, cast: Cast
) -> None:
    done = bring_in(session, cast, "CIK,Name\n7,Zeta\n7,Alpha\n8,Eight\n")
    assert done == ImportResult(created=3, updated=0, unchanged=0, organisations_created=2)
    session.commit()
    assert session.get_one(Organisation, "7").name == "Zeta"
    projects = find_projects(session, Search("zeta"), NOW)
    assert [project.name for project in projects] == ["Alpha", "Zeta"]
    assert {(project.status, project.created_at, project.updated_at) for project in projects} == {
        ("Active", NOW, NOW)
    }


def test_an_organisation_is_named_by_its_column_where_there_is_one(
    session: Session, cast: Cast
) -> None:
    text = "CIK,Organisation,Project\n7,,Zeta\n7,Seven Ltd,Alpha\n7,7even,Beta\n8,,Eight\n"
    bring_in(session, cast, text + f"{cast.acme},Evil,Acme ERP\n")
    session.commit()
    names = {i: session.get_one(Organisation, i).name for i in ("7", "8", cast.acme)}
    assert names == {"7": "Seven Ltd", "8": "Eight", cast.acme: "Acme"}
    assert len(find_projects(session, Search("seven ltd"), NOW)) == 3


def test_a_status_is_taken_where_there_is_a_column(session: Session, cast: Cast) -> None:
    text = f"CIK,Name,Status\n9,Nine,On hold\n9,Ten,\n{cast.acme},Acme ERP,Churned\n"
    assert bring_in(session, cast, text) == ImportResult(2, 1, 0, 1)
    session.commit()
    assert session.get_one(Project, cast.acme_project).status == "Churned"
    nine = session.scalars(select(Project.status).where(Project.organisation_id == "9"))
    assert sorted(nine) == ["Active", "On hold"]
    assert bring_in(session, cast, text).unchanged == 3


def test_names_that_only_look_the_same_are_one_project(session: Session, cast: Cast) -> None:
    """Three lines that nobody can tell apart made three projects, and each import three more."""
    twins = ["Acme Portal", "Acme\u00a0Portal", "Acme Portal\u200b"]
    rows = [f"T-WS1,{name}\n" for name in twins]
    assert bad_rows("CIK,Name\n" + "".join(rows)) == [
        BadRow(3, "Same project as line 2."),
        BadRow(4, "Same project as line 2."),
    ]
    done = [bring_in(session, cast, "CIK,Name\n" + row) for row in rows]
    assert [(result.created, result.unchanged) for result in done] == [(1, 0), (0, 1), (0, 1)]
    assert bring_in(session, cast, "CIK,Name\nT-WS1\u00a0,Acme Portal\n").unchanged == 1
    stored = session.scalars(select(Project.name).where(Project.organisation_id == "T-WS1"))
    assert list(stored) == ["Acme Portal"]


def test_the_same_file_again_changes_nothing(session: Session, cast: Cast) -> None:
    text = HEADER + "ORG-1,Acmé,a@b.c,Trial,2026-12-31\nORG-1,Bolt,,,\n"
    bring_in(session, cast, text)
    session.commit()
    again = bring_in(session, cast, text, now=LATER)
    assert again == ImportResult(created=0, updated=0, unchanged=2, organisations_created=0)
    assert set(session.scalars(select(Project.updated_at))) == {NOW}


def test_a_known_project_is_updated_and_its_organisation_keeps_its_name(
    session: Session, cast: Cast
) -> None:
    text = HEADER + f"{cast.acme},Acme ERP,new@x.de,Trial,2026-12-31\n"
    done = bring_in(session, cast, text, now=LATER)
    assert done == ImportResult(created=0, updated=1, unchanged=0, organisations_created=0)
    session.commit()
    project = session.get_one(Project, cast.acme_project)
    assert (project.contact_email, project.plan) == ("new@x.de", "Trial")
    assert (project.plan_expires_on, project.updated_at) == (date(2026, 12, 31), LATER)
    assert project.organisation.name == "Acme"
    assert find_projects(session, Search("new@x.de"), NOW) == [project]
    assert find_projects(session, Search("acme@client"), NOW) == []


def test_a_column_that_the_file_has_not_got_stays_as_it_is(session: Session, cast: Cast) -> None:
    bring_in(session, cast, f"CIK,Name,Plan\n{cast.acme},Acme ERP,Trial\n")
    session.commit()
    project = session.get_one(Project, cast.acme_project)
    assert (project.plan, project.contact_email) == ("Trial", "acme@client.example")
    assert find_projects(session, Search("acme@client"), NOW) == [project]


def test_a_blank_cell_empties_what_was_there(session: Session, cast: Cast) -> None:
    bring_in(session, cast, HEADER + f"{cast.acme},Acme ERP,,,\n")
    session.commit()
    project = session.get_one(Project, cast.acme_project)
    assert (project.plan, project.contact_email, project.plan_expires_on) == ("", "", None)


def test_an_archived_project_is_updated_and_stays_archived(session: Session, cast: Cast) -> None:
    ada = cast.actor(cast.ada)
    archive_project(session, actor=ada, project_id=cast.acme_project, now=NOW)
    session.commit()
    bring_in(session, cast, f"CIK,Name,Plan\n{cast.acme},Acme ERP,Trial\n")
    session.commit()
    project = session.get_one(Project, cast.acme_project)
    assert (project.plan, project.archived_at) == ("Trial", NOW)


def test_a_dry_run_counts_and_writes_nothing(session: Session, cast: Cast) -> None:
    text = HEADER + f"ORG-1,New,,,\nORG-1,Newer,,,\n{cast.acme},Acme ERP,,Trial,\n"
    done = bring_in(session, cast, text, dry_run=True)
    assert done == ImportResult(created=2, updated=1, unchanged=0, organisations_created=1)
    session.commit()
    assert session.get(Organisation, "ORG-1") is None
    assert session.get_one(Project, cast.acme_project).plan == "Growth"
    assert imports(session) == []


def imports(session: Session) -> list[AuditEvent]:
    ours = select(AuditEvent).where(AuditEvent.tag == "project.imported")
    return list(session.scalars(ours))


def test_one_import_is_one_event(session: Session, cast: Cast) -> None:
    bring_in(session, cast, "CIK,Name\n1,One\n2,Two\n")
    (event,) = imports(session)
    assert (event.subject, event.actor) == ("clients.csv", cast.ada)
    assert event.data == {
        **{"created": 2, "updated": 0, "unchanged": 0},
        "organisations_created": 2,
    }


def test_portions_change_nothing_about_the_outcome(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "WRITE_AT_ONCE", 3)
    rows = [f"{number % 7},Project {number}\n" for number in range(40)]
    done: list[int] = []
    result = bring_in(session, cast, "CIK,Name\n" + "".join(rows), progress=done.append)
    assert result == ImportResult(created=40, updated=0, unchanged=0, organisations_created=7)
    assert done == sorted(done)
    assert (len(done) > 1, done[-1]) == (True, 40)
    again = bring_in(session, cast, "CIK,Name\n" + "".join(rows))
    assert again.unchanged == 40


def stop(_done: int) -> None:
    raise KeyboardInterrupt


def test_an_import_that_is_broken_off_leaves_nothing(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "WRITE_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        bring_in(session, cast, "CIK,Name\n1,One\n2,Two\n", progress=stop)
    session.rollback()
    assert session.get(Organisation, "1") is None


def test_who_may_not_manage_projects_may_not_import(session: Session, cast: Cast) -> None:
    file = read("CIK,Name\n1,One\n")
    with pytest.raises(NotAllowed):
        import_projects(
            session, actor=cast.actor(cast.audrey), file=file, file_name="x.csv", now=NOW
        )


def test_a_name_that_looks_like_a_command_to_the_database_is_a_name(
    session: Session, cast: Cast
) -> None:
    """A CSV file comes from outside: 100% of its text is data, and never part of a statement."""
    names = ["'); DROP TABLE projects; --", "100% %s %(name)s ? :x", '"', "\\"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    rows = "".join(f"1,{name}\n" for name in quoted)
    assert bring_in(session, cast, "CIK,Name\n" + rows).created == 4
    session.commit()
    stored = session.scalars(select(Project.name).where(Project.organisation_id == "1"))
    assert sorted(stored) == sorted(names)


class Elsewhere:
    """Something done on a connection of its own, as another process would."""

    def __init__(self, app: Flask, work: Callable[[], object]) -> None:
        self.app, self.work = app, work
        self.outcome: object = None
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def begin(self, _done: int) -> None:
        """Begin in the middle of an import: this is called as its `progress`."""
        self.thread.start()
        assert self.begun.wait(60)

    def _run(self) -> None:
        with self.app.app_context():
            self.begun.set()
            try:
                self.outcome = self.work()
                db.session.commit()
            except Exception as error:
                db.session.rollback()
                self.outcome = error


def test_another_writer_waits_for_an_import_and_does_not_fail(
    app: Flask, session: Session, cast: Cast
) -> None:
    def make() -> str:
        fields = ProjectFields("ORG-77", "Seven", "Mine")
        made = create_project(db.session(), actor=cast.actor(cast.grace), fields=fields, now=NOW)
        return made.project.name

    other = Elsewhere(app, make)
    bring_in(session, cast, "CIK,Name\n1,One\n", progress=other.begin)
    session.commit()
    other.thread.join(60)
    assert other.outcome == "Mine"
    assert session.get(Organisation, "ORG-77")
    assert session.get(Organisation, "1")


def test_of_two_imports_of_the_same_file_at_once_one_does_it(
    app: Flask, session: Session, cast: Cast
) -> None:
    """On SQLite the second waits and finds nothing to do; on PostgreSQL it is refused whole."""
    text = "CIK,Name\n1,One\n"
    other = Elsewhere(app, lambda: bring_in(db.session(), cast, text))
    bring_in(session, cast, text, progress=other.begin)
    session.commit()
    other.thread.join(60)
    assert isinstance(other.outcome, Conflict) or other.outcome == ImportResult(0, 0, 1, 0)
    assert session.scalar(select(func.count()).where(Project.organisation_id == "1")) == 1


def test_five_hundred_real_companies_are_imported_in_a_few_statements(
    session: Session, cast: Cast
) -> None:
    path = SHARED_DATA / "constituents.csv"
    if not path.exists():
        missing(str(path), "a copy of the S&P 500 constituents (Symbol, Security, ..., CIK)")
    columns = {"organisation_id": "CIK", "name": "Security"}
    said: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        for expected in (ImportResult(503, 0, 0, 500), ImportResult(0, 0, 503, 0)):
            with path.open("rb") as opened:
                file = read_projects(opened, named_columns=columns)
            done = import_projects(
                session, actor=cast.actor(cast.ada), file=file, file_name=path.name, now=NOW
            )
            session.commit()
            assert done == expected
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    assert len(said) <= 20
    classes = find_projects(session, Search("alphabet"), NOW)
    assert [project.name[-9:] for project in classes] == ["(Class A)", "(Class C)"]
    assert len({project.organisation_id for project in classes}) == 1
