"""A project's License tab, by what the server answers."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from app.config import current_config
from app.core.clock import utcnow
from app.extensions import db
from app.licenses.queries import licenses_of
from app.licenses.services import issue_license, key_text, revoke_license
from app.models import AuditEvent, Project, SigningKey, TemporaryLicense, User, WebSession
from tests.conftest import NOW, Cast, Clock, Visitor, _signed_in, signing_keys

HOUR = 3600
POLL = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Target": "section#keys",
    "X-Timer": "1",
}


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


@pytest.fixture(autouse=True)
def _still(clock: Clock) -> None:
    """The clock stands at NOW until it is turned."""


def issue(
    app: Flask, cast: Cast, *, ttl: int = 3 * HOUR, organisation_id: str = Cast.acme
) -> TemporaryLicense:
    with app.app_context():
        license = issue_license(
            db.session(),
            actor=cast.actor(cast.ada),
            organisation_id=organisation_id,
            ttl=ttl,
            choices=(ttl,),
            signing_keys=current_config().signing_keys,
            now=utcnow(),
        )[0]
        db.session.commit()
        db.session.refresh(license)
        db.session.expunge_all()
        return license


def revoke(app: Flask, cast: Cast, license: TemporaryLicense) -> None:
    with app.app_context():
        revoke_license(
            db.session(), actor=cast.actor(cast.ada), key_id=license.key_id, now=utcnow()
        )
        db.session.commit()


def later(app: Flask, clock: Clock, **duration: float) -> None:
    """Turn the clock, for people who are at work meanwhile."""
    clock.advance(**duration)
    with app.app_context():
        for signed_in in db.session().scalars(select(WebSession)):
            signed_in.last_active_at = clock.instant
        db.session.commit()


def stored(app: Flask) -> list[TemporaryLicense]:
    with app.app_context():
        return list(db.session().scalars(select(TemporaryLicense)))


def form_token(answer: TestResponse) -> str:
    return re.search(r'name="form_token"[^>]*value="([^"]+)"', answer.text)[1]


def generate(
    visitor: Visitor, tab: str, ttl: str = "3h", *, htmx: bool = False, **fields: str
) -> TestResponse:
    token = form_token(visitor.get(tab))
    return visitor.post(tab, {"ttl": ttl, "form_token": token, **fields}, htmx=htmx)


def words(answer: TestResponse) -> str:
    """What the page says, as one line without tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def shown_key(answer: TestResponse) -> str | None:
    match = re.search(r"<textarea[^>]*>([^<]*)</textarea>", answer.text)
    return match[1].strip() if match else None


def options(answer: TestResponse) -> list[str]:
    dropdown = answer.text.partition('id="license-keys"')[2].partition("</select>")[0]
    found = re.findall(r'<optgroup label="(\w+)"|<option[^>]*>([^<]+)<', dropdown)
    return [group or unescape(text).strip() for group, text in found]


def chosen(answer: TestResponse) -> str:
    dropdown = answer.text.partition('id="license-keys"')[2].partition("</select>")[0]
    [key_id] = re.findall(r'value="([^"]+)"(?:(?!<option)[^>])*\sselected', dropdown)
    return key_id


def seen(answer: TestResponse) -> str:
    return re.search(r'name="seen" value="([^"]+)"', answer.text)[1]


class TestThePage:
    def test_without_keys_says_what_to_do(self, ada: Visitor, tab: str) -> None:
        answer = ada.get(tab)
        assert answer.status_code == 200
        assert "<title>License · Acme ERP · Rolling Window</title>" in answer.text
        assert "License key list for: Acme" in words(answer)
        assert "No keys yet" in words(answer)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_offers_the_ttls_of_the_settings_with_the_default_chosen(
        self, ada: Visitor, tab: str
    ) -> None:
        answer = ada.get(tab)
        choices = re.findall(r'<option (?:selected )?value="(\w+)">([^<]+)<', answer.text)
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


