"""Attacks on My access, requests and approvals. Each docstring tells the attack."""

from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.access.asking import MOST_A_DAY, ask_for_key, withdraw_request
from app.access.issuing import approve_request, issue_under_policy
from app.access.policies import save_policy
from app.access.policy_rules import ALWAYS, Policy
from app.access.request_rules import check_given
from app.accounts.users import create_user, fields_of, find_user
from app.agents.people import change_user
from app.config import Config
from app.core.errors import InvalidInput
from app.core.permissions import Role
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import Request, TemporaryLicense
from tests.agents.stage import HOUR, issue
from tests.conftest import NOW, Cast, Clock, Visitor

NEW_ADDRESS = "pat.novak@example.com"


@pytest.fixture
def config(app: Flask) -> Config:
    config: Config = app.extensions["config"]
    return config


def give_their_address_away(session: Session, cast: Cast, email: str) -> None:
    """Somebody's e-mail changes, and a new developer gets the old one."""
    admin = cast.actor(cast.grace)
    fields = fields_of(find_user(session, email))
    changed = type(fields)(**{**fields.__dict__, "email": NEW_ADDRESS})
    change_user(session, email=email, fields=changed, actor=admin, now=NOW)
    create_user(session, email=email, role=Role.DEVELOPER, password_hash="x", actor=admin, now=NOW)
    session.commit()


def asked_by_pat(session: Session, cast: Cast, config: Config, now: datetime = NOW) -> Request:
    request = ask_for_key(
        session,
        actor=cast.actor(cast.pat),
        config=config,
        organisation_id=cast.acme,
        options=KeyOptions(HOUR),
        now=now,
    )
    session.commit()
    return request


def approved(
    session: Session,
    cast: Cast,
    config: Config,
    request: Request,
    options: KeyOptions | None = None,
) -> TemporaryLicense:
    approve_request(
        session,
        actor=cast.actor(cast.grace),
        config=config,
        request_id=request.id,
        options=options,
        clock=lambda: NOW,
    )
    return session.get_one(TemporaryLicense, request.license_id)


def test_a_key_that_was_asked_for_goes_to_who_asked_and_not_to_who_has_the_address_now(
    session: Session, cast: Cast, config: Config
) -> None:
    """Pat asks, then marries and gets another e-mail; the old one is given to a new developer.
    The approval must not make Pat's key for the newcomer, who would find it under My access."""
    request = asked_by_pat(session, cast, config)
    give_their_address_away(session, cast, cast.pat)
    license = approved(session, cast, config, request)
    assert license.recipient_id == cast.actor(cast.pat).user_id


def test_a_key_that_an_admin_asked_for_goes_to_nobody_else_either(
    session: Session, cast: Cast, config: Config
) -> None:
    """Ada asks for a key for Pat, whose e-mail is somebody else's by the time of the approval."""
    save_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        policy=Policy(approval_above=ALWAYS),
        now=NOW,
    )
    request = issue_under_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        organisation_id=cast.acme,
        options=KeyOptions(HOUR, recipient=cast.pat),
        cut_ttl=True,
        now=NOW,
    )
    session.commit()
    give_their_address_away(session, cast, cast.pat)
    with pytest.raises(InvalidInput, match="and nobody else"):
        approved(session, cast, config, request, KeyOptions(HOUR, recipient=cast.pat))
    license = approved(session, cast, config, request)
    assert license.recipient_id == cast.actor(cast.pat).user_id


def test_a_key_id_of_somebody_else_is_not_told_from_one_that_there_is_not(
    app: Flask, cast: Cast, clock: Clock, pat: Visitor
) -> None:
    """Pat tries Key IDs that were overheard, in small letters, to learn which there are."""
    with app.app_context():
        license = issue(db.session(), cast, options=KeyOptions(HOUR, recipient=cast.dev))
        theirs = license.key_id.lower()
    nobodys = "2222-2222"
    for path in ("copied", "more"):
        answers = [
            pat.post(f"/access/{key_id}/{path}", {"ttl": "1h"}) for key_id in (theirs, nobodys)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        first, second = [
            answer.text.replace(key_id, "KEY")
            for answer, key_id in zip(answers, (theirs, nobodys), strict=True)
        ]
        assert license.key_id not in first
        assert ("KEY" in first) is ("KEY" in second)


def test_the_end_of_waiting_requests_is_no_way_round_their_number(
    session: Session, cast: Cast, config: Config
) -> None:
    """Pat asks and withdraws in a loop: five wait at most, but each is mailed to every super
    admin, sent to every webhook, and stays in the database for good."""
    for _ in range(MOST_A_DAY):
        request = asked_by_pat(session, cast, config)
        actor = cast.actor(cast.pat)
        withdraw_request(session, actor=actor, request_id=request.id, clock=lambda: NOW)
    with pytest.raises(InvalidInput, match="within a day"):
        asked_by_pat(session, cast, config)
    asked_by_pat(session, cast, config, NOW + timedelta(days=1))


def test_the_form_of_somebody_else_is_nobodys_second_one(
    app: Flask, cast: Cast, clock: Clock, pat: Visitor
) -> None:
    """Pat sends the token of another person's form: no answer is theirs, and none is a crash."""
    dev = Visitor(app.test_client())
    dev.sign_in(cast.dev)
    form = {"organisation_id": cast.acme, "ttl": "1h", "form_token": "of-dev"}
    assert [who.post("/access", form).status_code for who in (dev, pat)] == [303, 409]


def test_an_approval_starts_no_key_sooner_than_was_asked_for() -> None:
    """Ada asks for tomorrow's maintenance. Grace wants in tonight, and policy wants two for it."""
    asked = KeyOptions(HOUR, starts_at=NOW + timedelta(days=1))
    for starts_at in (None, NOW, NOW + timedelta(hours=23)):
        with pytest.raises(InvalidInput) as refused:
            check_given(asked, KeyOptions(HOUR, starts_at=starts_at), most=HOUR, length=HOUR)
        assert refused.value.field == "starts_at"


def test_a_sign_in_without_second_factor_becomes_no_super_admins(
    app: Flask, cast: Cast, clock: Clock, pat: Visitor, grace: Visitor
) -> None:
    """A partner's password was stolen, and somebody waits, signed in, for the promotion."""
    with app.app_context():
        session = db.session()
        fields = fields_of(find_user(session, cast.pat))
        changed = type(fields)(**{**fields.__dict__, "role": Role.SUPER_ADMIN})
        change_user(session, email=cast.pat, fields=changed, actor=cast.actor(cast.grace), now=NOW)
        session.commit()
    assert pat.get("/users").status_code == 303
