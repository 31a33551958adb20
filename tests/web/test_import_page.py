"""The Import page: a file is previewed, its columns are chosen, then it is imported."""

import io
import re
from datetime import date
from html import unescape
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import AuditEvent, FeedEvent, ImportDraft, Project
from app.portal.import_forms import MOST_BYTES
from app.projects.fields import FIELDS, ProjectFields
from app.projects.services import create_project
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.workbooks import with_part, workbook

TEXT = "CIK,Name,Tier\n1,One,Gold\n2,Two,\n"
PAGE = "/projects/import"
CONFIRM = "/projects/import/confirm"


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


def upload(
    visitor: Visitor, content: str | bytes, name: str = "clients.csv", **fields: str
) -> TestResponse:
    data = content.encode() if isinstance(content, str) else content
    return visitor.post(PAGE, {"file": (io.BytesIO(data), name), **fields})


def upload_large(visitor: Visitor, content: bytes) -> TestResponse:
    """The same, put together by hand: werkzeug's client leaves a large one's file open."""
    visitor.get("/login?next=/audit")
    visitor.get("/audit")
    body = b"".join(
        b'--part\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, value)
        for name, value in (
            (b"csrf_token", visitor.csrf_token.encode()),
            (b'file"; filename="clients.csv', content),
        )
    )
    return visitor.client.post(
        PAGE, data=body + b"--part--\r\n", content_type="multipart/form-data; boundary=part"
    )


def preview(visitor: Visitor, content: str | bytes = TEXT, **columns: str) -> str:
    """Upload a file and look at what it would do: the page."""
    address = upload(visitor, content).headers["Location"]
    for name, place in columns.items():
        address += f"&{name}={place}"
    answer = visitor.get(address)
    assert answer.status_code == 200
    return plain(answer)


def plain(answer: TestResponse) -> str:
    return " ".join(unescape(answer.text).split())


def fields_of(page: str, form: str = CONFIRM) -> dict[str, object]:
    """The hidden fields of the form that is sent to `form`."""
    body = page.split(f'action="{form}"')[1].split("</form>", maxsplit=1)[0]
    pattern = r'<input type="hidden" name="(\w+)" value="([^"]*)"'
    return {name: value for name, value in re.findall(pattern, body) if name != "csrf_token"}


def error_beside_the_file(answer: TestResponse) -> str:
    found = re.search(r'id="file-error">(.*?)</p>', plain(answer))
    assert found
    assert 'aria-invalid="true"' in answer.text
    return found[1]


def names(app: Flask) -> list[str]:
    with app.app_context():
        found = list(db.session.scalars(select(Project.name).order_by(Project.id)))
        db.session.remove()
    return found[2:]


def make(app: Flask, cast: Cast, organisation_id: str, name: str) -> None:
    with app.app_context():
        fields = ProjectFields(organisation_id, name, name)
        create_project(db.session(), actor=cast.actor(cast.grace), fields=fields, now=NOW)
        db.session.commit()


