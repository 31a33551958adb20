"""New projects, changed projects, and what is wrong with what was typed."""

import re
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import Organisation, Project
from tests.conftest import NOW, Cast, Clock, Visitor

FIELDS = {
    "name": "Cargo",
    "organisation_name": "Cargo & Co",
    "organisation_id": "ORG-9",
    "contact_email": "ada@cargo.example",
    "plan": "Trial",
    "plan_expires_on": "2026-12-31",
    "status": "Active",
}
LABELS = {
    "name": "Project name",
    "organisation_name": "Organisation name",
    "organisation_id": "Organisation ID",
    "contact_email": "Contact e-mail",
    "plan": "Plan",
    "plan_expires_on": "Plan expiry date",
    "status": "Status",
}


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


@pytest.fixture
def edit(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/edit"


def value(text: str, field: str) -> str:
    """What stands in a field."""
    (control,) = re.findall(rf'<input[^>]* name="{field}"[^>]*>', text)
    found = re.search(r' value="([^"]*)"', control)
    return unescape(found[1]) if found else ""


def beside(text: str, field: str) -> str:
    """The sentence beside a field, or nothing."""
    found = re.search(rf'id="{field}-error">(.*?)</p>', text, re.S)
    return unescape(found[1]) if found else ""


def fields_of(page: TestResponse) -> dict[str, str]:
    return {field: value(page.text, field) for field in (*FIELDS, "version")}


def flashed(visitor: Visitor, answer: TestResponse) -> str:
    """What the page says to which a form led."""
    assert answer.status_code == 303, answer.text
    text = visitor.get(answer.location).text
    return " ".join(unescape(re.findall(r'class="alert-heading">([^<]*)', text)[0]).split())


def project(app: Flask, name: str) -> Project | None:
    with app.app_context():
        found = db.session.scalars(select(Project).where(Project.name == name)).unique().first()
        db.session.remove()
    return found


def count(app: Flask) -> int | None:
    with app.app_context():
        number = db.session.scalar(select(func.count(Project.id)))
        db.session.remove()
    return number


# New


def test_the_form_has_the_contracts_words(ada: Visitor) -> None:
    text = ada.get("/projects/new").text
    assert re.search(r"<h1[^>]*>\s*New project", text)
    for field, label in LABELS.items():
        assert re.search(rf'<label[^>]*for="{field}">\s*{label}\s*</label>', text), label
        (control,) = re.findall(rf'<input[^>]* name="{field}"[^>]*>', text)
        assert f'type="{"date" if field == "plan_expires_on" else "text"}"' in control
    assert re.search(r"<button[^>]*>.*?Save.*?</button>", text, re.S)
    assert value(text, "status") == "Active"


def test_a_project_is_made_and_shown(app: Flask, ada: Visitor) -> None:
    answer = ada.post("/projects/new", FIELDS)
    assert flashed(ada, answer) == "Cargo was created."
    made = project(app, "Cargo")
    assert made is not None
    assert answer.location == f"/projects/{made.id}"
    assert (made.organisation_id, made.plan, str(made.plan_expires_on)) == (
        *("ORG-9", "Trial"),
        "2026-12-31",
    )


def test_a_known_organisation_keeps_its_name_and_the_person_is_told(
    ada: Visitor, cast: Cast
) -> None:
    known = FIELDS | {"organisation_id": cast.acme, "organisation_name": "ACME Ltd"}
    assert flashed(ada, ada.post("/projects/new", known)) == (
        "Cargo was created. It was added to Acme (ORG-000123). "
        "The organisation keeps that name; “ACME Ltd” was not used."
    )
    for number, name in enumerate(("", "Acme")):
        more = known | {"organisation_name": name, "name": f"Cargo {number}"}
        said = flashed(ada, ada.post("/projects/new", more))
        assert said == f"Cargo {number} was created. It was added to Acme (ORG-000123)."


def test_the_same_form_sent_twice_makes_one_project(app: Flask, ada: Visitor) -> None:
    assert ada.post("/projects/new", FIELDS).status_code == 303
    before = count(app)
    again = ada.post("/projects/new", FIELDS)
    assert again.status_code == 422
    assert beside(again.text, "name") == (
        "Cargo & Co already has a project of this name; choose another name."
    )
    assert count(app) == before


BAD = [
    ("name", "", "Enter a project name."),
    ("name", "x" * 201, "200 are allowed"),
    ("name", "x" * 5000, "200 are allowed"),
    ("name", "Ac\x00me", "control character (U+0000)"),
    ("name", "=cmd|' /C calc'!A0", "is a spreadsheet formula"),
    ("organisation_name", "x" * 201, "200 are allowed"),
    ("organisation_name", "a\nb", "control character (U+000A)"),
    ("contact_email", "nobody", "write name@example.com"),
    ("contact_email", "a@b@c", "write name@example.com"),
    ("plan", "x" * 51, "50 are allowed"),
    ("plan_expires_on", "31.12.2026", "write year-month-day, such as 2026-12-31"),
    ("plan_expires_on", "2026-02-30", "There is no day 2026-02-30."),
    ("status", "", "Enter a status."),
    ("status", "\u202eevitca", "control character (U+202E)"),
]


@pytest.mark.parametrize("name", ["Cargo\u00a0Two", " Cargo  Two\u200b", "Cargo\u2003Two\ufeff"])
def test_a_name_that_only_looks_different_is_the_same(app: Flask, ada: Visitor, name: str) -> None:
    """Spaces that do not break, and characters without width, come along with what is pasted."""
    assert ada.post("/projects/new", FIELDS | {"name": "Cargo Two"}).status_code == 303
    answer = ada.post("/projects/new", FIELDS | {"name": name, "organisation_id": "ORG-9\u200b"})
    assert answer.status_code == 422
    assert "already has a project of this name" in beside(answer.text, "name")
    with app.app_context():
        stored = select(Project.name).where(Project.organisation_id == "ORG-9")
        assert db.session.scalars(stored).all() == ["Cargo Two"]
        db.session.remove()


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        *BAD,
        ("organisation_name", "", "ORG-9 is a new organisation: enter its name."),
        ("organisation_id", "", "Enter an Organisation ID."),
        ("organisation_id", "1" * 65, "64 are allowed"),
        ("organisation_id", "ORG\ue0009", "invisible character"),
    ],
)
def test_what_is_wrong_in_a_new_project_is_told_beside_it_and_the_input_kept(
    app: Flask, ada: Visitor, field: str, text: str, sentence: str
) -> None:
    before = count(app)
    answer = ada.post("/projects/new", FIELDS | {field: text})
    assert answer.status_code == 422
    assert sentence in beside(answer.text, field)
    for other, typed in FIELDS.items():
        if other != field:
            assert value(answer.text, other) == typed
            assert beside(answer.text, other) == ""
    if text.isprintable():
        assert value(answer.text, field) == text
    assert count(app) == before


