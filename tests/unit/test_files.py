"""Files as spreadsheets and other programs write them, and what is read of each."""

import io
from datetime import date, datetime
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook

from app.core.errors import InvalidInput
from app.projects.rows import BadRow, ReadFile, name_unused, read_projects
from app.projects.tables import AS_IT_SEEMS, Layout
from tests.workbooks import saved, with_part, workbook

WHAT_ALL_SAY = [("1", "One"), ("2", "Two, Ltd")]


def read(content: str | bytes, layout: Layout = AS_IT_SEEMS, **named: str) -> ReadFile:
    data = content.encode() if isinstance(content, str) else content
    return read_projects(io.BytesIO(data), named_columns=named, layout=layout)


def said(content: str | bytes, layout: Layout = AS_IT_SEEMS) -> list[tuple[str, str]]:
    file = read(content, layout)
    assert file.bad_rows == []
    return [(row.organisation_id, row.name) for row in file.rows]


def refusal(content: str | bytes, layout: Layout = AS_IT_SEEMS) -> str:
    with pytest.raises(InvalidInput) as refused:
        read(content, layout)
    return refused.value.detail


class TestCells:
    def test_cells_left_out_at_the_end_are_blank(self) -> None:
        text = "Organisation ID,Project name,Contact e-mail,Plan,Plan expiry date\n"
        text += "T-1,P1,a@example.com,Trial,2027-01-31\nT-2,P2,b@example.com,Trial\nT-3,P3\n"
        first, second, third = read(text).rows
        assert first.plan_expires_on == date(2027, 1, 31)
        assert (second.plan, second.plan_expires_on) == ("Trial", None)
        assert (third.contact_email, third.plan) == ("", "")

    def test_blank_cells_too_many_are_no_fault_and_others_are(self) -> None:
        assert said('CIK,Name\n1,One,, \n2,"Two, Ltd",\n') == WHAT_ALL_SAY
        assert said('CIK,Name,,\n1,One,,\n2,"Two, Ltd",,\n') == WHAT_ALL_SAY
        assert read("CIK,Name\n1,One,,x\n").bad_rows == [
            BadRow(2, "The row has 4 cells, the header has 2.")
        ]

    def test_a_status_that_is_left_blank_is_the_usual_one(self) -> None:
        rows = read("CIK,Name,Status\n1,One,On hold\n2,Two,\n3,Three\n").rows
        assert [row.status for row in rows] == ["On hold", "Active", "Active"]


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_each_is_found(self, delimiter: str) -> None:
        text = "CIK,Name,Plan\n1,One,\n2,'Two, Ltd',\n".replace(",", delimiter)
        text = text.replace(f"'Two{delimiter} Ltd'", '"Two, Ltd"')
        assert said(text) == WHAT_ALL_SAY

    @pytest.mark.parametrize(
        "text",
        [
            'Organisation ID,Project name,"Plan (Trial; Growth; Pro; Enterprise)"\n'
            '1,One,Trial\n2,"Two, Ltd",Pro\n',
            'CIK;Name;"Note, long, with, many, commas"\n1;One;a, b\n2;Two, Ltd;c, d, e\n',
            'CIK;Name;Price, net\n1;One;3,50\n2;"Two, Ltd";4,50\n',
            "CIK|Name|Tags; all of them; here\n1|One|a;b\n2|Two, Ltd|\n",
            "CIK\tName\tA, B; C\n1\tOne\t1,2;3\n2\tTwo, Ltd\t\n",
            '"CIK","Name"\n"1","One"\n"2","Two, Ltd"\n',
            'CIK, Name\n1, One\n2, "Two, Ltd"\n',
        ],
    )
    def test_is_found_outside_quotes_by_headings_and_even_rows(self, text: str) -> None:
        assert said(text) == WHAT_ALL_SAY

    def test_is_found_by_even_rows_where_no_heading_is_known(self) -> None:
        text = "Nr;Brand\n1;One\n2;Two, Ltd\n"
        file = read(text, organisation_id="Nr", name="Brand")
        assert [(row.organisation_id, row.name) for row in file.rows] == WHAT_ALL_SAY

    def test_may_be_said(self) -> None:
        text = "a;CIK,Name,b\n1;2,3,4\n"
        layout = Layout(delimiter=";")
        with pytest.raises(InvalidInput) as refused:
            read(text, layout)
        assert "“a”, “CIK,Name,b”" in refused.value.detail

    @pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;", "sep=;;;"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_is_what_the_first_line_says(self, first: str, end: str) -> None:
        text = end.join([first, "CIK;Name", "1;One", "2;Two, Ltd", "3;", ""])
        file = read(text)
        assert [(row.organisation_id, row.name) for row in file.rows] == WHAT_ALL_SAY
        assert file.bad_rows == [BadRow(5, "Enter a project name.")]
        assert file.notes == ()

    def test_what_is_said_counts_more_than_how_it_looks(self) -> None:
        text = "Number,A;Word\n1,5;One\n2,5;Two\n"
        rows = read("sep=;\n" + text, organisation_id="Number,A", name="Word").rows
        assert [(row.organisation_id, row.name) for row in rows] == [("1,5", "One"), ("2,5", "Two")]

    def test_a_tab_may_be_said_too(self) -> None:
        assert said("sep=\t\nCIK\tName\n1\tOne\n2\tTwo, Ltd\n") == WHAT_ALL_SAY

    def test_headings_longer_than_the_sample_are_read(self) -> None:
        wide = ",".join(f"column {number} {'x' * 80}" for number in range(998))
        assert said(f'CIK,Name,{wide}\n1,One\n2,"Two, Ltd"\n') == WHAT_ALL_SAY


