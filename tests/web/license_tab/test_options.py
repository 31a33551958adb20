"""More options: what a key is to carry, said before, kept when refused, shown with the key."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import User
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.license_tab.stage import HOUR, generate, issue, later, options, revoke, stored
from tests.web.pages import words

EVERYTHING = {
    "reason": "  Printer\tdown  ",
    "ticket": "T-7/ä",
    "for": Cast.pat.upper(),
    "starts": "2026-11-26T10:00",
    "ends": "2026-11-26T13:00",
    "zone": "Europe/Berlin",
    "sign_ins": "2",
    "first_machine": "y",
    "use_within": "1h",
}


def test_everything_is_stored_and_shown_with_the_key(app: Flask, ada: Visitor, tab: str) -> None:
    answer = generate(ada, tab, **EVERYTHING)
    assert answer.status_code == 303
    [license] = stored(app)
    assert (license.reason, license.ticket) == ("Printer down", "T-7/ä")
    assert license.starts_at == NOW.replace(day=26, hour=9, minute=0)
    assert license.expires_at == NOW.replace(day=26, hour=12, minute=0)
    assert (license.sign_ins_allowed, license.first_machine) == (2, True)
    assert license.use_by == NOW.replace(day=26, hour=10, minute=0)
    page = ada.get(answer.headers["Location"])
    shown = words(page)
    for said in (
        "Starts 26 Nov 09:00 UTC",
        "Starts Thu 26 Nov 2026, 09:00 UTC",
        "Ends Thu 26 Nov 2026, 12:00 UTC",
        "For pat@example.com",
        "Sign-ins 0 of 2 used",
        "Only the first machine The one on which it is first used",
        "Use by Thu 26 Nov 2026, 10:00 UTC",
        "Ticket T-7/ä",
        "Reason Printer down",
    ):
        assert said in shown, said
    apart = "for pat@example.com · \u2068Printer down\u2069"
    assert options(page)[:2] == [
        "Scheduled",
        f"{license.key_id} · Starts 26 Nov 09:00 · {apart}",
    ]
    assert 'id="license-key"' in page.text  # its text can be sent ahead
    assert "For: pat@example.com alone" in page.text
    assert "Extend" in shown
    assert "Revoke" in shown


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("reason", "x" * 501, "This has 501 characters; a reason has at most 500."),
        ("reason", "\u202egnirts", "turns the direction of writing"),
        ("reason", f"instead of rw1.{'x' * 60}.awoJVw.{'y' * 86}", "This holds a license key."),
        ("reason", f"RW1.eyJ{'x' * 60} {'x' * 60}.awo JVw.{'y' * 86}", "This holds a license key."),
        ("ticket", f"rw1.{'x' * 20}.awoJVw.{'y' * 20}", "This holds a license key."),
        ("ticket", "x" * 65, "a ticket has at most 64"),
        ("for", "nobody@example.com", "There is nobody with the e-mail nobody@example.com."),
        ("for", Cast.carl, "no partner or developer"),
        ("starts", "2026-11-24T15:38", "This instant is over."),
        ("starts", "2026-12-24T15:41", "at most 30 days ahead"),
        ("starts", "<b>", "Write a day and a time"),
        ("ends", "2026-12-01T15:41", "at most 7 days: the ceiling"),
        ("ends", "2026-11-24T15:39", "It must end after it starts."),
        ("sign_ins", "0", "from 1 to 100"),
        ("sign_ins", "1.5", "from 1 to 100"),
        ("sign_ins", "101", "from 1 to 100"),
        ("use_within", "2h", "Choose one of these: 15 min, 1 hr, 4 hrs, 1 day."),
    ],
)
def test_what_is_refused_is_said_beside_its_field_and_the_rest_is_kept(
    *, app: Flask, ada: Visitor, tab: str, field: str, value: str, said: str
) -> None:
    fields = {"reason": "Kept reason", "ticket": "KEPT-1", "sign_ins": "7"} | {field: value}
    answer = generate(ada, tab, "3h", **fields)
    assert answer.status_code == 422
    assert said in words(answer)
    assert f'id="{field}-error"' in answer.text
    assert 'class="more-options is-shown"' in answer.text
    for kept in set(fields.values()) - {value}:
        assert kept in answer.text
    assert '<option selected value="3h">' in answer.text or field == "ends"
    assert stored(app) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [("2026-11-01T01:30", "show this time twice"), ("2026-11-24T10:40", None)],
)
def test_an_hour_that_the_clocks_repeat_is_refused_with_both_readings(
    *, app: Flask, ada: Visitor, tab: str, clock: Clock, text: str, why: str | None
) -> None:
    later(app, clock, days=-30)
    answer = generate(ada, tab, starts=text, zone="America/New_York")
    if why is None:
        assert answer.status_code == 303
        return
    assert answer.status_code == 422
    assert why in words(answer)
    assert "01:30 (UTC-04:00), which is 05:30 UTC" in words(answer)
    assert "01:30 (UTC-05:00), which is 06:30 UTC" in words(answer)
    assert stored(app) == []


def test_only_spaces_are_nothing(app: Flask, ada: Visitor, tab: str) -> None:
    blank = dict.fromkeys(("reason", "ticket", "for", "starts", "ends", "sign_ins"), " \u200b ")
    assert generate(ada, tab, **blank | {"starts": "", "ends": ""}).status_code == 422
    blank = dict.fromkeys(("reason", "ticket", "for", "sign_ins"), "  ")
    assert generate(ada, tab, **blank).status_code == 303
    [license] = stored(app)
    assert (license.reason, license.ticket, license.recipient_id) == ("", "", None)


def test_anybody_may_be_written_out(app: Flask, ada: Visitor, tab: str) -> None:
    generate(ada, tab, **{"for": "Any partner or developer"})
    assert stored(app)[0].recipient_id is None


def preview(visitor: Visitor, tab: str, **fields: str) -> str:
    answer = visitor.post(f"{tab}/preview", {"ttl": "3h"} | fields, htmx=True)
    assert answer.status_code == 200
    return " ".join(words(answer).split())


def test_the_sentence_says_it_before_anything_is_generated(
    app: Flask, ada: Visitor, tab: str
) -> None:
    assert preview(ada, tab).startswith("This key will work until Tue 24 Nov 2026, 18:40 UTC")
    said = preview(ada, tab, **EVERYTHING)
    assert said.startswith(
        f"{Cast.pat.upper()} may sign in 2 times in all, from the first machine they use, between "
        "Thu 26 Nov 2026, 09:00 UTC and 12:00 UTC . Not used by 10:00 UTC , it expires."
    )
    assert preview(ada, tab, sign_ins="x").startswith("Sign-ins: Write a whole number")
    assert stored(app) == []


def test_a_zone_that_the_portal_does_not_know_matters_only_where_a_time_was_typed(
    app: Flask, ada: Visitor, tab: str
) -> None:
    """Some browsers call their zone Etc/Unknown: a key without times is generated all the same."""
    unknown = {"zone": "Etc/Unknown", "reason": "Printer"}
    assert "until Tue 24 Nov 2026, 18:40 UTC" in preview(ada, tab, **unknown, sign_ins="2")
    answer = generate(ada, tab, **unknown, starts="2026-11-26T10:00")
    assert "does not know the time zone Etc/Unknown" in words(answer)
    assert 'id="starts-error"' in answer.text
    assert 'id="ends-error"' not in answer.text
    assert stored(app) == []
    assert generate(ada, tab, **unknown).status_code == 303


def test_an_end_stands_in_the_place_of_the_ttl(ada: Visitor, tab: str) -> None:
    answer = generate(ada, tab, "3h", ends="2026-11-26T13:00", sign_ins="0")
    assert '<option selected value="until">Until Thu 26 Nov 2026, 13:00</option>' in answer.text


def test_whether_the_options_are_open_is_remembered_for_the_person(
    app: Flask, ada: Visitor, grace: Visitor, tab: str
) -> None:
    shut, open_ = 'class="more-options"', 'class="more-options is-shown"'
    assert shut in ada.get(tab).text
    assert ada.post(f"{tab}/options", {"open": "1"}).status_code == 204
    assert open_ in ada.get(tab).text
    assert shut in grace.get(tab).text
    ada.post(f"{tab}/options", {"open": "0"})
    assert shut in ada.get(tab).text


def test_people_are_found_by_a_part_of_their_e_mail(app: Flask, ada: Visitor, tab: str) -> None:
    with app.app_context():
        user = db.session.scalars(select(User).where(User.email == Cast.dev)).one()
        user.name, user.search_text = "Devi <b>", f"{Cast.dev}\ndevi <b>"
        db.session.commit()
    assert re.findall('value="([^"]+)"', ada.get(f"{tab}/recipients").text) == [Cast.dev, Cast.pat]
    found = ada.get(f"{tab}/recipients?for=DEV").text
    assert re.findall('value="([^"]+)"', found) == [Cast.dev]
    assert "Devi &lt;b&gt;" in found
    assert ada.get(f"{tab}/recipients?for=carl").text.strip().endswith("#}") is False
    assert re.findall("value=", ada.get(f"{tab}/recipients?for=carl").text) == []


def test_another_like_it_fills_the_form(app: Flask, ada: Visitor, tab: str) -> None:
    generate(ada, tab, **EVERYTHING)
    [license] = stored(app)
    page = ada.get(f"{tab}?key={license.key_id}&like={license.key_id}").text
    for filled in (
        'value="Printer down"',
        'value="T-7/ä"',
        f'value="{Cast.pat}"',
        '<option selected value="1h">1 hr</option>',
        '<option selected value="3h">3 hrs</option>',
    ):
        assert filled in page, filled
    assert re.search(r'<input[^>]* checked[^>]*name="first_machine"', page)
    assert re.search(r'name="sign_ins"[^>]*value="2"', page)
    assert 'data-utc="2026-11-26T09:00:00Z"' in page  # its start is still to come
    assert not re.search(r'name="ends"[^>]*value="2', page)


def test_another_like_it_has_the_same_end_while_that_is_to_come(
    app: Flask, ada: Visitor, tab: str, clock: Clock
) -> None:
    generate(ada, tab, ends="2026-11-24T17:13")
    [license] = stored(app)
    like = f"{tab}?key={license.key_id}&like={license.key_id}"
    page = ada.get(like).text
    assert '<option selected value="until">Until Tue 24 Nov 2026, 17:13</option>' in page
    assert "1 hr 33 min" in ada.get(tab).text  # as it was told
    later(app, clock, hours=2)
    assert 'value="until"' not in ada.get(like).text


def test_a_ticket_is_a_link_where_the_setting_says_where_to(
    app: Flask, ada: Visitor, tab: str
) -> None:
    generate(ada, tab, ticket='T 7/ä"><b>')
    assert "tickets.example" not in ada.get(tab).text
    settings = app.extensions["config"]
    address = "https://tickets.example/{ticket}?from=portal"
    app.extensions["config"] = replace(settings, ticket_url=address)
    try:
        page = ada.get(tab).text
    finally:
        app.extensions["config"] = settings
    assert 'href="https://tickets.example/T%207%2F%C3%A4%22%3E%3Cb%3E?from=portal"' in page
    assert '"><b>' not in page


def test_one_that_is_used_up_stays_active_and_says_so(
    app: Flask, cast: Cast, ada: Visitor, tab: str
) -> None:
    license = issue(app, cast, sign_ins=1)
    with app.app_context():
        db.session.merge(license).sign_ins_used = 1
        db.session.commit()
    page = ada.get(tab)
    assert options(page)[0] == "Active"
    assert "Used up" in words(page)


def test_one_that_expired_unused_says_so(
    app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
) -> None:
    license = issue(app, cast, use_within=900)
    later(app, clock, minutes=15)
    page = ada.get(tab)
    assert options(page) == ["Expired", f"{license.key_id} · Expired unused · 24 Nov 15:55"]
    assert "Ended Tue 24 Nov 2026, 15:55 UTC , unused" in " ".join(words(page).split())
    assert "Expired unused" in words(ada.get(f"{tab}/all"))


def test_groups_stand_in_the_order_of_the_domain(
    app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
) -> None:
    ended = issue(app, cast)
    late = issue(app, cast, starts_at=NOW + timedelta(days=3))
    soon = issue(app, cast, starts_at=NOW + timedelta(days=2))
    later(app, clock, hours=3)
    active = issue(app, cast)
    found = options(ada.get(tab))
    assert [option[:9] for option in found] == [
        "Active",
        active.key_id,
        "Scheduled",
        soon.key_id,
        late.key_id,
        "Expired",
        ended.key_id,
    ]
    rows = re.findall(r'key-id" href="[^"]*key=([\w-]+)"', ada.get(f"{tab}/all").text)
    assert rows == [active.key_id, soon.key_id, late.key_id, ended.key_id]


def test_an_auditor_sees_what_a_key_carries_and_no_form(
    app: Flask, audrey: Visitor, ada: Visitor, tab: str
) -> None:
    generate(ada, tab, **EVERYTHING)
    page = audrey.get(tab)
    assert "For pat@example.com" in words(page)
    for button in ("More options", "Extend", "Generate another like it", "Generate key"):
        assert button not in words(page)


def extend(visitor: Visitor, tab: str, key_id: str, *, htmx: bool = False, **fields: str):
    visitor.get(f"{tab}/{key_id}/extend")
    return visitor.post(f"{tab}/{key_id}/extend", fields, htmx=htmx)


def test_a_key_is_extended_on_a_page_without_javascript(
    app: Flask, cast: Cast, ada: Visitor, tab: str
) -> None:
    license = issue(app, cast)
    asked = ada.get(f"{tab}/{license.key_id}/extend")
    assert "It works until Tue 24 Nov 2026, 18:40 UTC" in " ".join(words(asked).split())
    answer = extend(ada, tab, license.key_id, ends="2026-11-25T10:00", reason="Not done")
    assert answer.status_code == 303
    [stored_one] = stored(app)
    assert stored_one.expires_at == NOW.replace(day=25, hour=10, minute=0)
    assert "Ends Wed 25 Nov 2026, 10:00 UTC" in words(ada.get(answer.headers["Location"]))


def test_in_the_dialog_the_list_changes_and_the_form_stays(
    app: Flask, cast: Cast, ada: Visitor, tab: str
) -> None:
    license = issue(app, cast)
    answer = extend(
        ada, tab, license.key_id, htmx=True, ends="2026-11-25T11:00", zone="Europe/Berlin"
    )
    assert answer.status_code == 200
    assert 'hx-target="#keys"' in answer.text
    assert "Ends Wed 25 Nov 2026, 10:00 UTC" in words(answer)
    assert "generate-form" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ends": ""}, "Choose when the key is to end."),
        ({"ends": "2026-11-24T18:39"}, "before its present end"),
        ({"ends": "2026-12-01T15:41"}, "at most 7 days"),
        ({"ends": "soon"}, "Write a day and a time"),
        ({"ends": "2026-11-25T10:00", "reason": "x" * 501}, "501 characters"),
        ({"ends": "2026-11-25T10:00", "zone": "Nowhere"}, "does not know the time zone Nowhere"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_a_refused_end_is_said_beside_it(
    *,
    app: Flask,
    cast: Cast,
    ada: Visitor,
    tab: str,
    fields: dict[str, str],
    said: str,
    htmx: bool,
) -> None:
    license = issue(app, cast)
    answer = extend(ada, tab, license.key_id, htmx=htmx, **fields)
    assert answer.status_code == 422
    assert said in words(answer)
    assert fields["ends"] in answer.text
    assert answer.headers["HX-Retarget"] == "#dialog"
    assert stored(app)[0].expires_at == license.expires_at


def test_a_key_that_has_ended_is_not_extended(
    app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
) -> None:
    license = issue(app, cast)
    later(app, clock, seconds=3 * HOUR)
    assert "is not brought back" in words(ada.get(f"{tab}/{license.key_id}/extend"))
    assert extend(ada, tab, license.key_id, ends="2026-11-25T10:00").status_code == 409


def test_the_picture_has_a_bar_for_each_key_and_a_pattern_for_each_state(
    app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
) -> None:
    assert "Timeline of keys" not in ada.get(tab).text
    issue(app, cast)
    later(app, clock, hours=4)
    issue(app, cast)
    issue(app, cast, starts_at=clock.instant + timedelta(days=3))
    revoke(app, cast, issue(app, cast))
    page = ada.get(tab).text
    assert re.search(r'<svg role="img"\s+aria-label="Timeline of keys"', page)
    states = re.findall(r'class="timeline-bar"\s+data-state="(\w+)"', page)
    assert sorted(states) == ["active", "expired", "revoked", "scheduled"]
    for state in ("scheduled", "revoked", "expired"):
        assert f'fill="url(#timeline-{state})"' in page
    assert "style=" not in page.partition("<svg role")[2].partition("</svg>")[0]
