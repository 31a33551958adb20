"""Who somebody is: what is looked at again once the slow hash of a password has been made."""

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app, throttle
from app.accounts import passwords
from app.accounts.authentication import Authentication, authenticate, lock_user
from app.accounts.users import disable_user, find_user
from app.core.durations import Rate
from app.core.errors import Busy
from app.extensions import db
from app.models import SignInFailure
from app.models.engine import reading_only, set_reading
from tests.agents.api_stage import RealAgent, to_the_app
from tests.conftest import NOW, PASSWORD, SECRET, Cast, Visitor, authenticated

HERE = "203.0.113.7"
LIMIT = Rate(10, 60)


def meanwhile(change: Callable[[Session], object]) -> Callable[[], object]:
    """As the web layer does it; while the password is hashed, somebody else makes a change."""

    @contextmanager
    def outside_transaction() -> Iterator[None]:
        db.session.rollback()
        set_reading(False)
        with Session(db.engine) as other, other.begin():
            change(other)
        yield

    return outside_transaction


def fail(session: Session, account: str) -> None:
    """An attempt that is not taken back."""
    throttle.begin_attempt(
        session, account=account, address=HERE, secret=SECRET, now=NOW, limit=LIMIT
    )


def disable(session: Session) -> None:
    find_user(session, Cast.ada).disabled_at = NOW


def change_password(session: Session) -> None:
    find_user(session, Cast.ada).password_hash = passwords.hash_password("another one")


def hash_anew(session: Session) -> None:
    """The same password, but a reset: whoever typed it before is to type it again."""
    find_user(session, Cast.ada).password_hash = passwords.hash_password(PASSWORD)


@pytest.mark.parametrize("change", [disable, change_password, hash_anew])
def test_who_was_changed_while_their_password_was_hashed_is_refused(
    session: Session, cast: Cast, change: Callable[[Session], object]
) -> None:
    """Mallory has Ada's password and is signing in while Ada's account is being closed to her."""
    with reading_only():
        outcome = authenticated(session, cast.ada, outside_transaction=meanwhile(change))
    assert outcome == Authentication(cast.ada, HERE)
    session.commit()
    assert session.scalar(select(func.count()).select_from(SignInFailure)) == 1


