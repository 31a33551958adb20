"""The policy's page, the card on a project's Overview, and the License tab under a policy."""

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import update

from app.access.policies import policy_of, save_policy
from app.access.policy_rules import UNSET, Policy
from app.accounts.users import find_user
from app.core.permissions import Role
from app.extensions import db
from app.models import AuditEvent, WebSession
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.license_tab.stage import generate, stored

HOUR, DAY = 3600, 86_400
PAGE = "/settings/policy"


@pytest.fixture(autouse=True)
def _still(clock: Clock) -> None:
    """The clock stands at NOW until it is turned."""


@pytest.fixture
def overview(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}"


def kept(app: Flask, organisation_id: str | None = None) -> Policy:
    with app.app_context():
        return policy_of(db.session(), organisation_id)


def set_policy(app: Flask, cast: Cast, policy: Policy, organisation_id: str | None = None) -> None:
    with app.app_context():
        save_policy(
            db.session(),
            actor=cast.actor(cast.grace),
            config=app.extensions["config"],
            policy=policy,
            now=NOW,
            organisation_id=organisation_id,
        )
        db.session.commit()


def words(text: str) -> str:
    return " ".join(unescape(text).split())


def test_a_policy_is_saved_and_shown(app: Flask, ada: Visitor) -> None:
    fields = {"ceiling": "3h", "reason_required": "y", "reason_length": "5", "version": ""}
    fields["partners_may_ask"] = "y"
    assert ada.post(PAGE, fields).headers["Location"] == PAGE
    assert kept(app) == Policy(ceiling=3 * HOUR, reason_required=True, reason_length=5)
    page = ada.get(PAGE).text
    assert "The policy was saved." in page
    assert '<option selected value="3h">3 hrs</option>' in page
    assert "In force: 3 hrs, set by the policy." in page
    [box] = re.findall(r'<input[^>]*id="reason_required"[^>]*>', page)
    assert " checked" in box
    del fields["partners_may_ask"]
    ada.post(PAGE, fields | {"version": "ceiling=3h, reason_required=on, reason_length=5"})
    assert kept(app).partners_may_ask is False


