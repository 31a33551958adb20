"""Keys that need a second super admin: asked for, approved, refused, lapsed."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.issuing import approve_request, extend_under_policy, issue_under_policy
from app.access.policies import save_policy
from app.access.policy_rules import ALWAYS, Policy
from app.access.request_rules import LAPSES_AFTER, RequestState, read_options
from app.access.requests import (
    count_waiting,
    lapse_requests,
    refuse_request,
    state_of,
    waiting_requests,
)
from app.config import Config
from app.core.clock import rfc3339
from app.core.errors import Conflict, InvalidInput, NotAllowed
from app.extensions import db
from app.licenses.key_records import KeyRecord
from app.licenses.option_rules import KeyOptions
from app.models import AuditEvent, Request, TemporaryLicense
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Clock
from tests.services.two_at_once import refusal_of_second

HOUR, DAY = 3600, 86_400
pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture
def config(app: Flask) -> Config:
    config: Config = app.extensions["config"]
    return config


@pytest.fixture
def session(session: Session, cast: Cast, config: Config) -> Session:
    """Above four hours a second super admin must approve."""
    set_policy(session, cast, config, Policy(approval_above=4 * HOUR))
    return session


def set_policy(session: Session, cast: Cast, config: Config, policy: Policy) -> None:
    save_policy(session, actor=cast.actor(cast.ada), config=config, policy=policy, now=NOW)
    session.commit()


def ask(
    session: Session, cast: Cast, config: Config, *, form_token: str | None = None, **carried: Any
) -> tuple[KeyRecord, str] | Request:
    return issue_under_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        organisation_id=cast.acme,
        options=KeyOptions(**{"ttl": DAY} | carried),
        cut_ttl=True,
        now=NOW,
        form_token=form_token,
    )


def asked(session: Session, cast: Cast, config: Config, **carried: Any) -> Request:
    request = ask(session, cast, config, **carried)
    assert isinstance(request, Request)
    session.commit()
    return request


def approve(
    session: Session,
    cast: Cast,
    config: Config,
    request: Request | int,
    *,
    options: KeyOptions | None = None,
    by: str = Cast.grace,
    now: datetime = NOW,
) -> TemporaryLicense:
    approved = approve_request(
        session,
        actor=cast.actor(by),
        config=config,
        request_id=request if isinstance(request, int) else request.id,
        options=options,
        clock=lambda: now,
    )
    license = session.get(TemporaryLicense, approved.license_id)
    assert license is not None
    return license


def refuse(session: Session, cast: Cast, request: Request, reason: str = "No") -> Request:
    return refuse_request(
        session,
        actor=cast.actor(cast.grace),
        request_id=request.id,
        reason=reason,
        clock=lambda: NOW,
    )


def keys(session: Session) -> int:
    return session.scalar(select(func.count(TemporaryLicense.id))) or 0


def tags(session: Session) -> list[str]:
    query = select(AuditEvent.tag).where(AuditEvent.tag.startswith("request."))
    return list(session.scalars(query.order_by(AuditEvent.id)))


def test_above_the_ttl_a_request_is_made_in_place_of_a_key(
    session: Session, cast: Cast, config: Config
) -> None:
    assert not isinstance(ask(session, cast, config, ttl=3 * HOUR), Request)
    ends_at = NOW + timedelta(hours=4)
    assert not isinstance(ask(session, cast, config, ttl=0, ends_at=ends_at), Request)
    late = ends_at + timedelta(seconds=1)
    assert isinstance(ask(session, cast, config, ttl=0, ends_at=late), Request)
    request = asked(session, cast, config, reason="Migration")
    assert keys(session) == 2
    assert read_options(request.options) == KeyOptions(DAY, reason="Migration")
    assert count_waiting(session, NOW) == 2


def test_always_means_every_key(session: Session, cast: Cast, config: Config) -> None:
    set_policy(session, cast, config, Policy(approval_above=ALWAYS))
    assert isinstance(ask(session, cast, config, ttl=HOUR), Request)


def test_approving_generates_the_key_and_its_time_starts_then(
    session: Session, cast: Cast, config: Config
) -> None:
    request = asked(session, cast, config, reason="Migration", recipient=cast.dev)
    later = NOW + timedelta(hours=2)
    license = approve(session, cast, config, request, now=later)
    assert (license.issued_at, license.starts_at) == (later, later)
    assert license.expires_at == later + timedelta(days=1)
    assert license.issued_by.email == cast.grace
    assert license.reason == "Migration"
    assert license.recipient is not None
    assert request.state == RequestState.APPROVED
    assert tags(session) == ["request.made", "request.approved"]
    assert count_waiting(session, later) == 0


def test_nobody_approves_their_own(session: Session, cast: Cast, config: Config) -> None:
    """Mallory, a super admin, asks for a long key and approves it herself."""
    request = asked(session, cast, config)
    with pytest.raises(NotAllowed, match="another super admin"):
        approve(session, cast, config, request, by=cast.ada)
    assert keys(session) == 0


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.dev, Cast.carl])
def test_only_super_admins_decide(session: Session, cast: Cast, config: Config, who: str) -> None:
    request = asked(session, cast, config)
    with pytest.raises(NotAllowed):
        approve(session, cast, config, request, by=who)
    with pytest.raises(NotAllowed):
        refuse_request(
            session,
            actor=cast.actor(who),
            request_id=request.id,
            reason="No",
            clock=lambda: NOW,
        )


MORE = [
    ({}, {"ttl": 3 * DAY}, "ttl"),
    ({"recipient": Cast.dev}, {"recipient": Cast.pat}, "recipient"),
    ({"recipient": Cast.dev}, {"recipient": ""}, "recipient"),
    ({"sign_ins": 2}, {"sign_ins": 3}, "sign_ins"),
    ({"sign_ins": 2}, {"sign_ins": None}, "sign_ins"),
    ({"use_within": 900}, {"use_within": None}, "use_within"),
    ({"first_machine": True}, {"first_machine": False}, "first_machine"),
]


@pytest.mark.parametrize("case", MORE)
@pytest.mark.databases("sqlite")
def test_no_more_is_given_than_was_asked_for(
    session: Session,
    cast: Cast,
    config: Config,
    case: tuple[dict[str, Any], dict[str, Any], str],
) -> None:
    """Mallory approves Ada's harmless request as a key of her own liking."""
    before, after, field = case
    request = asked(session, cast, config, **before)
    given = KeyOptions(**{"ttl": DAY} | before | after)
    with pytest.raises(InvalidInput) as refused:
        approve(session, cast, config, request, options=given)
    assert refused.value.field == field
    assert keys(session) == 0


