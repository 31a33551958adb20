"""Users, their passwords, and their sessions on the portal."""

from datetime import timedelta
from threading import Thread

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import passwords, users, web_sessions
from app.accounts.authentication import Authentication
from app.accounts.users import create_user, find_user
from app.agents.live_sessions import live_sessions_of
from app.agents.people import enable_user, reset_password
from app.core.actor import SYSTEM, Actor
from app.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.core.permissions import Permission, Role
from app.core.tokens import hash_token, new_token
from app.extensions import db
from app.models import AgentSession, AuditEvent, User, WebSession
from app.models.engine import writing
from app.portal.login import PortalUser
from tests.agents.stage import LIMITS
from tests.conftest import NOW, PASSWORD, Cast, authenticated

pytestmark = pytest.mark.databases("sqlite", "postgres")


def make(session: Session, email: str, role: Role = Role.PARTNER, **more: object) -> User:
    return create_user(
        session, email=email, role=role, password_hash="x", actor=SYSTEM, now=NOW, **more
    )


def sign_in(
    session: Session, email: str, password: str = PASSWORD
) -> tuple[Authentication, str | None]:
    who = authenticated(session, email, password)
    token = web_sessions.sign_in_to_portal(session, who=who, now=NOW)
    session.commit()
    return who, token


def last_event(session: Session) -> AuditEvent:
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()


