"""The Visits tab: who was there under a key, found and exported; one visit, and its record."""

import base64
import csv
import json
import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.agents.live_sessions import end_session
from app.agents.sessions import sign_out
from app.audit.tags import AuditTag
from app.extensions import db
from app.keyformat.signing_keys import kid_of
from app.licenses.keyring import current_kid, make_signing_key
from app.licenses.offline import published_keys
from app.licenses.option_rules import KeyOptions
from app.models import AgentSession, SigningKey
from app.settings.values import Bind
from tests.agents.stage import HOUR, LIMITS, MAC, events, issue, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor, signing_keys
from tests.web.pages import words

AT = NOW + timedelta(seconds=1)
LATER = NOW + timedelta(minutes=9)
REASON = "Börse is down"


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every page finds the cast, and the clock standing at NOW."""


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/visits"


@pytest.fixture
def visits(app: Flask, cast: Cast, clock: Clock) -> list[int]:
    """Pat logged out, Dev was ended, Pat is there; and somebody was at Bolt's."""
    with app.app_context():
        session = db.session()
        options = KeyOptions(HOUR, reason=REASON, ticket="OPS-7")
        key = issue(session, cast, options=options)
        first = signed_in(session, cast.pat, key, hostname="lab-7", now=AT)
        second = signed_in(session, cast.dev, key, now=AT)
        sign_out(session, token=first.token, now=LATER, limits=LIMITS)
        ada = cast.actor(cast.ada)
        number = second.agent_session.id
        end_session(session, actor=ada, session_id=number, now=LATER, limits=LIMITS)
        session.commit()
        third = signed_in(session, cast.pat, key, now=LATER)
        bolt = signed_in(session, cast.pat, issue(session, cast, cast.bolt), now=LATER)
        found = [each.agent_session.id for each in (first, second, third, bolt)]
        session.commit()
    clock.advance(minutes=9.5)
    return found


def rows(answer: TestResponse) -> list[str]:
    assert answer.status_code in (200, 422)
    body = answer.text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [words(row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]


def test_a_row_says_it_all(audrey: Visitor, tab: str, visits: list[int]) -> None:
    page = audrey.get(tab)
    here, ended, out = rows(page)
    for word in (Cast.pat, "Partner", REASON, "OPS-7", "Issued by ada@example.com", "lab-7", MAC):
        assert word in out, word
    for word in ("198.51.100.9", "15:40", "15:49", "Logged out", "Confirmed logged out at 15:49"):
        assert word in out, word
    assert "Developer" in ended
    assert "Ended by a super admin" in ended
    assert "at the latest Signed in" in here
    assert 'aria-label="Timeline of visits"' in page.text
    assert page.text.count('class="timeline-bar"') == 3


def test_nothing_is_there_yet(ada: Visitor, tab: str) -> None:
    page = ada.get(tab)
    assert page.status_code == 200
    assert "No visits yet" in page.text
    assert "Timeline of visits" not in page.text


def test_a_session_without_a_key_is_no_visit(
    app: Flask, cast: Cast, ada: Visitor, tab: str
) -> None:
    with app.app_context():
        signed_in(db.session(), cast.carl)
    assert "No visits yet" in ada.get(tab).text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=borse ops-7", 3),
        ("q=lab-7", 1),
        ("q=198.51.100.9 dev", 1),
        ("q=bolt", 0),
        ("q=100%", 0),
        ("from=2026-11-24&to=2026-11-24", 3),
        ("from=2026-11-25", 0),
        ("to=2026-11-23", 0),
        ("from=2026-11-24T15:45&to=2026-11-24T15:50", 1),
        ("from=2026-11-30&to=2026-11-01", 0),
        ("from=0001-01-01&to=9998-12-30", 3),
    ],
)
def test_visits_are_found(
    ada: Visitor, tab: str, visits: list[int], query: str, found: int
) -> None:
    assert len(rows(ada.get(f"{tab}?{query}"))) == found


def test_a_date_that_is_none_is_told_beside_its_field(
    ada: Visitor, tab: str, visits: list[int]
) -> None:
    page = ada.get(f"{tab}?from=yesterday&before=99999999999")
    assert page.status_code == 422
    assert "That is no date" in page.text
    assert ada.post(f"{tab}/export.csv", {"to": "9999-12-31"}).status_code == 422