def test_everything_that_is_wrong_is_told_at_once(ada: Visitor) -> None:
    text = ada.post("/projects/new", {"plan_expires_on": "soon", "status": " "}).text
    for field in ("name", "organisation_id", "status", "plan_expires_on"):
        assert beside(text, field), field
    assert "Not saved yet" in text


def test_what_was_typed_is_text_and_never_markup(ada: Visitor) -> None:
    evil = '"><script>alert(1)</script>'
    fields = dict.fromkeys(FIELDS, evil)
    assert "<script>alert" not in ada.post("/projects/new", fields).text
    answer = ada.post(
        "/projects/new",
        FIELDS | {"name": evil, "organisation_name": evil, "plan": evil, "status": evil},
    )
    for address in (answer.location, f"{answer.location}/edit", f"{answer.location}/delete"):
        assert "<script>alert" not in ada.get(address).text


def test_text_in_any_script_is_kept(app: Flask, ada: Visitor) -> None:
    name = "مشروع 🚀 O'Brien & <Söhne> 50%_"
    answer = ada.post("/projects/new", FIELDS | {"name": name})
    assert answer.status_code == 303
    assert value(ada.get(f"{answer.location}/edit").text, "name") == name


# Edit


def test_the_edit_form_says_what_is_there_and_the_organisation_id_is_fixed(
    ada: Visitor, edit: str, cast: Cast
) -> None:
    page = ada.get(edit)
    assert fields_of(page) | {"version": ""} == {
        **{"name": "Acme ERP", "organisation_name": "Acme", "organisation_id": cast.acme},
        **{"contact_email": "acme@client.example", "plan": "Growth", "plan_expires_on": ""},
        **{"status": "Active", "version": ""},
    }
    (control,) = re.findall(r'<input[^>]* name="organisation_id"[^>]*>', page.text)
    assert "readonly" in control


