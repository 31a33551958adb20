"""Revoking a key: asked first, done once, told."""

import re

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.clock import utcnow
from app.core.tokens import hash_token
from app.extensions import db
from app.licenses.queries import state_of
from app.licenses.rules import LicenseState
from app.models import AgentSession, AuditEvent, TemporaryLicense
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import issued, words


@pytest.fixture
def key_id(app: Flask, cast: Cast) -> str:
    """The Key ID of Acme's one key."""
    return issued(app, cast, cast.acme)


@pytest.fixture
def address(tab: str, key_id: str) -> str:
    return f"{tab}/{key_id}/revoke"


def sign_in_on_agent(app: Flask, cast: Cast, key_id: str, email: str, hostname: str = "") -> None:
    with app.app_context():
        license = db.session().scalars(select(TemporaryLicense).filter_by(key_id=key_id)).one()
        db.session.add(
            AgentSession(
                token_hash=hash_token(email + hostname),
                user_id=cast.actor(email).user_id,
                organisation_id=cast.acme,
                temporary_license_id=license.id,
                mac_id="00:1A:2B:3C:4D:5E",
                hostname=hostname,
                address="203.0.113.9",
                started_at=NOW,
                last_heard_at=NOW,
            )
        )
        db.session.commit()


def state(app: Flask, key_id: str) -> LicenseState:
    with app.app_context():
        license = db.session().scalars(select(TemporaryLicense).filter_by(key_id=key_id)).one()
        return state_of(license, utcnow())


def told(app: Flask) -> list[str]:
    with app.app_context():
        return list(
            db.session().scalars(
                select(AuditEvent.subject).where(AuditEvent.tag == "license.revoked")
            )
        )


class TestAsking:
    def test_as_a_page_names_the_key_and_has_the_button(
        self, ada: Visitor, address: str, key_id: str
    ) -> None:
        answer = ada.get(address)
        assert answer.status_code == 200
        assert f"<title>Revoke {key_id} · Rolling Window</title>" in answer.text
        assert len(re.findall("<h1", answer.text)) == 1
        assert re.search(r"<button[^>]*>.*Revoke key</button>", answer.text, re.DOTALL)
        assert "Nobody is signed in under it now." in words(answer)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_by_htmx_it_is_what_goes_into_the_dialog(
        self, ada: Visitor, address: str, key_id: str
    ) -> None:
        answer = ada.get(address, htmx=True)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert f'id="dialog-title">Revoke {key_id}?' in answer.text
        assert ">Revoke key<" in answer.text

    def test_says_who_is_signed_in_under_it_now(
        self, app: Flask, ada: Visitor, cast: Cast, address: str, key_id: str
    ) -> None:
        sign_in_on_agent(app, cast, key_id, cast.pat, "ACME-SRV-01")
        sign_in_on_agent(app, cast, key_id, cast.dev)
        said = words(ada.get(address))
        assert "Signed in now; revoking logs them out: " in said
        assert "pat@example.com on ACME-SRV-01, since 24 Nov 15:40 UTC" in said
        assert "dev@example.com on 00:1A:2B:3C:4D:5E" in said

    def test_changes_nothing(self, app: Flask, ada: Visitor, address: str, key_id: str) -> None:
        ada.get(address)
        assert state(app, key_id) is LicenseState.ACTIVE

    def test_about_an_ended_key_says_so_and_has_no_button(
        self, ada: Visitor, address: str, clock: Clock
    ) -> None:
        clock.advance(minutes=29)
        ada.get(address)
        clock.advance(minutes=29)
        ada.get(address)
        clock.advance(minutes=2)
        answer = ada.get(address)
        assert answer.status_code == 200
        assert "There is nothing to revoke." in words(answer)
        assert ">Revoke key<" not in answer.text