def test_less_may_be_given(session: Session, cast: Cast, config: Config) -> None:
    request = asked(session, cast, config)
    less = KeyOptions(HOUR, recipient=cast.dev, sign_ins=1, first_machine=True)
    license = approve(session, cast, config, request, options=less)
    assert (license.ttl_seconds, license.sign_ins_allowed) == (HOUR, 1)


def test_the_policy_of_the_approval_holds(session: Session, cast: Cast, config: Config) -> None:
    request = asked(session, cast, config)
    set_policy(session, cast, config, Policy(approval_above=4 * HOUR, ceiling=6 * HOUR))
    assert approve(session, cast, config, request).ttl_seconds == 6 * HOUR


def test_a_start_that_is_over_means_at_once(session: Session, cast: Cast, config: Config) -> None:
    request = asked(session, cast, config, starts_at=NOW + timedelta(hours=1))
    later = NOW + timedelta(hours=5)
    assert approve(session, cast, config, request, now=later).starts_at == later


def test_refusing_tells_why(session: Session, cast: Cast, config: Config) -> None:
    request = asked(session, cast, config)
    with pytest.raises(InvalidInput, match="Say why"):
        refuse(session, cast, request, " ")
    assert refuse(session, cast, request, "Too long").answer == "Too long"
    with pytest.raises(Conflict, match=r"was refused by grace@example\.com already"):
        approve(session, cast, config, request)
    assert keys(session) == 0


def test_undecided_for_seven_days_it_lapses(session: Session, cast: Cast, config: Config) -> None:
    request = asked(session, cast, config)
    over = NOW + LAPSES_AFTER
    just = over - timedelta(seconds=1)
    assert state_of(request, just) is RequestState.WAITING
    assert lapse_requests(session, now=just) == 0
    assert state_of(request, over) is RequestState.LAPSED
    assert waiting_requests(session, over) == []
    with pytest.raises(Conflict, match="This request has lapsed already"):
        approve(session, cast, config, request, now=over)
    assert lapse_requests(session, now=over) == 1
    assert request.state == RequestState.LAPSED
    assert tags(session) == ["request.made", "request.lapsed"]
    assert lapse_requests(session, now=over) == 0


def test_the_same_form_sent_twice_makes_one_request(
    session: Session, cast: Cast, config: Config
) -> None:
    first = ask(session, cast, config, form_token="a-form")
    assert ask(session, cast, config, form_token="a-form") is first
    with pytest.raises(InvalidInput, match=f"has sent request {first.id} already"):
        ask(session, cast, config, form_token="a-form", sign_ins=1)
    assert count_waiting(session, NOW) == 1


def test_extending_beyond_it_makes_a_request_too(
    session: Session, cast: Cast, config: Config
) -> None:
    license = issue(session, cast, cast.acme, NOW, HOUR)
    late = NOW + timedelta(hours=8)
    request = extend_under_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        key_id=license.key_id,
        ends_at=late,
        reason="More",
        clock=lambda: NOW,
    )
    assert isinstance(request, Request)
    session.commit()
    assert license.expires_at == NOW + timedelta(hours=1)
    with pytest.raises(InvalidInput, match="as it was asked for, or refused"):
        approve(session, cast, config, request, options=KeyOptions(HOUR))
    set_policy(session, cast, config, Policy(ceiling=4 * HOUR))
    with pytest.raises(Conflict, match=r"at most 4 hrs: the policy's ceiling.*Refuse this"):
        approve(session, cast, config, request)
    set_policy(session, cast, config, Policy(approval_above=4 * HOUR))
    assert approve(session, cast, config, request).id == license.id
    assert license.expires_at == late


