"""Ids of another organisation, guessed or taken over. Each docstring tells the attack."""

from urllib.parse import parse_qsl

import pytest
from flask import Flask

from app.agents.configuration import configuration_of
from app.extensions import db
from app.models import AuditEvent, FeedEvent
from tests.agents.api_stage import BEA, OTHER_MAC, RealAgent, add_bea, to_the_app
from tests.agents.stage import issue, text_of
from tests.conftest import Cast, Clock, Visitor
from tests.security.stage import PORTAL_LINES, Line, everything_in, path_of, records_of_acme

OF_ACME = ("KEY", "AGENT", "SESSION")
NESTED = [
    line
    for line in PORTAL_LINES
    if line.address.startswith("/projects/") and any(name in line.address for name in OF_ACME)
]


@pytest.fixture
def records(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    """A key, a machine and a session of Acme's, under Bolt's project."""
    return records_of_acme(app, cast) | {"PROJECT": str(cast.bolt_project)}


def test_there_are_nested_addresses() -> None:
    assert len(NESTED) >= 13


@pytest.mark.parametrize("line", NESTED, ids=lambda line: " ".join(line.place))
def test_what_is_acmes_is_not_to_be_found_below_bolts_project(
    app: Flask, ada: Visitor, records: dict[str, str], line: Line
) -> None:
    """An address that was put together of two others, by a slip or so that the audit log names the
    wrong organisation: nothing is done, and nothing of Acme's is told."""
    before = everything_in(app)
    path, form = path_of(line.address, records), dict(parse_qsl(line.body))
    answer = ada.get(path) if line.method == "GET" else ada.post(path, form)
    assert answer.status_code == 404, line
    for told in ("Acme", Cast.carl):
        assert told not in answer.text
    assert everything_in(app) == before


def test_the_key_of_acme_is_not_shown_on_bolts_tab(
    ada: Visitor, records: dict[str, str], cast: Cast
) -> None:
    """The same by the query: `?key=` chooses a key of the tab's own organisation alone."""
    tab = f"/projects/{cast.bolt_project}/license?key={records['KEY']}"
    answer = ada.get(tab)
    assert answer.status_code == 404
    assert "rw1." not in answer.text
    assert ada.get(tab, htmx=True).status_code == 404


def test_a_form_that_has_generated_acmes_key_generates_none_of_bolts(
    app: Flask, cast: Cast, ada: Visitor, grace: Visitor, clock: Clock
) -> None:
    """A form's own token, sent once more to another project, or by another person: whoever sends it
    is not given the key that it has generated before."""
    form = {"ttl": "1h", "form_token": "f" * 43}
    mine = f"/projects/{cast.acme_project}/license"
    assert ada.post(mine, form).status_code == 303
    before = everything_in(app)
    for visitor, tab in ((ada, f"/projects/{cast.bolt_project}/license"), (grace, mine)):
        answer = visitor.post(tab, form)
        assert answer.status_code == 409
        assert "rw1." not in answer.text
    assert everything_in(app) == before


class TestOnTheAgent:
    """Carl works for Acme, Bea for Bolt; Pat has a key of Acme's."""

    @pytest.fixture
    def agents(self, app: Flask, cast: Cast, clock: Clock) -> tuple[RealAgent, RealAgent]:
        """Carl's agent and Bea's, both signed in, each with its organisation's configuration."""
        with app.app_context():
            add_bea(db.session(), cast)
        carl = RealAgent(to_the_app(app.test_client()))
        bea = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        assert (carl.sign_in(cast.carl).status, bea.sign_in(BEA).status) == (201, 201)
        assert carl.ask("PUT", "/configuration", {"of": "Acme"}).status == 204
        assert bea.ask("PUT", "/configuration", {"of": "Bolt"}).status == 204
        return carl, bea

    @pytest.mark.parametrize(
        "path",
        [
            "/configuration?organisation_id=ORG-000456",
            "/configuration?organisation=ORG-000456",
            "/configuration/ORG-000456",
            "/configuration/",
            "/session?session_id=2",
            "/session/2",
        ],
    )
    def test_an_organisation_in_the_address_chooses_none(
        self, agents: tuple[RealAgent, RealAgent], path: str
    ) -> None:
        """Carl asks for Bolt's by its Organisation ID, or by the number of Bea's session."""
        carl, _ = agents
        answer = carl.ask("GET", path)
        if "?" in path:
            assert answer.status == 200
            assert b"Bolt" not in answer.body
        else:
            assert (answer.status, answer.code) == (404, "not_found")

    def test_an_organisation_in_the_body_chooses_none(
        self, app: Flask, cast: Cast, agents: tuple[RealAgent, RealAgent]
    ) -> None:
        """Carl saves a configuration that says that it is Bolt's."""
        carl, bea = agents
        body = {"organisation_id": cast.bolt, "of": "Mallory"}
        assert carl.ask("PUT", "/configuration", body).status == 204
        assert bea.ask("GET", "/configuration").json == {"of": "Bolt"}
        refused = carl.sign_in(cast.carl, organisation_id=cast.bolt)
        assert (refused.status, refused.code) == (422, "invalid_request")
        with app.app_context():
            assert configuration_of(db.session(), cast.bolt) == {"of": "Bolt"}

    def test_a_key_of_acme_opens_acme_alone(
        self, app: Flask, cast: Cast, agents: tuple[RealAgent, RealAgent]
    ) -> None:
        """Pat comes with Acme's key to Bolt's machine, and asks from there for Bolt's."""
        with app.app_context():
            key = text_of(issue(db.session(), cast), app)
        pat = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        refused = pat.sign_in(cast.pat, key)
        assert (refused.status, refused.code) == (403, "machine_registered_elsewhere")
        assert b"Bolt" not in refused.body
        assert pat.sign_in(cast.pat, key, mac_id="00:1A:2B:00:00:02").status == 201
        assert pat.ask("GET", "/configuration").json == {"of": "Acme"}
        saved = pat.ask("PUT", "/configuration", {"of": "Pat"})
        assert (saved.status, saved.code) == (403, "configuration_read_only")
        assert pat.heartbeat().json["organisation"]["organisation_id"] == cast.acme

    def test_what_is_done_at_bolt_is_on_nobody_elses_feed(
        self, app: Flask, cast: Cast, agents: tuple[RealAgent, RealAgent], ada: Visitor
    ) -> None:
        with app.app_context():
            feed = db.session.query(FeedEvent.organisation_id, FeedEvent.actor).all()
            audit = db.session.query(AuditEvent.organisation_id, AuditEvent.actor).all()
        for rows in (feed, audit):
            assert (cast.bolt, BEA) in rows
            assert (cast.acme, BEA) not in rows
            assert (cast.bolt, cast.carl) not in rows
        page = ada.get(f"/projects/{cast.acme_project}/feed").text
        assert Cast.carl in page
        assert BEA not in page