def test_pages_lead_to_each_other(
    ada: Visitor, tab: str, visits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.portal.visits.PAGE_SIZE", 2)
    first = ada.get(f"{tab}?q=pat")
    assert len(rows(first)) == 2
    monkeypatch.setattr("app.portal.visits.PAGE_SIZE", 1)
    older = re.search(r'href="([^"]*before=\d+)"', ada.get(tab).text)
    assert older
    second = ada.get(older[1].replace("&amp;", "&"))
    assert Cast.dev in rows(second)[0]
    newer = re.search(r'href="([^"]*after=\d+)"', second.text)
    assert newer
    assert rows(ada.get(newer[1].replace("&amp;", "&"))) == rows(ada.get(tab))


def test_an_export_has_what_is_found_and_is_logged(
    app: Flask, audrey: Visitor, tab: str, visits: list[int]
) -> None:
    listed = audrey.post(f"{tab}/export.json", {"q": "pat"}).json
    assert [row["id"] for row in listed] == [visits[2], visits[0]]
    assert listed[1] == {
        "id": visits[0],
        "organisation_id": Cast.acme,
        "email": Cast.pat,
        "name": None,
        "role": "partner",
        "reason": REASON,
        "ticket": "OPS-7",
        "key_id": listed[1]["key_id"],
        "issued_by": Cast.ada,
        "machine": "lab-7",
        "mac_id": MAC,
        "address": "198.51.100.9",
        "started_at": "2026-11-24T15:40:01Z",
        "ended_at": "2026-11-24T15:49:00Z",
        "ended_by": "signed_out",
        "logout": "confirmed",
        "logout_confirmed_at": "2026-11-24T15:49:00Z",
    }
    assert (listed[0]["machine"], listed[0]["ended_at"], listed[0]["logout"]) == (MAC, None, None)
    answer = audrey.post(f"{tab}/export.csv")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="visits-')
    assert len(list(csv.DictReader(StringIO(answer.text)))) == 3
    assert audrey.post(f"{tab}/export.json", {"q": "nobody"}).json == []
    with app.app_context():
        logged = events(db.session(), AuditTag.VISITS_EXPORTED)
        assert [(event.subject, event.actor) for event in logged] == [
            ("json", Cast.audrey),
            ("csv", Cast.audrey),
            ("json", Cast.audrey),
        ]


def claims_of(answer: TestResponse) -> tuple[dict[str, object], dict[str, object]]:
    header, payload, _ = answer.text.strip().split(".")
    return tuple(  # type: ignore[return-value]
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in (header, payload)
    )


def test_the_record_of_a_visit_that_has_ended(
    app: Flask, audrey: Visitor, tab: str, visits: list[int], clock: Clock
) -> None:
    page = audrey.get(f"{tab}/{visits[0]}")
    assert "Download signed record" in page.text
    answer = audrey.post(f"{tab}/{visits[0]}/record")
    assert answer.content_type == "application/jose"
    header, claims = claims_of(answer)
    with app.app_context():
        kid = current_kid(db.session())
        # Behind a proxy on a socket, of which the settings say nothing, nobody has an address.
        db.session.get_one(AgentSession, visits[1]).address = ""
        db.session.commit()
    assert header == {"alg": "EdDSA", "typ": "visit+jwt", "kid": kid}
    start, end = int(AT.timestamp()), int(LATER.timestamp())
    assert claims == {
        "iss": "http://127.0.0.1:8000",
        "iat": int(clock.instant.timestamp()),
        "jti": claims["jti"],
        "org": Cast.acme,
        "sub": Cast.pat,
        "role": "partner",
        "reason": REASON,
        "ticket": "OPS-7",
        "key_id": claims["key_id"],
        "issued_by": Cast.ada,
        "machine": "lab-7",
        "mac": MAC,
        "address": "198.51.100.9",
        "start": start,
        "end": end,
        "ended_by": "signed_out",
        "logout_confirmed": end,
    }
    clock.advance(minutes=1)
    _, again = claims_of(audrey.post(f"{tab}/{visits[0]}/record"))
    assert again == claims | {"iat": claims["iat"] + 60}
    _, other = claims_of(audrey.post(f"{tab}/{visits[1]}/record"))
    assert other["jti"] != claims["jti"]
    assert (other["ended_by"], other["logout_confirmed"]) == ("ended_by_admin", None)
    assert other["address"] is None


def test_whoever_is_there_has_no_record_yet(ada: Visitor, tab: str, visits: list[int]) -> None:
    page = ada.get(f"{tab}/{visits[2]}")
    assert "Signed in" in page.text
    assert "Download signed record" not in page.text
    answer = ada.post(f"{tab}/{visits[2]}/record")
    assert answer.status_code == 409
    assert "has not ended yet" in answer.text


def test_a_portal_that_nobody_has_named_signs_no_record(
    app: Flask, ada: Visitor, tab: str, visits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say "https://YOUR-NAME" in the portal's name, and prove nothing of whose it is."""
    unnamed = replace(app.extensions["config"], bind=Bind("unix:/run/portal.sock", 0))
    monkeypatch.setitem(app.extensions, "config", unnamed)
    answer = ada.post(f"{tab}/{visits[0]}/record")
    assert (answer.status_code, "PORTAL_PUBLIC_URL" in answer.text) == (409, True)


def test_a_key_that_signed_a_record_stays_in_the_set_until_it_is_retired(
    app: Flask, ada: Visitor, tab: str, visits: list[int], clock: Clock
) -> None:
    ada.post(f"{tab}/{visits[0]}/record")
    with app.app_context():
        session = db.session()
        signed = current_kid(session)
        make_signing_key(session, signing_keys(app), NOW)
        second = current_kid(session)
        make_signing_key(session, signing_keys(app), NOW)
        session.commit()
        years = NOW + timedelta(days=3650)
        published = [kid_of(key) for key in published_keys(session, years)]
        assert published == [current_kid(session), signed]
        assert second not in published
        session.get_one(SigningKey, signed).retired_at = NOW
        session.commit()
        assert signed not in [kid_of(key) for key in published_keys(session, years)]


def test_a_visit_of_another_project_is_not_found_here(
    ada: Visitor, tab: str, visits: list[int]
) -> None:
    """The address of Acme's project with the number of a visit at Bolt's."""
    assert ada.get(f"{tab}/{visits[3]}").status_code == 404
    assert ada.post(f"{tab}/{visits[3]}/record").status_code == 404


def test_what_people_write_stays_text(
    app: Flask, cast: Cast, ada: Visitor, tab: str, clock: Clock
) -> None:
    """A partner's machine is named as a formula, with markup, and with a right-to-left override; so
    is the reason that an admin was talked into."""
    evil = '=HYPERLINK("http://evil.example")<img src=x>\u202egpj.exe'
    with app.app_context():
        key = issue(db.session(), cast, options=KeyOptions(HOUR, reason=evil.replace("\u202e", "")))
        here = signed_in(db.session(), cast.pat, key, hostname=evil)
        sign_out(db.session(), token=here.token, now=AT, limits=LIMITS)
        db.session.commit()
        number = here.agent_session.id
    clock.advance(minutes=1)
    for path in (tab, f"{tab}/{number}"):
        page = ada.get(path).text
        assert "<img src=x>" not in page
        assert re.search(r"<bdi[^>]*>=HYPERLINK", page)
    [row] = csv.DictReader(StringIO(ada.post(f"{tab}/export.csv").text))
    assert row["machine"].startswith("'=")
    assert row["reason"].startswith("'=")


def test_the_switch(app: Flask, ada: Visitor, audrey: Visitor, cast: Cast, tab: str) -> None:
    overview, feed = f"/projects/{cast.acme_project}", f"/projects/{cast.acme_project}/feed"
    page = ada.get(overview).text
    assert 'name="clients_see_visits"' in page
    assert "checked" not in page.partition('name="clients_see_visits"')[0].rpartition("<input")[2]
    assert ">Clients see visits<" in page
    assert 'name="clients_see_visits"' not in audrey.get(overview).text
    assert ">Visit<" not in ada.get(feed).text
    assert audrey.post(f"{tab}/seen", {"clients_see_visits": "y"}).status_code == 403
    for _ in range(2):
        assert ada.post(f"{tab}/seen", {"clients_see_visits": "y"}).location == overview
    with app.app_context():
        key = issue(db.session(), cast, options=KeyOptions(HOUR, reason=REASON))
        here, key_id = signed_in(db.session(), cast.pat, key, now=AT), key.key_id
    lines = words(ada.get(feed).text)
    assert f"Visit: {cast.pat}" in lines
    assert REASON in lines
    assert "until Tue 24 Nov 2026, 16:40:00 UTC" in lines
    assert key_id not in lines
    with app.app_context():
        sign_out(db.session(), token=here.token, now=LATER, limits=LIMITS)
        db.session.commit()
    assert "until Tue 24 Nov 2026, 15:49:00 UTC" in words(ada.get(feed).text)
    assert ada.post(f"{tab}/seen").status_code == 303
    page = ada.get(feed).text
    assert cast.pat not in page
    assert ">Visit<" not in page
    with app.app_context():
        for tag in (AuditTag.VISITS_SHOWN, AuditTag.VISITS_HIDDEN):
            assert [event.actor for event in events(db.session(), tag)] == [cast.ada]
