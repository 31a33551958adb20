"""Generating a key on the License tab, and what can come in between."""

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

from app.extensions import db
from app.models import AuditEvent, Project, SigningKey
from tests.conftest import NOW, Cast, Clock, Visitor, signing_keys
from tests.web.license_tab.stage import (
    chosen,
    form_token,
    generate,
    issue,
    shown_key,
    stored,
)
from tests.web.pages import words


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

    def test_and_to_copy_has_the_page_copy_it_at_once(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        told = "was generated. It works for 3 hrs."
        answer = generate(ada, tab, htmx=True, copy="1")
        [license] = stored(app)
        assert f'data-copy-now="{license.key_id} {told}"' in answer.text
        assert "data-copy-now" not in generate(ada, tab, htmx=True).text

    def test_the_ttl_chosen_last_is_the_first_choice_of_this_person_everywhere(
        self, cast: Cast, ada: Visitor, audrey: Visitor, tab: str
    ) -> None:
        generate(ada, tab, ttl="1d")
        bolt = f"/projects/{cast.bolt_project}/license"
        assert '<option selected value="1d">' in ada.get(bolt).text
        assert '<option selected value="1h">' in ada.get(f"{bolt}?ttl=1h").text

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
