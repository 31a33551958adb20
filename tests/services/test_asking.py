"""What partners ask for: withdrawn while it is approved, and for what is there no longer."""

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.asking import ask_for_key, ask_for_more_time, requests_of, withdraw_request
from app.access.issuing import approve_request
from app.access.request_rules import RequestState
from app.config import Config
from app.core.errors import Conflict, NotAllowed
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.licenses.services import revoke_license
from app.models import Project, Request, TemporaryLicense
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Clock
from tests.services.two_at_once import refusal_of_second

HOUR = 3600
pytestmark = [
    pytest.mark.databases("sqlite", "postgres"),
    pytest.mark.usefixtures("clock"),
]


@pytest.fixture
def config(app: Flask) -> Config:
    config: Config = app.extensions["config"]
    return config


def ask(session: Session, cast: Cast, config: Config, organisation_id: str = Cast.acme) -> Request:
    request = ask_for_key(
        session,
        actor=cast.actor(cast.pat),
        config=config,
        organisation_id=organisation_id,
        options=KeyOptions(3 * HOUR),
        now=NOW,
    )
    session.commit()
    return request


def approve(session: Session, cast: Cast, config: Config, request_id: int) -> Request:
    return approve_request(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        request_id=request_id,
        options=None,
        clock=lambda: NOW,
    )


def test_one_key_or_none_if_it_is_withdrawn_while_it_is_approved(
    app: Flask, cast: Cast, config: Config
) -> None:
    """Pat withdraws while Ada's approval is under way: Pat waits for it, and is told."""
    with app.app_context():
        request_id = ask(db.session(), cast, config).id

    def decide(session: Session) -> None:
        approve(session, cast, config, request_id)

    def withdraw(session: Session) -> None:
        actor = cast.actor(cast.pat)
        withdraw_request(session, actor=actor, request_id=request_id, clock=lambda: NOW)

    told = refusal_of_second(app, decide, withdraw)
    assert told.startswith("This request was approved by ada@example.com already.")
    with app.app_context():
        assert db.session.scalar(select(func.count(TemporaryLicense.id))) == 1


def test_for_an_archived_project_it_is_approved_and_for_a_deleted_organisation_refused(
    session: Session, cast: Cast, config: Config
) -> None:
    archived, gone = ask(session, cast, config), ask(session, cast, config, "ORG-GONE")
    project = session.get(Project, cast.acme_project)
    assert project
    project.archived_at = NOW
    session.commit()
    approved = approve(session, cast, config, archived.id)
    assert approved.state == RequestState.APPROVED
    assert approved.license
    assert approved.license.recipient_id == cast.actor(cast.pat).user_id
    with pytest.raises(Conflict, match="Refuse this request"):
        approve(session, cast, config, gone.id)
    assert [one.state for one in requests_of(session, cast.actor(cast.pat).user_id)] == [
        RequestState.WAITING,
        RequestState.APPROVED,
    ]


def test_more_time_with_a_key_that_was_revoked_since_is_refused(
    session: Session, cast: Cast, config: Config, clock: Clock
) -> None:
    license = issue(session, cast, options=KeyOptions(HOUR, recipient=cast.pat))
    request = ask_for_more_time(
        session,
        actor=cast.actor(cast.pat),
        config=config,
        key_id=license.key_id,
        seconds=HOUR,
        reason="",
        clock=clock.now,
    )
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=NOW)
    session.commit()
    with pytest.raises(Conflict):
        approve(session, cast, config, request.id)
    assert request.state == RequestState.WAITING


@pytest.mark.parametrize("who", [Cast.ada, Cast.audrey, Cast.carl])
def test_only_partners_and_developers_ask(
    session: Session, cast: Cast, config: Config, who: str
) -> None:
    with pytest.raises(NotAllowed):
        ask_for_key(
            session,
            actor=cast.actor(who),
            config=config,
            organisation_id=cast.acme,
            options=KeyOptions(HOUR),
            now=NOW,
        )
