"""Whoever is shown a whole key, or copies one, is in the audit log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.clock import utcnow
from app.extensions import db
from app.models import AuditEvent
from tests.conftest import Cast, Clock, Visitor
from tests.web.license_tab.stage import (
    HOUR,
    POLL,
    form_token,
    generate,
    issue,
    later,
    revoke,
    seen,
    shown_key,
)
from tests.web.pages import words

KEYS = {name: value for name, value in POLL.items() if name != "X-Timer"}


def logged(app: Flask) -> list[tuple[str, str, str]]:
    """Who was shown or issued which key, and copied it, in order."""
    tags = ["license.issued", "license.viewed", "license.copied"]
    with app.app_context():
        events = db.session().scalars(
            select(AuditEvent).where(AuditEvent.tag.in_(tags)).order_by(AuditEvent.id)
        )
        return [(event.tag.split(".")[1], event.actor, event.subject) for event in events]


def viewed(app: Flask) -> list[tuple[str, str]]:
    return [(who, key) for what, who, key in logged(app) if what == "viewed"]


class TestViewing:
    def test_a_key_is_logged_with_who_and_which_and_from_where(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str
    ) -> None:
        license = issue(app, cast)
        key = shown_key(ada.get(tab))
        with app.app_context():
            query = select(AuditEvent).where(AuditEvent.tag == "license.viewed")
            event = db.session().scalars(query).one()
            assert (event.actor, event.subject) == (Cast.ada, license.key_id)
            assert (event.organisation_id, event.address) == (Cast.acme, "127.0.0.1")
            assert event.happened_at == utcnow()
            assert key
            assert key[-20:] not in f"{event.data} {event.subject}"
        assert "Viewed a temporary key" in words(ada.get("/audit"))

    def test_is_logged_once_a_minute_for_a_person_and_a_key(
        self, app: Flask, cast: Cast, ada: Visitor, grace: Visitor, clock: Clock
    ) -> None:
        first, second = issue(app, cast), issue(app, cast)
        tab = f"/projects/{cast.acme_project}/license"
        for seconds in (0, 1, 58.999999):
            clock.advance(seconds=seconds)
            ada.get(f"{tab}?key={first.key_id}")
        assert viewed(app) == [(Cast.ada, first.key_id)]
        grace.get(f"{tab}?key={first.key_id}")
        ada.get(f"{tab}?key={second.key_id}")
        assert viewed(app)[1:] == [(Cast.grace, first.key_id), (Cast.ada, second.key_id)]
        clock.advance(seconds=0.000001)
        ada.get(f"{tab}?key={first.key_id}")
        assert viewed(app)[3:] == [(Cast.ada, first.key_id)]

    def test_another_key_that_is_chosen_is_logged(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str
    ) -> None:
        first, second = issue(app, cast), issue(app, cast)
        ada.get(tab)
        answer = ada.client.get(f"{tab}?key={first.key_id}", headers=KEYS)
        assert shown_key(answer)
        assert viewed(app) == [(Cast.ada, second.key_id), (Cast.ada, first.key_id)]

    @pytest.mark.parametrize("target", ["", "section#keys", "div#ttl-preview", "x"])
    def test_whatever_part_of_the_page_is_asked_for_it_is_logged(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str, target: str
    ) -> None:
        license = issue(app, cast)
        assert shown_key(ada.client.get(tab, headers=KEYS | {"HX-Target": target}))
        assert viewed(app) == [(Cast.ada, license.key_id)]

    def test_a_form_that_is_shown_again_with_a_key_is_logged(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast)
        token = form_token(ada.get(tab))
        later(app, clock, minutes=1)
        answer = ada.post(tab, {"ttl": "9y", "form_token": token, "key": license.key_id})
        assert answer.status_code == 422
        assert shown_key(answer)
        assert viewed(app) == [(Cast.ada, license.key_id)] * 2

    def test_where_no_key_is_shown_nothing_is_logged(
        self, app: Flask, cast: Cast, ada: Visitor, audrey: Visitor, clock: Clock
    ) -> None:
        """An auditor; a key that has ended or was revoked; other pages."""
        license, tab = issue(app, cast, ttl=HOUR), f"/projects/{cast.acme_project}/license"
        assert shown_key(audrey.get(tab)) is None
        for page in (f"{tab}/all", "/", f"/projects/{cast.acme_project}", "/audit"):
            assert "rw1." not in ada.get(page).text
        revoke(app, cast, license)
        assert shown_key(ada.get(tab)) is None
        expired = issue(app, cast, ttl=HOUR)
        later(app, clock, hours=1)
        assert shown_key(ada.get(f"{tab}?key={expired.key_id}")) is None
        assert viewed(app) == []


class TestTimers:
    def test_a_refresh_of_what_is_shown_is_not_logged(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast)
        page = ada.get(tab)
        clock.advance(minutes=5)
        issue(app, cast)
        answer = ada.client.get(f"{tab}?key={license.key_id}&seen={seen(page)}", headers=POLL)
        assert shown_key(answer)
        assert viewed(app) == [(Cast.ada, license.key_id)]

    def test_a_key_that_comes_by_a_timer_is_logged(
        self, app: Flask, cast: Cast, grace: Visitor, tab: str
    ) -> None:
        """Grace looks at an empty tab when Ada generates the first key."""
        page = grace.get(tab)
        license = issue(app, cast)
        answer = grace.client.get(f"{tab}?seen={seen(page)}", headers=POLL)
        assert shown_key(answer)
        assert viewed(app) == [(Cast.grace, license.key_id)]

    def test_nobody_reads_keys_unseen_by_saying_that_a_timer_asks(
        self, app: Flask, cast: Cast, grace: Visitor, tab: str
    ) -> None:
        """Somebody with Grace's cookie walks through all keys with the header of the timer."""
        keys = [issue(app, cast).key_id for _ in range(3)]
        for key_id in keys:
            answer = grace.client.get(f"{tab}?key={key_id}", headers={"X-Timer": "1"})
            assert shown_key(answer)
        assert viewed(app) == [(Cast.grace, key_id) for key_id in keys]

    def test_what_was_seen_before_this_sign_in_is_logged_anew(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        license = issue(app, cast)
        ada.get(tab)
        clock.advance(minutes=2)
        ada.post("/logout")
        ada.get("/login")
        ada.sign_in(Cast.ada)
        ada.client.get(tab, headers=POLL)
        assert viewed(app) == [(Cast.ada, license.key_id)] * 2


class TestGenerating:
    @pytest.mark.parametrize("htmx", [True, False])
    def test_is_issued_and_not_viewed(self, app: Flask, ada: Visitor, tab: str, htmx: bool) -> None:
        answer = generate(ada, tab, htmx=htmx)
        page = answer if htmx else ada.get(answer.location)
        assert shown_key(page)
        assert [what for what, _, _ in logged(app)] == ["issued"]

    def test_the_page_after_it_is_the_only_one_that_is_not(
        self, app: Flask, ada: Visitor, tab: str
    ) -> None:
        answer = generate(ada, tab)
        ada.get(answer.location)
        assert shown_key(ada.get(answer.location))
        assert [what for what, _, _ in logged(app)] == ["issued", "viewed"]

    def test_the_page_after_it_is_logged_if_it_comes_late(
        self, app: Flask, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        """Somebody keeps the cookie of that moment, to look at the key unseen ever after."""
        answer = generate(ada, tab)
        clock.advance(minutes=1)
        assert shown_key(ada.get(answer.location))
        assert [what for what, _, _ in logged(app)] == ["issued", "viewed"]

    def test_the_form_sent_again_later_is_viewed(
        self, app: Flask, ada: Visitor, tab: str, clock: Clock
    ) -> None:
        fields = {"ttl": "3h", "form_token": form_token(ada.get(tab))}
        ada.post(tab, fields, htmx=True)
        later(app, clock, minutes=1)
        assert shown_key(ada.post(tab, fields, htmx=True))
        assert [what for what, _, _ in logged(app)] == ["issued", "viewed"]


class TestABusyDatabase:
    @pytest.fixture
    def waits_shortly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.portal.showings.WAIT_MS", 10)

    @pytest.mark.usefixtures("waits_shortly")
    def test_a_key_whose_showing_cannot_be_logged_is_not_shown(
        self, app: Flask, cast: Cast, grace: Visitor, tab: str
    ) -> None:
        """The page is there all the same, and shows the key as soon as it can be logged."""
        license = issue(app, cast)
        with held(app):
            answer = grace.get(tab)
        assert answer.status_code == 200
        assert "rw1." not in answer.text
        assert "This key cannot be shown" in words(answer)
        assert "Try again in a moment." in words(answer)
        assert viewed(app) == []
        answer = grace.client.get(f"{tab}?seen={seen(answer)}", headers=POLL)
        assert shown_key(answer)
        assert viewed(app) == [(Cast.grace, license.key_id)]

    @pytest.mark.usefixtures("waits_shortly")
    def test_what_was_logged_within_the_minute_is_shown(
        self, app: Flask, cast: Cast, ada: Visitor, tab: str
    ) -> None:
        issue(app, cast)
        ada.get(tab)
        with held(app):
            assert shown_key(ada.get(tab))


@contextmanager
def held(app: Flask) -> Iterator[None]:
    """Somebody else is writing, and goes on."""
    file = app.extensions["config"].database_file
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class TestCopying:
    @pytest.fixture
    def report(self, app: Flask, cast: Cast, tab: str) -> str:
        return f"{tab}/{issue(app, cast).key_id}/copied"

    def test_both_buttons_and_the_field_report_it_there(
        self, ada: Visitor, tab: str, report: str
    ) -> None:
        assert ada.get(tab).text.count(f'data-copy-report="{report}"') == 3

    def test_is_logged_once_a_minute(
        self, app: Flask, ada: Visitor, grace: Visitor, report: str, clock: Clock
    ) -> None:
        key_id = report.split("/")[-2]
        for visitor in (ada, ada, grace):
            assert visitor.post(report).status_code == 204
        later(app, clock, minutes=1)
        ada.post(report)
        assert logged(app)[1:] == [
            ("copied", who, key_id) for who in (Cast.ada, Cast.grace, Cast.ada)
        ]

    def test_the_token_goes_in_a_header(self, app: Flask, ada: Visitor, report: str) -> None:
        assert ada.client.post(report).status_code == 400
        assert ada.client.post(report, headers={"X-CSRFToken": ada.csrf_token}).status_code == 204

    def test_is_for_those_who_see_keys_alone(
        self, app: Flask, cast: Cast, ada: Visitor, audrey: Visitor, report: str
    ) -> None:
        visitor = Visitor(app.test_client())
        assert audrey.post(report).status_code == 403
        assert visitor.post(report).status_code == 401
        other = report.replace(f"/{cast.acme_project}/", f"/{cast.bolt_project}/")
        assert ada.post(other).status_code == 404
        assert "copied" not in [what for what, _, _ in logged(app)]
