"""What is accepted as a project, and what searches see of it."""

from dataclasses import fields
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.text import fold
from app.models import Organisation, Project
from app.projects.fields import BY_NAME, FIELDS, ProjectFields
from app.projects.search import Expiry, Search, Sort, read_search

check_organisation_id = BY_NAME["organisation_id"].check
check_organisation_name = BY_NAME["organisation_name"].check
check_project_name = BY_NAME["name"].check
check_contact_email = BY_NAME["contact_email"].check
check_plan = BY_NAME["plan"].check
check_plan_expiry = BY_NAME["plan_expires_on"].check
check_status = BY_NAME["status"].check

TEXT_CHECKS = (
    check_organisation_id,
    check_organisation_name,
    check_project_name,
    check_plan,
    check_status,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ünïcode", "unicode"),
        ("UNICODE", "unicode"),
        ("Straße", "strasse"),
        ("Łódź", "lodz"),
        ("Ærø Billetter", "aero billetter"),
        ("İstanbul ve Iğdır", "istanbul ve igdir"),
        ("ＡＢＣ　１２", "abc 12"),
        ("O’Brien – “Sons”", 'o\'brien - "sons"'),
        ("a\u00a0 b\tc", "a b c"),
        ("a\u200bb\u00adc\x00", "abc"),
        ("\u202eAcme\u202c", "acme"),
        ("Καφές", "καφεσ"),
        ("שָׁלוֹם", "שלום"),
        ("株式会社", "株式会社"),
        ("🚀", "🚀"),
        ("name\nmail", "name\nmail"),
        ("", ""),
    ],
)
def test_accents_case_and_invisible_characters_do_not_count(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text())
def test_a_text_contains_what_its_part_folds_to(before: str, after: str) -> None:
    assert fold("Acme") in fold(f"{before} Acme {after}")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_folded_alike_on_the_short_way_and_the_long_one(text: str) -> None:
    assert fold(f"{text} é") == f"{fold(text)} e".strip()


def refusal(check: object, text: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        check(text)  # type: ignore[operator]
    return refused.value.detail


@pytest.mark.parametrize("check", TEXT_CHECKS)
def test_space_around_a_text_is_taken_away(check: object) -> None:
    assert check("\u00a0 Acme \t\n") == "Acme"  # type: ignore[operator]


@pytest.mark.parametrize("check", TEXT_CHECKS)
@pytest.mark.parametrize("bad", ["\x00", "\n", "\x1b", "\x85", "\u2028", "\u202e", "\u2066"])
def test_control_characters_are_refused_by_their_number(check: object, bad: str) -> None:
    assert f"U+{ord(bad):04X}" in refusal(check, f"Ac{bad}me")


@pytest.mark.parametrize(
    ("check", "length"),
    [
        (check_project_name, 200),
        (check_organisation_name, 200),
        (check_organisation_id, 64),
        (check_plan, 50),
        (check_status, 50),
    ],
)
def test_a_text_may_be_as_long_as_its_column_and_no_longer(check: object, length: int) -> None:
    assert check("é" * length) == "é" * length  # type: ignore[operator]
    assert f"{length + 1} characters, and {length} are allowed" in refusal(
        check, "é" * (length + 1)
    )


@pytest.mark.parametrize("check", [check_project_name, check_organisation_id, check_status])
def test_what_is_needed_may_not_be_blank(check: object) -> None:
    assert refusal(check, " \u00a0").startswith("Enter a")


@pytest.mark.parametrize("check", [check_organisation_name, check_plan, check_contact_email])
def test_what_is_not_needed_may_be_blank(check: object) -> None:
    assert check(" ") == ""  # type: ignore[operator]


def test_an_organisation_id_may_not_hold_what_nobody_can_see() -> None:
    assert check_organisation_id("ORG-\u200b1") == "ORG-1"
    assert "invisible" in refusal(check_organisation_id, "ORG-\ue0001")
    assert check_organisation_id("ORG 1/é") == "ORG 1/é"


def test_a_name_may_hold_joiners_that_scripts_and_emoji_need() -> None:
    for name in ("می‌خواهم", "👩‍💻 Lab", "❤️ Lab", "1️⃣", "葛󠄀城", "क्‍ष"):
        assert check_project_name(name) == name


def test_a_name_is_kept_in_the_one_form_that_looks_like_this() -> None:
    assert check_project_name("Cafe\u0301") == "Caf\u00e9"


@pytest.mark.parametrize(
    "formula",
    ["=cmd|' /C calc'!A0", "=1+1", "＝HYPERLINK(A1)", "+SUM(A1)", "-2+3+cmd|'x'!A0", "@SUM(1)"],
)
def test_a_spreadsheet_formula_is_no_name(formula: str) -> None:
    for check in TEXT_CHECKS:
        assert "formula" in refusal(check, formula)


@pytest.mark.parametrize("name", ["@properties", "+rehab", "-273 Cryogenics", "1 = 1", "A(B)|C"])
def test_a_name_that_only_begins_with_a_sign_is_one(name: str) -> None:
    assert check_project_name(name) == name


@pytest.mark.parametrize(
    "email", ["ada@example.com", "Ada.L+x@Example.COM", "ä@exämple.de", "a@localhost", "o'b@x.ie"]
)
def test_an_e_mail_address_is_kept_as_typed(email: str) -> None:
    assert check_contact_email(f" {email} ") == email


@pytest.mark.parametrize(
    "text",
    ["ada", "@x.com", "ada@", "a b@x.com", "a@b@c", "Ada <ada@x.com>", "a@x.com,b@x.com", "a@x;"],
)
def test_what_is_no_e_mail_address_is_refused_with_an_example(text: str) -> None:
    assert "name@example.com" in refusal(check_contact_email, text)


def test_an_e_mail_address_has_at_most_254_characters() -> None:
    assert check_contact_email("a" * 248 + "@b.com") == "a" * 248 + "@b.com"
    assert "254 are allowed" in refusal(check_contact_email, "a" * 249 + "@b.com")


def test_a_plan_expiry_date_is_iso_or_nothing() -> None:
    assert check_plan_expiry(" 2026-12-31 ") == date(2026, 12, 31)
    assert check_plan_expiry("2028-02-29") == date(2028, 2, 29)
    assert check_plan_expiry(" ") is None


@pytest.mark.parametrize(
    "text",
    ["31.12.2026", "12/31/2026", "2026-12-31T", "20261231", "2026-W53-4", "٢٠٢٦-١٢-٣١"],
)
def test_another_way_of_writing_a_date_is_told_the_right_one(text: str) -> None:
    assert "write year-month-day, such as 2026-12-31" in refusal(check_plan_expiry, text)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "2027-02-29", "0000-01-01"])