def test_a_change_is_saved_and_the_organisation_renamed(
    app: Flask, ada: Visitor, edit: str, cast: Cast
) -> None:
    typed = fields_of(ada.get(edit)) | {
        **{"name": "Acme Zwei", "organisation_name": "Acme Ünited"},
        **{"plan_expires_on": "2027-01-31", "status": "On hold"},
    }
    assert flashed(ada, ada.post(edit, typed)) == "Acme Zwei was saved."
    assert "Acme Zwei" in ada.get("/projects?q=united").text
    changed = project(app, "Acme Zwei")
    assert changed is not None
    assert (str(changed.plan_expires_on), changed.status) == ("2027-01-31", "On hold")


def test_another_organisation_id_sent_by_hand_is_not_taken(
    app: Flask, ada: Visitor, edit: str, cast: Cast
) -> None:
    """Somebody changes the read-only field to move a project to another client."""
    typed = fields_of(ada.get(edit)) | {"organisation_id": cast.bolt, "plan": "Trial"}
    refused = ada.post(edit, typed | {"status": ""})
    assert value(refused.text, "organisation_id") == cast.acme
    assert ada.post(edit, typed).status_code == 303
    changed = project(app, "Acme ERP")
    assert changed is not None
    assert (changed.organisation_id, changed.plan) == (cast.acme, "Trial")


@pytest.mark.parametrize(
    ("field", "text", "sentence"), [*BAD, ("organisation_name", "", "Enter the organisation's")]
)
def test_what_is_wrong_in_a_change_is_told_beside_it_and_the_input_kept(
    ada: Visitor, edit: str, field: str, text: str, sentence: str
) -> None:
    before = fields_of(ada.get(edit))
    answer = ada.post(edit, before | {"plan": "Other", field: text})
    assert answer.status_code == 422
    assert sentence in beside(answer.text, field)
    if field != "plan":
        assert value(answer.text, "plan") == "Other"
    assert fields_of(ada.get(edit)) == before


def test_a_name_that_the_organisation_has_already_is_refused(
    ada: Visitor, edit: str, cast: Cast
) -> None:
    ada.post("/projects/new", FIELDS | {"organisation_id": cast.acme, "name": "Acme Shop"})
    answer = ada.post(edit, fields_of(ada.get(edit)) | {"name": "Acme Shop"})
    assert answer.status_code == 422
    assert "already has a project of this name" in beside(answer.text, "name")


def test_of_two_admins_the_second_is_shown_what_changed_and_may_save_again(
    app: Flask, ada: Visitor, grace: Visitor, edit: str, clock: Clock
) -> None:
    mine, theirs = fields_of(ada.get(edit)), fields_of(grace.get(edit))
    clock.advance(seconds=1)
    assert grace.post(edit, theirs | {"plan": "Business"}).status_code == 303
    answer = ada.post(edit, mine | {"status": "On hold"})
    assert answer.status_code == 409
    words = " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())
    assert "Somebody else saved this project while you were editing it." in words
    assert "Plan: it says Business now; your form says Growth" in words
    assert "Status: it says Active now; your form says On hold" in words
    assert value(answer.text, "status") == "On hold"
    unsaved = project(app, "Acme ERP")
    assert unsaved is not None
    assert (unsaved.plan, unsaved.status) == ("Business", "Active")
    assert ada.post(edit, fields_of(answer)).status_code == 303
    saved = project(app, "Acme ERP")
    assert saved is not None
    assert (saved.plan, saved.status) == ("Growth", "On hold")


def test_a_rename_of_the_organisation_on_another_project_counts_as_a_change(
    app: Flask, ada: Visitor, grace: Visitor, edit: str, cast: Cast
) -> None:
    made = ada.post("/projects/new", FIELDS | {"organisation_id": cast.acme})
    mine = fields_of(ada.get(edit))
    other = f"{made.location}/edit"
    grace.post(other, fields_of(grace.get(other)) | {"organisation_name": "Zenith"})
    assert ada.post(edit, mine | {"plan": "Trial"}).status_code == 409
    with app.app_context():
        assert db.session.get_one(Organisation, cast.acme).name == "Zenith"
        db.session.remove()


