"""The Webhooks page: added, tested, removed, and what was not delivered."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import insert, select, update

from app.extensions import db
from app.models import AuditEvent, Delivery, Notice, Webhook, WebSession
from app.notices import posting, webhooks
from app.notices.deliveries import note_outcome
from app.notices.delivery_rules import Outcome
from app.notices.sealing import LINK, WEBHOOK, unseal
from tests.conftest import NOW, Clock, Visitor

PAGE = "/settings/webhooks"
ADDRESS = "https://hooks.example/portal?team=a"


@pytest.fixture(autouse=True)
def _still(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands at NOW, and the DNS knows no name."""

    def unknown(host: str, *_more: object) -> list[posting.Ip]:
        raise posting.NameNotFound(host)

    monkeypatch.setattr(webhooks, "resolve", unknown)


def added(visitor: Visitor, address: str = ADDRESS, *events: str) -> str:
    """The secret of a new webhook, as the page shows it."""
    page = visitor.post(PAGE, {"address": address, "events": list(events)})
    assert page.status_code == 200, page.text
    assert page.headers["Cache-Control"] == "no-store"
    [secret] = re.findall(r'value="(whsec_[^"]+)"', page.text)
    return unescape(secret)


def secret_key(app: Flask) -> str:
    key: str = app.extensions["config"].secret_key
    return key


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_secret_is_shown_once_and_kept_sealed(app: Flask, ada: Visitor) -> None:
    secret = added(ada, ADDRESS, "key.revoked", "key.generated")
    assert secret not in ada.get(PAGE).text
    with app.app_context():
        webhook = db.session.scalars(select(Webhook)).one()
        assert secret.encode() not in webhook.sealed_secret
        assert unseal(secret_key(app), WEBHOOK, webhook.sealed_secret) == secret
        assert webhook.events == ["key.generated", "key.revoked"]
        event = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.tag, event.subject) == ("webhook.added", ADDRESS)
        assert "whsec_" not in str(event.data)


def test_with_no_event_chosen_it_is_told_of_all(app: Flask, ada: Visitor) -> None:
    added(ada)
    assert "Events All" in words(ada.get(PAGE).text)


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"address": ""}, 422, "Write an address such as https://hooks.example/portal"),
        ({"address": "http://127.0.0.1/"}, 422, "PORTAL_WEBHOOK_PRIVATE=on"),
        ({"address": "http://0x7f.1/"}, 422, "four decimal numbers"),
        ({"address": "https://a:b@hooks.example/"}, 422, "Leave out user name"),
        ({"address": ADDRESS, "events": "key.made"}, 422, "of those that there are"),
        ({"address": "https://there.example/"}, 409, "already"),
    ],
)
def test_what_is_refused_stands_at_its_field(
    ada: Visitor, fields: dict[str, object], status: int, sentence: str
) -> None:
    added(ada, "https://there.example/")
    page = ada.post(PAGE, fields)
    assert (page.status_code, sentence in words(page.text)) == (status, True)
    assert unescape(page.text).count(str(fields["address"])) >= 1