def test_a_right_password_is_hashed_anew_when_the_parameters_have_changed(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = find_user(session, cast.ada).password_hash
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", stronger)
    assert authenticated(session, cast.ada, "wrong").user is None
    assert find_user(session, cast.ada).password_hash == old
    assert authenticated(session, cast.ada).user
    new = find_user(session, cast.ada).password_hash
    assert "m=16,t=2" in new
    session.commit()
    assert authenticated(session, cast.ada).user
    assert find_user(session, cast.ada).password_hash == new


def test_who_fails_elsewhere_while_a_password_is_hashed_is_throttled(
    session: Session, cast: Cast
) -> None:
    def fail_ten_times(other: Session) -> None:
        for _ in range(10):
            fail(other, cast.ada)

    with reading_only():
        outcome = authenticated(session, cast.ada, outside_transaction=meanwhile(fail_ten_times))
    assert outcome == Authentication(cast.ada, HERE, wait_seconds=60)


def test_who_is_over_the_limit_is_not_even_compared(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        authenticated(session, cast.ada, "wrong")
    monkeypatch.setattr(passwords, "hasher", None)
    assert authenticated(session, cast.ada).wait_seconds == 60


def test_an_attempt_is_counted_before_its_password_is_hashed(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal is killed while it hashes, again and again: each guess counts all the same."""

    class Killed(Exception):
        pass

    def kill(*_arguments: object) -> None:
        raise Killed

    monkeypatch.setattr("app.accounts.authentication.password_matches", kill)
    for number in range(3):
        with pytest.raises(Killed):
            authenticated(session, cast.ada)
        session.rollback()
        assert session.scalar(select(func.count()).select_from(SignInFailure)) == number + 1


def test_what_was_typed_as_an_account_is_kept_as_a_keyed_hash(session: Session, cast: Cast) -> None:
    """Somebody types their password into the wrong field; a stolen copy must not show it."""
    authenticated(session, "my very secret password", "ada@example.com")
    [stored] = session.scalars(select(SignInFailure.account_hash))
    typed = b"my very secret password"
    assert stored == hmac.digest(SECRET.encode(), typed, "sha256").hex()
    assert stored not in (
        hashlib.sha256(typed).hexdigest(),
        hmac.digest(b"", typed, "sha256").hex(),
    )


def test_the_clock_is_read_after_the_wait_for_the_turn_to_write(app: Flask, cast: Cast) -> None:
    """Else a window, or a key, could end while a sign-in waits."""
    waiting, asked = threading.Event(), []

    @contextmanager
    def wait_for_the_other() -> Iterator[None]:
        db.session.rollback()
        waiting.set()
        yield
        set_reading(False)

    def sign_in() -> None:
        with app.app_context(), reading_only():
            authenticate(
                db.session(),
                login_id=cast.ada,
                password=PASSWORD,
                address=HERE,
                secret=SECRET,
                limit=LIMIT,
                clock=lambda: asked.append(1) or NOW,
                outside_transaction=wait_for_the_other,
            )
            db.session.commit()

    with app.app_context(), Session(db.engine) as other, other.begin():
        throttle.wait_for_turn(other, address=HERE)
        thread = threading.Thread(target=sign_in)
        thread.start()
        assert waiting.wait(60)
        thread.join(0.2)
        assert thread.is_alive()
        assert asked == []
    thread.join(60)
    assert len(asked) == 1


def test_the_user_is_held_until_the_commit(app: Flask, session: Session, cast: Cast) -> None:
    """Disabled a moment later, they find their new session ended; never the other way round."""
    assert authenticated(session, cast.ada).user
    actor = cast.actor(cast.grace)

    def disable_ada() -> None:
        with app.app_context():
            disable_user(db.session(), email=cast.ada, actor=actor, now=NOW)
            db.session.commit()

    thread = threading.Thread(target=disable_ada)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    session.commit()
    thread.join(60)
    session.expire_all()
    assert find_user(session, cast.ada).disabled_at == NOW


def test_whatever_it_is_proven_by_a_disabled_user_is_nobody(session: Session, cast: Cast) -> None:
    number = cast.actor(cast.pat).user_id
    assert lock_user(session, number).email == cast.pat
    disable_user(session, email=cast.pat, actor=cast.actor(cast.ada), now=NOW)
    session.commit()
    assert lock_user(session, number) is None
    assert lock_user(session, 4711) is None


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("nobody@example.com", "nobody@example.com"),
        (" ADA@Example.com ", "ada@example.com"),
        ("my very secret password", "(not an e-mail)"),
        ("", "(not an e-mail)"),
    ],
)
def test_a_password_typed_into_the_wrong_field_is_not_written_down(
    session: Session, cast: Cast, typed: str, named: str
) -> None:
    assert authenticated(session, typed, "wrong").actor.email == named


def portal(app: Flask) -> int:
    return Visitor(app.test_client()).sign_in(Cast.ada).status_code


def browser_agent(app: Flask) -> int:
    visitor = Visitor(app.test_client())
    visitor.get("/agent")
    return visitor.post("/agent", {"login_id": Cast.carl, "password": PASSWORD}).status_code


def real_agent(app: Flask) -> int:
    return RealAgent(to_the_app(app.test_client())).sign_in(Cast.carl).status


@pytest.mark.parametrize(
    ("face", "status"), [(portal, 303), (browser_agent, 303), (real_agent, 201)]
)
def test_nothing_is_locked_while_a_password_is_hashed(
    app: Flask,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    face: Callable[[Flask], int],
    status: int,
) -> None:
    """Else one sign-in after another would keep everybody from writing."""
    hasher, wrote = passwords.hasher, []

    class Slow:
        hash = hasher.hash
        check_needs_rehash = hasher.check_needs_rehash

        def verify(self, *arguments: str) -> bool:
            assert not db.session().in_transaction()
            with Session(db.engine) as other, other.begin():
                fail(other, "x")
            wrote.append(arguments)
            return hasher.verify(*arguments)

    monkeypatch.setattr(passwords, "hasher", Slow())
    assert face(app) == status
    assert len(wrote) == 1


class Counting:
    """A hasher that never hashes, and counts how many are at it at once."""

    def __init__(self, many: int) -> None:
        self.hash = passwords.hasher.hash
        self.many = threading.Event()
        self.most, self._now, self._many = 0, 0, many
        self._lock = threading.Lock()

    def check_needs_rehash(self, _hash: str) -> bool:
        return False

    def verify(self, *_arguments: str) -> bool:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == self._many:
                self.many.set()
        self.many.wait(0.3)  # for one more than may be here
        with self._lock:
            self._now -= 1
        return True


@pytest.mark.parametrize(
    ("face", "status"), [(portal, 303), (browser_agent, 303), (real_agent, 201)]
)
def test_no_more_passwords_are_hashed_at_once_than_are_allowed(
    app: Flask,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    face: Callable[[Flask], int],
    status: int,
) -> None:
    """Each takes 64 MiB: as many as there are threads would take the machine's memory."""
    counting, answers = Counting(many=3), []
    monkeypatch.setattr(passwords, "LONGEST_WAIT_SECONDS", 60)
    monkeypatch.setattr(passwords, "hasher", counting)
    threads = [threading.Thread(target=lambda: answers.append(face(app))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [status] * 5
    assert counting.most == 2


def test_how_many_is_a_setting(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LONGEST_WAIT_SECONDS", 0)
    places = passwords.hashing_places
    try:
        create_app(replace(app.extensions["config"], hashes_at_once=1))
        with places.take_one(), pytest.raises(Busy), places.take_one():
            pass
    finally:
        places.allow(app.extensions["config"].hashes_at_once)


def test_who_waits_too_long_for_their_turn_is_told_to_try_again(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "LONGEST_WAIT_SECONDS", 1)
    with passwords.hashing_places.take_one(), passwords.hashing_places.take_one():
        answer = Visitor(app.test_client()).sign_in(Cast.ada)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "Too many people are signing in at once." in answer.text
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(SignInFailure)) == 0
