"""Second factors as services: codes, recovery codes, challenges; on both databases."""

from datetime import datetime, timedelta

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.authentication import lock_user
from app.accounts.passkeys import CHALLENGE_SECONDS, Challenges
from app.accounts.second_factor import (
    Attempt,
    Factors,
    check_code,
    factors_of,
    remove_authenticator,
    renew_recovery_codes,
    reset_second_factor,
    set_up_authenticator,
)
from app.accounts.second_factor_rules import CODES_A_DAY, accepted_steps, is_fresh, is_half_way
from app.accounts.totp import (
    hash_recovery_code,
    matching_step,
    new_recovery_code,
    offered_secret,
    otpauth_address,
    seal,
    unseal,
)
from app.core.durations import Rate
from app.core.errors import InvalidInput
from app.core.permissions import Role, SecondFactorPolicy, needs_second_factor
from app.models import AuditEvent, Authenticator, RecoveryCode, SignInFailure, UsedCode, User
from app.throttle import forget_old
from tests.conftest import NOW, SECRET, Cast, Clock

pytestmark = pytest.mark.databases("sqlite", "postgres")

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""That of RFC 6238's test vectors: "12345678901234567890"."""
OTHER_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def code_at(moment: datetime, secret: str = RFC_SECRET) -> str:
    return pyotp.TOTP(secret).at(moment)


class Ada:
    """A super admin with an authenticator app."""

    def __init__(self, session: Session, cast: Cast) -> None:
        self.session, self.actor = session, cast.actor(cast.ada)
        self.codes = set_up_authenticator(
            session,
            user=self.user,
            secret=RFC_SECRET,
            code=code_at(NOW - timedelta(seconds=30)),
            secret_key=SECRET,
            actor=self.actor,
            now=NOW,
        )
        session.commit()

    @property
    def user(self) -> User:
        user = lock_user(self.session, self.actor.user_id or 0)
        assert user is not None
        return user

    def enter(self, code: str, *, now: datetime = NOW, recovery: bool = False) -> Attempt:
        attempt = check_code(
            self.session,
            user=self.user,
            code=code,
            recovery=recovery,
            secret_key=SECRET,
            limit=Rate(3, 60),
            now=now,
        )
        self.session.commit()
        return attempt


@pytest.fixture
def ada(session: Session, cast: Cast) -> Ada:
    return Ada(session, cast)


RIGHT, WRONG = Attempt(right=True), Attempt(right=False)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    """Its vectors for SHA-1, the last six of their eight digits."""
    now = datetime.fromtimestamp(seconds, tz=NOW.tzinfo)
    assert matching_step(RFC_SECRET, code, now) == seconds // 30
    assert matching_step(RFC_SECRET, f" {code[:3]} {code[3:]} ", now) == seconds // 30


def test_a_code_of_the_step_before_and_after_counts_and_no_other() -> None:
    begin = datetime.fromtimestamp(59_000_000 * 30, tz=NOW.tzinfo)
    code = code_at(begin)
    for seconds, counts in ((-31, False), (-30, True), (0, True), (59, True), (60, False)):
        found = matching_step(RFC_SECRET, code, begin + timedelta(seconds=seconds))
        assert (found == 59_000_000) is counts, seconds
    assert matching_step(RFC_SECRET, code, begin + timedelta(hours=1)) is None


@pytest.mark.parametrize("code", ["", "1", "12345", "1234567", "abcdef", "１２３４５６", "-12345"])
def test_what_is_no_code(code: str) -> None:
    assert matching_step(RFC_SECRET, code, NOW) is None


def test_each_code_counts_once(ada: Ada) -> None:
    """Somebody looks over Ada's shoulder and enters the same code after her."""
    assert ada.enter(code_at(NOW - timedelta(seconds=30))) == WRONG  # with it she set the app up
    assert ada.enter(code_at(NOW)) == RIGHT
    assert ada.enter(code_at(NOW)) == WRONG
    assert ada.enter(code_at(NOW + timedelta(seconds=30))) == RIGHT
    assert ada.enter(code_at(NOW + timedelta(seconds=30)), now=NOW + timedelta(minutes=1)) == WRONG


def test_a_used_code_does_not_count_again_when_the_clock_is_set_back(ada: Ada) -> None:
    """Mallory has seen a code of Ada's, and waits for the clock to be put right."""
    assert ada.enter(code_at(NOW)) == RIGHT
    ahead = NOW + timedelta(hours=3)
    assert ada.enter(code_at(ahead), now=ahead) == RIGHT
    assert ada.enter(code_at(NOW)) == WRONG


