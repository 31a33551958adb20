"""Changing users, one-time links, and what ends with a change."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import browsers, users, web_sessions
from app.accounts.finding import find_users, read_user_search
from app.accounts.links import LINK_LIFE, make_link, user_of_link
from app.accounts.users import NO_PASSWORD, create_user, fields_of, find_user, lock_by_email
from app.agents import people
from app.agents.live_sessions import live_sessions_of
from app.core.actor import SYSTEM, Actor
from app.core.errors import Conflict, Gone, InvalidInput, NotAllowed, NotFound, PortalError
from app.core.permissions import Role
from app.extensions import db
from app.licenses.queries import find_license, has_ended
from app.models import AgentSession, AuditEvent, OneTimeLink, User, UserState, WebSession
from app.models.engine import writing
from tests.agents.stage import HOUR, LIMITS, issue
from tests.conftest import NOW, Cast, authenticated
from tests.services.test_accounts import agent_session, find, last_event, sign_in

pytestmark = pytest.mark.databases("sqlite", "postgres")
LATER = NOW + timedelta(minutes=1)


def change(session: Session, cast: Cast, who: str, by: str = Cast.grace, **new: object) -> User:
    fields = fields_of(find_user(session, who))
    wanted = users.UserFields(**{**fields.__dict__, **new})
    return people.change_user(session, email=who, fields=wanted, actor=cast.actor(by), now=LATER)


def tags(session: Session, count: int) -> list[str]:
    query = select(AuditEvent.tag).order_by(AuditEvent.id.desc()).limit(count)
    return list(session.scalars(query))[::-1]


class TestChanging:
    def test_everything_of_a_user_is_changed_and_logged(self, session: Session, cast: Cast) -> None:
        new = {"email": "Pat.New@Example.com", "name": "  Pat  Novak ", "role": Role.CLIENT}
        user = change(session, cast, cast.pat, organisation_id=cast.bolt, **new)
        assert fields_of(user) == users.UserFields(
            "pat.new@example.com", "Pat Novak", Role.CLIENT, cast.bolt
        )
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).fetchmany(2)
        role, changed = events
        assert (role.tag, role.data) == (
            "user.role_changed",
            {"role_before": "partner", "role": "client"},
        )
        assert (changed.tag, changed.subject, changed.organisation_id) == (
            "user.updated",
            "pat.new@example.com",
            cast.bolt,
        )
        assert changed.data == {
            "changed": "e-mail, name, organisation",
            "email_before": cast.pat,
        }

    def test_nothing_new_logs_nothing(self, session: Session, cast: Cast) -> None:
        make_link(session, user=find_user(session, cast.pat), actor=cast.actor(cast.ada), now=NOW)
        before = last_event(session).id
        change(session, cast, cast.pat)
        assert last_event(session).id == before

    @pytest.mark.parametrize(
        ("new", "field"),
        [
            ({"email": "no e-mail"}, "email"),
            ({"name": "x" * 101}, "name"),
            ({"name": "Pat\x00"}, "name"),
            ({"name": "Pat\u202e"}, "name"),
            ({"role": Role.CLIENT}, "organisation"),
            ({"organisation_id": Cast.acme}, "organisation"),
            ({"role": Role.CLIENT, "organisation_id": "ORG-NOBODY"}, "organisation"),
        ],
    )
    def test_what_makes_no_sense_is_refused_at_its_field(
        self, session: Session, cast: Cast, new: dict[str, object], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            change(session, cast, cast.pat, **new)
        assert refused.value.field == field

    def test_somebody_elses_e_mail_is_taken(self, session: Session, cast: Cast) -> None:
        with pytest.raises(InvalidInput, match=r"There is already a user ada@example\.com\."):
            change(session, cast, cast.pat, email="ADA@example.com")

    @pytest.mark.parametrize("by", [Cast.audrey, Cast.pat, Cast.carl])
    def test_only_a_super_admin_changes_users(self, session: Session, cast: Cast, by: str) -> None:
        """Pat has found the service behind the page and asks it for a better role."""
        actor = cast.actor(by)
        fields = users.UserFields(cast.pat, "", Role.SUPER_ADMIN, None)
        who = {"email": cast.pat, "actor": actor, "now": NOW}
        with pytest.raises(NotAllowed):
            people.change_user(session, fields=fields, **who)
        with pytest.raises(NotAllowed):
            people.disable_and_revoke(session, **who)
        with pytest.raises(NotAllowed):
            people.sign_out_everywhere(session, **who)
        with pytest.raises(NotAllowed):
            make_link(session, user=find_user(session, cast.ada), actor=actor, now=NOW)
        assert find_user(session, cast.pat).role is Role.PARTNER

    def test_nobody_changes_their_own_role(self, session: Session, cast: Cast) -> None:
        with pytest.raises(InvalidInput, match="Nobody changes their own role") as refused:
            change(session, cast, cast.ada, by=cast.ada, role=Role.AUDITOR)
        assert refused.value.field == "role"
        assert change(session, cast, cast.ada, by=cast.ada, name="Ada").name == "Ada"

    def test_the_last_super_admin_is_not_demoted(self, session: Session, cast: Cast) -> None:
        """Not by another one who is disabled, nor by one who was only invited."""
        change(session, cast, cast.ada, role=Role.AUDITOR)
        invited = create_user(
            session,
            email="new@example.com",
            role=Role.SUPER_ADMIN,
            password_hash=NO_PASSWORD,
            actor=SYSTEM,
            now=NOW,
        )
        actor = Actor(invited.id, invited.email, invited.role, "")
        fields = users.UserFields(cast.grace, "", Role.PARTNER, None)
        with pytest.raises(Conflict, match="is the last super admin who can sign in"):
            people.change_user(session, email=cast.grace, fields=fields, actor=actor, now=NOW)
        assert users.is_last_super_admin(session, find_user(session, cast.grace))

    def test_another_role_ends_sessions_where_it_does_not_work(
        self, session: Session, cast: Cast
    ) -> None:
        _, token = sign_in(session, cast.ada)
        change(session, cast, cast.ada, role=Role.AUDITOR)
        assert find(session, token, minutes=2).role is Role.AUDITOR
        change(session, cast, cast.ada, role=Role.PARTNER)
        assert find(session, token, minutes=2) is None

    @pytest.mark.parametrize(
        "new", [{"role": Role.PARTNER, "organisation_id": None}, {"organisation_id": Cast.bolt}]
    )
    def test_another_role_or_organisation_ends_sessions_on_agents(
        self, session: Session, cast: Cast, new: dict[str, object]
    ) -> None:
        """Carl is moved to a competitor, and his machine at Acme goes on showing Acme's data."""
        agent_session(session, cast, cast.carl)
        change(session, cast, cast.carl, name="Carl")
        assert session.scalar(select(AgentSession.ended_at)) is None
        change(session, cast, cast.carl, **new)
        session.expire_all()
        assert session.scalar(select(AgentSession.ended_at)) == LATER