class TestHeadings:
    @pytest.mark.parametrize(
        "above",
        ["\n\n", "Our clients\n", "Our clients;;\n\n;;\n", "\nExported by;Ada\nClient;all\n\n"],
    )
    def test_blank_lines_and_a_title_above_are_passed_over(self, above: str) -> None:
        text = above + "CIK;Name;Plan\n1;One;\n2;Two, Ltd;\n3;;\n"
        file = read(text)
        assert [(row.organisation_id, row.name) for row in file.rows] == WHAT_ALL_SAY
        assert file.bad_rows == [BadRow(text.count("\n"), "Enter a project name.")]

    def test_what_is_passed_over_is_told(self) -> None:
        assert read("CIK,Name\n1,One\n").notes == ()
        assert read("\nCIK,Name\n1,One\n").notes == ()
        assert read("Clients\n\nCIK,Name\n1,One\n").notes == (
            "Line 3 has the headings. The line above them is passed over.",
        )
        assert read("Clients\nof 2027\nCIK,Name\n1,One\n").notes == (
            "Line 3 has the headings. The 2 lines above them are passed over.",
        )

    def test_a_title_above_headings_that_nobody_knows_is_passed_over(self) -> None:
        file = read("Our clients\nNr,Brand\n1,One\n", organisation_id="Nr", name="Brand")
        assert [(row.organisation_id, row.name) for row in file.rows] == [("1", "One")]

    def test_headings_are_known_with_line_breaks_and_odd_spaces_in_them(self) -> None:
        assert said('"Organisation\nID","Project\u00a0name\u200b"\n1,One\n') == [("1", "One")]
        file = read("Client\u00a0no.,Name\n1,One\n", organisation_id="Client no.")
        assert file.rows[0].organisation_id == "1"

    def test_columns_that_are_not_used_are_named(self) -> None:
        file = read("CIK,Name,Symbol,,Sector\n1,One,ONE,,x\n")
        assert file.unused == ("Symbol", "Sector")
        assert name_unused(file.unused) == "2 columns are not used: “Symbol”, “Sector”."
        assert name_unused(["x" * 99]) == f"1 column is not used: “{'x' * 60}…”."
        assert name_unused([]) == ""
        assert name_unused(["x"] * 99).endswith(" and 69 more.")

    def test_the_organisation_and_the_project_are_told_apart(self) -> None:
        text = "Organisation ID,Organisation,Project,Contact,Ends,Status\n"
        (row,) = read(text + "T-1,Acme,Portal,a@x.com,2027-01-31,On hold\n").rows
        assert (row.organisation_name, row.name) == ("Acme", "Portal")
        assert (row.contact_email, row.status) == ("a@x.com", "On hold")
        assert row.plan_expires_on == date(2027, 1, 31)

    def test_a_column_can_be_left_alone(self) -> None:
        text = "CIK,Name,Contact\n1,One,Jane Doe\n"
        assert "is not an e-mail address" in read(text).bad_rows[0].reason
        file = read(text, contact_email="")
        assert (file.bad_rows, file.unused) == ([], ("Contact",))


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_unicode_is_read(self, encoding: str) -> None:
        file = read("CIK;Name\n1;Größe & Łódź – 株式会社\n".encode(encoding))
        assert (file.rows[0].name, file.notes) == ("Größe & Łódź – 株式会社", ())

    @pytest.mark.parametrize(
        "name", ["Größe", "Café “Noir” – À la carte", "O’Brien", "Año nuevo ¿Qué?", "Þór ehf."]
    )
    def test_windows_1252_is_read_and_told(self, name: str) -> None:
        file = read(f"CIK;Name\n1;{name}\n".encode("windows-1252"))
        assert file.rows[0].name == name
        assert "was read as Windows-1252" in file.notes[0]

    @pytest.mark.parametrize(
        ("name", "encoding"),
        [
            ("Москва", "windows-1251"),
            ("Łódź", "windows-1250"),
            ("Αθήνα", "windows-1253"),
            ("株式会社", "shift-jis"),
            ("株式会社", "gbk"),
            ("Größe", "cp850"),
            ("Café", "mac-roman"),
        ],
    )
    def test_another_encoding_is_not_guessed_at(self, name: str, encoding: str) -> None:
        """Letters taken for others would be stored, and look like a mistake of the client's."""
        assert "Line 2 is not UTF-8 text." in refusal(f"CIK;Name\n1;{name}\n".encode(encoding))

    def test_a_file_that_is_utf_8_but_for_one_line_is_not_windows(self) -> None:
        content = "CIK;Name\n1;Größe\n".encode() + "2;Größe\n".encode("windows-1252")
        assert "Line 3 is not UTF-8 text." in refusal(content)