def test_a_length_that_a_command_has_set_is_among_the_choices(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    set_policy(app, cast, Policy(ceiling=4 * HOUR))
    assert '<option selected value="4h">4 hrs</option>' in ada.get(PAGE).text


def test_an_organisations_card_has_as_the_installation_first(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(ceiling=3 * HOUR))
    page = ada.get(overview).text
    assert page.count('<option selected value="">As the installation</option>') == 8
    saved = ada.post(f"{overview}/policy", {"ceiling": "1d", "ticket_required": "on"})
    assert saved.headers["Location"] == overview
    assert kept(app, cast.acme) == Policy(ceiling=DAY, ticket_required=True)
    shown = words(ada.get(overview).text)
    assert "This has no effect. In force: 3 hrs, set by the policy." in shown
    assert "In force: required, set by this organisation's policy." in shown


def test_what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(
    app: Flask, ada: Visitor, overview: str
) -> None:
    for address in (PAGE, f"{overview}/policy"):
        answer = ada.post(address, {"ticket_pattern": "(", "reason_length": "7", "version": ""})
        assert answer.status_code == 422
        assert "no pattern that can be read" in answer.text
        assert 'aria-describedby="ticket_pattern-error' in answer.text
        assert 'value="7"' in answer.text
    assert kept(app) == UNSET


def test_what_somebody_else_has_saved_is_not_overwritten(
    app: Flask, ada: Visitor, cast: Cast
) -> None:
    set_policy(app, cast, Policy(ceiling=HOUR))
    asked = {"ceiling": "1d", "version": "", "partners_may_ask": "y"}
    answer = ada.post(PAGE, asked)
    assert answer.status_code == 409
    assert "Somebody else has changed this policy" in answer.text
    assert '<option selected value="1d">' in answer.text
    assert kept(app) == Policy(ceiling=HOUR)
    assert ada.post(PAGE, asked | {"version": "ceiling=1h"}).status_code == 303
    assert kept(app) == Policy(ceiling=DAY)


def test_saving_asks_for_a_proof_and_the_form_comes_back(
    app: Flask, ada: Visitor, overview: str
) -> None:
    with app.app_context():
        db.session.execute(update(WebSession).values(proven_at=NOW - timedelta(hours=1)))
        db.session.commit()
    for address in (PAGE, f"{overview}/policy"):
        answer = ada.client.post(
            address,
            data={"csrf_token": ada.csrf_token, "ceiling": "3h", "ticket_pattern": ""},
            headers={"Referer": f"http://localhost{overview}"},
        )
        assert "/prove?next=" in answer.headers["Location"]
    assert kept(app) == UNSET
    assert '<option selected value="3h">' in ada.get(overview).text


def test_an_auditor_reads_and_changes_nothing(
    app: Flask, audrey: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(ceiling=3 * HOUR))
    for address in (PAGE, overview):
        page = audrey.get(address).text
        assert "3 hrs</bdi>, set by the policy" in page
        assert "Save policy" not in page
    assert audrey.post(PAGE, {"ceiling": "1d"}).status_code == 403


def test_a_ticket_is_tried_and_nothing_saved(app: Flask, ada: Visitor, overview: str) -> None:
    for address in (PAGE, f"{overview}/policy"):
        for ticket, said in (("OPS-1", "OPS-1 fits."), ("x", "x does not fit.")):
            fields = {"ticket_pattern": "[A-Z]+-[0-9]+", "try_ticket": ticket, "ceiling": "3h"}
            answer = ada.post(f"{address}/try", fields)
            assert answer.status_code == 200
            assert said in words(answer.text)
            assert '<option selected value="3h">' in answer.text
        slow = {"ticket_pattern": "(a|aa)+(a|aa)+(a|aa)+$", "try_ticket": "a" * 63 + "!"}
        refused = ada.post(f"{address}/try", slow)
        assert (refused.status_code, "takes too long" in refused.text) == (422, True)
    assert kept(app) == UNSET


# The License tab


def test_a_policy_cuts_what_the_tab_offers_and_says_so(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(ceiling=4 * HOUR))
    shown = words(ada.post(f"{overview}/license/preview", {"ttl": "1d"}).text)
    assert "(cut to 4 hrs: the policy's ceiling)" in shown
    assert "Tue 24 Nov 2026, 19:40 UTC" in shown
    generate(ada, f"{overview}/license", "1d")
    [license] = stored(app)
    assert license.ttl_seconds == 4 * HOUR
    told = words(ada.get(f"{overview}/license").text)  # the form may be older than the policy
    assert "was generated. It works for 4 hrs, cut to the policy's ceiling." in told


def test_what_a_policy_asks_for_is_refused_beside_its_field(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(reason_required=True, recipient_required=True), cast.acme)
    page = ada.get(f"{overview}/license").text
    assert 'aria-expanded="true"' in page
    assert page.count('aria-required="true"') == 2
    answer = generate(ada, f"{overview}/license", reason="")
    assert answer.status_code == 422
    assert "this organisation&#39;s policy asks for a reason" in answer.text
    assert 'aria-describedby="reason-error' in answer.text
    assert stored(app) == []
    generate(ada, f"{overview}/license", reason="Migration", **{"for": Cast.dev})
    [license] = stored(app)
    assert license.reason == "Migration"


def test_the_longest_use_within_is_the_policys(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(use_within=HOUR))
    page = ada.get(f"{overview}/license").text
    offered = page.partition('id="use_within"')[2].partition("</select>")[0]
    assert "No limit" not in offered
    assert '<option selected value="1h">' in offered
    assert "4h" not in offered
    generate(ada, f"{overview}/license", use_within="")
    [license] = stored(app)
    assert license.use_by == NOW + timedelta(hours=1)
    assert generate(ada, f"{overview}/license", use_within="4h").status_code == 422


def test_extending_shows_the_policys_ceiling(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    generate(ada, f"{overview}/license", "1h")
    set_policy(app, cast, Policy(ceiling=4 * HOUR, reason_required=True), cast.acme)
    [license] = stored(app)
    extend = f"{overview}/license/{license.key_id}/extend"
    page = ada.get(extend).text
    assert "19:40" in page
    assert re.search('aria-required="true"[^>]*id="extend-reason"', page)
    late = ada.post(extend, {"ends": "2026-11-24T20:00", "reason": "More"})
    assert late.status_code == 422
    assert "the ceiling of this organisation&#39;s policy" in late.text
    blank = ada.post(extend, {"ends": "2026-11-24T19:00"})
    assert "asks for a reason" in blank.text


def test_the_audit_log_tells_a_change_in_words(app: Flask, ada: Visitor, cast: Cast) -> None:
    set_policy(app, cast, Policy(ceiling=3 * HOUR), cast.acme)
    page = words(ada.get("/audit").text)
    assert "ceiling=3h" in page
    with app.app_context():
        assert db.session.query(AuditEvent).filter_by(tag="policy.changed").count() == 1


def test_it_is_said_that_nobody_could_approve(
    app: Flask, ada: Visitor, cast: Cast, overview: str
) -> None:
    set_policy(app, cast, Policy(approval_above=HOUR))
    assert "Nobody could approve" not in ada.get(PAGE).text
    with app.app_context():
        grace = find_user(db.session(), cast.grace)
        assert grace
        grace.role = Role.AUDITOR
        db.session.commit()
    for page in (PAGE, overview):
        assert "Nobody could approve" in ada.get(page).text
    set_policy(app, cast, Policy())
    assert "Nobody could approve" not in ada.get(PAGE).text
