"""The audit log's page."""

import re
from datetime import timedelta

import pytest
from flask import Flask

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.extensions import db
from app.models import AuditEvent
from tests.conftest import NOW, Cast, Clock, Visitor


def note(app: Flask, cast: Cast, times: int, **more: object) -> None:
    with app.app_context():
        for number in range(times):
            log_event(
                db.session(),
                AuditTag.LICENSE_ISSUED,
                actor=cast.actor(cast.grace),
                now=NOW + timedelta(seconds=number),
                **{"subject": f"KEY-{number:04}", **more},
            )
        db.session.commit()
        db.session.remove()


def subjects(page: str) -> list[str]:
    return re.findall(r"<bdi>(KEY-\d+)</bdi>", page)


def test_the_log_has_its_heading_and_columns(ada: Visitor) -> None:
    page = ada.get("/audit")
    assert page.status_code == 200
    assert "<title>Audit log · Rolling Window</title>" in page.text
    assert re.search(r"<h1[^>]*>Audit log</h1>", page.text)
    columns = re.findall(r'<th scope="col">([^<]+)</th>', page.text)
    assert columns == ["When", "Who", "What", "Organisation", "Subject", "From"]


def test_an_event_is_told_in_words(app: Flask, cast: Cast, ada: Visitor) -> None:
    note(app, cast, 1, organisation_id=cast.bolt, ttl=10800, expires_at="2026-11-24T18:40:00Z")
    page = ada.get("/audit").text
    assert "Generated a temporary key" in page
    assert "TTL: <bdi>3 hrs</bdi>" in page
    assert 'datetime="2026-11-24T18:40:00Z"' in page
    assert "Bolt &amp; Söhne" in page
    assert "grace@example.com" in page
    assert "203.0.113.7" in page


def test_the_newest_stands_first_fifty_a_page(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    note(app, cast, 120)
    first, second, last = (ada.get(f"/audit?page={number}").text for number in (1, 2, 3))
    assert subjects(first) == [f"KEY-{number:04}" for number in range(119, 69, -1)]
    assert subjects(second) == [f"KEY-{number:04}" for number in range(69, 19, -1)]
    assert subjects(last)[:20] == [f"KEY-{number:04}" for number in range(19, -1, -1)]
    assert "1–50 of 12" in first
    assert 'href="/audit?page=2"' in first


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "9999999999999999999", "2.5", "٢", "%00"])
def test_a_page_that_does_not_exist_is_one_that_does(ada: Visitor, page: str) -> None:
    answer = ada.get(f"/audit?page={page}")
    assert answer.status_code == 200
    assert "Signed in to the portal" in answer.text


def test_what_concerns_one_organisation(app: Flask, cast: Cast, ada: Visitor) -> None:
    note(app, cast, 51, organisation_id=cast.acme)
    note(app, cast, 1, organisation_id=cast.bolt, subject="KEY-9999")
    link = f"/audit?organisation={cast.acme}"
    assert f'href="{link}"' in ada.get("/audit").text
    page = ada.get(link).text
    assert "KEY-9999" not in page
    assert len(subjects(page)) == 50
    assert "Show everything" in page
    assert f"{link}&amp;page=2" in page
    assert len(subjects(ada.get(f"{link}&page=2").text)) == 1


@pytest.mark.parametrize("asked", ["ORG-NOBODY", "%25", "'", "%F0%9F%98%80"])
def test_an_organisation_that_did_nothing_has_an_empty_log(ada: Visitor, asked: str) -> None:
    answer = ada.get(f"/audit?organisation={asked}")
    assert answer.status_code == 200
    assert "Nothing has happened yet" in answer.text


@pytest.mark.parametrize("asked", ["", "%20", "%00", "x" * 5000, "%E2%80%AEgro"])
def test_what_cannot_be_an_organisation_id_filters_nothing(ada: Visitor, asked: str) -> None:
    answer = ada.get(f"/audit?organisation={asked}")
    assert answer.status_code == 200
    assert "Signed in to the portal" in answer.text


def test_an_auditor_reads_it_too(audrey: Visitor) -> None:
    assert audrey.get("/audit").status_code == 200


def test_nobody_writes_it_from_outside(ada: Visitor) -> None:
    for method in ("post", "put", "delete", "patch"):
        assert getattr(ada.client, method)("/audit").status_code == 405


def test_reading_the_log_adds_nothing_to_it(app: Flask, ada: Visitor) -> None:
    def events() -> int:
        with app.app_context():
            count = db.session.query(AuditEvent).count()
            db.session.remove()
        return count

    before = events()
    for path in ("/audit", "/audit?page=2", "/"):
        ada.get(path)
    assert events() == before


def test_of_very_many_events_pages_are_cut_by_their_numbers(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million are not counted, and none is left out or shown twice, from either end."""
    note(app, cast, 220)
    everything = [f"KEY-{number:04}" for number in range(219, -1, -1)]
    monkeypatch.setattr("app.audit.log.MANY", 100)
    seen = [subjects(ada.get(f"/audit?page={number}").text) for number in range(1, 6)]
    assert [subject for page in seen for subject in page] == everything
    back = [subjects(ada.get(f"/audit?page=-{number}").text) for number in range(5, 0, -1)]
    assert [subject for page in back for subject in page] == everything
    assert back[-1][-1] == "KEY-0000"
    assert "Next" not in ada.get("/audit?page=-1").text
    assert subjects(ada.get("/audit?page=999").text) == back[-1]
