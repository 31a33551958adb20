"""The audit log's page."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.log_key import ensure_log_key, read_private_log_key
from app.audit.notes import read_log_key, verify_note
from app.audit.tags import AuditTag
from app.audit.tree import note_events, sign_tree
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
    main = page.text.partition('id="main"')[2].partition("</main>")[0]
    columns = re.findall(r'<th scope="col">([^<]+)</th>', page.text)
    assert columns == ["When", "What happened", "From"]
    assert re.findall(r'<label class="form-label"[^>]*>([^<]+)</label>', main) == [
        *("Person", "Organisation", "Kind", "Key ID", "From", "To")
    ]
    assert '<button type="submit" class="btn btn-primary">Filter</button>' in page.text


def test_an_event_is_told_in_words(app: Flask, cast: Cast, ada: Visitor) -> None:
    note(app, cast, 1, organisation_id=cast.bolt, ttl=10800, expires_at="2026-11-24T18:40:00Z")
    page = ada.get("/audit").text
    told = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "grace@example.com generated a temporary key: KEY-0000 , for Bolt &amp; Söhne" in told
    assert "TTL: <bdi>3 hrs</bdi>" in page
    assert 'datetime="2026-11-24T18:40:00Z"' in page
    assert "Bolt &amp; Söhne" in page
    assert "grace@example.com" in page
    assert "203.0.113.7" in page


def link(page: str, text: str) -> str:
    """Where the link of a page's foot with this text leads."""
    links = re.findall(r'<a class="page-link"\s+href="([^"]+)"[^>]*>(.*?)</a>', page, re.DOTALL)
    bare = {re.sub(r"(?s)<svg.*</svg>", "", words).strip(): address for address, words in links}
    return unescape(bare[text])


def test_the_newest_stands_first_fifty_a_page(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    note(app, cast, 120)
    first = ada.get("/audit").text
    second = ada.get(link(first, "Older")).text
    last = ada.get(link(second, "Older")).text
    assert subjects(first) == [f"KEY-{number:04}" for number in range(119, 69, -1)]
    assert subjects(second) == [f"KEY-{number:04}" for number in range(69, 19, -1)]
    assert subjects(last)[:20] == [f"KEY-{number:04}" for number in range(19, -1, -1)]
    assert "Older" not in last
    assert "Newer" not in first
    assert subjects(ada.get(link(last, "Newer")).text) == subjects(second)


@pytest.mark.parametrize("field", ["before", "after"])
@pytest.mark.parametrize("event", ["0", "-1", "x", "", "9999999999999999999", "2.5", "٢", "%00"])
def test_a_page_that_does_not_exist_is_one_that_does(ada: Visitor, field: str, event: str) -> None:
    answer = ada.get(f"/audit?{field}={event}")
    assert answer.status_code == 200


def test_filters_stay_in_the_address_and_in_the_form(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    note(app, cast, 60, organisation_id=cast.acme)
    address = "/audit?person=grace@example.com&organisation=Acme&kind=license.issued"
    page = ada.get(f"{address}&from=2026-11-24&to=2026-11-24&key=").text
    assert len(subjects(page)) == 50
    older = link(page, "Older")
    for part in ("person=grace", "organisation=Acme", "kind=license.issued", "to=2026-11-24"):
        assert part in older
    assert 'value="grace@example.com"' in page
    assert re.search(r'<option value="license.issued"\s+selected>', page)
    assert len(subjects(ada.get(older).text)) == 10


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("from", "yesterday", "That is no date."),
        ("to", "2026-02-30", "That is no date."),
        ("key", "K7QF", "That is no Key ID."),
        ("person", "x" * 300, "That is too long"),
        ("organisation", "x" * 300, "That is too long"),
    ],
)
def test_a_filter_that_makes_no_sense_is_said_beside_it_and_the_others_are_kept(
    ada: Visitor, field: str, text: str, sentence: str
) -> None:
    answer = ada.get(f"/audit?{field}={text}&kind=license.issued")
    assert answer.status_code == 422
    assert re.search(
        rf'<p class="invalid-feedback mb-0" id="{field}-error">{sentence}', answer.text
    )
    assert f'aria-describedby="{field}-error"' in answer.text
    assert f'value="{text}"' in answer.text
    assert re.search(r'<option value="license.issued"\s+selected>', answer.text)


