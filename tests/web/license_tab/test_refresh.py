"""The License tab keeps itself up to date, and says nothing while nothing has changed."""

from flask import Flask
from sqlalchemy import event

from app.extensions import db
from app.models import TemporaryLicense
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.license_tab.stage import (
    HOUR,
    POLL,
    chosen,
    issue,
    later,
    options,
    seen,
    shown_key,
)
from tests.web.pages import words


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
