"""What a key carries decides who gets in: recipient, start, sign-ins, first machine, use within."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password
from app.accounts.users import create_user
from app.agents.heartbeats import LiveSession
from app.agents.sign_in import SignedIn
from app.audit.tags import AuditTag
from app.core.durations import KeyLimits
from app.core.errors import Conflict, InvalidInput
from app.core.permissions import Role
from app.extensions import db
from app.licenses.offline import revocations
from app.licenses.option_rules import KeyOptions, key_window
from app.licenses.queries import state_of
from app.licenses.services import inspect_key, key_text, revoke_license
from app.models import AgentSession, TemporaryLicense, User
from app.models.engine import writing
from tests.agents.stage import (
    HOUR,
    beat,
    events,
    extend,
    issue,
    refusal_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, PASSWORD, Cast, signing_keys

pytestmark = pytest.mark.databases("sqlite", "postgres")

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
OTHER_MAC = "00:1A:2B:3C:4D:5F"
CEILING = 7 * 24 * HOUR
MOST_MORE = CEILING - HOUR


def made(session: Session, cast: Cast, **carried: Any) -> TemporaryLicense:
    """A key of an hour that carries something."""
    return issue(session, cast, options=KeyOptions(HOUR, **carried))


def attempt(
    session: Session, license: TemporaryLicense, who: str = Cast.pat, **how: Any
) -> str | SignedIn:
    """Signed in, or the code of the refusal."""
    answer = try_to_sign_in(session, who, text_of(license), **{"now": NOW + SECOND} | how)
    return answer if isinstance(answer, SignedIn) else refusal_of(answer).code.value


# For one person


def test_a_key_for_somebody_else_lets_nobody_in_and_does_not_say_for_whom(
    session: Session, cast: Cast
) -> None:
    """A developer was sent, or has found, the key that was made for a partner."""
    license = made(session, cast, recipient=cast.pat.upper())
    answer = refusal_of(try_to_sign_in(session, cast.dev, text_of(license), now=NOW + SECOND))
    assert answer.code == "key_not_for_you"
    assert cast.pat not in answer.detail
    assert isinstance(attempt(session, license, cast.pat), SignedIn)
    assert license.sign_ins_used == 1


@pytest.mark.parametrize("who", ["nobody@example.com", Cast.carl, Cast.ada, Cast.audrey])
def test_a_key_is_made_for_nobody_who_could_not_use_it(
    session: Session, cast: Cast, who: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(session, cast, recipient=who)
    assert refused.value.field == "recipient"
    assert session.scalar(select(TemporaryLicense.id)) is None


def test_a_key_is_made_for_nobody_who_is_disabled(session: Session, cast: Cast) -> None:
    session.scalars(select(User).where(User.email == cast.pat)).one().disabled_at = NOW
    with pytest.raises(InvalidInput, match="is disabled"):
        made(session, cast, recipient=cast.pat)


# A start


@pytest.mark.parametrize(("second", "code"), [(-1, "key_not_yet_valid"), (0, None), (1, None)])
def test_before_its_start_a_key_lets_nobody_in(
    session: Session, cast: Cast, second: int, code: str | None
) -> None:
    starts_at = NOW + timedelta(days=2)
    license = made(session, cast, starts_at=starts_at)
    assert license.expires_at == starts_at + timedelta(seconds=HOUR)
    now = starts_at + second * SECOND
    answer = try_to_sign_in(session, cast.pat, text_of(license), now=now)
    if code is None:
        assert isinstance(answer, SignedIn)
    else:
        assert refusal_of(answer).code == code
        assert refusal_of(answer).starts_at == starts_at
        assert "it starts at Thu 26 Nov 2026, 15:40 UTC" in refusal_of(answer).detail


# Sign-ins


def test_a_key_for_two_sign_ins_allows_two(session: Session, cast: Cast) -> None:
    license = made(session, cast, sign_ins=2)
    first = attempt(session, license)
    assert isinstance(first, SignedIn)
    assert attempt(session, license, password="wrong") == "invalid_credentials"
    assert isinstance(attempt(session, license, cast.dev, mac_id=OTHER_MAC), SignedIn)
    assert attempt(session, license, now=NOW + MINUTE) == "key_used_up"
    assert isinstance(beat(session, first.token, NOW + 2 * MINUTE), LiveSession)
    assert inspect_key(session, text=text_of(license), now=NOW).state == "active"


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """What each gave that was begun at the same time as the others, in a thread of its own."""
    gate, answers = threading.Barrier(len(work)), []

    def run(one: Callable[[], Any]) -> None:
        gate.wait()
        answers.append(one())

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def add_partner(session: Session, cast: Cast, number: int) -> str:
    return create_user(
        session,
        email=f"partner{number}@example.com",
        role=Role.PARTNER,
        password_hash=hash_password(PASSWORD),
        actor=cast.actor(cast.ada),
        now=NOW,
    ).email


def in_a_request(app: Flask, work: Callable[[Session], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with app.app_context(), writing():
            try:
                answer = work(db.session())
                db.session.commit()
            except (Conflict, InvalidInput) as error:
                db.session.rollback()
                return error
            finally:
                db.session.remove()
            return answer

    return run


@pytest.mark.parametrize("carried", [{"sign_ins": 1}, {"first_machine": True}])
def test_of_many_at_the_same_instant_one_gets_in(
    app: Flask, cast: Cast, carried: dict[str, Any]
) -> None:
    """A key for one sign-in, or one machine, is pasted by six people on six machines at once."""
    with app.app_context():
        people = [add_partner(db.session(), cast, number) for number in range(6)]
        license = made(db.session(), cast, **carried)
        text, license_id = text_of(license), license.id
        db.session.remove()

    def try_on(number: int) -> Callable[[Session], str]:
        mac_id = f"00:1A:2B:00:00:{number:02X}"

        def work(session: Session) -> str:
            who = people[number]
            answer = try_to_sign_in(session, who, text, now=NOW + SECOND, mac_id=mac_id)
            return mac_id if isinstance(answer, SignedIn) else refusal_of(answer).code.value

        return work

    answers = at_once(*(in_a_request(app, try_on(number)) for number in range(6)))
    let_in = [answer for answer in answers if answer.startswith("00:")]
    assert len(let_in) == 1
    refused = "key_used_up" if "sign_ins" in carried else "key_bound_elsewhere"
    assert answers.count(refused) == 5
    with app.app_context():
        stored = db.session.get_one(TemporaryLicense, license_id)
        assert stored.sign_ins_used == 1
        assert stored.bound_mac_id in ("", *let_in)
        assert [one.mac_id for one in db.session.scalars(select(AgentSession))] == let_in


# The first machine


def test_a_key_is_bound_to_the_machine_id_of_the_first_sign_in(
    session: Session, cast: Cast
) -> None:
    license = made(session, cast, first_machine=True)
    assert isinstance(attempt(session, license, machine_id="one"), SignedIn)
    assert (license.bound_machine_id, license.bound_mac_id) == ("one", "00:1A:2B:3C:4D:5E")
    assert attempt(session, license, machine_id="two") == "key_bound_elsewhere"
    assert attempt(session, license) == "key_bound_elsewhere"
    assert isinstance(attempt(session, license, machine_id="one", mac_id=OTHER_MAC), SignedIn)


def test_a_key_bound_by_mac_id_takes_on_the_machine_id(session: Session, cast: Cast) -> None:
    license = made(session, cast, first_machine=True)
    assert isinstance(attempt(session, license), SignedIn)
    assert attempt(session, license, mac_id=OTHER_MAC) == "key_bound_elsewhere"
    assert isinstance(attempt(session, license, machine_id="one"), SignedIn)
    assert license.bound_machine_id == "one"
    assert attempt(session, license) == "key_bound_elsewhere"


def test_a_refused_sign_in_binds_nothing(session: Session, cast: Cast) -> None:
    license = made(session, cast, first_machine=True, recipient=cast.pat)
    assert attempt(session, license, cast.dev, mac_id=OTHER_MAC) == "key_not_for_you"
    assert license.bound_mac_id == ""
    assert isinstance(attempt(session, license), SignedIn)


# Use within


@pytest.mark.parametrize(("second", "code"), [(-1, None), (0, "key_expired"), (1, "key_expired")])
def test_not_used_in_time_a_key_has_expired(
    session: Session, cast: Cast, second: int, code: str | None
) -> None:
    license = made(session, cast, use_within=900)
    use_by = NOW + 15 * MINUTE
    assert license.use_by == use_by
    now = use_by + second * SECOND
    answer = attempt(session, license, now=now)
    if code is None:
        assert isinstance(answer, SignedIn)
        assert state_of(license, license.expires_at - SECOND) == "active"
        assert isinstance(beat(session, answer.token, use_by + SECOND), LiveSession)
        assert revocations(session, use_by + SECOND) == []
        return
    assert answer == code
    refusal = refusal_of(try_to_sign_in(session, cast.pat, text_of(license), now=now))
    assert refusal.expired_at == use_by == license.ended_at
    assert inspect_key(session, text=text_of(license), now=now).expires_at == use_by
    [listed] = revocations(session, now)
    assert (listed.jti, listed.revoked_at) == (license.key_id, use_by)
    assert listed.expires_at == license.expires_at
    assert revocations(session, license.expires_at) == []


def test_a_key_that_lapsed_can_be_neither_revoked_nor_extended(
    session: Session, cast: Cast
) -> None:
    license = made(session, cast, use_within=900)
    late = NOW + 15 * MINUTE
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=late)
    assert license.revoked_at is None
    with pytest.raises(Conflict):
        extend(session, cast, license, license.expires_at + MINUTE, late)


def test_a_revoked_key_stays_revoked_after_every_end(session: Session, cast: Cast) -> None:
    license = made(session, cast, use_within=900)
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=NOW + MINUTE)
    for later in (2 * MINUTE, 16 * MINUTE, timedelta(hours=2)):
        assert attempt(session, license, now=NOW + later) == "key_revoked"


def test_a_limit_that_is_not_shorter_than_the_key_has_no_effect(
    session: Session, cast: Cast
) -> None:
    assert made(session, cast, use_within=HOUR).use_by is None


# Extending


def test_an_extended_key_goes_on_with_its_old_text_and_its_new_one(
    app: Flask, session: Session, cast: Cast
) -> None:
    """Who is signed in sees the new end at the next heartbeat; nobody has to paste anything."""
    license = made(session, cast)
    old_text, old_end = text_of(license), license.expires_at
    here = signed_in(session, cast.pat, license, now=old_end - MINUTE)
    new_end = old_end + timedelta(hours=2)
    extend(session, cast, license, new_end, old_end - SECOND)
    session.commit()
    new_text = key_text(license, signing_keys(app))
    assert new_text != old_text
    now = old_end + SECOND
    for text in (old_text, new_text):
        found = inspect_key(session, text=text, now=now)
        assert (found.state, found.key_id, found.expires_at) == ("active", license.key_id, new_end)
    live = beat(session, here.token, old_end - SECOND)
    assert isinstance(live, LiveSession)
    assert live.key_expires_at == new_end
    assert isinstance(beat(session, here.token, old_end + MINUTE), LiveSession)
    [event] = events(session, AuditTag.LICENSE_EXTENDED)
    assert event.data["ended_before"] == old_end.isoformat()
    assert event.data["expires_at"] == new_end.isoformat()


def test_every_text_of_a_key_extended_twice_is_good_and_no_other(
    app: Flask, session: Session, cast: Cast
) -> None:
    license = made(session, cast)
    texts = [text_of(license)]
    for hours in (2, 3):
        extend(session, cast, license, NOW + timedelta(hours=hours))
        texts.append(text_of(license))
    for text in texts:
        assert inspect_key(session, text=text, now=NOW).state == "active"
    license.first_ttl_seconds, license.ttl_seconds = None, HOUR
    session.flush()
    states = [inspect_key(session, text=text, now=NOW).state for text in texts]
    assert states == ["active", "invalid", "invalid"]


@pytest.mark.parametrize(
    ("seconds", "field"),
    [
        (-1, "ends_at"),
        (0, None),
        (1, None),
        (MOST_MORE, None),
        (MOST_MORE + 1, "ends_at"),
    ],
)
def test_a_new_end_is_neither_before_the_present_one_nor_above_the_ceiling(
    session: Session, cast: Cast, seconds: int, field: str | None
) -> None:
    license = made(session, cast, starts_at=NOW + timedelta(days=1))
    end = license.expires_at
    if field is None:
        extended = extend(session, cast, license, end + seconds * SECOND)
        assert extended.expires_at == extended.ends_at == end + seconds * SECOND
        return
    with pytest.raises(InvalidInput) as refused:
        extend(session, cast, license, end + seconds * SECOND)
    assert refused.value.field == field
    assert license.expires_at == end


def test_extending_a_key_that_is_to_be_used_in_time_does_not_give_more_time_for_that(
    session: Session, cast: Cast
) -> None:
    license = made(session, cast, use_within=900)
    extend(session, cast, license, license.expires_at + timedelta(hours=1))
    assert license.ends_at == license.use_by == NOW + 15 * MINUTE
    assert isinstance(attempt(session, license), SignedIn)
    assert license.ends_at == license.expires_at == NOW + timedelta(hours=2)


@pytest.mark.parametrize("second", [0, 1])
def test_a_key_that_has_ended_is_not_extended(session: Session, cast: Cast, second: int) -> None:
    license = made(session, cast)
    late = license.expires_at + second * SECOND
    with pytest.raises(Conflict):
        extend(session, cast, license, NOW + timedelta(hours=2), late)


def test_of_extending_and_revoking_at_once_the_revocation_holds(app: Flask, cast: Cast) -> None:
    """One super admin revokes a key while another extends it."""
    with app.app_context():
        license = made(db.session(), cast)
        key_id, text = license.key_id, text_of(license)
        db.session.remove()

    def revoke(session: Session) -> None:
        revoke_license(session, actor=cast.actor(cast.grace), key_id=key_id, now=NOW + SECOND)

    def lengthen(session: Session) -> None:
        license = session.scalars(select(TemporaryLicense).filter_by(key_id=key_id)).one()
        extend(session, cast, license, NOW + timedelta(hours=3), NOW + SECOND)

    at_once(in_a_request(app, revoke), in_a_request(app, lengthen))
    with app.app_context():
        assert inspect_key(db.session(), text=text, now=NOW + MINUTE).state == "revoked"
        stored = db.session.scalars(select(TemporaryLicense)).one()
        assert stored.revoked_at == NOW + SECOND


# Options


@given(
    ahead=st.integers(-70, 40 * 86_400),
    ttl=st.sampled_from([HOUR, 3 * HOUR, 5 * HOUR]),
    ends=st.one_of(st.none(), st.integers(-10, 40 * 86_400)),
    within=st.sampled_from([None, 900, HOUR, 4 * HOUR, 86_400]),
    has_start=st.booleans(),
)
def test_whatever_is_asked_for_a_window_keeps_the_limits(
    ahead: int, ttl: int, ends: int | None, within: int | None, has_start: bool
) -> None:
    start = NOW + ahead * SECOND if has_start else None
    options = KeyOptions(
        ttl,
        starts_at=start,
        ends_at=None if ends is None else NOW + ends * SECOND,
        use_within=within,
    )
    begins = max(ahead, 0) if has_start else 0
    wrong = {
        "starts_at": has_start and not -60 <= ahead <= 30 * 86_400,
        "ends_at": ends is not None and not begins < ends <= begins + CEILING,
        "ttl": ends is None and ttl == 5 * HOUR,
    }
    limits = KeyLimits((HOUR, 3 * HOUR), CEILING)
    if any(wrong.values()):
        with pytest.raises(InvalidInput) as refused:
            key_window(options, limits, NOW)
        assert wrong[refused.value.field]
        return
    window = key_window(options, limits, NOW)
    assert NOW <= window.starts_at <= NOW + timedelta(days=30)
    assert window.starts_at < window.ends_at <= window.expires_at
    assert window.expires_at <= window.starts_at + CEILING * SECOND
    assert window.use_by is None or window.use_by == window.starts_at + within * SECOND