def test_wrong_codes_are_limited_and_right_ones_are_then_not_looked_at(ada: Ada) -> None:
    """Mallory knows the password, and tries the million codes."""
    for _ in range(3):
        assert ada.enter("000000") == WRONG
    assert ada.enter(code_at(NOW)).wait_seconds == 60
    assert ada.enter(code_at(NOW)).right is False
    later = NOW + timedelta(seconds=60)
    assert ada.enter(code_at(later), now=later) == RIGHT


def test_over_the_days_too_wrong_codes_are_limited_and_the_owner_is_not_shut_out(
    ada: Ada, session: Session, cast: Cast
) -> None:
    """Mallory knows the password and has patience: as many codes a minute as are let through, day
    and night, would be right some day."""
    for number in range(CODES_A_DAY.count):
        assert ada.enter("000000", now=NOW + timedelta(minutes=number)) == WRONG
    later = NOW + timedelta(hours=2)
    forget_old(session, now=later, failures=Rate(3, 60), inspections=Rate(3, 60))
    over = Attempt(right=False, wait_seconds=22 * 3600, of_the_day=True)
    assert ada.enter(code_at(later), now=later) == over
    assert ada.enter(ada.codes[0], now=later, recovery=True) == RIGHT
    a_day = NOW + timedelta(days=1)
    assert ada.enter(code_at(a_day), now=a_day) == RIGHT


def test_whose_factor_is_reset_begins_the_day_anew(ada: Ada, session: Session, cast: Cast) -> None:
    for number in range(CODES_A_DAY.count):
        ada.enter("000000", now=NOW + timedelta(minutes=number))
    reset_second_factor(session, user=ada.user, actor=cast.actor(cast.grace), now=NOW)
    later = NOW + timedelta(hours=2)
    assert ada.enter("000000", now=later) == WRONG
    tomorrow = later + timedelta(days=1)
    forget_old(session, now=tomorrow, failures=Rate(3, 60), inspections=Rate(3, 60))
    assert session.scalars(select(SignInFailure.id)).all() == []


def test_a_recovery_code_counts_once_however_it_is_written(ada: Ada, session: Session) -> None:
    assert len(ada.codes) == len(set(ada.codes)) == 10
    code = ada.codes[3]
    assert ada.enter(code) == WRONG  # it is none of the app
    assert ada.enter(code.lower().replace("-", " "), recovery=True) == RIGHT
    assert ada.enter(code, recovery=True) == WRONG
    assert factors_of(session, ada.user.id) == Factors(True, 0, 9)


def test_no_secret_and_no_code_is_stored_as_it_is(ada: Ada, session: Session) -> None:
    [kept] = session.scalars(select(Authenticator.sealed_secret))
    assert RFC_SECRET.encode() not in kept
    assert not set(session.scalars(select(RecoveryCode.code_hash))) & set(ada.codes)
    told = [str(event.data) + event.subject for event in session.scalars(select(AuditEvent))]
    assert not any(code in text for code in [*ada.codes, RFC_SECRET] for text in told)


def test_another_persons_row_is_no_use(ada: Ada, session: Session, cast: Cast) -> None:
    """Whoever can write into the database copies Mallory's secret into Ada's row."""
    mallory = seal(SECRET, 999, OTHER_SECRET)
    session.execute(Authenticator.__table__.update().values(sealed_secret=mallory))
    session.commit()
    assert ada.enter(code_at(NOW, OTHER_SECRET)) == WRONG
    assert ada.enter(code_at(NOW)) == WRONG


def test_setting_up_needs_a_code_of_the_new_app(ada: Ada, session: Session) -> None:
    with pytest.raises(InvalidInput, match="not the code that the app shows"):
        set_up_authenticator(
            session,
            user=ada.user,
            secret=OTHER_SECRET,
            code=code_at(NOW),
            secret_key=SECRET,
            actor=ada.actor,
            now=NOW,
        )
    assert ada.enter(code_at(NOW)) == RIGHT


def test_without_any_other_factor_recovery_codes_are_none(ada: Ada, session: Session) -> None:
    remove_authenticator(session, user=ada.user, actor=ada.actor, now=NOW)
    assert factors_of(session, ada.user.id) == Factors(False, 0, 0)
    remove_authenticator(session, user=ada.user, actor=ada.actor, now=NOW)
    events = session.scalars(select(AuditEvent.tag)).all()
    assert events.count("user.authenticator_removed") == 1


def test_new_recovery_codes_replace_the_old_ones(ada: Ada, session: Session) -> None:
    new = renew_recovery_codes(session, user=ada.user, secret_key=SECRET, actor=ada.actor, now=NOW)
    session.commit()
    assert len(new) == 10
    assert ada.enter(ada.codes[0], recovery=True) == WRONG
    assert ada.enter(new[0], recovery=True) == RIGHT