def test_of_two_admins_at_once_one_decides(app: Flask, cast: Cast, config: Config) -> None:
    """Grace approves while another approval is under way: she waits for it, and is told."""
    with app.app_context():
        set_policy(db.session(), cast, config, Policy(approval_above=ALWAYS))
        request_id = asked(db.session(), cast, config).id

    def decide(session: Session) -> None:
        approve(session, cast, config, request_id)

    told = refusal_of_second(app, decide, decide)
    assert told.startswith("This request was approved by grace@example.com already.")
    with app.app_context():
        assert keys(db.session()) == 1


def test_no_key_is_generated_under_a_policy_of_before(
    app: Flask, cast: Cast, config: Config
) -> None:
    """Grace wants every key approved, and Ada's is half generated: when Grace is told that it is
    saved, Ada's is there already, and not a moment later."""
    policy = Policy(approval_above=ALWAYS)

    def generate(session: Session) -> None:
        ask(session, cast, config, ttl=HOUR)

    def tighten(session: Session) -> None:
        save_policy(session, actor=cast.actor(cast.grace), config=config, policy=policy, now=NOW)

    assert refusal_of_second(app, generate, tighten) == ""


# By command


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=list(arguments))


@pytest.mark.databases("sqlite")
@pytest.mark.usefixtures("clock")
class TestCommands:
    @pytest.fixture(autouse=True)
    def _policy(self, app: Flask, cast: Cast, config: Config) -> None:
        with app.app_context():
            set_policy(db.session(), cast, config, Policy(approval_above=4 * HOUR))

    def ask(self, app: Flask, *more: str) -> int:
        issue = ["licenses", "issue", "--organisation", Cast.acme, "--ttl", "1d", "--as", Cast.ada]
        answer = run(app, *issue, "--json", *more)
        assert answer.exit_code == 0
        assert "Waiting for approval" in answer.stderr
        request_id: int = json.loads(answer.stdout)["request_id"]
        return request_id

    def test_no_key_is_printed_where_one_must_wait(self, app: Flask) -> None:
        issue = ["licenses", "issue", "--organisation", Cast.acme, "--ttl", "1d", "--as", Cast.ada]
        answer = run(app, *issue)
        assert (answer.exit_code, answer.stdout) == (0, "")
        assert "Waiting for approval" in answer.stderr

    def test_list_approve_and_refuse(self, app: Flask) -> None:
        first, second = self.ask(app, "--reason", "Why"), self.ask(app)
        rows = json.loads(run(app, "requests", "list", "--json").stdout)
        assert [row["id"] for row in rows] == [first, second]
        assert (rows[0]["reason"], rows[0]["ttl"], rows[0]["asked_by"]) == ("Why", DAY, Cast.ada)
        assert "Asked by" in run(app, "requests", "list").stdout
        own = run(app, "requests", "approve", str(first), "--as", Cast.ada)
        assert (own.exit_code, "another super admin" in own.stderr) == (1, True)
        approve = ["requests", "approve", str(first), "--as", Cast.grace, "--ttl", "6h"]
        set_policy_by_command = ["policy", "set", "--as", Cast.ada]
        run(app, *set_policy_by_command, "ceiling=5h")
        cut = run(app, *approve)
        assert (cut.exit_code, "at most 5 hrs: the policy's ceiling" in cut.stderr) == (1, True)
        run(app, *set_policy_by_command, "ceiling=")
        given = run(app, *approve)
        assert (given.exit_code, "works until 2026-11-24T21:40:00Z" in given.stdout) == (0, True)
        assert run(app, "requests", "approve", str(first), "--as", Cast.grace).exit_code == 1
        refuse = ["requests", "refuse", str(second), "--as", Cast.grace, "--reason", "No"]
        assert run(app, *refuse).exit_code == 0
        assert run(app, *refuse).exit_code == 1
        assert json.loads(run(app, "requests", "list", "--json").stdout) == []
        with app.app_context():
            [license] = db.session.scalars(select(TemporaryLicense))
            assert license.ttl_seconds == 6 * HOUR

    def test_extending_waits_too(self, app: Flask, cast: Cast) -> None:
        with app.app_context():
            key_id = issue(db.session(), cast, cast.acme, NOW, HOUR).key_id
            db.session.commit()
        ends = rfc3339(NOW + timedelta(hours=8))
        answer = run(app, "licenses", "extend", key_id, "--ends", ends, "--as", Cast.ada)
        assert (answer.exit_code, answer.stdout) == (0, "")
        assert "Waiting for approval" in answer.stderr


def test_the_background_process_lets_them_lapse(
    app: Flask, cast: Cast, config: Config, clock: Clock
) -> None:
    from app.cli.jobs import lapse

    with app.app_context():
        set_policy(db.session(), cast, config, Policy(approval_above=ALWAYS))
        request_id = asked(db.session(), cast, config).id
        clock.advance(days=7)
        lapse(config)
        request = db.session.get(Request, request_id)
        assert request is not None
        assert request.state == RequestState.LAPSED