def test_a_name_that_leads_into_the_network_is_refused(
    ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name on the internet may have the address of a machine in the portal's own network."""
    found = [posting.ip_address("8.8.8.8"), posting.ip_address("192.168.0.9")]
    monkeypatch.setattr(webhooks, "resolve", lambda *_given: found)
    page = ada.post(PAGE, {"address": "https://inner.example/"})
    assert page.status_code == 422
    monkeypatch.setattr(webhooks, "resolve", lambda *_given: found[:1])
    added(ada, "https://inner.example/")


def test_a_test_is_put_on_its_way_and_its_answer_shown(app: Flask, ada: Visitor) -> None:
    added(ada)
    page = ada.get(PAGE).text
    [action] = re.findall(r'action="([^"]+/test)"', page)
    assert ada.post(action).status_code == 303
    assert "A test 24 Nov 15:40 UTC Waiting 0 None yet Not yet" in words(ada.get(PAGE).text)
    [seen] = re.findall(r'name="seen" value="([0-9a-f]+)"', ada.get(PAGE).text)
    refresh = f"{PAGE}?seen={seen}"
    assert ada.get(refresh, htmx=True).status_code == 204
    with app.app_context():
        delivery = db.session.scalars(select(Delivery)).one()
        note_outcome(db.session(), delivery.id, Outcome(False, "HTTP 410", final=True), now=NOW)
        db.session.commit()
    part = ada.get(refresh, htmx=True).text
    assert "Add webhook" not in part  # what was typed there stays
    page = words(part)
    assert "Not delivered 1 HTTP 410" in page
    assert f"A test 24 Nov 15:40 UTC {ADDRESS} 1 HTTP 410" in page


def test_removing_it_keeps_the_list_of_what_it_did_not_get(app: Flask, ada: Visitor) -> None:
    added(ada)
    for what in ("test", "remove"):
        [action] = re.findall(rf'action="([^"]+/{what})"', ada.get(PAGE).text)
        assert ada.post(action).status_code == 303
    page = words(ada.get(PAGE).text)
    assert "There is no webhook." in page
    assert f"{ADDRESS} 0 The webhook was removed" in page
    assert ada.post(action).status_code == 404


def test_all_that_was_not_delivered_can_be_read_page_by_page(app: Flask, ada: Visitor) -> None:
    """A mail server was down for a day: everybody who heard nothing is listed, not the last 50."""
    with app.app_context():
        same = {"kind": "key.expired", "happened_at": NOW, "data": {}, "created_at": NOW}
        rows = [
            same | {"message_id": f"msg_{n}", "address": f"p{n}@example.com", "given_up_at": NOW}
            for n in range(60)
        ]
        db.session.execute(insert(Delivery), rows)
        db.session.commit()
    first, second = ada.get(PAGE).text, ada.get(f"{PAGE}?page=2").text
    listed = re.findall(r"p\d+@example.com", first + second)
    assert (len(listed), len(set(listed))) == (60, 60)
    assert f'hx-get="{PAGE}?page=2"' in second
    assert f'href="{PAGE}?page=2"' in first


def test_an_auditor_reads_without_buttons(ada: Visitor, audrey: Visitor) -> None:
    added(ada)
    page = audrey.get(PAGE).text
    assert ADDRESS in unescape(page)
    for button in ("Add webhook", "Send a test", "Remove"):
        assert button in ada.get(PAGE).text
        assert button not in page
    assert audrey.post(PAGE, {"address": "https://b.example/"}).status_code == 403


def test_who_has_left_the_browser_open_is_asked_who_they_are(app: Flask, ada: Visitor) -> None:
    """Somebody at an unlocked screen must not have every event sent to a server of theirs."""
    with app.app_context():
        earlier = NOW - timedelta(minutes=11)
        db.session.execute(update(WebSession).values(proven_at=earlier))
        db.session.commit()
    page = ada.post(PAGE, {"address": ADDRESS})
    assert (page.status_code, page.headers["Location"].startswith("/prove")) == (303, True)
    with app.app_context():
        assert db.session.scalars(select(Webhook)).all() == []


@pytest.mark.parametrize("server", ["", "smtp://mail.example"])
def test_an_invitation_says_whether_it_is_mailed(
    app: Flask, ada: Visitor, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    config = replace(app.extensions["config"], smtp_url=server)
    monkeypatch.setitem(app.extensions, "config", config)
    page = ada.post("/users/invite", {"email": "new@example.com", "role": "auditor"}).text
    assert ("This portal sends no mail" in page) is (server == "")
    assert ("It is mailed to" in page) is (server != "")
    [token] = re.findall(r"/password/([\w-]+)", page)
    with app.app_context():
        invited = Notice.kind == "user.invited"
        notice = db.session.scalars(select(Notice).where(invited)).one()
        assert (notice.sealed and unseal(secret_key(app), LINK, notice.sealed)) == (
            token if server else None
        )


def test_a_browser_is_new_once(app: Flask, cast: object, visitor: Visitor) -> None:
    """Also where the cookie of the sign-in itself is gone; another person has other browsers."""

    def told() -> int:
        with app.app_context():
            new = select(Notice).where(Notice.kind == "portal.new_browser")
            return len(db.session.scalars(new).all())

    for email, browsers in (("ada", 1), ("ada", 1), ("grace", 2), ("ada", 2)):
        visitor.csrf_token = ""
        assert visitor.sign_in(f"{email}@example.com").status_code == 303
        assert told() == browsers
        assert visitor.post("/logout").status_code == 303
    Visitor(app.test_client()).sign_in("ada@example.com")
    assert told() == 3