CLIENTS = [["Organisation ID", "Project name", "Ends"], ["1", "One"], ["2", "Two, Ltd"]]


class TestWorkbooks:
    def test_the_first_sheet_is_read(self) -> None:
        content = workbook({"Clients": CLIENTS, "Other": [["x"]]})
        assert said(content) == WHAT_ALL_SAY

    def test_the_sheet_that_is_named_is_read(self) -> None:
        content = workbook({"Notes": [["x"]], "Clients": CLIENTS})
        assert said(content, Layout(sheet="Clients")) == WHAT_ALL_SAY
        assert refusal(content, Layout(sheet="clients")) == (
            "There is no sheet “clients”. The workbook has: “Notes”, “Clients”."
        )

    def test_a_hidden_sheet_is_not_the_first(self) -> None:
        book = load_workbook(io.BytesIO(workbook({"Lists": [["x"]], "Clients": CLIENTS})))
        book["Lists"].sheet_state = "hidden"
        assert said(saved(book)) == WHAT_ALL_SAY

    @pytest.mark.parametrize("day", [date(2027, 1, 31), datetime(2027, 1, 31), "2027-01-31"])  # noqa: DTZ001
    def test_dates_are_dates(self, day: object) -> None:
        content = workbook({"S": [CLIENTS[0], ["1", "One", day]]}, {"C2": "DD.MM.YYYY"})
        assert read(content).rows[0].plan_expires_on == date(2027, 1, 31)

    def test_a_time_of_day_is_refused(self) -> None:
        day = datetime(2027, 1, 31, 13, 45)  # noqa: DTZ001
        (bad,) = read(workbook({"S": [CLIENTS[0], ["1", "One", day]]})).bad_rows
        assert "“2027-01-31 13:45:00” has a time of day" in bad.reason

    def test_numbers_are_as_they_are_shown(self) -> None:
        rows = [["CIK", "Name"], [66740, 3], [66740.0, 2.5], [42, True], [1e15, 7]]
        file = read(workbook({"S": rows}, {"A4": "00000"}))
        assert sorted((row.organisation_id, row.name) for row in file.rows) == [
            *(("00042", "TRUE"), ("1000000000000000", "7")),
            *(("66740", "2.5"), ("66740", "3")),
        ]

    def test_a_bad_row_is_known_by_its_row_of_the_sheet(self) -> None:
        rows: list[list[object]] = [["Our clients"], [], *CLIENTS, [], ["3", None], ["4", "#N/A"]]
        file = read(workbook({"S": rows}))
        assert file.bad_rows[0] == BadRow(7, "Enter a project name.")
        assert file.bad_rows[1].line == 8
        assert "a spreadsheet's error" in file.bad_rows[1].reason

    def test_what_a_file_says_of_its_size_is_not_believed(self) -> None:
        """Some programs write that a sheet ends at A1, and then only its first cell is read."""
        content = workbook({"Clients": CLIENTS})
        with ZipFile(io.BytesIO(content)) as archive:
            sheet = archive.read("xl/worksheets/sheet1.xml").replace(b"A1:C3", b"A1")
        assert said(with_part(content, "xl/worksheets/sheet1.xml", sheet)) == WHAT_ALL_SAY

    @pytest.mark.parametrize("rows", [[], [[None, None]], [["CIK", "Name"]]])
    def test_a_sheet_without_rows_is_refused(self, rows: list[list[object]]) -> None:
        assert refusal(workbook({"S": rows})).startswith(("The file is empty", "There is nothing"))