def test_a_day_that_does_not_exist_is_refused(text: str) -> None:
    assert refusal(check_plan_expiry, text) == f"There is no day {text}."


@given(st.dates())
def test_every_day_is_read_as_it_is_written(day: date) -> None:
    assert check_plan_expiry(day.isoformat()) == day


@given(st.text())
def test_a_checked_name_is_accepted_again_as_it_is(text: str) -> None:
    try:
        name = check_project_name(text)
    except InvalidInput:
        return
    assert check_project_name(name) == name


def test_a_refusal_does_not_repeat_something_endless() -> None:
    assert len(refusal(check_plan_expiry, "x" * 5000)) < 150


def test_an_address_without_a_query_asks_for_everything() -> None:
    assert read_search({}) == Search()
    assert not read_search({}).narrows
    assert read_search({}).to_args() == {}


def test_what_an_address_asks_for_can_be_asked_for_again() -> None:
    args = {
        "q": "Ünï 50%",
        "plan": "Growth",
        "expiry": "expired",
        "keys": "active",
        "archived": "yes",
        "sort": "newest",
    }
    search = read_search(args)
    assert search == Search("Ünï 50%", "Growth", Expiry.EXPIRED, True, True, Sort.NEWEST)
    assert search.to_args() == args


@given(
    st.dictionaries(st.sampled_from(["q", "plan", "expiry", "keys", "archived", "sort"]), st.text())
)
def test_whatever_an_address_says_a_search_comes_of_it(args: dict[str, str]) -> None:
    search = read_search(args)
    assert read_search(search.to_args()) == search


def test_a_search_has_each_word_once_and_no_control_characters() -> None:
    assert read_search({"q": "Acme\x00acme \x1b ERP"}).words == ["acme", "erp"]


def test_every_field_is_known_once_and_stored_as_long_as_it_may_be() -> None:
    """A field that the table, what services take, and the database tell differently is lost."""
    assert [field.name for field in FIELDS] == [field.name for field in fields(ProjectFields)]
    organisation = {"organisation_id": Organisation.id, "organisation_name": Organisation.name}
    for field in FIELDS:
        column = organisation[field.name] if field.of_organisation else getattr(Project, field.name)
        assert (getattr(column.type, "length", None) or 0) == field.length, field.name


def test_every_column_of_an_import_has_its_own_option_and_headings() -> None:
    assert len({field.column.option for field in FIELDS}) == len(FIELDS)
    own = [field for field in FIELDS if field.name != "name"]
    headings = [heading for field in own for heading in field.column.headings]
    assert len(set(headings)) == len(headings)
    needed = {field.name for field in FIELDS if field.column.holds}
    assert needed == {"organisation_id", "name"}