def test_a_user_is_stored_with_a_small_lettered_e_mail(session: Session) -> None:
    user = make(session, "  Ada.Lovelace@Example.COM ")
    assert user.email == "ada.lovelace@example.com"
    assert find_user(session, "ADA.lovelace@example.com") is user


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a@b@c",
        "a b@c",
        "ada@exam\x00ple.com",
        "ada@exam\u202eple.com",
        "ada@exam\u200bple.com",
        "ada\n@example.com",
        "\udcff@example.com",
        "a" * 251 + "@b.c",
    ],
)
def test_what_is_no_e_mail_is_refused(session: Session, email: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(session, email)
    assert refused.value.field == "email"


def test_an_e_mail_of_254_characters_is_taken(session: Session) -> None:
    assert make(session, "a" * 248 + "@b.com").email.startswith("aaa")


def test_an_e_mail_is_given_once_in_whatever_spelling(session: Session, cast: Cast) -> None:
    with pytest.raises(Conflict, match=r"There is already a user ada@example\.com\."):
        make(session, "ADA@example.com ")


def test_a_client_user_belongs_to_an_organisation_and_nobody_else_does(
    session: Session, cast: Cast
) -> None:
    assert make(session, "c@b.c", Role.CLIENT, organisation_id=cast.acme).organisation_id
    for role, organisation_id in (
        (Role.CLIENT, None),
        (Role.CLIENT, "ORG-NOBODY"),
        *((role, cast.acme) for role in Role if role is not Role.CLIENT),
    ):
        with pytest.raises(InvalidInput) as refused:
            make(session, "d@b.c", role, organisation_id=organisation_id)
        assert refused.value.field == "organisation"


def test_making_a_user_is_recorded_without_a_password(session: Session, cast: Cast) -> None:
    make(session, "c@b.c", Role.CLIENT, organisation_id=cast.acme)
    session.commit()
    event = last_event(session)
    assert (event.tag, event.actor, event.subject) == ("user.created", "system", "c@b.c")
    assert (event.organisation_id, event.data) == (cast.acme, {"role": "client"})


def test_users_are_listed_by_e_mail(session: Session, cast: Cast) -> None:
    emails = [user.email for user in users.list_users(session)]
    assert emails == sorted(emails)
    assert len(emails) == 6


def test_a_right_password_gives_a_new_token_each_time_and_only_its_hash_is_stored(
    session: Session, cast: Cast
) -> None:
    (who, first), (_, second) = sign_in(session, cast.ada), sign_in(session, cast.ada)
    assert who.user is find_user(session, cast.ada)
    assert first != second
    stored = list(session.scalars(select(WebSession.token_hash)))
    assert set(stored) == {hash_token(first), hash_token(second)}


def test_a_client_user_gets_no_session(session: Session, cast: Cast) -> None:
    who, token = sign_in(session, cast.carl)
    assert (who.actor, token) == (cast.actor(who.login_id), None)
    assert session.scalar(select(WebSession.id)) is None
    assert last_event(session).data == {"reason": "role"}


def test_a_wrong_password_an_unknown_account_and_a_disabled_user_are_one_outcome(
    session: Session, cast: Cast
) -> None:
    users.disable_user(session, email=cast.grace, actor=cast.actor(cast.ada), now=NOW)
    session.commit()
    for email, password in (
        (cast.ada, "wrong"),
        ("nobody@example.com", PASSWORD),
        (cast.grace, PASSWORD),
    ):
        nobody = Authentication(email, "203.0.113.7")
        assert sign_in(session, email, password) == (nobody, None)
        assert last_event(session).data == {"reason": "wrong"}


def test_an_unknown_account_is_hashed_for_as_well(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time of the answer would tell which accounts there are."""
    hasher, verified = passwords.hasher, []

    class Counting:
        hash = hasher.hash

        def verify(self, *arguments: str) -> bool:
            verified.append(arguments)
            return hasher.verify(*arguments)

    monkeypatch.setattr(passwords, "hasher", Counting())
    for email in (cast.ada, "nobody@example.com"):
        sign_in(session, email, "wrong")
    assert len(verified) == 2
    assert all(stored.startswith("$argon2id$") for stored, _ in verified)


def test_a_hash_that_cannot_be_read_matches_nothing() -> None:
    assert not passwords.password_matches("not a hash", "not a hash")
    assert not passwords.password_matches("", "")


def test_passwords_are_hashed_with_argon2id_and_a_salt() -> None:
    one, other = passwords.hash_password("same"), passwords.hash_password("same")
    assert one.startswith("$argon2id$")
    assert one != other
    assert passwords.password_matches(one, "same")
    assert not passwords.password_matches(one, "Same")


def test_random_passwords_and_tokens_cannot_be_guessed() -> None:
    assert len({passwords.random_password() for _ in range(100)}) == 100
    assert all(len(new_token()) >= 43 for _ in range(10))


def find(session: Session, token: str, **later: float) -> web_sessions.SignedInSession | None:
    return web_sessions.find_web_session(
        session,
        token=token,
        now=NOW + timedelta(**later),
        idle_seconds=1800,
        max_seconds=43200,
    )


def test_a_session_is_found_until_its_idle_limit(session: Session, cast: Cast) -> None:
    _, token = sign_in(session, cast.ada)
    assert find(session, token)
    assert find(session, token, seconds=1799)
    assert find(session, token, seconds=1800) is None
    assert find(session, token, seconds=1801) is None


def test_a_touched_session_is_found_until_its_longest(session: Session, cast: Cast) -> None:
    _, token = sign_in(session, cast.ada)
    own = find(session, token)
    late = NOW + timedelta(seconds=43199)
    web_sessions.touch_web_session(session, session_id=own.id, now=late)
    assert find(session, token, seconds=43199)
    assert find(session, token, seconds=43200) is None


def test_an_ended_session_is_not_touched(session: Session, cast: Cast) -> None:
    _, token = sign_in(session, cast.ada)
    own = find(session, token)
    actor = cast.actor(cast.ada)
    web_sessions.sign_out_of_portal(session, session_id=own.id, actor=actor, now=NOW)
    web_sessions.touch_web_session(session, session_id=own.id, now=NOW + timedelta(hours=1))
    stored = session.get(WebSession, own.id)
    assert stored.last_active_at == stored.ended_at == NOW
    assert find(session, token) is None


def test_a_session_of_a_disabled_user_is_not_found_even_if_it_never_ended(
    session: Session, cast: Cast
) -> None:
    _, token = sign_in(session, cast.ada)
    find_user(session, cast.ada).disabled_at = NOW
    session.flush()
    assert find(session, token) is None


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udcff", "é", "x" * 100_000])
def test_a_made_up_token_finds_nothing(session: Session, cast: Cast, token: str) -> None:
    assert find(session, token) is None


def agent_session(session: Session, cast: Cast, email: str) -> AgentSession:
    own = AgentSession(
        token_hash=hash_token(new_token()),
        user_id=cast.actor(email).user_id,
        organisation_id=cast.acme,
        mac_id="02:00:00:00:00:01",
        address="203.0.113.7",
        started_at=NOW,
        last_heard_at=NOW,
    )
    session.add(own)
    session.flush()
    return own


def test_disabling_ends_every_session_of_that_user_and_of_nobody_else(
    session: Session, cast: Cast
) -> None:
    (_, ada), (_, grace) = sign_in(session, cast.ada), sign_in(session, cast.grace)
    agent_session(session, cast, cast.ada)
    pats = agent_session(session, cast, cast.pat)
    later = NOW + timedelta(minutes=1)
    user = users.disable_user(
        session, email="ADA@example.com", actor=cast.actor(cast.grace), now=later
    )
    session.flush()
    session.expire_all()
    assert user.disabled_at == later
    assert find(session, ada) is None
    assert find(session, grace)
    assert live_sessions_of(session, Cast.acme, later, LIMITS) == [pats]
    assert (last_event(session).tag, last_event(session).subject) == ("user.disabled", cast.ada)


def test_disabling_twice_changes_nothing_the_second_time(session: Session, cast: Cast) -> None:
    actor = cast.actor(cast.grace)
    users.disable_user(session, email=cast.pat, actor=actor, now=NOW)
    count = last_event(session).id
    again = users.disable_user(session, email=cast.pat, actor=actor, now=NOW + timedelta(hours=1))
    assert again.disabled_at == NOW
    assert last_event(session).id == count


def test_a_new_password_works_and_the_old_sessions_and_password_do_not(
    session: Session, cast: Cast
) -> None:
    _, token = sign_in(session, cast.ada)
    reset_password(
        session,
        email=cast.ada,
        password_hash=passwords.hash_password("another one"),
        actor=cast.actor(cast.grace),
        now=NOW,
    )
    session.commit()
    assert find(session, token) is None
    assert sign_in(session, cast.ada)[1] is None
    assert sign_in(session, cast.ada, "another one")[1]


def test_what_is_asked_of_an_unknown_user_is_not_found(session: Session, cast: Cast) -> None:
    who = {"email": "nobody@example.com", "actor": cast.actor(cast.ada), "now": NOW}
    with pytest.raises(NotFound, match=r"There is no user nobody@example\.com\."):
        users.disable_user(session, **who)
    with pytest.raises(NotFound):
        reset_password(session, password_hash="x", **who)


def test_a_disabled_super_admin_is_none(session: Session, cast: Cast) -> None:
    assert users.has_super_admin(session)
    for email in (cast.ada, cast.grace):
        find_user(session, email).disabled_at = NOW
    session.flush()
    assert not users.has_super_admin(session)


def test_an_actor_may_do_what_the_role_carries() -> None:
    Actor(1, "ada@example.com", Role.SUPER_ADMIN, "").must(Permission.ISSUE_LICENSES)
    for role in (Role.AUDITOR, Role.PARTNER, Role.DEVELOPER, Role.CLIENT, None):
        with pytest.raises(NotAllowed):
            Actor(1, "x@example.com", role, "").must(Permission.ISSUE_LICENSES)


def test_nothing_secret_shows_when_a_user_or_an_outcome_is_printed(
    session: Session, cast: Cast
) -> None:
    user = PortalUser(1, "ada@example.com", Role.SUPER_ADMIN, 1, NOW, NOW, NOW, NOW, "the-token")
    assert "the-token" not in repr(user)
    who = authenticated(session, cast.ada)
    assert "argon2" not in repr(who)
    assert PASSWORD not in repr(who)


class TestTheLastSuperAdmin:
    def test_stays_enabled(self, session: Session, cast: Cast) -> None:
        """Nobody could sign in to let anybody in again."""
        actor = cast.actor(cast.ada)
        users.disable_user(session, email=cast.grace, actor=actor, now=NOW)
        with pytest.raises(Conflict, match="the last super admin who can sign in"):
            users.disable_user(session, email=cast.ada, actor=actor, now=NOW)
        assert users.has_super_admin(session)

    def test_two_are_not_disabled_at_once(self, app: Flask, session: Session, cast: Cast) -> None:
        """Ada disables Grace while Grace disables Ada: the second waits, and is told to stop."""
        told: list[str] = []

        def disable_ada() -> None:
            with app.app_context(), writing():
                try:
                    users.disable_user(db.session(), email=cast.ada, actor=SYSTEM, now=NOW)
                    db.session.commit()
                except Conflict as refused:
                    told.append(refused.detail)
                finally:
                    db.session.remove()

        users.disable_user(session, email=cast.grace, actor=SYSTEM, now=NOW)
        thread = Thread(target=disable_ada)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        session.commit()
        thread.join(60)
        assert [words[:33] for words in told] == ["ada@example.com is the last super"]
        assert users.has_super_admin(session)


def test_an_enabled_user_signs_in_again_and_nothing_of_before_goes_on(
    session: Session, cast: Cast
) -> None:
    """A cookie and an agent's token that ended when Pat was disabled must not come back."""
    actor = cast.actor(cast.ada)
    web = make_web_session(session, cast, cast.grace)
    users.disable_user(session, email=cast.grace, actor=actor, now=NOW)
    enabled = enable_user(session, email=cast.grace, actor=actor, now=NOW)
    assert enabled.disabled_at is None
    session.refresh(web)
    assert web.ended_at == NOW
    in_order = select(AuditEvent.tag).order_by(AuditEvent.id)
    events = session.scalars(in_order).all()
    assert events[-2:] == ["user.disabled", "user.enabled"]
    enable_user(session, email=cast.grace, actor=actor, now=NOW)
    assert session.scalars(in_order).all() == events


def make_web_session(session: Session, cast: Cast, email: str) -> WebSession:
    web = WebSession(
        token_hash="0" * 64,
        user_id=cast.actor(email).user_id,
        started_at=NOW,
        last_active_at=NOW,
        proven_at=NOW,
    )
    session.add(web)
    session.flush()
    return web
