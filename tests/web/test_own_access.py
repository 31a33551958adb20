"""A partner sees and copies their keys, asks for others and for more time: "My access"."""

import re

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.access.policy_rules import Policy
from app.core.permissions import Role
from app.extensions import db
from app.models import AuditEvent, Request, TemporaryLicense, User
from tests.conftest import Cast, Clock, Visitor
from tests.web.license_tab.stage import generate, stored
from tests.web.pages import words
from tests.web.test_policy import set_policy

HOUR = 3600
KEY_TEXT = re.compile(r"rw1\.[\w.-]+")


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


def made_for(app: Flask, ada: Visitor, tab: str, email: str, **options: str) -> TemporaryLicense:
    """A key that Ada has generated for somebody, seen as little as one can see it."""
    known = {license.key_id for license in stored(app)}
    assert generate(ada, tab, "3h", **{"for": email} | options).status_code == 303
    [license] = [license for license in stored(app) if license.key_id not in known]
    return license


def events(app: Flask, email: str) -> list[str]:
    with app.app_context():
        query = select(AuditEvent.tag).where(AuditEvent.actor == email).order_by(AuditEvent.id)
        return [tag for tag in db.session.scalars(query) if tag.startswith("license.")]


def asked(app: Flask) -> list[Request]:
    with app.app_context():
        return list(db.session.scalars(select(Request).order_by(Request.id)))


def test_a_key_made_by_name_is_collected_and_the_admin_sees_when(
    app: Flask, cast: Cast, *, clock: Clock, ada: Visitor, pat: Visitor, tab: str
) -> None:
    license = made_for(app, ada, tab, cast.pat, reason="Year-end import")
    admins = words(ada.get(tab))
    hint = "pat@example.com can collect it under My access. This portal sends no mail: tell them."
    assert hint in admins
    assert "Collected Not yet" in admins
    page = pat.get("/access")
    assert page.headers["Cache-Control"] == "no-store"
    assert len(KEY_TEXT.findall(page.text)) == 1
    shown = words(page)
    for text in ("Acme", license.key_id, "Active for 3 hr", "Year-end import", "How to use it"):
        assert text in shown
    assert events(app, cast.pat) == ["license.collected"]
    pat.get("/access")
    clock.advance(minutes=2)
    pat.get("/access")
    pat.post(f"/access/{license.key_id}/copied")
    assert events(app, cast.pat) == ["license.collected", "license.viewed", "license.copied"]
    assert "Collected Tue 24 Nov 2026, 15:40 UTC" in words(ada.get(tab))


def test_a_refresh_by_a_timer_of_what_was_shown_is_no_showing(
    app: Flask, cast: Cast, *, clock: Clock, ada: Visitor, pat: Visitor, tab: str
) -> None:
    made_for(app, ada, tab, cast.pat)
    seen = re.search(r'name="seen" value="(\w+)"', pat.get("/access").text)
    assert seen
    clock.advance(minutes=5)
    timer = {"X-Timer": "1", "HX-Request": "true", "HX-Request-Type": "partial"}
    same = pat.client.get(f"/access?seen={seen[1]}", headers=timer)
    assert same.status_code == 204
    made_for(app, ada, tab, cast.pat)
    new = pat.client.get(f"/access?seen={seen[1]}", headers=timer)
    assert len(KEY_TEXT.findall(new.text)) == 2
    assert events(app, cast.pat) == ["license.collected", "license.collected"]


def test_scheduled_keys_are_shown_and_ended_ones_by_their_key_id_alone(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor, tab: str
) -> None:
    made_for(app, ada, tab, cast.pat, starts="2026-11-25T09:00")
    ended = made_for(app, ada, tab, cast.pat)
    ada.post(f"{tab}/{ended.key_id}/revoke")
    page = pat.get("/access")
    assert len(KEY_TEXT.findall(page.text)) == 1
    assert "Starts 25 Nov 09:00" in words(page)
    assert f"{ended.key_id} Revoked" in words(page)