class TestGenerating:
    def test_without_javascript_leads_to_the_new_key(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        answer = generate(ada, tab)
        [license] = stored(app)
        assert answer.status_code == 303
        assert answer.location == f"{tab}?key={license.key_id}&ttl=3h"
        page = ada.get(answer.location)
        assert chosen(page) == license.key_id
        assert f"{license.key_id} was generated. It works for 3 hrs." in words(page)
        assert '<option selected value="3h">' in page.text

    def test_by_htmx_shows_it_announces_it_and_moves_the_focus_to_copy(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        answer = generate(ada, tab, htmx=True)
        [license] = stored(app)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert answer.headers["HX-Replace-Url"] == f"{tab}?key={license.key_id}&ttl=3h"
        assert answer.headers["Cache-Control"] == "no-store"
        assert chosen(answer) == license.key_id
        assert shown_key(answer).startswith("rw1.")
        assert f'data-announce="{license.key_id} was generated. It works for 3 hrs."' in answer.text
        assert re.search(r'id="copy-key"\s+data-focus', answer.text)

    def test_the_key_works_for_exactly_the_chosen_time(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        generate(ada, tab, "7d")
        [license] = stored(app)
        assert license.issued_at == NOW
        assert license.expires_at == NOW + timedelta(days=7)

    @pytest.mark.parametrize("ttl", ["2h", "8d", "4s", "999999d", "", "x", "-1h", "\x00", "3h\n3h"])
    def test_a_ttl_that_is_not_offered_is_422_beside_the_field_with_the_rest_kept(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, ttl: str
    ) -> None:
        first = issue(app, cast)
        issue(app, cast)
        for htmx in (False, True):
            answer = generate(ada, tab, ttl, htmx=htmx, key=first.key_id)
            assert answer.status_code == 422
            assert 'id="ttl-error"' in answer.text
            assert 'aria-invalid="true"' in answer.text
            assert re.search(r'aria-describedby="ttl-error[ "]', answer.text)
            assert chosen(answer) == first.key_id
        assert len(stored(app)) == 2

    def test_a_ttl_not_among_the_choices_names_them(self, ada: Visitor, tab: str) -> None:
        said = words(generate(ada, tab, "2h"))
        assert "1 hr, 3 hrs, 6 hrs, 12 hrs, 1 day, 3 days, 7 days." in said

    @pytest.mark.parametrize("htmx", [False, True])
    def test_the_same_form_sent_twice_generates_one_key(
        self, app: Flask, ada: Visitor, tab: str, htmx: bool
    ) -> None:
        fields = {"ttl": "3h", "form_token": form_token(ada.get(tab))}
        first = ada.post(tab, fields, htmx=htmx)
        second = ada.post(tab, fields, htmx=htmx)
        assert first.status_code == second.status_code == (200 if htmx else 303)
        assert len(stored(app)) == 1
        if not htmx:
            assert first.location == second.location

    def test_the_form_that_comes_with_the_new_key_generates_another(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        answer = generate(ada, tab, htmx=True)
        ada.post(tab, {"ttl": "3h", "form_token": form_token(answer)}, htmx=True)
        assert len(stored(app)) == 2

    def test_the_same_form_with_another_ttl_is_422_with_a_form_that_works(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        fields = {"ttl": "3h", "form_token": form_token(ada.get(tab))}
        ada.post(tab, fields)
        answer = ada.post(tab, fields | {"ttl": "1d"})
        assert answer.status_code == 422
        [license] = stored(app)
        assert f"This form has generated {license.key_id} (3 hrs) already" in words(answer)
        assert '<option selected value="1d">' in answer.text
        again = ada.post(tab, {"ttl": "1d", "form_token": form_token(answer)})
        assert again.status_code == 303

    def test_another_admins_form_is_409(
        self, app: Flask, ada: Visitor, grace: Visitor, tab: str
    ) -> None:
        fields = {"ttl": "3h", "form_token": form_token(ada.get(tab))}
        ada.post(tab, fields)
        assert grace.post(tab, fields).status_code == 409
        assert len(stored(app)) == 1

    @pytest.mark.parametrize("token", ["", "\x00", "x" * 10_000, "💥"])
    def test_a_form_token_that_we_did_not_make_does_no_harm(
        self, app: Flask, ada: Visitor, tab: str, token: str
    ) -> None:
        assert ada.post(tab, {"ttl": "3h", "form_token": token}).status_code == 303
        assert [license.form_token for license in stored(app)] == [None]

    def test_the_same_form_sent_twice_at_once_generates_one_key(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        """A double click, or a browser that sends again: two requests race with one form."""
        page = ada.get(tab)
        fields = {"ttl": "3h", "form_token": form_token(page), "csrf_token": ada.csrf_token}
        cookie = ada.client.get_cookie("rolling_window").value
        start, answers = threading.Barrier(4), []

        def send() -> None:
            client = app.test_client()
            client.set_cookie("rolling_window", cookie)
            start.wait()
            answers.append(client.post(tab, data=fields))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [303] * 4
        [license] = stored(app)
        assert {answer.location for answer in answers} == {f"{tab}?key={license.key_id}&ttl=3h"}

    def test_two_admins_at_once_get_a_key_each(
        self, app: Flask, ada: Visitor, grace: Visitor, tab: str
    ) -> None:
        first = generate(ada, tab)
        second = generate(grace, tab)
        assert first.location != second.location
        assert len(stored(app)) == 2

    @pytest.mark.parametrize("htmx", [False, True])
    def test_for_a_project_that_was_deleted_meanwhile_is_404(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, htmx: bool
    ) -> None:
        token = form_token(ada.get(tab))
        with app.app_context():
            db.session.delete(db.session.get(Project, cast.acme_project))
            db.session.commit()
        answer = ada.post(tab, {"ttl": "3h", "form_token": token}, htmx=htmx)
        assert answer.status_code == 404
        assert "It may have been deleted" in words(answer)
        assert stored(app) == []

    def test_without_the_csrf_token_is_400(self, app: Flask, ada: Visitor, tab: str) -> None:
        token = form_token(ada.get(tab))
        answer = ada.client.post(tab, data={"ttl": "3h", "form_token": token})
        assert answer.status_code == 400
        assert stored(app) == []

    def test_works_on_an_archived_project(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        with app.app_context():
            db.session.get(Project, cast.acme_project).archived_at = NOW
            db.session.commit()
        assert generate(ada, tab).status_code == 303

    def test_leaves_nothing_of_the_key_in_the_audit_log(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        key = shown_key(generate(ada, tab, htmx=True))
        with app.app_context():
            told = repr([vars(one) for one in db.session().scalars(select(AuditEvent))])
        assert "license.issued" in told
        assert not any(part in told for part in key.split(".") if len(part) > 6)


class TestThePreview:
    def test_is_a_fragment_of_the_same_address(self, ada: Visitor, tab: str) -> None:
        headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
        answer = ada.client.get(f"{tab}?ttl=3d", headers=headers | {"HX-Target": "div#ttl-preview"})
        assert answer.status_code == 200
        assert "This key will work until Fri 27 Nov 2026, 15:40 UTC (3 days from now)" in words(
            answer
        )
        assert "<select" not in answer.text
        assert "HX-Target" in answer.headers["Vary"]

    def test_can_be_rewritten_in_the_viewers_zone(self, ada: Visitor, tab: str) -> None:
        text = ada.get(f"{tab}?ttl=3h").text
        assert re.search(r'datetime="2026-11-24T18:40:00Z"\s+data-local="long"', text)


class TestTheRefresh:
    def test_says_nothing_while_nothing_has_changed(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast)
        page = ada.get(tab)
        clock.advance(minutes=20)
        address = f"{tab}?key={license.key_id}&seen={seen(page)}"
        answer = ada.client.get(address, headers=POLL)
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["X-Server-Now"].startswith("2026-11-24T16:00:00")

    def test_brings_the_other_admins_key_and_keeps_the_viewers_choice(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        mine = issue(app, cast)
        page = ada.get(tab)
        theirs = issue(app, cast)
        address = f"{tab}?key={mine.key_id}&seen={seen(page)}"
        answer = ada.client.get(address, headers=POLL)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert 'name="form_token"' not in answer.text
        assert chosen(answer) == mine.key_id
        assert options(answer)[1].startswith(theirs.key_id)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_moves_a_key_to_expired_at_its_end(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast, ttl=HOUR)
        address = f"{tab}?key={license.key_id}&seen={seen(ada.get(tab))}"
        later(app, clock, hours=1, seconds=-1)
        assert ada.client.get(address, headers=POLL).status_code == 204
        later(app, clock, seconds=1)
        answer = ada.client.get(address, headers=POLL)
        assert options(answer) == ["Expired", f"{license.key_id} · Key expired · 24 Nov 16:40"]
        assert shown_key(answer) is None

    def test_tells_that_a_key_was_used(
        self, app: Flask, ada: Visitor, cast: Cast, tab: str
    ) -> None:
        license = issue(app, cast)
        address = f"{tab}?key={license.key_id}&seen={seen(ada.get(tab))}"
        with app.app_context():
            db.session.get(TemporaryLicense, license.id).last_used_at = NOW
            db.session.commit()
        answer = ada.client.get(address, headers=POLL)
        assert "Last used Tue 24 Nov 2026, 15:40 UTC" in words(answer)

    def test_is_no_activity_and_ends_at_the_sign_in_page(
        self, app: Flask, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        """Half an hour without a click ends the sign-in, however often the list refreshes."""
        page = f"http://localhost{tab}?ttl=3h"
        for _ in range(3):
            clock.advance(minutes=9)
            answer = ada.client.get(tab, headers=POLL | {"HX-Current-URL": page})
            assert answer.status_code == 200
        clock.advance(minutes=9)
        answer = ada.client.get(tab, headers=POLL | {"HX-Current-URL": page})
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"] == (
            f"/login?next={tab.replace('/', '%2F')}%3Fttl%3D3h"
        )

    def test_writes_nothing(self, app: Flask, ada: Visitor, cast: Cast, tab: str) -> None:
        issue(app, cast)
        writes = []
        with app.app_context():
            engine = db.engine

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            if not statement.upper().startswith(("SELECT", "BEGIN", "PRAGMA", "ROLLBACK")):
                writes.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            assert ada.client.get(tab, headers=POLL).status_code == 200
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert writes == []


class TestSignedOutInTheMiddle:
    """The session ends while a key is chosen: sign in again, come back, nothing is lost."""

    @pytest.fixture
    def expired(self, ada: Visitor, tab: str, clock: Clock) -> Visitor:
        ada.get(tab)
        clock.advance(hours=1)
        return ada

    def test_by_htmx_it_leads_through_the_sign_in_back_with_the_ttl_chosen(
        self, app: Flask, expired: Visitor, tab: str, cast: Cast
    ) -> None:
        page = {"HX-Request": "true", "HX-Current-URL": f"http://localhost{tab}?ttl=1h"}
        answer = expired.client.post(tab, data={"ttl": "6h", "key": "K7QF-3MXP"}, headers=page)
        assert answer.status_code == 401
        assert stored(app) == []
        self.comes_back(expired, cast, answer.headers["HX-Redirect"], tab)

    def test_without_javascript_too(
        self, app: Flask, expired: Visitor, tab: str, cast: Cast
    ) -> None:
        page = {"Referer": f"http://localhost{tab}"}
        answer = expired.client.post(tab, data={"ttl": "6h"}, headers=page)
        assert answer.status_code == 401
        [address] = re.findall(r'href="(/login[^"]+)"', answer.text)
        assert stored(app) == []
        self.comes_back(expired, cast, unescape(address), tab)

    def comes_back(self, visitor: Visitor, cast: Cast, address: str, tab: str) -> None:
        sign_in = visitor.get(address)
        next_page = unescape(re.search(r'name="next"[^>]*value="([^"]+)"', sign_in.text)[1])
        assert next_page.startswith(f"{tab}?ttl=6h")
        answer = visitor.sign_in(cast.ada, next=next_page)
        assert answer.location == next_page
        assert '<option selected value="6h">' in visitor.get(tab, query_string={"ttl": "6h"}).text

    def test_a_page_of_another_site_is_not_come_back_to(self, expired: Visitor, tab: str) -> None:
        page = {"HX-Request": "true", "HX-Current-URL": f"http://evil.example{tab}"}
        answer = expired.client.post(tab, data={"ttl": "6h"}, headers=page)
        assert answer.headers["HX-Redirect"] == "/login?next=%2F"

    def test_anonymous_is_sent_to_sign_in(self, visitor: Visitor, tab: str) -> None:
        answer = visitor.client.get(f"{tab}?ttl=3h")
        assert answer.status_code == 303
        assert answer.location == f"/login?next={tab.replace('/', '%2F')}%3Fttl%3D3h"


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
            order = licenses_of(db.session(), cast.acme, utcnow(), ended_limit=None)
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


@contextmanager
def failing_commits(app: Flask) -> Iterator[None]:
    """The disk is full at every COMMIT."""
    with app.app_context():
        engine = db.engine

    def fail(_connection: object) -> None:
        full = sqlite3.OperationalError("database or disk is full")
        raise OperationalError("COMMIT", {}, full)

    event.listen(engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(engine, "commit", fail)


class TestTrouble:
    @pytest.mark.parametrize("htmx", [False, True])
    def test_with_a_full_disk_no_key_is_shown_that_was_not_stored(
        self, app: Flask, ada: Visitor, tab: str, htmx: bool
    ) -> None:
        token = form_token(ada.get(tab))
        with failing_commits(app):
            answer = ada.post(tab, {"ttl": "3h", "form_token": token}, htmx=htmx)
        assert answer.status_code == 503
        assert "The disk is full. Nothing was saved." in words(answer)
        assert "rw1." not in answer.text
        assert "was generated" not in answer.text
        assert "HX-Replace-Url" not in answer.headers
        assert stored(app) == []
        page = ada.get(tab)
        assert "was generated" not in page.text
        assert ada.post(tab, {"ttl": "3h", "form_token": token}).status_code == 303

    def test_while_another_holds_the_database_for_too_long_nothing_is_shown(
        self, app: Flask, ada: Visitor, tab: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = form_token(ada.get(tab))
        with app.app_context():
            engine = db.engine
        locked = OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked"))

        def fail(_connection: object) -> None:
            raise locked

        event.listen(engine, "begin", fail)
        try:
            answer = ada.post(tab, {"ttl": "3h", "form_token": token})
        finally:
            event.remove(engine, "begin", fail)
        assert answer.status_code == 503
        assert "rw1." not in answer.text
        assert stored(app) == []

    @pytest.fixture
    def private_key_away(self, app: Flask) -> Iterator[None]:
        with app.app_context():
            kid = db.session().scalar(select(SigningKey.kid))
        file = Path(signing_keys(app)) / f"{kid}.pem"
        away = file.with_suffix(".away")
        file.rename(away)
        yield
        away.rename(file)

    def test_without_the_private_key_the_page_works_and_says_so(
        self,
        app: Flask,
        ada: Visitor,
        cast: Cast,
        tab: str,
        request: pytest.FixtureRequest,
    ) -> None:
        license = issue(app, cast)
        request.getfixturevalue("private_key_away")
        answer = ada.get(tab)
        assert answer.status_code == 200
        assert chosen(answer) == license.key_id
        assert "This key cannot be shown" in words(answer)
        assert "must put it back" in words(answer)
        assert shown_key(answer) is None

    @pytest.mark.parametrize("htmx", [False, True])
    def test_without_the_private_key_nothing_is_generated(
        self, app: Flask, ada: Visitor, tab: str, private_key_away: None, htmx: bool
    ) -> None:
        answer = generate(ada, tab, htmx=htmx)
        assert answer.status_code == 503
        assert "must put it back" in words(answer)
        assert stored(app) == []
        with app.app_context():
            told = db.session().scalars(
                select(AuditEvent).where(AuditEvent.tag == "license.issued")
            )
            assert told.all() == []


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
