"""Files that wait to be imported, and what is seen of them before."""

import io
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.errors import Conflict, InvalidInput, NotAllowed
from app.models import ImportDraft, Organisation
from app.projects.drafts import KEPT_FOR, find_draft, import_draft, keep_draft
from app.projects.importing import ImportResult, import_projects, preview_projects
from app.projects.reading import Head, read_head
from app.projects.rows import ReadFile, guess_columns, read_projects
from app.projects.tables import AS_IT_SEEMS, MOST_COLUMNS
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

LATER = NOW + timedelta(minutes=1)
TEXT = "CIK,Name\n1,One\n2,Two\n"


def keep(session: Session, cast: Cast, who: str = Cast.ada, **options: object) -> str:
    given = {"file_name": "clients.csv", "content": TEXT.encode(), "now": NOW} | options
    return keep_draft(session, actor=cast.actor(who), **given)  # type: ignore[arg-type]


def find(
    session: Session, cast: Cast, token: str, who: str = Cast.ada, after: timedelta = timedelta()
) -> ImportDraft | None:
    return find_draft(session, actor=cast.actor(who), token=token, now=NOW + after)


def read(text: str, **columns: int) -> ReadFile:
    return read_projects(io.BytesIO(text.encode()), columns=columns or None)


# The file that waits


def test_a_file_waits_for_an_hour_and_not_a_second_longer(session: Session, cast: Cast) -> None:
    token = keep(session, cast)
    draft = find(session, cast, token, after=KEPT_FOR - timedelta(seconds=1))
    assert draft is not None
    assert (draft.content, draft.file_name) == (TEXT.encode(), "clients.csv")
    assert find(session, cast, token, after=KEPT_FOR) is None


def test_another_file_takes_its_place_and_everybodys_old_ones_go(
    session: Session, cast: Cast
) -> None:
    graces = keep(session, cast, Cast.grace)
    first, second = keep(session, cast), keep(session, cast)
    assert find(session, cast, first) is None
    assert find(session, cast, second) is not None
    assert find(session, cast, graces, Cast.grace) is not None
    keep(session, cast, now=NOW + KEPT_FOR)
    assert session.scalar(select(func.count()).select_from(ImportDraft)) == 1


def test_only_who_may_manage_projects_keeps_one(session: Session, cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        keep(session, cast, Cast.audrey)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("clients.csv", "clients.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\Kunden älter.csv", "Kunden älter.csv"),
        ("a\x00b\r\n\u202egnp.csv", "abgnp.csv"),
        ("x" * 300, "x" * 200),
        ("", "file"),
        ("/", "file"),
    ],
)
def test_of_its_name_what_can_be_seen_is_kept(
    session: Session, cast: Cast, sent: str, kept: str
) -> None:
    draft = find(session, cast, keep(session, cast, file_name=sent))
    assert draft is not None
    assert draft.file_name == kept


# The import of it


def bring_in(session: Session, cast: Cast, token: str, expected: ImportResult) -> ImportResult:
    draft = find_draft(session, actor=cast.actor(cast.ada), token=token, now=LATER, lock=True)
    assert draft is not None
    return import_draft(
        session,
        actor=cast.actor(cast.ada),
        draft=draft,
        file=read(TEXT),
        expected=expected,
        now=LATER,
    )


def test_an_import_notes_what_it_did_and_lets_the_content_go(session: Session, cast: Cast) -> None:
    token = keep(session, cast)
    result = bring_in(session, cast, token, ImportResult(created=2, organisations_created=2))
    session.commit()
    draft = find(session, cast, token)
    assert draft is not None
    assert ImportResult(**(draft.result or {})) == result
    assert draft.content == b""


def test_what_is_not_as_it_was_seen_is_not_imported(session: Session, cast: Cast) -> None:
    token = keep(session, cast)
    session.commit()
    with pytest.raises(Conflict, match="changed since the preview"):
        bring_in(session, cast, token, ImportResult(created=1, unchanged=1))
    session.rollback()
    assert session.get(Organisation, "1") is None
    draft = find(session, cast, token)
    assert draft is not None
    assert draft.result is None


# What is seen before


