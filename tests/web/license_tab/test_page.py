"""A project's License tab: what it shows, and to whom."""

import json
import re
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.clock import utcnow
from app.core.durations import parse_ttl
from app.extensions import db
from app.licenses.queries import licenses_of
from app.licenses.services import key_text
from app.models import Project, User
from tests.conftest import NOW, Cast, Clock, Visitor, _signed_in, signing_keys
from tests.web.license_tab.stage import (
    HOUR,
    POLL,
    chosen,
    issue,
    later,
    options,
    revoke,
    shown_key,
    stored,
)
from tests.web.pages import words


class TestThePage:
    def test_without_keys_says_what_to_do(self, ada: Visitor, tab: str) -> None:
        answer = ada.get(tab)
        assert answer.status_code == 200
        assert "<title>License · Acme ERP · Rolling Window</title>" in answer.text
        assert "License key list for: Acme" in words(answer)
        assert "No keys yet Choose how long the key should work, then generate it." in words(answer)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_offers_the_ttls_of_the_settings_with_the_default_chosen(
        self, ada: Visitor, tab: str
    ) -> None:
        answer = ada.get(tab)
        [dropdown] = re.findall(r'<select id="ttl".*?</select>', answer.text, re.DOTALL)
        choices = re.findall(r'<option (?:selected )?value="(\w+)">([^<]+)<', dropdown)
        assert choices == [
            ("1h", "1 hr"),
            ("3h", "3 hrs"),
            ("6h", "6 hrs"),
            ("12h", "12 hrs"),
            ("1d", "1 day"),
            ("3d", "3 days"),
            ("7d", "7 days"),
        ]
        assert '<option selected value="1h">' in answer.text

    def test_says_in_plain_words_what_will_happen(self, ada: Visitor, tab: str) -> None:
        said = "This key will work until Tue 24 Nov 2026, {} UTC ({} from now)"
        assert said.format("16:40", "1 hr") in words(ada.get(tab))
        assert said.format("18:40", "3 hrs") in words(ada.get(f"{tab}?ttl=3h"))

    @pytest.mark.parametrize("ttl", ["3h", "3 hrs", "180m"])
    def test_a_ttl_in_the_address_is_chosen(self, ada: Visitor, tab: str, ttl: str) -> None:
        assert '<option selected value="3h">' in ada.get(f"{tab}?ttl={ttl}").text

    @pytest.mark.parametrize("ttl", ["2h", "99d", "x", "", "%00", "3h'--", "💥", "9" * 5000])
    def test_a_ttl_in_the_address_that_is_not_offered_is_ignored(
        self, ada: Visitor, tab: str, ttl: str
    ) -> None:
        answer = ada.get(f"{tab}?ttl={ttl}")
        assert answer.status_code == 200
        assert '<option selected value="1h">' in answer.text

    def test_shows_the_first_key_whole_with_who_and_when(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        license = issue(app, cast)
        answer = ada.get(tab)
        with app.app_context():
            assert shown_key(answer) == key_text(license, signing_keys(app))
        said = words(answer)
        assert f"{license.key_id} Active for 3 hr" in said
        assert "Issued by ada@example.com Issued Tue 24 Nov 2026, 15:40 UTC" in said
        assert "Ends Tue 24 Nov 2026, 18:40 UTC Last used Not yet" in said
        assert answer.headers["Cache-Control"] == "no-store"

    def test_lists_each_key_as_the_contract_writes_it(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        expired = issue(app, cast, ttl=HOUR)
        revoked = issue(app, cast)
        active = issue(app, cast)
        later(app, clock, minutes=30)
        revoke(app, cast, revoked)
        later(app, clock, minutes=30, seconds=1)
        newest = issue(app, cast)
        assert options(ada.get(tab)) == [
            "Active",
            f"{newest.key_id} · Active for 3 hr",
            f"{active.key_id} · Active for 1 hr 59 min",
            "Expired",
            f"{expired.key_id} · Key expired · 24 Nov 16:40",
            f"{revoked.key_id} · Revoked · 24 Nov 16:10",
        ]

    @pytest.mark.parametrize("spelling", ["{}", " {} ", "lower"])
    def test_shows_the_key_that_the_address_names(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, spelling: str
    ) -> None:
        license = issue(app, cast)
        issue(app, cast)
        key_id = license.key_id.lower() if spelling == "lower" else spelling
        answer = ada.get(tab, query_string={"key": key_id.format(license.key_id)})
        assert answer.status_code == 200
        assert chosen(answer) == license.key_id
        with app.app_context():
            assert shown_key(answer) == key_text(license, signing_keys(app))

    @pytest.mark.parametrize("key", ["K7QF-3MXP", "nonsense", "<b>", "\x00", "💥" * 2000, "rw1.a"])
    def test_a_key_that_is_not_there_is_404_with_the_first_one_shown(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, key: str
    ) -> None:
        license = issue(app, cast)
        answer = ada.get(tab, query_string={"key": key})
        assert answer.status_code == 404
        assert "There is no key" in words(answer)
        assert chosen(answer) == license.key_id
        assert "<b>" not in answer.text

    def test_a_key_of_another_organisation_is_not_there(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        foreign = issue(app, cast, organisation_id=cast.bolt)
        answer = ada.get(f"{tab}?key={foreign.key_id}")
        assert answer.status_code == 404
        assert f"There is no key {foreign.key_id} here" in words(answer)
        assert shown_key(answer) is None

    def test_every_project_of_an_organisation_shows_its_keys(
        self, app: Flask, ada: Visitor, cast: Cast
    ) -> None:
        license = issue(app, cast)
        with app.app_context():
            second = Project(
                organisation_id=cast.acme,
                name="Acme CRM",
                search_text="",
                created_at=NOW,
                updated_at=NOW,
            )
            db.session.add(second)
            db.session.commit()
            number = second.id
        assert chosen(ada.get(f"/projects/{number}/license")) == license.key_id

    def test_an_ended_key_is_shown_by_its_key_id_only(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast, ttl=HOUR)
        with app.app_context():
            text = key_text(license, signing_keys(app))
        later(app, clock, hours=1)
        answer = ada.get(tab)
        assert f"{license.key_id} Key expired" in words(answer)
        assert shown_key(answer) is None
        assert text.split(".")[3] not in answer.text
        for button in ("data-copy-from", "Copy with instructions", "Revoke</button>"):
            assert button not in answer.text

    def test_one_second_before_its_end_a_key_is_still_whole(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        issue(app, cast, ttl=HOUR)
        later(app, clock, hours=1, seconds=-1)
        answer = ada.get(tab)
        assert shown_key(answer)
        assert "Active for 1 sec" in words(answer)

    def test_the_instructions_are_ready_for_an_e_mail(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        license = issue(app, cast)
        answer = ada.get(tab)
        text = unescape(re.search(r'data-copy-text="([^"]+)"', answer.text)[1])
        assert "Acme (ORG-000123)" in text
        assert shown_key(answer) in text
        assert license.key_id in text
        assert "{local:2026-11-24T18:40:00Z}" in text
        assert "Tue 24 Nov 2026, 18:40" in text
        assert "UTC" in text
        assert "Ctrl+F10" in text
        assert '"Registration Key"' in text

    def test_a_project_that_is_not_there_is_404(self, ada: Visitor, cast: Cast) -> None:
        for number in (999_999, 2**31, 10**30):
            assert ada.get(f"/projects/{number}/license").status_code == 404

    def test_an_archived_project_says_so_and_still_shows_its_keys(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        with app.app_context():
            db.session.get(Project, cast.acme_project).archived_at = NOW
            db.session.commit()
        license = issue(app, cast)
        answer = ada.get(tab)
        assert "This project is archived" in words(answer)
        assert chosen(answer) == license.key_id


class TestThePreview:
    def test_says_until_when_a_key_of_the_chosen_ttl_will_work(
        self, ada: Visitor, tab: str
    ) -> None:
        answer = ada.get(f"{tab}?ttl=3d")
        assert "This key will work until Fri 27 Nov 2026, 15:40 UTC (3 days from now)" in words(
            answer
        )

    def test_the_page_can_work_it_out_for_every_choice(self, ada: Visitor, tab: str) -> None:
        page = ada.get(tab).text
        seconds = json.loads(re.search(r'data-seconds="([^"]+)"', page)[1])
        [dropdown] = re.findall(r'<select id="ttl".*?</select>', page, re.DOTALL)
        choices = re.findall(r'<option(?: selected)? value="([0-9]+[hd])">', dropdown)
        assert seconds == [parse_ttl(choice) for choice in choices]
        assert (seconds[0], seconds[-1]) == (3600, 7 * 86400)

    def test_can_be_rewritten_in_the_viewers_zone(self, ada: Visitor, tab: str) -> None:
        text = ada.get(f"{tab}?ttl=3h").text
        assert re.search(r'datetime="2026-11-24T18:40:00Z"\s+data-local="long"', text)


class TestAnAuditor:
    def test_sees_key_ids_and_no_buttons(
        self, app: Flask, audrey: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        ended = issue(app, cast, ttl=HOUR)
        later(app, clock, hours=1)
        license = issue(app, cast)
        answer = audrey.get(tab)
        assert answer.status_code == 200
        assert options(answer) == [
            "Active",
            f"{license.key_id} · Active for 3 hr",
            "Expired",
            f"{ended.key_id} · Key expired · 24 Nov 16:40",
        ]
        main = answer.text.partition("<main")[2].partition("</main>")[0]
        assert "<button" not in main
        assert "<textarea" not in main

    def test_is_never_sent_a_key(self, app: Flask, audrey: Visitor, cast: Cast, tab: str) -> None:
        license = issue(app, cast)
        with app.app_context():
            signature = key_text(license, signing_keys(app)).split(".")[3]
        page = audrey.get(tab)
        part = audrey.client.get(tab, headers=POLL)
        for answer in (page, part, audrey.get(f"{tab}?key={license.key_id}")):
            assert answer.status_code == 200
            assert "rw1." not in answer.text
            assert signature not in answer.text

    @pytest.mark.parametrize("htmx", [False, True])
    def test_may_not_generate(self, app: Flask, audrey: Visitor, tab: str, htmx: bool) -> None:
        assert audrey.post(tab, {"ttl": "3h"}, htmx=htmx).status_code == 403
        assert stored(app) == []


class TestShowAll:
    def test_lists_every_key_page_by_page_in_the_domains_order(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        for _ in range(60):
            issue(app, cast, ttl=HOUR)
        later(app, clock, hours=1)
        active = issue(app, cast)
        with app.app_context():
            order = licenses_of(db.session(), cast.acme, utcnow())
            expected = [license.key_id for license in order]
        assert expected[0] == active.key_id
        first, second = ada.get(f"{tab}/all"), ada.get(f"{tab}/all?page=2")
        listed = [
            re.findall(r'class="key-id"[^>]*>\s*([\w-]+)<', page.text) for page in (first, second)
        ]
        assert (len(listed[0]), len(listed[1])) == (50, 11)
        assert listed[0] + listed[1] == expected
        assert "1–50 of 61 keys" in words(first)
        assert len(options(ada.get(tab))) == 1 + 50 + 2

    def test_a_key_beyond_the_dropdowns_fifty_can_be_shown(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        oldest = issue(app, cast, ttl=HOUR)
        for _ in range(50):
            issue(app, cast, ttl=HOUR)
        later(app, clock, hours=1)
        assert len(options(ada.get(tab))) == 51
        answer = ada.get(f"{tab}?key={oldest.key_id}")
        assert chosen(answer) == oldest.key_id
        assert options(answer)[-1].startswith(oldest.key_id)

    @pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999", "", "1.5", "%00"])
    def test_whatever_page_is_asked_for_it_answers(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, page: str
    ) -> None:
        license = issue(app, cast)
        answer = ada.get(f"{tab}/all?page={page}")
        assert answer.status_code == 200
        assert license.key_id in answer.text
        assert "rw1." not in answer.text

    def test_of_a_project_that_is_not_there_is_404(self, ada: Visitor) -> None:
        assert ada.get("/projects/999/license/all").status_code == 404


class TestAClockThatWasSetBack:
    def test_a_key_of_the_future_is_shown_as_not_valid_yet(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast)
        later(app, clock, hours=-1)
        answer = ada.get(tab)
        assert answer.status_code == 200
        assert options(answer) == ["Expired", f"{license.key_id} · Not valid before · 24 Nov 15:40"]
        assert "This key is not valid yet" in words(answer)
        assert shown_key(answer) is None
        assert ada.get(f"{tab}/all").status_code == 200


def test_a_demoted_admin_sees_no_key_any_more(
    app: Flask, cast: Cast, tab: str, ada: Visitor
) -> None:
    issue(app, cast)
    with app.app_context():
        user = db.session().scalars(select(User).where(User.email == cast.ada)).one()
        user.role = "auditor"
        db.session.commit()
    answer = ada.get(tab)
    assert "rw1." not in answer.text
    assert _signed_in(app, cast.grace).get(tab).text.count("rw1.") >= 1
