"""`flask projects ...`, by exit statuses and what is printed."""

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Organisation, Project
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Clock
from tests.workbooks import workbook

CLIENTS = "CIK,Name\n1,One\n1,Uno\n2,Two\n"


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every command finds the cast, and the clock standing at NOW."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clients.csv"
    path.write_text(CLIENTS, encoding="utf-8")
    return path


def run(app: Flask, *arguments: object) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=["projects", *map(str, arguments)])


def names(app: Flask) -> list[str]:
    with app.app_context():
        found = list(db.session.scalars(select(Project.name).order_by(Project.id)))
        db.session.remove()
    return found


class TestImport:
    def test_says_how_many_were_created_updated_and_unchanged(self, app: Flask, file: Path) -> None:
        first, second = run(app, "import", file), run(app, "import", file)
        assert (first.exit_code, second.exit_code) == (0, 0)
        assert first.stdout == (
            "3 created, 0 updated, 0 unchanged (projects); 2 organisations created.\n"
        )
        assert second.stdout.startswith("0 created, 0 updated, 3 unchanged")
        assert first.stderr == second.stderr == ""
        assert names(app) == ["Acme ERP", "Bolt Shop", "One", "Uno", "Two"]

    def test_takes_the_names_of_the_columns(self, app: Flask, file: Path) -> None:
        file.write_text("No,Brand,Mail,Tier,Until\n9,Nine,n@x.de,Gold,2027-01-31\n")
        done = run(
            *(app, "import", file, "--organisation-id-column", "No", "--name-column", "Brand"),
            *("--email-column", "Mail", "--plan-column", "Tier", "--plan-expiry-column", "Until"),
        )
        assert done.exit_code == 0, done.stderr
        (row,) = json.loads(run(app, "list", "--search", "nine", "--json").stdout)
        assert row | {"id": 0} == {
            **{"id": 0, "organisation_id": "9", "organisation_name": "Nine", "name": "Nine"},
            **{"contact_email": "n@x.de", "plan": "Gold", "plan_expires_on": "2027-01-31"},
            "status": "Active",
        }

    def test_a_dry_run_says_what_would_be_and_does_nothing(self, app: Flask, file: Path) -> None:
        done = run(app, "import", file, "--dry-run")
        assert done.exit_code == 0
        assert "Nothing was written; this would be: 3 created" in done.stdout
        assert names(app) == ["Acme ERP", "Bolt Shop"]

    @pytest.mark.parametrize("options", [(), ("--dry-run",)])
    def test_as_json_is_one_object(self, app: Flask, file: Path, options: tuple[str]) -> None:
        done = run(app, "import", file, "--json", *options)
        assert json.loads(done.stdout) == {
            **{"created": 3, "updated": 0, "unchanged": 0, "organisations_created": 2},
            "dry_run": bool(options),
            "errors": [],
        }

    def test_bad_rows_are_all_told_and_nothing_is_imported(self, app: Flask, file: Path) -> None:
        file.write_text(CLIENTS + "3\n,Four\n1,One\n")
        done = run(app, "import", file)
        assert done.exit_code == 1
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            "Line 5: Enter a project name.",
            "Line 6: Enter an Organisation ID.",
            "Line 7: Same project as line 2.",
            "Nothing was imported: 3 rows are not right.",
        ]
        assert names(app) == ["Acme ERP", "Bolt Shop"]

    def test_of_very_many_bad_rows_a_hundred_are_printed_and_all_are_in_the_json(
        self, app: Flask, file: Path
    ) -> None:
        file.write_text("CIK,Name\n" + "1,\n" * 150)
        lines = run(app, "import", file).stderr.splitlines()
        assert len(lines) == 102
        assert lines[-2:] == ["... and 50 more.", "Nothing was imported: 150 rows are not right."]
        done = run(app, "import", file, "--json")
        assert done.exit_code == 1
        errors = json.loads(done.stdout)["errors"]
        assert len(errors) == 150
        assert errors[0] == {"line": 2, "reason": "Enter a project name."}

    def test_a_file_that_cannot_be_used_is_refused_with_the_option_that_helps(
        self, app: Flask, file: Path
    ) -> None:
        file.write_text("ORG-1,Acme\n")
        done = run(app, "import", file)
        assert done.exit_code == 1
        assert "“ORG-1”, “Acme”" in done.stderr
        assert "(--organisation-id-column)" in done.stderr
        file.write_bytes(CLIENTS.encode("utf-16")[:-1])
        done = run(app, "import", file)
        assert done.exit_code == 1
        assert done.stderr == (
            "The file is UTF-16, and damaged. Save it as “CSV UTF-8” and try again.\n"
        )

    def test_columns_that_are_not_used_are_named(self, app: Flask, file: Path) -> None:
        file.write_text("Clients\nCIK,Name,Symbol,Sector\n1,One,ONE,x\n")
        done = run(app, "import", file, "--json")
        assert json.loads(done.stdout)["created"] == 1
        assert done.stderr.splitlines() == [
            "Line 2 has the headings. The line above them is passed over.",
            "2 columns are not used: “Symbol”, “Sector”.",
        ]

    def test_takes_an_organisations_name_and_a_status(self, app: Flask, file: Path) -> None:
        file.write_text("CIK,Name,Firm,Phase\n9,Portal,Nine Ltd,On hold\n")
        done = run(
            *(app, "import", file, "--organisation-name-column", "Firm"),
            *("--status-column", "Phase"),
        )
        assert (done.exit_code, done.stderr) == (0, "")
        (row,) = json.loads(run(app, "list", "--search", "nine", "--json").stdout)
        assert (row["organisation_name"], row["status"]) == ("Nine Ltd", "On hold")

    def test_takes_a_sheet_of_a_workbook(self, app: Flask, tmp_path: Path) -> None:
        path = tmp_path / "clients.xlsx"
        sheets = {"Notes": [["x"]], "Clients": [["CIK", "Name"], [1, "One"]]}
        path.write_bytes(workbook(sheets))
        done = run(app, "import", path, "--sheet", "Clients")
        assert (done.exit_code, done.stdout[:9]) == (0, "1 created"), done.stderr
        done = run(app, "import", path, "--sheet", "Kunden")
        assert (done.exit_code, done.stderr) == (
            1,
            "There is no sheet “Kunden”. The workbook has: “Notes”, “Clients”.\n",
        )

    def test_takes_a_delimiter(self, app: Flask, file: Path) -> None:
        file.write_text("CIK,Name;a,b\n1,One;c,d\n")
        done = run(app, "import", file, "--delimiter", "semicolon")
        assert done.exit_code == 1
        assert "“CIK,Name”, “a,b”" in done.stderr
        assert run(app, "import", file, "--delimiter", "colon").exit_code == 2

    def test_takes_what_comes_through_a_pipe(self, app: Flask, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=(CLIENTS,))
        writer.start()
        done = run(app, "import", pipe)
        writer.join()
        assert (done.exit_code, done.stdout[:9]) == (0, "3 created"), done.exception

    @pytest.mark.parametrize("arguments", [("no such file.csv",), (), (".",)])
    def test_used_wrongly_it_ends_with_2(self, app: Flask, arguments: tuple[str, ...]) -> None:
        assert run(app, "import", *arguments).exit_code == 2

    def test_is_one_event_of_the_command_line(self, app: Flask, file: Path) -> None:
        run(app, "import", file)
        with app.app_context():
            ours = select(AuditEvent).where(AuditEvent.tag.startswith("project."))
            event = db.session.scalars(ours).one()
            assert (event.tag, event.subject) == ("project.imported", "clients.csv")
            assert (event.actor, event.address) == ("command line", "command line")
            db.session.remove()

    def test_a_file_whose_name_is_no_text_is_imported(self, app: Flask, tmp_path: Path) -> None:
        path = tmp_path / b"b\xff.csv".decode(errors="surrogateescape")
        path.write_text(CLIENTS)
        done = run(app, "import", path)
        assert done.exit_code == 0, done.exception

    def test_on_a_terminal_it_shows_progress_and_in_a_pipe_none(
        self, app: Flask, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run(app, "import", file).stderr == ""
        monkeypatch.setattr("app.cli.projects._on_a_terminal", lambda: True)
        done = run(app, "import", file, "--json")
        assert "Reading" in done.stderr
        assert "Writing" in done.stderr
        assert json.loads(done.stdout)["unchanged"] == 3


class TestList:
    def test_prints_the_projects_by_name(self, app: Flask) -> None:
        done = run(app, "list")
        assert done.exit_code == 0
        heading, acme, bolt = done.stdout.splitlines()
        assert heading.split()[:2] == ["ID", "Organisation"]
        assert "Acme ERP" in acme
        assert "Bolt & Söhne" in bolt

    def test_searches_as_the_page_does(self, app: Flask, cast: Cast) -> None:
        with app.app_context():
            key_id = issue(db.session(), cast, cast.bolt).key_id
        for text in ("sohne shop", "000456", key_id.lower()):
            rows = json.loads(run(app, "list", "--search", text, "--json").stdout)
            assert [row["name"] for row in rows] == ["Bolt Shop"], text

    def test_finding_nothing_is_no_failure(self, app: Flask) -> None:
        done = run(app, "list", "--search", "zzz")
        assert (done.exit_code, done.stdout) == (0, "")
        assert json.loads(run(app, "list", "--search", "zzz\x00%_'", "--json").stdout) == []

    def test_a_search_without_end_is_used_wrongly(self, app: Flask) -> None:
        assert run(app, "list", "--search", "x" * 201).exit_code == 2

    def test_leaves_out_archived_projects(self, app: Flask, cast: Cast) -> None:
        with app.app_context():
            db.session.get_one(Project, cast.acme_project).archived_at = NOW
            assert db.session.get(Organisation, cast.acme)
            db.session.commit()
        rows = json.loads(run(app, "list", "--json").stdout)
        assert [row["name"] for row in rows] == ["Bolt Shop"]