class TestTheFile:
    def test_the_page_asks_for_one(self, ada: Visitor) -> None:
        page = plain(ada.get(PAGE))
        assert '<label class="form-label" for="file">CSV file</label>' in page
        assert 'type="file"' in page
        assert "Preview</button>" in page
        assert "Import</button>" not in page

    def test_without_one_there_is_no_preview(self, ada: Visitor) -> None:
        answer = ada.get(PAGE, htmx=True)
        assert answer.status_code == 200
        assert not answer.text.strip()

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("", "The file is empty."),
            ("\n\n", "The file is empty"),
            ("CIK,Name\n", "There is nothing to import: the file has a header and no rows."),
            (TEXT.encode("utf-16")[:-1], "The file is UTF-16, and damaged. Save it as “CSV UTF-8”"),
            ("CIK,Name\n1,Łódź\n".encode("cp1250"), "Line 2 is not UTF-8 text."),
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "Save the file as “CSV UTF-8”"),
            (b"PK\x03\x04\x14\x00\x06\x00", "The workbook is damaged and cannot be read."),
            ("," * 5000 + "x\n1\n", "Line 1 names 5001 columns; at most 1000 can be read."),
        ],
    )
    def test_one_that_cannot_be_used_is_refused_beside_the_field(
        self, app: Flask, ada: Visitor, content: str | bytes, sentence: str
    ) -> None:
        answer = upload(ada, content)
        assert answer.status_code == 422
        assert sentence in error_beside_the_file(answer)
        with app.app_context():
            assert db.session.scalar(select(ImportDraft.token)) is None

    @pytest.mark.parametrize("file", ["none", "nameless", "text"])
    def test_none_is_asked_for(self, ada: Visitor, file: str) -> None:
        sent: dict[str, dict[str, object]] = {
            "none": {},
            "nameless": {"file": (io.BytesIO(b""), "")},
            "text": {"file": "CIK,Name"},
        }
        answer = ada.post(PAGE, sent[file])
        assert answer.status_code == 422
        assert error_beside_the_file(answer) == "Choose a CSV file or an .xlsx workbook."

    def test_one_of_ten_megabytes_is_taken(self, ada: Visitor) -> None:
        row = f"1,{'x' * 200}\n"
        text = "CIK,Name\n1,One\n"
        content = text + row * ((MOST_BYTES - len(text)) // len(row))
        content += "x" * (MOST_BYTES - len(content))
        assert len(content) == MOST_BYTES
        assert upload_large(ada, content.encode()).status_code == 303

    @pytest.mark.parametrize("size", [MOST_BYTES + 1, MOST_BYTES + 100_000])
    def test_a_larger_one_is_told_of_the_command(self, ada: Visitor, size: int) -> None:
        answer = upload_large(ada, b"x" * size)
        assert answer.status_code == 413
        assert "up to 10 MB and 500,000 lines can be imported here" in error_beside_the_file(answer)
        assert "rolling-window projects import FILE" in error_beside_the_file(answer)
        assert "Preview</button>" in answer.text

    def test_a_refused_file_leaves_the_last_preview_where_it_was(self, ada: Visitor) -> None:
        page = preview(ada, plan="2")
        answer = upload(ada, "", **fields_of(page))
        assert answer.status_code == 422
        assert "The file is empty" in error_beside_the_file(answer)
        assert "2 projects will be created" in plain(answer)
        assert fields_of(plain(answer)) == fields_of(page)

    def test_the_next_file_with_the_same_columns_keeps_those_that_were_chosen(
        self, ada: Visitor
    ) -> None:
        chosen = fields_of(preview(ada, plan="2"))
        again = upload(ada, TEXT + "3,Three,\n", **chosen).headers["Location"]
        assert parse_qs(urlsplit(again).query)["plan"] == ["2"]
        other = upload(ada, "Name,CIK,Tier\nThree,3,\n", **chosen).headers["Location"]
        assert list(parse_qs(urlsplit(other).query)) == ["draft"]


class TestThePreview:
    def test_says_what_will_be_created_updated_and_left_alone(
        self, ada: Visitor, cast: Cast
    ) -> None:
        text = f"{TEXT}{cast.acme},Acme ERP,Trial\n{cast.bolt},Bolt Shop,Growth\n"
        page = preview(ada, text, plan="2")
        assert "2 projects will be created, in 2 new organisations" in page
        assert 'Line 2: <bdi>One</bdi> <span class="text-secondary">(<bdi>1</bdi>)</span>' in page
        assert "1 project will be updated" in page
        assert "plan <bdi>Growth</bdi> → <bdi>Trial</bdi>" in page
        assert "1 project will be left alone" in page
        assert "Import</button>" in page

    def test_writes_nothing(self, app: Flask, ada: Visitor) -> None:
        preview(ada)
        assert names(app) == []

    def test_guesses_the_columns_and_shows_the_first_rows(self, ada: Visitor) -> None:
        rows = "".join(f"{number},Name {number},x\n" for number in range(1, 8))
        page = preview(ada, "CIK,Name,Tier\n" + rows)
        for label in ("Organisation ID", "Project name", "Contact e-mail", "Plan"):
            assert re.search(rf'<label class="form-label" for="\w+">{label}</label>', page)
        assert '<option selected value="0">CIK</option>' in page
        assert '<option selected value="1">Name</option>' in page
        optional = [field for field in FIELDS if not field.column.holds]
        assert page.count('<option selected value="">Not in the file</option>') == len(optional)
        assert "<bdi>Name 5</bdi> </td>" in page
        assert "<bdi>Name 6</bdi> </td>" not in page

    def test_asks_for_the_columns_that_no_heading_tells(self, ada: Visitor) -> None:
        page = preview(ada, "Nr,Brand\n1,One\n")
        assert "Choose the column that holds the Organisation ID." in page
        assert "Choose the column that holds the project's name." in page
        assert "Import</button>" not in page
        page = preview(ada, "Nr,Brand\n1,One\n", organisation_id="0", name="1")
        assert "1 project will be created" in page

    @pytest.mark.parametrize("place", ["", "3", "-1", "x", "99999999999", "1e1", "\x00"])
    def test_a_column_that_is_not_there_counts_as_none(self, ada: Visitor, place: str) -> None:
        page = preview(ada, name=place)
        assert "Choose the column that holds the project's name." in page

    def test_headings_that_are_blank_or_alike_have_names_of_their_own(self, ada: Visitor) -> None:
        page = preview(ada, "CIK,Name,Name, ,\x07\n1,A,B,C,D\n")
        for label in ("Name (column 2)", "Name (column 3)", "(column 4)", "(column 5)"):
            assert f"{label}</option>" in page
        assert "Choose the column that holds the project's name." in page

    def test_every_refused_row_is_told_with_its_line_and_nothing_can_be_imported(
        self, app: Flask, ada: Visitor
    ) -> None:
        rows = (
            "1,One,,x",
            ",Two,",
            f"3,{'x' * 300},",
            "4,=1+1,",
            "5,Fi\x00ve,",
            "9,Nine,",
            "9,Nine,",
        )
        page = preview(ada, "CIK,Name,Tier\n" + "\n".join(rows) + "\n")
        assert "6 rows are refused, so nothing can be imported yet" in page
        for line, reason in (
            (2, "The row has 4 cells, the header has 3."),
            (3, "Enter an Organisation ID."),
            (4, "The project name is too long: 300 characters, and 200 are allowed."),
            (5, "The project name is a spreadsheet formula (“=1+1”); write it as plain text."),
            (6, "The project name holds a control character (U+0000); take it out."),
            (8, "Same project as line 7."),
        ):
            assert f">Line {line}</strong>: <bdi>{reason}</bdi>" in page
        assert "Import</button>" not in page

    def test_of_very_many_refused_rows_a_hundred_are_told(self, ada: Visitor) -> None:
        page = preview(ada, "CIK,Name\n" + ",x\n" * 150)
        assert "150 rows are refused" in page
        assert page.count(">Line ") == 100
        assert "And 50 more." in page

    def test_by_htmx_only_itself_is_answered_and_the_address_is_kept_in_step(
        self, ada: Visitor
    ) -> None:
        address = upload(ada, TEXT).headers["Location"]
        answer = ada.get(f"{address}&organisation_id=0&name=1&plan=2", htmx=True)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        asked = parse_qs(urlsplit(answer.headers["HX-Replace-Url"]).query, keep_blank_values=True)
        assert asked["plan"] == ["2"]
        assert asked["contact_email"] == [""]
        assert 'data-announce="2 will be created, 0 updated, 0 left alone."' in answer.text


def selected(page: str, name: str) -> str:
    found = re.search(rf'<select[^>]* name="{name}".*?<option selected value="([^"]*)"', page)
    return found[1] if found else "there is none"


class TestHowItIsRead:
    def test_a_delimiter_that_was_not_found_can_be_chosen(self, app: Flask, ada: Visitor) -> None:
        text = "Nr, a, b;Brand, c, d\n1, 1, 1;One, 2, 2\n"
        page = preview(ada, text, delimiter="comma")
        assert selected(page, "delimiter") == "comma"
        page = preview(ada, text, delimiter="semicolon", organisation_id="0", name="1")
        assert selected(page, "delimiter") == "semicolon"
        assert "1 project will be created" in page
        ada.post(CONFIRM, fields_of(page))
        assert names(app) == ["One, 2, 2"]

    def test_with_another_delimiter_the_columns_are_guessed_anew(self, ada: Visitor) -> None:
        wrong = preview(ada, TEXT, delimiter="tab")
        assert "Choose the column that holds the Organisation ID." in wrong
        assert "Everything stands in one column: choose another delimiter." in wrong
        assert '<input type="hidden" name="read_with" value="tab">' in wrong
        columns = {"organisation_id": "", "name": "", "read_with": "tab", "delimiter": "comma"}
        page = preview(ada, TEXT, **columns)
        assert (selected(page, "organisation_id"), selected(page, "name")) == ("0", "1")
        assert "2 projects will be created" in page

    @pytest.mark.parametrize("delimiter", ["", "x", ";", "Comma", "\x00"])
    def test_one_that_there_is_not_counts_as_not_chosen(self, ada: Visitor, delimiter: str) -> None:
        assert selected(preview(ada, delimiter=quote(delimiter)), "delimiter") == "comma"

    def test_a_sheet_of_a_workbook_can_be_chosen(self, app: Flask, ada: Visitor) -> None:
        rows = [["CIK", "Name", "Ends"], [1, "One", date(2027, 1, 31)]]
        content = workbook({"Notes": [["Nr", "Text"], [9, "x"]], "Our clients": rows})
        page = preview(ada, content)
        assert selected(page, "sheet") == "Notes"
        assert selected(page, "delimiter") == "there is none"
        page = preview(ada, content, sheet="Our+clients", read_with="Notes", name="")
        assert selected(page, "sheet") == "Our clients"
        assert selected(page, "plan_expires_on") == "2"
        assert "<bdi>2027-01-31</bdi>" in page
        ada.post(CONFIRM, fields_of(page))
        assert names(app) == ["One"]

    def test_a_sheet_that_is_not_there_is_the_first(self, ada: Visitor) -> None:
        content = workbook({"S": [["CIK", "Name"], [1, "One"]]})
        page = preview(ada, content, sheet="T")
        assert selected(page, "sheet") == "S"
        assert "1 project will be created" in page

    def test_a_sheet_without_rows_is_not_taken_and_not_shown(self, ada: Visitor) -> None:
        rows = [["CIK", "Name"], [1, "One"]]
        content = workbook({"Empty": [], "Cover": [["Our clients"]], "Clients": rows})
        page = preview(ada, content)
        assert selected(page, "sheet") == "Clients"
        assert "1 project will be created" in page
        page = preview(ada, content, sheet="Cover")
        assert selected(page, "sheet") == "Clients"
        assert "“Cover” could not be shown. There is nothing to import" in page

    def test_a_delimiter_with_which_it_is_no_csv_is_told(self, ada: Visitor) -> None:
        page = preview(ada, '"CIK","Name"\n1,One\n', delimiter="tab")
        assert selected(page, "delimiter") == "comma"
        assert "“tab” could not be shown. Line 1: From here on it is not valid CSV" in page

    def test_the_next_workbook_keeps_the_sheet(self, ada: Visitor) -> None:
        sheets = {"Notes": [["Nr", "Text"], [9, "x"]], "C": [["CIK", "Name"], [1, "One"]]}
        page = preview(ada, workbook(sheets), sheet="C")
        again = upload(ada, workbook(sheets), **fields_of(page)).headers["Location"]
        assert parse_qs(urlsplit(again).query)["sheet"] == ["C"]

    def test_how_it_was_understood_is_told(self, ada: Visitor) -> None:
        text = "Our clients\nCIK;Name;Symbol;Sector\n1;Größe;x;y\n"
        page = preview(ada, text.encode("windows-1252"))
        assert "Line 2 has the headings. The line above them is passed over." in page
        assert "was read as Windows-1252" in page
        assert "2 columns are not used: “Symbol”, “Sector”." in page
        page = preview(ada, text, plan="3")
        assert "1 column is not used: “Symbol”." in page
        assert "import-notes" not in preview(ada, "CIK,Name\n1,One\n")

    def test_an_organisations_name_and_a_status_are_taken(self, ada: Visitor, cast: Cast) -> None:
        page = preview(
            ada,
            "CIK,Organisation,Project,Status\n"
            f"7,Seven Ltd,Portal,\n{cast.acme},Evil,Acme ERP,On hold\n",
        )
        assert "1 project will be created, in 1 new organisation" in page
        assert "status <bdi>Active</bdi> → <bdi>On hold</bdi>" in page
        assert "Evil</bdi> " not in page.split("What will happen")[1]

    def test_a_workbook_that_unfolds_to_too_much_is_told_of_the_command(self, ada: Visitor) -> None:
        content = with_part(workbook({"S": [["CIK", "Name"]]}), "x.bin", b" " * 30_000_000)
        answer = upload(ada, content)
        assert answer.status_code == 413
        assert "of a workbook 20 MB unpacked" in error_beside_the_file(answer)


class TestTheImport:
    def test_does_what_was_seen_and_says_so(self, app: Flask, ada: Visitor, cast: Cast) -> None:
        page = preview(ada, f"{TEXT}{cast.acme},Acme ERP,Growth\n", plan="2")
        answer = ada.post(CONFIRM, fields_of(page))
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/projects?sort=newest"
        done = plain(ada.get("/projects?sort=newest"))
        assert "clients.csv was imported: 2 created, 0 updated, 1 left alone." in done
        assert names(app) == ["One", "Two"]
        with app.app_context():
            event = db.session.scalars(
                select(AuditEvent).where(AuditEvent.tag == "project.imported")
            ).one()
            assert (event.actor, event.subject) == (cast.ada, "clients.csv")
            assert db.session.scalars(select(FeedEvent.subject)).all() == ["One", "Two"]

    def test_takes_the_columns_that_were_chosen(self, app: Flask, ada: Visitor) -> None:
        page = preview(ada, plan="2", name="2", organisation_id="1")
        assert "Line 3</strong>" in page
        page = preview(ada, "A,B,C\n1,One,Gold\n", organisation_id="2", name="0", plan="1")
        ada.post(CONFIRM, fields_of(page))
        with app.app_context():
            project = db.session.scalars(select(Project).where(Project.name == "1")).one()
            assert (project.organisation_id, project.plan) == ("Gold", "One")

    def test_sent_twice_imports_once(self, app: Flask, ada: Visitor) -> None:
        fields = fields_of(preview(ada))
        for _ in range(2):
            assert ada.post(CONFIRM, fields).status_code == 303
        again = plain(ada.get("/projects"))
        assert "clients.csv was imported before: 2 created, 0 updated, 0 left alone." in again
        assert names(app) == ["One", "Two"]
        with app.app_context():
            events = select(AuditEvent).where(AuditEvent.tag == "project.imported")
            assert len(db.session.scalars(events).all()) == 1

    def test_the_same_file_again_creates_nothing(self, app: Flask, ada: Visitor) -> None:
        ada.post(CONFIRM, fields_of(preview(ada)))
        page = preview(ada)
        assert "2 projects will be left alone" in page
        ada.post(CONFIRM, fields_of(page))
        assert "0 created, 0 updated, 2 left alone" in ada.get("/projects").text
        assert names(app) == ["One", "Two"]

    def test_what_changed_in_between_is_told_and_nothing_is_imported(
        self, app: Flask, ada: Visitor, cast: Cast
    ) -> None:
        fields = fields_of(preview(ada))
        make(app, cast, "1", "One")
        answer = ada.post(CONFIRM, fields)
        assert answer.status_code == 303
        page = plain(ada.get(answer.headers["Location"]))
        assert "Projects have changed since the preview. Nothing was imported." in page
        assert "1 project will be created" in page
        assert "1 project will be left alone" in page
        assert names(app) == ["One"]
        ada.post(CONFIRM, fields_of(page))
        assert names(app) == ["One", "Two"]

    @pytest.mark.parametrize(
        "change",
        [
            {"expected": ""},
            {"expected": "2-0-0"},
            {"expected": "9" * 99},
            {"expected": "1-0-0-1"},
            {"name": ""},
            {"name": "7"},
        ],
    )
    def test_what_was_not_seen_is_not_imported(
        self, app: Flask, ada: Visitor, change: dict[str, str]
    ) -> None:
        answer = ada.post(CONFIRM, fields_of(preview(ada)) | change)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith(PAGE)
        assert names(app) == []

    def test_rows_that_are_refused_are_not_left_out_of_an_import(
        self, app: Flask, ada: Visitor
    ) -> None:
        page = preview(ada, "CIK,Name,Other\n1,One,Uno\n2,,Due\n", name="2")
        answer = ada.post(CONFIRM, fields_of(page) | {"name": "1", "expected": "1-0-0-1"})
        assert answer.headers["Location"].startswith(PAGE)
        assert names(app) == []

    def test_an_hour_later_the_file_has_to_be_chosen_again(
        self, app: Flask, ada: Visitor, clock: Clock
    ) -> None:
        fields = fields_of(preview(ada))
        for _ in range(3):
            clock.advance(minutes=20)
            ada.get("/projects")
        answer = ada.post(CONFIRM, fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
        assert "The file is no longer kept here. Choose it again." in ada.get(PAGE).text
        assert names(app) == []
        assert ada.get(f"{PAGE}?draft={fields['draft']}").headers["Location"] == PAGE

    def test_after_it_its_preview_leads_to_the_projects(self, ada: Visitor) -> None:
        fields = fields_of(preview(ada))
        ada.post(CONFIRM, fields)
        answer = ada.get(f"{PAGE}?draft={fields['draft']}")
        assert answer.headers["Location"] == "/projects?sort=newest"
        assert upload(ada, TEXT, **fields).status_code == 303


class TestWhoMay:
    def test_an_auditor_may_not(self, audrey: Visitor) -> None:
        assert audrey.get(PAGE).status_code == 403
        assert upload(audrey, TEXT).status_code == 403
        assert audrey.post(CONFIRM, {"draft": "x"}).status_code == 403
        assert upload_large(audrey, b"x" * (MOST_BYTES + 100_000)).status_code == 413

    def test_an_auditor_sees_no_way_there(self, audrey: Visitor) -> None:
        assert PAGE not in audrey.get("/projects").text

    def test_nobody_may(self, visitor: Visitor) -> None:
        answer = visitor.get(PAGE)
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/login?next=%2Fprojects%2Fimport"
        assert upload(visitor, TEXT).status_code == 401
        assert visitor.post(CONFIRM).status_code == 401

    def test_whoever_has_to_sign_in_first_comes_back_to_the_preview(
        self, app: Flask, ada: Visitor, clock: Clock
    ) -> None:
        address = upload(ada, TEXT).headers["Location"]
        fields = fields_of(plain(ada.get(address))) | {"csrf_token": ada.csrf_token}
        clock.advance(minutes=31)
        here = {"Referer": f"http://localhost{address}"}
        answer = ada.client.post(CONFIRM, data=fields, headers=here)
        assert answer.status_code == 401
        assert f"/login?next={quote(address, safe='')}" in answer.text
        assert names(app) == []
