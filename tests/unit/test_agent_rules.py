"""Who may sign in on an OP Agent, row by row, and when a session ends, to the second."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.rules import (
    END_SENTENCES,
    SENTENCES,
    Admission,
    EndCause,
    EndCode,
    Person,
    PresentedKey,
    Refusal,
    RefusalCode,
    SessionEnd,
    SessionFacts,
    decide,
    session_end,
)
from app.licenses.rules import LicenseState
from app.permissions import TEMPORARY_KEY_ROLES, Role

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
EARLIER = NOW - timedelta(hours=3)
ACME = "ORG-000123"

NOBODY = None
NO_KEY = None
ACTIVE = PresentedKey(LicenseState.ACTIVE, ACME, LATER)
EXPIRED = PresentedKey(LicenseState.EXPIRED, ACME, EARLIER)
REVOKED = PresentedKey(LicenseState.REVOKED, ACME, LATER)
INVALID = PresentedKey(LicenseState.INVALID)

ROWS = [
    (1, NOBODY, NO_KEY, "invalid_credentials"),
    (1, NOBODY, ACTIVE, "invalid_credentials"),
    (1, NOBODY, EXPIRED, "invalid_credentials"),
    (3, Role.SUPER_ADMIN, NO_KEY, "role_not_allowed"),
    (3, Role.SUPER_ADMIN, ACTIVE, "role_not_allowed"),
    (3, Role.AUDITOR, NO_KEY, "role_not_allowed"),
    (3, Role.AUDITOR, ACTIVE, "role_not_allowed"),
    (4, Role.CLIENT, ACTIVE, "temporary_key_not_for_clients"),
    (4, Role.CLIENT, EXPIRED, "temporary_key_not_for_clients"),
    (4, Role.CLIENT, INVALID, "temporary_key_not_for_clients"),
    (7, Role.CLIENT, NO_KEY, "permanent_license_unavailable"),
    (8, Role.PARTNER, NO_KEY, "temporary_key_required"),
    (8, Role.DEVELOPER, NO_KEY, "temporary_key_required"),
    (9, Role.PARTNER, INVALID, "key_invalid"),
    (9, Role.DEVELOPER, INVALID, "key_invalid"),
    (10, Role.PARTNER, EXPIRED, "key_expired"),
    (10, Role.DEVELOPER, EXPIRED, "key_expired"),
    (11, Role.PARTNER, REVOKED, "key_revoked"),
    (11, Role.DEVELOPER, REVOKED, "key_revoked"),
    (13, Role.PARTNER, ACTIVE, None),
    (13, Role.DEVELOPER, ACTIVE, None),
]


@pytest.mark.parametrize(("row", "role", "key", "code"), ROWS)
def test_the_table_row_by_row(
    row: int, role: Role | None, key: PresentedKey | None, code: str | None
) -> None:
    answer = decide(person=Person(role) if role else None, key=key)
    if code is None:
        assert answer == Admission(ACME, ends_at=LATER)
    else:
        assert isinstance(answer, Refusal)
        assert answer.code == code
        assert answer.sentence == SENTENCES[answer.code]


def test_an_expired_key_is_refused_with_the_instant_at_which_it_ended() -> None:
    answer = decide(person=Person(Role.PARTNER), key=EXPIRED)
    assert isinstance(answer, Refusal)
    assert answer.expired_at == EARLIER
    assert "Tue 24 Nov 2026, 12:40 UTC" in answer.detail
    assert "{at}" not in answer.detail


def test_every_code_has_a_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(RefusalCode)
    assert len(set(SENTENCES.values())) == len(RefusalCode)
    assert set(END_SENTENCES) == set(EndCause)
    assert len(set(END_SENTENCES.values())) == len(EndCause)


instants = st.one_of(
    st.none(), st.integers(-10, 10).map(lambda seconds: NOW + timedelta(seconds=seconds))
)
people = st.one_of(st.none(), st.sampled_from(Role).map(Person))
keys = st.one_of(
    st.none(),
    st.builds(
        PresentedKey,
        state=st.sampled_from(LicenseState),
        organisation_id=st.one_of(st.none(), st.just(ACME)),
        expires_at=instants,
    ),
)


@given(people, keys)
def test_everybody_gets_one_answer_and_nobody_gets_in_without_an_active_key(
    person: Person | None, key: PresentedKey | None
) -> None:
    answer = decide(person=person, key=key)
    assert isinstance(answer, Admission) or answer.code in RefusalCode
    if isinstance(answer, Admission):
        assert person is not None
        assert person.role in TEMPORARY_KEY_ROLES
        assert key is not None
        assert key.state is LicenseState.ACTIVE
        assert (answer.organisation_id, answer.ends_at) == (key.organisation_id, key.expires_at)


# The end of a session

SECOND = timedelta(seconds=1)
IDLE = 900
LIVE = SessionFacts(
    last_heard_at=NOW, key_issued_at=NOW, key_expires_at=NOW + timedelta(seconds=600)
)


def facts(**changes: object) -> SessionFacts:
    return SessionFacts(**{**vars(LIVE), **changes})


def end_of(session: SessionFacts, now: datetime) -> tuple[str, datetime] | None:
    end = session_end(session, now=now, idle_seconds=IDLE)
    return (end.code.value, end.at) if end else None


@pytest.mark.parametrize(
    ("seconds", "ended"),
    [(-1, False), (-0.000001, False), (0, True), (0.000001, True), (1, True)],
)
def test_a_session_ends_at_its_keys_expiry_and_not_a_moment_later(
    seconds: float, ended: bool
) -> None:
    expiry = NOW + timedelta(seconds=600)
    answer = end_of(LIVE, expiry + timedelta(seconds=seconds))
    assert answer == (("key_expired", expiry) if ended else None)


@pytest.mark.parametrize(("seconds", "ended"), [(-1, False), (0, True), (1, True)])
def test_a_session_that_is_not_heard_from_ends(seconds: int, ended: bool) -> None:
    silent = facts(key_expires_at=NOW + timedelta(days=1))
    falls_silent = NOW + timedelta(seconds=IDLE)
    answer = end_of(silent, falls_silent + seconds * SECOND)
    assert answer == (("session_ended", falls_silent) if ended else None)


@pytest.mark.parametrize(
    ("changes", "cause", "code"),
    [
        ({"key_revoked_at": NOW + SECOND}, EndCause.KEY_REVOKED, EndCode.KEY_REVOKED),
        ({"user_disabled_at": NOW + SECOND}, EndCause.USER_DISABLED, EndCode.SESSION_ENDED),
        (
            {"ended_at": NOW + SECOND, "ended_by": EndCause.ENDED_BY_ADMIN},
            EndCause.ENDED_BY_ADMIN,
            EndCode.SESSION_ENDED,
        ),
        ({"ended_at": NOW + SECOND}, EndCause.OTHER, EndCode.SESSION_ENDED),
        (
            {"ended_at": NOW + SECOND, "user_disabled_at": NOW + SECOND},
            EndCause.USER_DISABLED,
            EndCode.SESSION_ENDED,
        ),
    ],
)
@pytest.mark.parametrize("seconds_later", [0, 1, 2, 100_000])
def test_what_was_recorded_ends_it_at_once_and_stays_the_reason(
    changes: dict[str, object], cause: EndCause, code: EndCode, seconds_later: int
) -> None:
    now = NOW + seconds_later * SECOND
    end = session_end(facts(**changes), now=now, idle_seconds=IDLE)
    assert end == SessionEnd(cause, NOW + SECOND)
    assert end.code is code


def test_what_happened_first_is_the_reason() -> None:
    late = NOW + timedelta(days=1)
    expiry = NOW + timedelta(seconds=600)
    assert end_of(facts(key_revoked_at=expiry - SECOND), late) == (
        "key_revoked",
        expiry - SECOND,
    )
    assert end_of(facts(key_revoked_at=expiry), late) == ("key_expired", expiry)
    assert end_of(facts(key_revoked_at=expiry + SECOND), late) == ("key_expired", expiry)
    assert end_of(facts(ended_at=NOW + SECOND, key_revoked_at=NOW + 2 * SECOND), late) == (
        "session_ended",
        NOW + SECOND,
    )


def test_under_a_permanent_license_there_is_no_expiry() -> None:
    permanent = SessionFacts(last_heard_at=NOW)
    assert end_of(permanent, NOW + timedelta(seconds=IDLE) - SECOND) is None


def test_nobody_works_under_a_key_that_the_clock_says_is_not_issued_yet() -> None:
    """The server's clock was set back by an hour."""
    an_hour_ago = NOW - timedelta(hours=1)
    assert end_of(LIVE, an_hour_ago) == ("session_ended", an_hour_ago)
    assert end_of(LIVE, NOW) is None


@given(
    st.builds(
        SessionFacts,
        last_heard_at=instants.filter(bool),
        ended_at=instants,
        user_disabled_at=instants,
        key_issued_at=st.just(NOW - timedelta(seconds=10)),
        key_expires_at=instants,
        key_revoked_at=instants,
    ),
    st.integers(1, 10),
    st.integers(-10, 20),
)
def test_a_session_that_has_ended_stays_ended_and_for_the_same_reason(
    session: SessionFacts, idle: int, second: int
) -> None:
    now = NOW + second * SECOND
    end = session_end(session, now=now, idle_seconds=idle)
    if end is None:
        assert session.ended_at is None
        assert session.user_disabled_at is None
        assert session.key_revoked_at is None
        assert session.key_expires_at is None or now < session.key_expires_at
        assert now < session.last_heard_at + timedelta(seconds=idle)
    elif end.at <= now:
        for later in (SECOND, timedelta(days=1)):
            assert session_end(session, now=now + later, idle_seconds=idle) == end