class TestDisabling:
    def test_what_they_issued_is_revoked_if_asked(self, session: Session, cast: Cast) -> None:
        """Ada leaves on bad terms; the keys that she has handed out are not to outlive her."""
        old = issue(session, cast, cast.acme, NOW - timedelta(hours=2), HOUR).key_id
        own = [issue(session, cast, org, NOW, HOUR).key_id for org in (cast.acme, cast.bolt)]
        who = {"email": cast.ada, "actor": cast.actor(cast.grace), "now": LATER}
        user, revoked = people.disable_and_revoke(session, **who)
        assert (user.state, revoked) == (UserState.DISABLED, 2)
        assert all(find_license(session, key_id).revoked_at == LATER for key_id in own)
        assert find_license(session, old).revoked_at is None
        assert tags(session, 3) == ["user.disabled", "license.revoked", "license.revoked"]
        assert people.disable_and_revoke(session, **who)[1] == 0

    def test_without_asking_keys_go_on(self, session: Session, cast: Cast) -> None:
        key_id = issue(session, cast, cast.acme, NOW, HOUR).key_id
        users.disable_user(session, email=cast.ada, actor=cast.actor(cast.grace), now=LATER)
        assert not has_ended(find_license(session, key_id), LATER)

    def test_two_at_once_leave_one_super_admin(self, app: Flask, cast: Cast) -> None:
        """Ada and Grace quarrel, and each disables the other in the same instant."""
        both, outcomes = Barrier(2), []

        def disable(email: str, by: str) -> None:
            with app.app_context(), writing():
                both.wait()
                try:
                    actor = cast.actor(by)
                    people.disable_and_revoke(db.session(), email=email, actor=actor, now=NOW)
                    db.session.commit()
                    outcomes.append("done")
                except Conflict:
                    db.session.rollback()
                    outcomes.append("refused")

        pairs = ((cast.ada, cast.grace), (cast.grace, cast.ada))
        threads = [Thread(target=disable, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["done", "refused"]
        with app.app_context():
            assert users.has_super_admin(db.session())
            db.session.remove()


class TestLinks:
    @pytest.fixture
    def token(self, session: Session, cast: Cast) -> str:
        user = lock_by_email(session, cast.pat)
        token = make_link(session, user=user, actor=cast.actor(cast.ada), now=NOW)
        session.commit()
        return token

    def use(self, session: Session, token: str, now: object = LATER) -> User:
        return people.set_password_by_link(
            session, token=token, password_hash="new", address="203.0.113.9", now=now
        )

    def refusal(self, session: Session, token: str, now: object = LATER) -> type[PortalError]:
        with pytest.raises(PortalError) as refused:
            self.use(session, token, now)
        return type(refused.value)

    def test_it_is_stored_hashed_and_logged_without_its_token(
        self, session: Session, cast: Cast, token: str
    ) -> None:
        stored = session.scalars(select(OneTimeLink)).one()
        assert token not in str(vars(stored))
        event = last_event(session)
        assert (event.tag, event.actor, event.subject) == (
            "user.password_link_made",
            cast.ada,
            cast.pat,
        )
        assert token not in str(vars(event))
        assert stored.expires_at == NOW + timedelta(hours=72)

    def test_it_sets_the_password_once_and_ends_every_session(
        self, session: Session, cast: Cast, token: str
    ) -> None:
        own = agent_session(session, cast, cast.pat)
        assert user_of_link(session, token=token, now=NOW).email == cast.pat
        user = self.use(session, token)
        session.flush()
        session.expire_all()
        assert (user.email, user.password_hash) == (cast.pat, "new")
        assert own.ended_at == LATER
        event = last_event(session)
        assert (event.tag, event.actor, event.address) == (
            "user.password_set",
            cast.pat,
            "203.0.113.9",
        )
        assert self.refusal(session, token) is Gone

    def test_it_lapses_after_72_hours_to_the_second(
        self, session: Session, cast: Cast, token: str
    ) -> None:
        end = NOW + LINK_LIFE
        assert self.refusal(session, token, end) is Gone
        assert self.refusal(session, token, end + timedelta(seconds=1)) is Gone
        assert self.use(session, token, end - timedelta(seconds=1))

    @pytest.mark.parametrize("token", ["", "x", "\x00", "\udcff", "x" * 10_000])
    def test_a_guessed_one_is_not_found(self, session: Session, cast: Cast, token: str) -> None:
        assert self.refusal(session, token) is NotFound

    def test_the_next_one_replaces_it(self, session: Session, cast: Cast, token: str) -> None:
        user = lock_by_email(session, cast.pat)
        second = make_link(session, user=user, actor=cast.actor(cast.ada), now=NOW)
        assert self.refusal(session, token) is Gone
        assert self.use(session, second)

    def test_with_another_e_mail_it_ends(self, session: Session, cast: Cast, token: str) -> None:
        """The invitation went to a mistyped address, whose owner keeps it."""
        change(session, cast, cast.pat, email="pat.right@example.com")
        assert self.refusal(session, token) is Gone

    def test_of_a_user_disabled_meanwhile_it_is_dead_for_good(
        self, session: Session, cast: Cast, token: str
    ) -> None:
        actor = cast.actor(cast.ada)
        users.disable_user(session, email=cast.pat, actor=actor, now=LATER)
        assert self.refusal(session, token) is Gone
        with pytest.raises(Conflict):
            make_link(session, user=lock_by_email(session, cast.pat), actor=actor, now=LATER)
        people.enable_user(session, email=cast.pat, actor=actor, now=LATER)
        assert self.refusal(session, token) is Gone

    def test_used_twice_at_once_it_works_once(self, app: Flask, cast: Cast, token: str) -> None:
        """Mallory has read Pat's mail and is as quick as Pat."""
        both, outcomes = Barrier(2), []

        def use(password_hash: str) -> None:
            with app.app_context(), writing():
                both.wait()
                try:
                    people.set_password_by_link(
                        db.session(),
                        token=token,
                        password_hash=password_hash,
                        address="",
                        now=LATER,
                    )
                    db.session.commit()
                    outcomes.append(password_hash)
                except Gone:
                    db.session.rollback()

        threads = [Thread(target=use, args=(name,)) for name in ("pat", "mallory")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with app.app_context():
            assert [find_user(db.session(), cast.pat).password_hash] == outcomes
            db.session.remove()

    def test_an_invited_user_cannot_sign_in_before(self, session: Session, cast: Cast) -> None:
        user = create_user(
            session,
            email="new@example.com",
            role=Role.AUDITOR,
            password_hash=NO_PASSWORD,
            actor=SYSTEM,
            now=NOW,
        )
        session.commit()
        assert (user.state, last_event(session).tag) == (UserState.INVITED, "user.invited")
        for password in ("", "x", NO_PASSWORD):
            assert authenticated(session, "new@example.com", password).user is None


class TestBrowsers:
    def live(self, session: Session, cast: Cast) -> list[WebSession]:
        return browsers.browsers_of(
            session,
            user_id=cast.actor(cast.ada).user_id,
            now=LATER,
            idle_seconds=1800,
            max_seconds=43200,
        )

    def test_they_are_listed_and_end_one_by_one_or_all_others(
        self, session: Session, cast: Cast
    ) -> None:
        for _ in range(3):
            sign_in(session, cast.ada)
        sign_in(session, cast.grace)
        first, second, third = self.live(session, cast)
        ada = cast.actor(cast.ada)
        for _ in range(2):
            browsers.sign_out_browser(session, session_id=first.id, actor=ada, now=LATER)
        assert self.live(session, cast) == [second, third]
        assert last_event(session).data == {"browsers": 1}
        browsers.sign_out_other_browsers(session, kept_session_id=third.id, actor=ada, now=LATER)
        assert self.live(session, cast) == [third]

    def test_nobody_signs_somebody_elses_browser_out(self, session: Session, cast: Cast) -> None:
        sign_in(session, cast.ada)
        (own,) = self.live(session, cast)
        for session_id in (own.id, own.id + 1000):
            with pytest.raises(NotFound):
                browsers.sign_out_browser(
                    session, session_id=session_id, actor=cast.actor(cast.audrey), now=LATER
                )
        assert self.live(session, cast) == [own]

    def test_a_new_password_of_ones_own_ends_the_others(self, session: Session, cast: Cast) -> None:
        sign_in(session, cast.ada)
        sign_in(session, cast.ada)
        kept, _ = self.live(session, cast)
        users.change_own_password(
            session,
            password_hash="new",
            kept_session_id=kept.id,
            actor=cast.actor(cast.ada),
            now=LATER,
        )
        assert self.live(session, cast) == [kept]
        assert find_user(session, cast.ada).password_hash == "new"
        assert last_event(session).tag == "account.password_changed"

    def test_signed_out_everywhere_is_everywhere(self, session: Session, cast: Cast) -> None:
        sign_in(session, cast.ada)
        agent_session(session, cast, cast.ada)
        actor = cast.actor(cast.grace)
        people.sign_out_everywhere(session, email=cast.ada, actor=actor, now=LATER)
        session.expire_all()
        assert self.live(session, cast) == []
        assert live_sessions_of(session, cast.acme, LATER, LIMITS) == []
        assert last_event(session).tag == "user.signed_out"


def test_the_last_sign_in_is_noted(session: Session, cast: Cast) -> None:
    assert find_user(session, cast.ada).last_sign_in_at is None
    who = authenticated(session, cast.ada)
    web_sessions.sign_in_to_portal(session, who=who, now=LATER, browser="Firefox on Linux")
    assert find_user(session, cast.ada).last_sign_in_at == LATER
    stored = session.scalars(select(WebSession)).one()
    assert (stored.address, stored.browser) == ("203.0.113.7", "Firefox on Linux")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["ada", "audrey", "carl", "dev", "grace", "pat"]),
        ({"q": "AD"}, ["ada"]),
        ({"q": "söder  pat"}, ["pat"]),
        ({"q": "soder"}, ["pat"]),
        ({"q": "%"}, []),
        ({"role": "super_admin"}, ["ada", "grace"]),
        ({"state": "disabled"}, ["dev"]),
        ({"state": "invited"}, ["carl"]),
        ({"state": "active", "role": "partner"}, ["pat"]),
        ({"state": "nonsense", "role": "x"}, ["ada", "audrey", "carl", "dev", "grace", "pat"]),
    ],
)
def test_users_are_found_by_words_role_and_state(
    session: Session, cast: Cast, asked: dict[str, str], found: list[str]
) -> None:
    change(session, cast, cast.pat, name="Pat Söderström")
    find_user(session, cast.dev).disabled_at = NOW
    find_user(session, cast.carl).password_hash = NO_PASSWORD
    session.flush()
    page, people_found = find_users(session, read_user_search(asked), number=1, size=50)
    assert [user.email.split("@")[0] for user in people_found] == found
    assert page.total.number == len(found)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.5.0", ""),
        ("<script>Firefox/1</script>", "Firefox"),
        ("", ""),
    ],
)
def test_a_browser_is_named_in_words(user_agent: str, name: str) -> None:
    assert browsers.browser_name(user_agent) == name