class TestRevoking:
    def test_without_javascript_leads_back_to_the_key(
        self, app: Flask, ada: Visitor, tab: str, address: str, key_id: str
    ) -> None:
        answer = ada.post(address)
        assert answer.status_code == 303
        assert answer.location == f"{tab}?key={key_id}"
        assert state(app, key_id) is LicenseState.REVOKED
        assert told(app) == [key_id]
        page = ada.get(answer.location)
        said = words(page)
        assert f"{key_id} was revoked. Nobody was signed in under it." in said
        assert f"{key_id} · Revoked · 24 Nov 15:40" in said
        assert "Revoked Tue 24 Nov 2026, 15:40 UTC by ada@example.com" in said
        assert "<textarea" not in page.text
        assert address not in page.text

    def test_by_htmx_shows_the_tab_anew_and_empties_the_dialog(
        self, app: Flask, ada: Visitor, address: str, key_id: str
    ) -> None:
        answer = ada.post(address, {"ttl": "6h"}, htmx=True)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert f"{key_id} · Revoked" in words(answer)
        assert f'data-announce="{key_id} was revoked.' in answer.text
        assert '<hx-partial hx-target="#dialog" hx-swap="innerHTML"></hx-partial>' in answer.text
        assert '<option selected value="6h">' in answer.text
        assert "data-focus" in answer.text.partition('id="license-keys"')[2].partition(">")[0]
        assert answer.headers["Cache-Control"] == "no-store"

    def test_counts_the_people_that_it_logs_out(
        self, app: Flask, ada: Visitor, cast: Cast, address: str, key_id: str
    ) -> None:
        sign_in_on_agent(app, cast, key_id, cast.pat, "one")
        sign_in_on_agent(app, cast, key_id, cast.pat, "two")
        sign_in_on_agent(app, cast, key_id, cast.dev)
        assert "2 people are being logged out." in words(ada.post(address, htmx=True))

    @pytest.mark.parametrize("htmx", [False, True])
    def test_twice_changes_nothing_the_second_time_and_says_so(
        self, app: Flask, ada: Visitor, address: str, key_id: str, htmx: bool
    ) -> None:
        ada.post(address, htmx=htmx)
        answer = ada.post(address, htmx=htmx)
        said = words(answer if htmx else ada.get(answer.location))
        assert f"{key_id} had ended already. Nothing was changed." in said
        assert told(app) == [key_id]

    def test_at_its_very_end_changes_nothing(
        self, app: Flask, ada: Visitor, address: str, key_id: str, clock: Clock
    ) -> None:
        clock.advance(minutes=29)
        ada.get(address)
        clock.advance(minutes=29)
        ada.get(address)
        clock.advance(minutes=2)
        ada.post(address)
        assert state(app, key_id) is LicenseState.EXPIRED
        assert told(app) == []

    def test_a_lower_case_key_id_serves_too(
        self, app: Flask, ada: Visitor, tab: str, key_id: str
    ) -> None:
        assert ada.post(f"{tab}/{key_id.lower()}/revoke").status_code == 303
        assert state(app, key_id) is LicenseState.REVOKED

    def test_without_the_csrf_token_is_400(
        self, app: Flask, ada: Visitor, address: str, key_id: str
    ) -> None:
        assert ada.client.post(address).status_code == 400
        assert state(app, key_id) is LicenseState.ACTIVE


@pytest.mark.parametrize("ask", ["get", "post"])
class TestWhoMayNot:
    def test_an_auditor_is_403(
        self, app: Flask, audrey: Visitor, address: str, key_id: str, ask: str
    ) -> None:
        assert getattr(audrey, ask)(address).status_code == 403
        assert state(app, key_id) is LicenseState.ACTIVE

    def test_nobody_is_sent_to_sign_in(
        self, app: Flask, visitor: Visitor, address: str, key_id: str, ask: str
    ) -> None:
        assert getattr(visitor, ask)(address).status_code == (303 if ask == "get" else 401)
        assert state(app, key_id) is LicenseState.ACTIVE

    def test_a_key_of_another_organisations_project_is_404(
        self, app: Flask, ada: Visitor, cast: Cast, key_id: str, ask: str
    ) -> None:
        address = f"/projects/{cast.bolt_project}/license/{key_id}/revoke"
        assert getattr(ada, ask)(address).status_code == 404
        assert state(app, key_id) is LicenseState.ACTIVE

    @pytest.mark.parametrize("key_id", ["K7QF-3MXP", "nonsense", "%00", "💥"])
    def test_a_key_that_is_not_there_is_404(
        self, ada: Visitor, tab: str, key_id: str, ask: str
    ) -> None:
        assert getattr(ada, ask)(f"{tab}/{key_id}/revoke").status_code == 404

    def test_a_project_that_is_not_there_is_404(self, ada: Visitor, key_id: str, ask: str) -> None:
        assert getattr(ada, ask)(f"/projects/999999/license/{key_id}/revoke").status_code == 404