def test_nobody_sees_what_was_made_for_somebody_else_or_for_all(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor, tab: str
) -> None:
    """Pat, a partner, looks for the key of a developer: in the page, by its address, and by the
    report of a copy, which would tell that there is one, and of whom."""
    theirs = made_for(app, ada, tab, cast.dev)
    generate(ada, tab, "3h")
    page = pat.get(f"/access?more={theirs.key_id}")
    assert not KEY_TEXT.search(page.text)
    for name in ("Acme", cast.acme, theirs.key_id, cast.dev):
        assert name not in page.text
    for path in ("copied", "more"):
        answer = pat.post(f"/access/{theirs.key_id}/{path}", {"ttl": "1h"})
        unknown = pat.post(f"/access/7QF3-3MXP-9T2D/{path}", {"ttl": "1h"})
        assert (answer.status_code, unknown.status_code) == (404, 404)
    assert events(app, cast.pat) == []
    assert asked(app) == []


def test_a_key_whose_collecting_cannot_be_logged_is_not_shown(
    app: Flask, cast: Cast, *, ada: Visitor, pat: Visitor, tab: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_for(app, ada, tab, cast.pat)
    monkeypatch.setattr("app.portal.showings._log", lambda _: False)
    page = pat.get("/access")
    assert not KEY_TEXT.search(page.text)
    assert "the record cannot be written just now" in words(page)


def test_asking_approving_and_collecting(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor, pat: Visitor
) -> None:
    """The time starts when it is approved, and one super admin is enough."""
    set_policy(app, cast, Policy(approval_above=HOUR))
    fields = {"organisation_id": cast.acme, "ttl": "3h", "reason": "Import", "ticket": "OPS-7"}
    assert pat.post("/access", fields).location == "/access"
    page = words(pat.get("/access"))
    assert "Waiting for approval" in page
    assert f"{cast.acme} for 3 hrs" in page
    [request] = asked(app)
    address = f"/requests/{request.id}"
    assert "pat@example.com" in words(ada.get("/requests"))
    clock.advance(minutes=20)
    given = {"ttl": "1h", "reason": "Import", "for": cast.pat, "sign_ins": "1"}
    assert ada.post(f"{address}/approve", given).location == address
    [license] = stored(app)
    assert (license.ttl_seconds, license.issued_at) == (HOUR, clock.now())
    assert license.sign_ins_allowed == 1
    page = pat.get("/access")
    assert len(KEY_TEXT.findall(page.text)) == 1
    assert f"Request {request.id} Approved" in words(page)


def test_what_is_approved_is_for_who_asked_alone(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor
) -> None:
    pat.post("/access", {"organisation_id": cast.acme, "ttl": "3h"})
    address = f"/requests/{asked(app)[0].id}"
    for other in ("", cast.dev):
        answer = ada.post(f"{address}/approve", {"ttl": "3h", "for": other})
        assert answer.status_code == 422
        assert "It was asked for pat@example.com, and nobody else." in answer.text
    assert stored(app) == []


def test_an_unknown_organisation_is_answered_like_any_other(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor
) -> None:
    """Pat tries IDs to find out which organisations there are: only who decides sees it."""
    for organisation_id in (cast.acme, "ORG-999999"):
        answer = pat.post("/access", {"organisation_id": organisation_id, "ttl": "3h"})
        assert (answer.status_code, answer.location) == (303, "/access")
    known, unknown = asked(app)
    page = pat.get("/access").text
    assert "Acme" not in page
    assert page.count("Waiting for approval</span>") == 2
    assert f"Unknown ( {unknown.organisation_id} )" in words(ada.get(f"/requests/{unknown.id}"))
    answer = ada.post(f"/requests/{unknown.id}/approve", {"ttl": "3h", "for": cast.pat})
    assert answer.status_code == 409
    assert "There is no organisation 'ORG-999999'. Refuse this request." in words(answer)
    ada.post(f"/requests/{unknown.id}/refuse", {"reason": "No such client"})
    assert "Refused" in words(pat.get("/access"))
    assert "Why: No such client" in words(pat.get("/access"))
    assert known.state == "waiting"


WRONG = [
    ({"organisation_id": ""}, "Enter the Organisation ID that you were told."),
    ({"organisation_id": "x" * 65}, "The Organisation ID is too long"),
    ({"organisation_id": "a\u202eb"}, "holds a"),
    ({"ttl": "2h"}, "Choose one of the TTL intervals offered"),
    ({"ttl": "x"}, "is not a length of time"),
    ({"starts": "2026-11-24T12:00"}, "This instant is over."),
    ({"starts": "2027-11-24T12:00"}, "at most 30 days ahead"),
    ({"reason": "x" * 501}, "This has 501 characters"),
    ({"reason": "abc\u202e"}, "turns the direction of writing"),
]


@pytest.mark.parametrize(("fields", "sentence"), WRONG)
def test_what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(
    app: Flask, cast: Cast, pat: Visitor, fields: dict[str, str], sentence: str
) -> None:
    right = {"organisation_id": cast.acme, "ttl": "3h", "ticket": "OPS-7"}
    answer = pat.post("/access", right | fields)
    assert answer.status_code == 422
    assert sentence in words(answer)
    assert 'value="OPS-7"' in answer.text
    assert "disclosed is-shown" in answer.text
    assert asked(app) == []


def test_the_policy_asks_for_a_reason_here_too(app: Flask, cast: Cast, pat: Visitor) -> None:
    set_policy(app, cast, Policy(ceiling=HOUR, reason_required=True))
    fields = {"organisation_id": cast.acme, "ttl": "3h"}
    answer = pat.post("/access", fields)
    assert "Say why: the policy asks for a reason." in words(answer)
    assert '<option value="3h">' not in answer.text
    pat.post("/access", fields | {"ttl": "1h", "reason": "Import"})
    assert [request.options["ttl"] for request in asked(app)] == [HOUR]


def test_the_sixth_that_waits_is_refused(app: Flask, cast: Cast, pat: Visitor) -> None:
    fields = {"organisation_id": cast.acme, "ttl": "3h"}
    assert [pat.post("/access", fields).status_code for _ in range(6)] == [303] * 5 + [422]
    assert "5 requests of yours wait already." in words(pat.post("/access", fields))
    first = asked(app)[0].id
    assert pat.post(f"/access/requests/{first}/withdraw").location == "/access"
    assert pat.post("/access", fields).status_code == 303


def test_the_same_form_sent_twice_asks_once(app: Flask, cast: Cast, pat: Visitor) -> None:
    fields = {"organisation_id": cast.acme, "ttl": "3h", "form_token": "abc"}
    for _ in range(2):
        assert pat.post("/access", fields).status_code == 303
    assert len(asked(app)) == 1


def test_what_is_decided_cannot_be_withdrawn_nor_what_is_withdrawn_approved(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor
) -> None:
    fields = {"organisation_id": cast.acme, "ttl": "3h"}
    pat.post("/access", fields)
    pat.post("/access", fields)
    first, second = (request.id for request in asked(app))
    ada.post(f"/requests/{first}/refuse", {"reason": "No"})
    answer = pat.post(f"/access/requests/{first}/withdraw")
    assert answer.status_code == 409
    assert "was refused by ada@example.com already" in words(answer)
    pat.post(f"/access/requests/{second}/withdraw")
    answer = ada.post(f"/requests/{second}/approve", {"ttl": "3h", "for": cast.pat})
    assert answer.status_code == 409
    assert "was withdrawn by pat@example.com already" in words(answer)


def test_nobody_withdraws_for_somebody_else(
    app: Flask, cast: Cast, pat: Visitor, visitor: Visitor
) -> None:
    visitor.sign_in(cast.dev)
    visitor.post("/access", {"organisation_id": cast.acme, "ttl": "3h"})
    request = asked(app)[0]
    assert pat.post(f"/access/requests/{request.id}/withdraw").status_code == 404
    assert asked(app)[0].state == "waiting"
    assert f"Request {request.id}" not in pat.get("/access").text


def test_more_time_is_asked_for_and_the_same_key_goes_on(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor, tab: str
) -> None:
    license = made_for(app, ada, tab, cast.pat)
    page = pat.get(f"/access?more={license.key_id.lower()}")
    assert f"Ask for more time with {license.key_id}" in words(page)
    fields = {"ttl": "1h", "reason": "Not done yet"}
    more = f"/access/{license.key_id}/more"
    assert pat.post(more, fields).location == "/access"
    again = pat.post(more, fields)
    assert again.status_code == 409
    assert "was asked for already" in words(again)
    [request] = asked(app)
    assert "Extends" in words(ada.get(f"/requests/{request.id}"))
    assert ada.post(f"/requests/{request.id}/approve").status_code == 303
    [extended] = stored(app)
    assert (extended.key_id, extended.ttl_seconds) == (license.key_id, 4 * HOUR)
    ada.post(f"{tab}/{license.key_id}/revoke")
    late = pat.post(more, fields)
    assert late.status_code == 409
    assert "has ended. Ask for a new key." in words(late)


def test_more_time_than_the_ceiling_allows_is_refused_at_once(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor, tab: str
) -> None:
    set_policy(app, cast, Policy(ceiling=3 * HOUR))
    license = made_for(app, ada, tab, cast.pat)
    answer = pat.post(f"/access/{license.key_id}/more", {"ttl": "1h"})
    assert answer.status_code == 422
    assert "A key works for at most 3 hrs: the policy's ceiling." in words(answer)
    assert asked(app) == []


def test_where_partners_may_not_ask_nobody_does(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor, tab: str
) -> None:
    set_policy(app, cast, Policy(partners_may_ask=False))
    license = made_for(app, ada, tab, cast.pat)
    page = pat.get(f"/access?more={license.key_id}")
    assert "Nobody asks for keys here" in words(page)
    for button in ("Ask for access", "Ask for more time", "Send request"):
        assert button not in page.text
    fields = {"organisation_id": cast.acme, "ttl": "3h"}
    assert pat.post("/access", fields).status_code == 403
    assert pat.post(f"/access/{license.key_id}/more", fields).status_code == 403
    assert asked(app) == []


def test_an_organisation_that_takes_no_requests_is_answered_like_any_other(
    app: Flask, cast: Cast, ada: Visitor, pat: Visitor
) -> None:
    """Else Pat would learn that there is such an organisation."""
    set_policy(app, cast, Policy(partners_may_ask=False), cast.acme)
    assert pat.post("/access", {"organisation_id": cast.acme, "ttl": "3h"}).status_code == 303
    answer = ada.post(f"/requests/{asked(app)[0].id}/approve", {"ttl": "3h", "for": cast.pat})
    assert answer.status_code == 409
    assert "Partners may not ask for this: this organisation's policy." in words(answer)
    assert stored(app) == []


@pytest.mark.parametrize("change", ["disabled", "client"])
def test_whoever_cannot_use_it_any_more_is_given_no_key(
    app: Flask, cast: Cast, *, ada: Visitor, pat: Visitor, clock: Clock, change: str
) -> None:
    pat.post("/access", {"organisation_id": cast.acme, "ttl": "3h"})
    with app.app_context():
        changed = {"disabled_at": clock.now()}
        if change == "client":
            changed = {"role": Role.CLIENT, "organisation_id": cast.acme}
        db.session.execute(update(User).where(User.email == cast.pat).values(**changed))
        db.session.commit()
    answer = ada.post(f"/requests/{asked(app)[0].id}/approve", {"ttl": "3h", "for": cast.pat})
    assert answer.status_code == 422
    assert stored(app) == []
    assert pat.get("/access").status_code == (303 if change == "disabled" else 403)


def test_an_op_agent_asks_by_an_address(cast: Cast, pat: Visitor) -> None:
    page = pat.get(f"/access?organisation_id={cast.acme}").text
    assert "disclosed is-shown" in page
    assert f'value="{cast.acme}"' in page