def test_a_preview_promises_what_the_import_then_does(session: Session, cast: Cast) -> None:
    ada = cast.actor(cast.ada)
    text = f"CIK,Name,Plan\n9,Nine,\n{cast.acme},Acme ERP,Trial\n{cast.bolt},Bolt Shop,Growth\n"
    preview = preview_projects(session, actor=ada, file=read(text), shown=20)
    assert preview.result == ImportResult(
        created=1, updated=1, unchanged=1, organisations_created=1
    )
    assert [(row.line, row.name) for row in preview.created] == [(2, "Nine")]
    assert [row.name for row in preview.unchanged] == ["Bolt Shop"]
    ((known, row),) = preview.updated
    assert (known.contact_email, known.plan, row.plan) == ("acme@client.example", "Growth", "Trial")
    assert session.get(Organisation, "9") is None
    done = import_projects(session, actor=ada, file=read(text), file_name="x.csv", now=NOW)
    assert done == preview.result


def test_of_many_projects_the_first_of_the_file_are_seen(session: Session, cast: Cast) -> None:
    rows = "".join(f"{9999 - number},Project {number}\n" for number in range(100))
    file = read("CIK,Name\n" + rows)
    preview = preview_projects(session, actor=cast.actor(cast.ada), file=file, shown=3)
    assert preview.result.created == 100
    assert [row.line for row in preview.created] == [2, 3, 4]


def test_who_may_not_import_sees_no_preview(session: Session, cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        preview_projects(session, actor=cast.actor(cast.audrey), file=read(TEXT), shown=1)


# How a file begins


def head_at(data: bytes, rows: int = 5) -> Head:
    return read_head(
        io.BytesIO(data), AS_IT_SEEMS, lambda headings: len(guess_columns(headings)), rows=rows
    )


def head_of(content: str | bytes, rows: int = 5) -> tuple[list[str], list[list[str]]]:
    data = content.encode() if isinstance(content, str) else content
    head = head_at(data, rows)
    return head.headings, head.rows


def refusal(content: str | bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        head_of(content)
    assert refused.value.field == "file"
    return refused.value.detail


def test_the_headings_and_the_first_rows_are_given_whatever_they_hold() -> None:
    text = "\ufeff CIK ;;Naïve\r\n1;2\n\n ; ; \n=1+1;x;" + "y" * 999 + "\n3;;\n"
    headings, rows = head_of(text, rows=2)
    assert headings == ["CIK", "", "Naïve"]
    assert rows == [["1", "2"], ["=1+1", "x", "y" * 999]]


def test_the_lines_that_follow_are_counted() -> None:
    content = b"CIK,Name\n" + b"1,a\n" * 100_000
    assert 0 <= 100_000 - head_at(content).more_lines < 5_000


def test_a_file_that_cannot_be_read_is_refused_wherever_in_it_the_reason_is() -> None:
    rows = "1,Öne\n" * 50_000
    text = "CIK,Name\n" + rows
    assert "Line 50002 is not UTF-8" in refusal(text.encode() + b"9,B\xf6lt\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "The file is empty"),
        ("CIK,Name\n", "a header and no rows"),
        ("CIK,Name\n1,Acme\n".encode("utf-16")[:-1], "UTF-16, and damaged"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "Save the file as “CSV UTF-8”"),
        (b"PK\x03\x04\x14\x00\x06\x00", "workbook"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "Save it as .xlsx without a password",
        ),
        ("a," * 5000 + "\n1\n", f"names 5001 columns; at most {MOST_COLUMNS}"),
        ('"a\n1\n', "not valid CSV"),
        ("x" * 200_000 + "\n1\n", "field larger than field limit"),
    ],
)
def test_what_is_no_csv_file_is_refused_in_a_sentence(content: str | bytes, sentence: str) -> None:
    assert sentence in refusal(content)


@pytest.mark.parametrize(
    ("headings", "columns"),
    [
        (["CIK", "Security"], {"organisation_id": 0, "name": 1}),
        (["Foo", "Bar"], {}),
        (["CIK", "Name", "Name", "E-mail"], {"organisation_id": 0, "contact_email": 3}),
    ],
)
def test_columns_are_guessed_where_a_heading_tells(
    headings: list[str], columns: dict[str, int]
) -> None:
    assert guess_columns(headings) == columns


def test_columns_are_read_from_where_they_are_said_to_be(app: Flask) -> None:
    (row,) = read("Name,Name,x\nA,B,1\n", organisation_id=2, name=1).rows
    assert (row.organisation_id, row.name) == ("1", "B")