def test_a_reset_leaves_nothing(ada: Ada, session: Session, cast: Cast) -> None:
    reset_second_factor(session, user=ada.user, actor=cast.actor(cast.grace), now=NOW)
    assert factors_of(session, ada.user.id) == Factors(False, 0, 0)
    assert session.scalars(select(UsedCode.step)).all() == []


def test_used_steps_are_kept_for_a_day_and_no_longer(ada: Ada, session: Session) -> None:
    for hours in range(12, 73, 12):
        later = NOW + timedelta(hours=hours)
        assert ada.enter(code_at(later), now=later) == RIGHT
    assert len(session.scalars(select(UsedCode.step)).all()) == 3


def test_a_secret_offered_is_the_same_until_it_is_taken_and_everybodys_own() -> None:
    assert offered_secret(SECRET, 1, "n") == offered_secret(SECRET, 1, "n")
    others = {offered_secret(SECRET, 2, "n"), offered_secret(SECRET, 1, "m")}
    others.add(offered_secret(SECRET + "x", 1, "n"))
    assert len(others | {offered_secret(SECRET, 1, "n")}) == 4
    address = otpauth_address("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "ada@example.com")
    assert address.startswith("otpauth://totp/Rolling%20Window:ada%40example.com?secret=JBSW")


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=1), st.integers(1, 2**31))
def test_what_is_sealed_is_read_again_under_the_same_key_for_the_same_user(
    secret: str, user_id: int
) -> None:
    sealed = seal(SECRET, user_id, secret)
    assert unseal(SECRET, user_id, sealed) == secret
    assert unseal(SECRET, user_id + 1, sealed) is None
    assert unseal(SECRET + "x", user_id, sealed) is None
    assert unseal(SECRET, user_id, sealed[:-1]) is None
    assert unseal(SECRET, user_id, b"") is None


def test_recovery_codes_are_of_their_owner() -> None:
    code = new_recovery_code()
    assert hash_recovery_code(SECRET, 1, code) != hash_recovery_code(SECRET, 2, code)


@pytest.mark.parametrize(
    ("seconds", "fresh"), [(-1, False), (0, True), (599, True), (600, False), (601, False)]
)
def test_a_proof_lasts_for_ten_minutes(seconds: int, fresh: bool) -> None:
    assert is_fresh(NOW, NOW + timedelta(seconds=seconds)) is fresh
    assert is_half_way(NOW, NOW + timedelta(seconds=seconds)) is fresh


def test_who_needs_a_second_factor() -> None:
    policy = SecondFactorPolicy
    assert needs_second_factor(policy.SUPER_ADMIN, Role.SUPER_ADMIN)
    assert not needs_second_factor(policy.SUPER_ADMIN, Role.AUDITOR)
    assert needs_second_factor(policy.EVERYONE, Role.AUDITOR)
    assert not needs_second_factor(policy.OFF, Role.SUPER_ADMIN)


def test_steps_follow_the_clock() -> None:
    present, before, after = accepted_steps(NOW)
    assert (before, after) == (present - 1, present + 1)


class TestChallenges:
    mine = Challenges(SECRET)

    def test_each_is_answered_once_for_its_purpose(self, session: Session) -> None:
        challenge = self.mine.new("sign-in")
        self.mine.use(session, challenge, "sign-in", NOW)
        with pytest.raises(InvalidInput, match="not accepted"):
            self.mine.use(session, challenge, "sign-in", NOW)

    @pytest.mark.parametrize("challenge", [b"", b"x", b"\xff", b"a.b.c"])
    def test_what_is_none_of_ours(self, session: Session, challenge: bytes) -> None:
        with pytest.raises(InvalidInput):
            self.mine.use(session, challenge, "sign-in", NOW)

    def test_of_another_purpose_another_key_or_too_old(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        challenge = self.mine.new("prove/1")
        for other in ("prove/2", "sign-in"):
            with pytest.raises(InvalidInput):
                self.mine.use(session, challenge, other, NOW)
        with pytest.raises(InvalidInput):
            Challenges(SECRET + "x").use(session, challenge, "prove/1", NOW)
        import itsdangerous.timed

        begun = itsdangerous.timed.time.time()
        late = begun + CHALLENGE_SECONDS + 2
        monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: late)
        with pytest.raises(InvalidInput):
            self.mine.use(session, challenge, "prove/1", NOW)

    def test_what_was_used_is_forgotten_when_it_would_be_too_old(
        self, session: Session, clock: Clock
    ) -> None:
        self.mine.use(session, self.mine.new("a"), "a", NOW)
        self.mine.use(session, self.mine.new("a"), "a", NOW + timedelta(hours=1))
        from app.models import UsedChallenge

        assert len(session.scalars(select(UsedChallenge.challenge_hash)).all()) == 1
