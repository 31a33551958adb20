"""Signing in on an OP Agent, with real keys: what comes of it, what is recorded and counted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.users import disable_user
from app.agents.sign_in import SignedIn, Throttled
from app.audit.tags import AuditTag
from app.extensions import db
from app.models import AgentSession, Base, SignInFailure
from tests.agents.stage import MAC, events, issue, refusal_of, text_of, try_to_sign_in
from tests.conftest import NOW, PASSWORD, Cast, authenticated

pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.mark.parametrize("login_id", [Cast.pat, Cast.dev, "  PAT@example.com "])
def test_a_partner_and_a_developer_sign_in_with_an_active_key(
    session: Session, cast: Cast, login_id: str
) -> None:
    license = issue(session, cast)
    answer = try_to_sign_in(session, login_id, text_of(license))
    assert isinstance(answer, SignedIn)
    live = answer.agent_session
    assert live.organisation_id == cast.acme
    assert live.temporary_license is license
    assert live.mac_id == MAC
    assert live.started_at == live.last_heard_at == NOW
    assert license.last_used_at == NOW


def test_a_sign_in_is_in_the_audit_log_with_the_key_id(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    try_to_sign_in(session, cast.pat, text_of(license))
    (event,) = events(session, AuditTag.AGENT_SIGNED_IN)
    assert (event.actor, event.address) == (cast.pat, "198.51.100.9")
    assert (event.organisation_id, event.subject) == (cast.acme, MAC)
    assert event.data == {"mac_id": MAC, "key_id": license.key_id}


def test_the_record_of_a_refusal_names_the_key_that_is_known(session: Session, cast: Cast) -> None:
    license = issue(session, cast, now=NOW - timedelta(hours=1))
    text = text_of(license)
    try_to_sign_in(session, cast.pat, text)
    try_to_sign_in(session, cast.pat, text, password="wrong")
    try_to_sign_in(session, cast.carl, text)
    refusals = events(session, AuditTag.AGENT_SIGN_IN_REFUSED)
    assert len(refusals) == 3
    for event in refusals:
        assert (event.data["key_id"], event.organisation_id) == (license.key_id, cast.acme)
        assert event.subject == MAC


@pytest.mark.parametrize("password", ["wrong", "", PASSWORD + " ", "\x00"])
def test_a_wrong_password_with_a_good_key_is_one_answer_with_an_unknown_user(
    session: Session, cast: Cast, password: str
) -> None:
    text = text_of(issue(session, cast))
    wrong = try_to_sign_in(session, cast.pat, text, password=password)
    unknown = try_to_sign_in(session, "nobody@example.com", text)
    disable_user(session, email=cast.dev, actor=cast.actor(cast.ada), now=NOW)
    session.commit()
    disabled = try_to_sign_in(session, cast.dev, text)
    assert wrong == unknown == disabled
    assert refusal_of(wrong).code == "invalid_credentials"


@pytest.mark.parametrize(("seconds", "admitted"), [(-1, True), (0, False), (1, False)])
def test_a_key_admits_until_its_expiry_and_not_at_it(
    session: Session, cast: Cast, seconds: int, admitted: bool
) -> None:
    license = issue(session, cast)
    moment = license.expires_at + timedelta(seconds=seconds)
    answer = try_to_sign_in(session, cast.pat, text_of(license), now=moment)
    if admitted:
        assert isinstance(answer, SignedIn)
    else:
        assert refusal_of(answer).code == "key_expired"
        assert refusal_of(answer).expired_at == license.expires_at


@pytest.mark.parametrize(
    "mangle",
    [
        lambda key: f'  "{key}" ',
        lambda key: f"“{key}”",
        lambda key: "\r\n".join(key[at : at + 30] for at in range(0, len(key), 30)),
        "\u200b".join,
        lambda key: f"\ufeff{key}\n\n",
    ],
    ids=["quoted", "curly", "wrapped", "zero-width", "byte order mark"],
)
def test_what_chat_and_email_do_to_a_key_is_forgiven(
    session: Session, cast: Cast, mangle: Callable[[str], str]
) -> None:
    license = issue(session, cast)
    assert isinstance(try_to_sign_in(session, cast.pat, mangle(text_of(license))), SignedIn)


def test_a_key_of_one_organisation_opens_that_one_and_no_other(
    session: Session, cast: Cast
) -> None:
    license = issue(session, cast, cast.bolt)
    answer = try_to_sign_in(session, cast.pat, text_of(license))
    assert isinstance(answer, SignedIn)
    assert answer.agent_session.organisation_id == cast.bolt


def test_ten_wrong_passwords_and_even_the_right_one_waits(session: Session, cast: Cast) -> None:
    text = text_of(issue(session, cast))
    for _ in range(10):
        assert refusal_of(try_to_sign_in(session, cast.pat, text, password="wrong"))
    answer = try_to_sign_in(session, cast.pat, text)
    assert answer == Throttled(wait_seconds=60)
    assert events(session, AuditTag.AGENT_SIGN_IN_REFUSED)[-1].data["code"] == "throttled"
    elsewhere = try_to_sign_in(session, cast.pat, text, address="192.0.2.44")
    assert isinstance(elsewhere, SignedIn)
    a_minute_later = NOW + timedelta(seconds=60)
    assert isinstance(try_to_sign_in(session, cast.pat, text, now=a_minute_later), SignedIn)


def test_wrong_passwords_on_the_portal_count_on_the_agent_too(session: Session, cast: Cast) -> None:
    for _ in range(10):
        authenticated(session, cast.pat, "wrong", address="198.51.100.9")
        session.commit()
    answer = try_to_sign_in(session, cast.pat, text_of(issue(session, cast)))
    assert isinstance(answer, Throttled)


def test_a_good_password_with_a_bad_key_is_not_counted_as_a_wrong_password(
    session: Session, cast: Cast
) -> None:
    for _ in range(12):
        assert refusal_of(try_to_sign_in(session, cast.pat, "rw1.nonsense")).code == "key_invalid"
    assert session.scalar(select(func.count()).select_from(SignInFailure)) == 0
    assert isinstance(try_to_sign_in(session, cast.pat, text_of(issue(session, cast))), SignedIn)


def test_several_people_and_machines_work_under_one_key(session: Session, cast: Cast) -> None:
    text = text_of(issue(session, cast))
    answers = [
        try_to_sign_in(session, cast.pat, text),
        try_to_sign_in(session, cast.pat, text, mac_id="02:00:00:00:00:07"),
        try_to_sign_in(session, cast.dev, text),
    ]
    assert len({answer.token for answer in answers if isinstance(answer, SignedIn)}) == 3


def test_four_sign_ins_at_once_all_succeed_and_none_is_lost(app: Flask, cast: Cast) -> None:
    with app.app_context():
        text = text_of(issue(db.session(), cast))

    def one(number: int) -> str:
        with app.app_context():
            answer = try_to_sign_in(
                db.session(), cast.pat, text, mac_id=f"02:00:00:00:00:0{number}"
            )
            assert isinstance(answer, SignedIn)
            return answer.token

    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(one, range(4)))
    with app.app_context():
        assert len(set(tokens)) == 4
        assert db.session.scalar(select(func.count()).select_from(AgentSession)) == 4
        assert len(events(db.session(), AuditTag.AGENT_SIGNED_IN)) == 4


def test_nothing_in_the_database_holds_a_token_a_password_or_a_key(
    session: Session, cast: Cast
) -> None:
    text = text_of(issue(session, cast))
    answer = try_to_sign_in(session, cast.pat, text)
    assert isinstance(answer, SignedIn)
    try_to_sign_in(session, cast.carl, text)
    try_to_sign_in(session, cast.pat, text, password="a wrong secret")
    dump = "\n".join(
        str(row) for table in Base.metadata.sorted_tables for row in session.execute(table.select())
    )
    assert cast.pat in dump
    for secret in (answer.token, PASSWORD, "a wrong secret", text, text.split(".")[-1]):
        assert secret not in dump
    assert answer.token not in repr(answer)