def test_an_edit_without_the_version_is_refused_as_out_of_date(ada: Visitor, edit: str) -> None:
    typed = fields_of(ada.get(edit)) | {"plan": "Trial"}
    assert ada.post(edit, typed | {"version": "x\x00"}).status_code == 409
    assert ada.post(edit, {name: typed[name] for name in FIELDS}).status_code == 409


def test_a_save_without_a_change_is_fine(app: Flask, ada: Visitor, edit: str, clock: Clock) -> None:
    clock.advance(minutes=1)
    assert ada.post(edit, fields_of(ada.get(edit))).status_code == 303
    same = project(app, "Acme ERP")
    assert same is not None
    assert same.updated_at == NOW


# Who may not


def test_an_auditor_gets_no_form_and_no_change(
    app: Flask, audrey: Visitor, edit: str, cast: Cast
) -> None:
    """An auditor types the addresses that the pages do not offer."""
    one = f"/projects/{cast.acme_project}"
    for address in ("/projects/new", "/projects/import", edit, f"{one}/archive", f"{one}/delete"):
        assert audrey.get(address).status_code == 403, address
    posts = ("/projects/new", edit, f"{one}/archive", f"{one}/restore", f"{one}/delete")
    for address in posts:
        assert audrey.post(address, FIELDS).status_code == 403, address
    assert count(app) == 2


def test_an_anonymous_visitor_signs_in_first(visitor: Visitor, edit: str, cast: Cast) -> None:
    assert visitor.get(edit).status_code == 303
    for address in ("/projects/new", edit, f"/projects/{cast.acme_project}/delete"):
        assert visitor.post(address, FIELDS).status_code == 401, address


def test_a_form_from_elsewhere_changes_nothing(ada: Visitor, edit: str, cast: Cast) -> None:
    """Another site has the admin's browser send a form: it lacks the token."""
    for address in ("/projects/new", edit, f"/projects/{cast.acme_project}/archive"):
        assert ada.client.post(address, data=FIELDS).status_code == 400, address


# What helps to fill it in


def known(text: str) -> str:
    """What the form says of the organisation whose ID was typed."""
    said = re.search(r'id="organisation-known"[^>]*>(.*?)</p>', text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", said[1] if said else text).split())


def test_a_known_organisation_id_says_where_the_project_will_be_added(
    ada: Visitor, cast: Cast
) -> None:
    sentence = "Acme exists: the project will be added there."
    typed = f"/projects/new?organisation_id={cast.acme}"
    assert known(ada.get(typed, htmx=True).text) == sentence
    assert known(ada.get(typed).text) == sentence
    assert f'value="{cast.acme}"' in ada.get(typed).text
    refused = ada.post("/projects/new", {"organisation_id": cast.acme})
    assert refused.status_code == 422
    assert known(refused.text) == sentence


@pytest.mark.parametrize("typed", ["", "ORG-NOBODY", "%00", "x" * 70, "%ED%A0%80", "%20"])
def test_any_other_organisation_id_says_nothing(ada: Visitor, typed: str) -> None:
    answer = ada.get(f"/projects/new?organisation_id={typed}", htmx=True)
    assert (answer.status_code, known(answer.text)) == (200, "")


def test_an_auditor_may_not_ask_that(audrey: Visitor, cast: Cast) -> None:
    typed = f"/projects/new?organisation_id={cast.acme}"
    assert audrey.get(typed, htmx=True).status_code == 403


def test_the_words_that_other_projects_have_are_offered(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    with app.app_context():
        db.session.get(Project, cast.acme_project).plan = "Freight & more"
        db.session.commit()
    for address in ("/projects/new", f"/projects/{cast.bolt_project}/edit"):
        text = ada.get(address).text
        assert 'data-fill="plan">Freight &amp; more</button>' in text
        assert 'data-fill="status">Active</button>' in text


def test_a_day_that_is_none_stays_in_its_field_as_it_was_typed(ada: Visitor) -> None:
    """A date picker shows nothing of "31.12.2026": what was typed would be gone."""
    for typed, kind in (("31.12.2026", "text"), ("2026-02-30", "text"), ("2026-12-31", "date")):
        text = ada.post("/projects/new", {"plan_expires_on": typed}).text
        (control,) = re.findall(r'<input[^>]* name="plan_expires_on"[^>]*>', text)
        assert f'type="{kind}"' in control
        assert f'value="{typed}"' in control