def test_what_concerns_one_organisation(app: Flask, cast: Cast, ada: Visitor) -> None:
    note(app, cast, 51, organisation_id=cast.acme)
    note(app, cast, 1, organisation_id=cast.bolt, subject="KEY-9999")
    address = f"/audit?organisation={cast.acme}"
    assert f'href="{address}"' in ada.get("/audit").text
    page = ada.get(address).text
    assert "KEY-9999" not in page
    assert len(subjects(page)) == 50
    assert "Show everything" in page


@pytest.mark.parametrize("asked", ["ORG-NOBODY", "%25", "'", "%F0%9F%98%80"])
def test_an_organisation_that_did_nothing_has_an_empty_log(ada: Visitor, asked: str) -> None:
    answer = ada.get(f"/audit?organisation={asked}")
    assert answer.status_code == 200
    assert "No such event" in answer.text


@pytest.mark.parametrize("asked", ["", "%20", "%00", "%E2%80%AEgro"])
def test_what_cannot_be_an_organisation_id_filters_nothing(ada: Visitor, asked: str) -> None:
    answer = ada.get(f"/audit?organisation={asked}")
    assert answer.status_code == 200
    assert "signed in to the portal" in answer.text


def test_nothing_is_exported_before_anything_is_signed(ada: Visitor) -> None:
    assert "Export CSV" not in ada.get("/audit").text
    answer = ada.post("/audit/export.csv")
    assert answer.status_code == 409
    assert "Nothing of the log is signed yet" in answer.text


def sign(app: Flask, folder: Path) -> None:
    with app.app_context():
        session = db.session()
        ensure_log_key(session, instance=folder)
        session.commit()

        @contextmanager
        def writing() -> Iterator[Session]:
            yield session
            session.commit()

        note_events(session, writing=writing, now=NOW)
        sign_tree(session, private_key=read_private_log_key(folder), now=NOW)
        session.commit()


def test_an_export_is_what_the_filters_find_with_proofs_and_is_an_event(
    app: Flask, clock: Clock, cast: Cast, audrey: Visitor, tmp_path: Path
) -> None:
    note(app, cast, 3)
    sign(app, tmp_path)
    page = audrey.get("/audit?kind=license.issued").text
    assert '<input type="hidden" name="kind" value="license.issued">' in page
    answer = audrey.post("/audit/export.jsonl", {"kind": "license.issued"})
    assert answer.status_code == 200
    assert answer.content_type == "application/jsonl; charset=utf-8"
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="audit-log-20261124T154000Z.jsonl"'
    )
    first, *events = [json.loads(line) for line in answer.text.splitlines()]
    assert verify_note(first["checkpoint"], read_log_key(first["log_key"])).size > 3
    assert [event["event"]["key_id"] for event in events] == ["KEY-0000", "KEY-0001", "KEY-0002"]
    assert "exported the audit log" in audrey.get("/audit").text
    table = audrey.post("/audit/export.csv", {"person": cast.grace}).text
    assert len(table.splitlines()) > 3


def test_an_export_of_what_makes_no_sense_is_refused(
    app: Flask, cast: Cast, ada: Visitor, tmp_path: Path
) -> None:
    sign(app, tmp_path)
    assert ada.post("/audit/export.jsonl", {"from": "yesterday"}).status_code == 422
    assert ada.post("/audit/export.xml").status_code == 404
    assert ada.client.post("/audit/export.csv").status_code == 400
    assert ada.post("/audit/export.csv", {"csrf_token": "old"}).status_code == 422


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
    for path in ("/audit", "/audit?before=2", "/"):
        ada.get(path)
    assert events() == before
