"""Who may sign in on an OP Agent, row by row, and when a session ends, to the second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.codes import EndCause, EndCode, RefusalCode
from app.agents.session_rules import (
    LogoutState,
    LogoutStatus,
    SessionEnd,
    SessionFacts,
    logout_status,
    note_interval,
    session_end,
)
from app.agents.sign_in_rules import (
    Admission,
    Person,
    Refusal,
    RegisteredAgent,
    decide,
    deciding_agent,
)
from app.core.durations import SessionLimits
from app.core.permissions import TEMPORARY_KEY_ROLES, Role
from app.licenses.rules import Inspection, KeyTerms, LicenseState, MachineIds

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
EARLIER = NOW - timedelta(hours=3)
ACME, BOLT = "ORG-000123", "ORG-000456"

# Who: row 1 for everybody who is not somebody.
NOBODY = None
ADMIN, AUDITOR = Person(Role.SUPER_ADMIN), Person(Role.AUDITOR)
PARTNER, DEVELOPER = Person(Role.PARTNER, user_id=7), Person(Role.DEVELOPER, user_id=8)
CLIENT = Person(Role.CLIENT, ACME)
LAPSED = Person(Role.CLIENT, ACME, subscription_ended=True)

NO_KEY = None
ACTIVE = Inspection(LicenseState.ACTIVE, "ABCD-2345", ACME, LATER)
EXPIRED = Inspection(LicenseState.EXPIRED, "ABCD-2345", ACME, EARLIER)
REVOKED = Inspection(LicenseState.REVOKED, "ABCD-2345", ACME, LATER)
INVALID = Inspection(LicenseState.INVALID)
SCHEDULED = Inspection(LicenseState.SCHEDULED, "ABCD-2345", ACME, LATER, starts_at=LATER)
MACHINE = MachineIds("00:1A:2B:3C:4D:5E", "a-machine")
BOUND_HERE = KeyTerms(bound_to=MACHINE)
BOUND_ELSEWHERE = KeyTerms(bound_to=MachineIds(MACHINE.mac_id, "another"))


def active(**terms: object) -> Inspection:
    """An active key that carries something."""
    return replace(ACTIVE, terms=KeyTerms(**terms))


def both(key: Inspection, **terms: object) -> Inspection:
    """`key`, which besides could not be used any more or by anybody here."""
    spent = {"recipient_id": 99, "sign_ins_left": 0, "bound_to": BOUND_ELSEWHERE.bound_to} | terms
    return replace(key, terms=KeyTerms(**spent))


NO_ID = MachineIds(MACHINE.mac_id)
"""The same machine, whose agent sends no machine ID."""


def bound_and_mine() -> Inspection:
    return both(ACTIVE, recipient_id=7, sign_ins_left=1)


UNREGISTERED: list[RegisteredAgent] = []
OWN = RegisteredAgent(1, ACME, "Acme")
OWN_REVOKED = RegisteredAgent(2, ACME, "Acme", license_revoked=True)
OTHER = RegisteredAgent(3, BOLT, "Bolt & Söhne")
OTHER_REVOKED = RegisteredAgent(4, BOLT, "Bolt & Söhne", license_revoked=True)
OWN_DETACHED = RegisteredAgent(5, ACME, "Acme", detached=True)
OTHER_DETACHED = RegisteredAgent(6, BOLT, "Bolt & Söhne", detached=True)

ROWS = [
    (1, NOBODY, NO_KEY, UNREGISTERED, "invalid_credentials"),
    (1, NOBODY, ACTIVE, [OWN], "invalid_credentials"),
    (1, NOBODY, EXPIRED, [OWN_DETACHED], "invalid_credentials"),
    (2, CLIENT, NO_KEY, [OWN_DETACHED], "agent_blocked"),
    (2, CLIENT, ACTIVE, [OWN_DETACHED], "agent_blocked"),
    (2, LAPSED, NO_KEY, [OTHER_DETACHED], "agent_blocked"),
    (2, PARTNER, NO_KEY, [OWN_DETACHED], "agent_blocked"),
    (2, PARTNER, ACTIVE, [OTHER_DETACHED], "agent_blocked"),
    (2, DEVELOPER, INVALID, [OWN_DETACHED], "agent_blocked"),
    (2, ADMIN, NO_KEY, [OWN_DETACHED], "agent_blocked"),
    (2, CLIENT, NO_KEY, [OWN, OTHER, OWN_DETACHED], "agent_blocked"),
    (3, ADMIN, NO_KEY, UNREGISTERED, "role_not_allowed"),
    (3, ADMIN, ACTIVE, [OWN], "role_not_allowed"),
    (3, AUDITOR, NO_KEY, [OTHER], "role_not_allowed"),
    (3, AUDITOR, ACTIVE, UNREGISTERED, "role_not_allowed"),
    (4, CLIENT, ACTIVE, UNREGISTERED, "temporary_key_not_for_clients"),
    (4, CLIENT, EXPIRED, [OWN], "temporary_key_not_for_clients"),
    (4, CLIENT, INVALID, [OTHER], "temporary_key_not_for_clients"),
    (4, LAPSED, REVOKED, [OWN_REVOKED], "temporary_key_not_for_clients"),
    (5, CLIENT, NO_KEY, [OTHER], "machine_registered_elsewhere"),
    (5, CLIENT, NO_KEY, [OTHER_REVOKED], "machine_registered_elsewhere"),
    (5, LAPSED, NO_KEY, [OTHER], "machine_registered_elsewhere"),
    (5, CLIENT, NO_KEY, [OWN, OTHER], "machine_registered_elsewhere"),
    (6, CLIENT, NO_KEY, UNREGISTERED, None),
    (6, LAPSED, NO_KEY, UNREGISTERED, "subscription_expired"),
    (7, CLIENT, NO_KEY, [OWN], None),
    (7, LAPSED, NO_KEY, [OWN], "subscription_expired"),
    (7, CLIENT, NO_KEY, [OWN_REVOKED], "license_revoked"),
    (7, LAPSED, NO_KEY, [OWN_REVOKED], "subscription_expired"),
    (8, PARTNER, NO_KEY, UNREGISTERED, "temporary_key_required"),
    (8, DEVELOPER, NO_KEY, [OWN], "temporary_key_required"),
    (8, PARTNER, NO_KEY, [OTHER], "temporary_key_required"),
    (9, PARTNER, INVALID, UNREGISTERED, "key_invalid"),
    (9, DEVELOPER, INVALID, [OTHER], "key_invalid"),
    (10, PARTNER, EXPIRED, UNREGISTERED, "key_expired"),
    (10, DEVELOPER, EXPIRED, [OTHER], "key_expired"),
    (11, PARTNER, REVOKED, UNREGISTERED, "key_revoked"),
    (11, DEVELOPER, REVOKED, [OTHER], "key_revoked"),
    (10, PARTNER, both(EXPIRED), UNREGISTERED, "key_expired"),
    (11, PARTNER, both(REVOKED), UNREGISTERED, "key_revoked"),
    ("11a", PARTNER, SCHEDULED, UNREGISTERED, "key_not_yet_valid"),
    ("11a", DEVELOPER, both(SCHEDULED), [OTHER], "key_not_yet_valid"),
    ("11b", PARTNER, active(recipient_id=8), UNREGISTERED, "key_not_for_you"),
    ("11b", PARTNER, both(ACTIVE), [OTHER], "key_not_for_you"),
    ("11c", PARTNER, active(sign_ins_left=0), UNREGISTERED, "key_used_up"),
    ("11c", DEVELOPER, both(ACTIVE, recipient_id=8), [OTHER], "key_used_up"),
    (12, PARTNER, bound_and_mine(), [OTHER], "machine_registered_elsewhere"),
    ("12a", PARTNER, replace(ACTIVE, terms=BOUND_ELSEWHERE), UNREGISTERED, "key_bound_elsewhere"),
    ("12a", PARTNER, replace(ACTIVE, terms=BOUND_ELSEWHERE), [OWN], "key_bound_elsewhere"),
    (13, PARTNER, active(recipient_id=7, sign_ins_left=1), UNREGISTERED, None),
    (13, DEVELOPER, replace(ACTIVE, terms=BOUND_HERE), [OWN], None),
    (4, CLIENT, both(ACTIVE), UNREGISTERED, "temporary_key_not_for_clients"),
    (12, PARTNER, ACTIVE, [OTHER], "machine_registered_elsewhere"),
    (12, DEVELOPER, ACTIVE, [OWN, OTHER], "machine_registered_elsewhere"),
    (13, PARTNER, ACTIVE, UNREGISTERED, None),
    (13, DEVELOPER, ACTIVE, [OWN], None),
    (13, PARTNER, ACTIVE, [OWN_REVOKED], None),
]


def machines_with_ids(machines: list[RegisteredAgent]) -> list[RegisteredAgent]:
    """The same registrations, with the machine ID that is sent."""
    return [replace(machine, same_machine_id=True) for machine in machines]


@pytest.mark.parametrize(("row", "person", "key", "machines", "code"), ROWS)
def test_the_table_row_by_row(
    row: int | str,
    person: Person | None,
    key: Inspection | None,
    machines: list[RegisteredAgent],
    code: str | None,
) -> None:
    machine = NO_ID
    if row in ("12a", 13):
        machine, machines = MACHINE, machines_with_ids(machines)
    answer = decide(person=person, key=key, machine=machine, agents=machines)
    if code is None:
        assert answer == Admission(
            ACME,
            machines[0] if machines else None,
            registers=row == 6,
        )
    else:
        assert isinstance(answer, Refusal)
        assert answer.code == code


def test_every_row_of_the_table_is_tested() -> None:
    assert {row[0] for row in ROWS} == {*range(1, 14), "11a", "11b", "11c", "12a"}


def test_an_expired_key_is_refused_with_the_instant_at_which_it_ended() -> None:
    answer = decide(person=PARTNER, key=EXPIRED, machine=MACHINE)
    assert isinstance(answer, Refusal)
    assert answer.expired_at == EARLIER
    assert "Tue 24 Nov 2026, 12:40 UTC" in answer.detail
    assert "{at}" not in answer.detail


def test_a_client_user_is_told_with_whom_the_machine_is_registered() -> None:
    answer = decide(person=CLIENT, key=NO_KEY, machine=MACHINE, agents=[OTHER])
    assert isinstance(answer, Refusal)
    assert answer.registered_to == "Bolt & Söhne"
    assert answer.detail == "Your machine is already registered with Bolt & Söhne."


@pytest.mark.parametrize("person", [PARTNER, DEVELOPER])
def test_a_partner_learns_the_name_of_no_other_customer(person: Person) -> None:
    answer = decide(person=person, key=ACTIVE, machine=NO_ID, agents=[OTHER])
    assert isinstance(answer, Refusal)
    assert answer.registered_to is None
    assert answer.detail == "Your machine is registered with another organisation."


def test_a_detached_machine_is_refused_with_the_words_of_the_guide() -> None:
    answer = decide(person=CLIENT, key=NO_KEY, machine=MACHINE, agents=[OWN_DETACHED])
    assert isinstance(answer, Refusal)
    assert answer.detail == "Agent is Blocked."


instants = st.one_of(
    st.none(), st.integers(-10, 10).map(lambda seconds: NOW + timedelta(seconds=seconds))
)
organisations = st.sampled_from([ACME, BOLT])
people = st.one_of(
    st.none(),
    st.builds(
        Person,
        st.sampled_from([role for role in Role if role is not Role.CLIENT]),
        user_id=st.integers(7, 8),
    ),
    st.builds(Person, st.just(Role.CLIENT), organisations, st.booleans()),
)
keys = st.one_of(
    st.none(),
    st.builds(Inspection, st.just(LicenseState.INVALID)),
    st.builds(
        Inspection,
        state=st.sampled_from([state for state in LicenseState if state != "invalid"]),
        organisation_id=organisations,
        expires_at=instants.filter(bool),
        terms=st.builds(
            KeyTerms,
            recipient_id=st.sampled_from([None, 7, 8]),
            sign_ins_left=st.sampled_from([None, 0, 1, 2]),
            bound_to=st.one_of(st.none(), st.deferred(lambda: machine_ids)),
        ),
    ),
)
machine_ids = st.builds(
    MachineIds, st.sampled_from(["MAC 1", "MAC 2"]), st.sampled_from(["", "ID 1", "ID 2"])
)
machines = st.lists(
    st.builds(
        RegisteredAgent,
        agent_id=st.integers(1, 1000),
        organisation_id=organisations,
        organisation_name=st.just("A name"),
        detached=st.booleans(),
        license_revoked=st.booleans(),
        same_mac_id=st.booleans(),
        same_machine_id=st.sampled_from([None, True, False]),
    ),
    max_size=4,
    unique_by=lambda machine: machine.agent_id,
)


def rows_that_decide(
    person: Person | None,
    key: Inspection | None,
    machine: RegisteredAgent | None,
    *,
    here: MachineIds,
    detached: bool,
) -> list[int | str]:
    """The table once more, each row by itself with what the rows above it leave over.

    Written apart from `decide`, so that neither excuses the other.
    """
    role = person.role if person else None
    known = person is not None
    blocked = known and detached
    client = known and not blocked and role is Role.CLIENT
    partner = known and not blocked and role in (Role.PARTNER, Role.DEVELOPER)
    state = key.state if key else None
    org = person.organisation_id if person else None
    elsewhere = client and machine is not None and machine.organisation_id != org
    active = partner and state is LicenseState.ACTIVE
    of_key = machine is None or (key is not None and machine.organisation_id == key.organisation_id)
    terms = key.terms if key else KeyTerms()
    mine = active and (terms.recipient_id is None or terms.recipient_id == person.user_id)
    left = mine and (terms.sign_ins_left is None or terms.sign_ins_left > 0)
    bound = terms.bound_to
    elsewhere_bound = bound is not None and (
        bound.machine_id != here.machine_id if bound.machine_id else bound.mac_id != here.mac_id
    )
    rows = {
        1: not known,
        2: blocked,
        3: known and not blocked and role in (Role.SUPER_ADMIN, Role.AUDITOR),
        4: client and key is not None,
        5: client and key is None and elsewhere,
        6: client and key is None and machine is None,
        7: client and key is None and machine is not None and not elsewhere,
        8: partner and key is None,
        9: partner and state is LicenseState.INVALID,
        10: partner and state is LicenseState.EXPIRED,
        11: partner and state is LicenseState.REVOKED,
        "11a": partner and state is LicenseState.SCHEDULED,
        "11b": active and not mine,
        "11c": mine and not left,
        12: left and not of_key,
        "12a": left and of_key and elsewhere_bound,
        13: left and of_key and not elsewhere_bound,
    }
    return [row for row, decides in rows.items() if decides]


ANSWERS = {
    1: {"invalid_credentials"},
    2: {"agent_blocked"},
    3: {"role_not_allowed"},
    4: {"temporary_key_not_for_clients"},
    5: {"machine_registered_elsewhere"},
    6: {None, "subscription_expired"},
    7: {None, "subscription_expired", "license_revoked"},
    8: {"temporary_key_required"},
    9: {"key_invalid"},
    10: {"key_expired"},
    11: {"key_revoked"},
    "11a": {"key_not_yet_valid"},
    "11b": {"key_not_for_you"},
    "11c": {"key_used_up"},
    12: {"machine_registered_elsewhere"},
    "12a": {"key_bound_elsewhere"},
    13: {None},
}


@given(people, keys, machines, machine_ids)
def test_exactly_one_row_decides_whatever_is_presented(
    person: Person | None, key: Inspection | None, fitting: list[RegisteredAgent], here: MachineIds
) -> None:
    client = person is not None and person.role is Role.CLIENT
    own = person.organisation_id if client else key.organisation_id if key else None
    machine = deciding_agent(fitting, own, by_machine_id=bool(here.machine_id) and not client)
    detached = any(agent.blocks for agent in fitting)
    (row,) = rows_that_decide(person, key, machine, here=here, detached=detached)
    answer = decide(person=person, key=key, machine=here, agents=fitting)
    code = answer.code.value if isinstance(answer, Refusal) else None
    assert code in ANSWERS[row]
    if row in (6, 7):
        assert (code == "subscription_expired") is person.subscription_ended


def test_a_client_user_of_no_organisation_gets_in_nowhere() -> None:
    answer = decide(person=Person(Role.CLIENT), key=NO_KEY, machine=MACHINE)
    assert answer == Refusal(RefusalCode.TEMPORARY_KEY_NOT_FOR_CLIENTS)


@given(people, keys, machines, machine_ids)
def test_nobody_gets_in_who_should_not(
    person: Person | None, key: Inspection | None, fitting: list[RegisteredAgent], here: MachineIds
) -> None:
    answer = decide(person=person, key=key, machine=here, agents=fitting)
    if not isinstance(answer, Admission):
        return
    assert person is not None
    assert not any(machine.blocks for machine in fitting)
    own = answer.agent
    assert own is None or own.organisation_id == answer.organisation_id
    if own is None or not own.same_machine_id:
        others = [each for each in fitting if each.organisation_id != answer.organisation_id]
        assert not any(each.same_machine_id and each.same_mac_id for each in others)
        if person.role is Role.CLIENT or not here.machine_id:
            assert not any(each.same_mac_id and each.same_machine_id is None for each in others)
    if person.role is Role.CLIENT:
        assert key is None
        assert answer.organisation_id == person.organisation_id
        assert not person.subscription_ended
        assert answer.agent is None or not answer.agent.license_revoked
        assert answer.registers is (answer.agent is None)
    else:
        assert person.role in TEMPORARY_KEY_ROLES
        assert key is not None
        assert key.state is LicenseState.ACTIVE
        assert answer.organisation_id == key.organisation_id
        assert not answer.registers
        assert key.terms.recipient_id in (None, person.user_id)
        assert key.terms.sign_ins_left != 0
        bound = key.terms.bound_to
        assert (
            bound is None
            or here == bound
            or not bound.machine_id
            or (here.machine_id == bound.machine_id)
        )
        assert bound is None or bound.machine_id or here.mac_id == bound.mac_id


@given(machines, st.randoms(), st.booleans())
def test_which_of_several_machines_decides_does_not_depend_on_their_order(
    fitting: list[RegisteredAgent], chance: object, by_id: bool
) -> None:
    shuffled = list(fitting)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    found = deciding_agent(shuffled, ACME, by_machine_id=by_id)
    assert found == deciding_agent(fitting, ACME, by_machine_id=by_id)


# The end of a session

SECOND = timedelta(seconds=1)
IDLE = 900
LIMITS = SessionLimits(heartbeat_seconds=5, idle_seconds=IDLE)
LIVE = SessionFacts(
    last_heard_at=NOW, key_starts_at=NOW, key_expires_at=NOW + timedelta(seconds=600)
)


def facts(**changes: object) -> SessionFacts:
    return SessionFacts(**{**vars(LIVE), **changes})


def end_of(session: SessionFacts, now: datetime) -> tuple[str, datetime] | None:
    end = session_end(session, now=now, limits=LIMITS)
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
        ({"agent_detached_at": NOW + SECOND}, EndCause.AGENT_BLOCKED, EndCode.AGENT_BLOCKED),
        ({"agent_dissociated_at": NOW + SECOND}, EndCause.DISSOCIATED, EndCode.SESSION_ENDED),
        ({"license_revoked_at": NOW + SECOND}, EndCause.LICENSE_REVOKED, EndCode.LICENSE_REVOKED),
        (
            {"agent_dissociated_at": NOW + SECOND, "license_revoked_at": NOW + SECOND},
            EndCause.DISSOCIATED,
            EndCode.SESSION_ENDED,
        ),
    ],
)
@pytest.mark.parametrize("seconds_later", [0, 1, 2, 100_000])
def test_what_was_recorded_ends_it_at_once_and_stays_the_reason(
    changes: dict[str, object], cause: EndCause, code: EndCode, seconds_later: int
) -> None:
    now = NOW + seconds_later * SECOND
    end = session_end(facts(**changes), now=now, limits=LIMITS)
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


@pytest.mark.parametrize(("seconds", "ended"), [(-1, False), (0, True), (1, True)])
def test_a_session_ends_with_the_subscription(seconds: int, ended: bool) -> None:
    midnight = NOW + timedelta(seconds=60)
    permanent = SessionFacts(last_heard_at=NOW, subscription_ends_at=midnight)
    answer = end_of(permanent, midnight + seconds * SECOND)
    assert answer == (("subscription_expired", midnight) if ended else None)


def test_nobody_works_under_a_key_that_the_clock_says_is_not_issued_yet() -> None:
    """The server's clock was set back by an hour."""
    an_hour_ago = NOW - timedelta(hours=1)
    assert end_of(LIVE, an_hour_ago) == ("session_ended", an_hour_ago)
    assert end_of(facts(key_revoked_at=NOW), an_hour_ago) == ("key_revoked", NOW)
    assert end_of(LIVE, NOW) is None


@given(
    st.builds(
        SessionFacts,
        last_heard_at=instants.filter(bool),
        ended_at=instants,
        user_disabled_at=instants,
        key_starts_at=st.just(NOW - timedelta(seconds=10)),
        key_expires_at=instants,
        key_revoked_at=instants,
        agent_detached_at=instants,
        agent_dissociated_at=instants,
        license_revoked_at=instants,
        subscription_ends_at=instants,
    ),
    st.integers(1, 10),
    st.integers(-10, 20),
)
def test_a_session_that_has_ended_stays_ended_and_for_the_same_reason(
    session: SessionFacts, idle: int, second: int
) -> None:
    now = NOW + second * SECOND
    end = session_end(session, now=now, limits=SessionLimits(1, idle))
    if end is None:
        assert session.ended_at is None
        assert session.user_disabled_at is None
        assert session.key_revoked_at is None
        assert session.agent_detached_at is None
        assert session.agent_dissociated_at is None
        assert session.license_revoked_at is None
        assert session.subscription_ends_at is None or now < session.subscription_ends_at
        assert session.key_expires_at is None or now < session.key_expires_at
        assert now < session.last_heard_at + timedelta(seconds=idle)
    elif end.at <= now:
        for later in (SECOND, timedelta(days=1)):
            assert session_end(session, now=now + later, limits=SessionLimits(1, idle)) == end


# The proof that an agent has logged out

END = SessionEnd(EndCause.KEY_REVOKED, NOW)
SIGNED_OUT = SessionEnd(EndCause.SIGNED_OUT, NOW)
NOT_HEARD = SessionEnd(EndCause.NOT_HEARD_FROM, NOW)
PROOFS = [
    # the end; last heard (seconds before it), told, confirmed, asked (after it); state, since when
    (END, (2, None, None, 0), LogoutState.WAITING, None),
    (END, (2, None, None, 7), LogoutState.WAITING, None),
    (END, (2, None, None, 8), LogoutState.OFF_LINE, LATER),
    (END, (38, None, None, 0), LogoutState.WAITING, None),
    (END, (39, None, None, 0), LogoutState.OFF_LINE, LATER),
    (END, (2, 4, None, 4), LogoutState.TOLD, NOW + 4 * SECOND),
    (END, (2, 4, None, 10_000), LogoutState.TOLD, NOW + 4 * SECOND),
    (END, (2, 400, None, 401), LogoutState.TOLD, NOW + 400 * SECOND),
    (END, (2, 4, 5, 5), LogoutState.CONFIRMED, NOW + 5 * SECOND),
    (END, (2, None, 5, 5), LogoutState.CONFIRMED, NOW + 5 * SECOND),
    (SIGNED_OUT, (2, None, None, 0), LogoutState.CONFIRMED, NOW),
    (SIGNED_OUT, (2, 4, None, 4), LogoutState.CONFIRMED, NOW),
    (NOT_HEARD, (900, None, None, 0), LogoutState.OFF_LINE, LATER),
]


@pytest.mark.parametrize(("end", "seconds", "state", "at"), PROOFS)
def test_how_far_an_agent_is_known_to_be(
    end: SessionEnd,
    seconds: tuple[int, int | None, int | None, int],
    state: LogoutState,
    at: datetime | None,
) -> None:
    heard, told, confirmed, asked = seconds
    found = logout_status(
        end,
        facts=facts(last_heard_at=NOW - heard * SECOND, key_expires_at=LATER),
        told_at=None if told is None else NOW + told * SECOND,
        confirmed_at=None if confirmed is None else NOW + confirmed * SECOND,
        now=NOW + asked * SECOND,
        limits=LIMITS,
    )
    assert found == LogoutStatus(state, at)


def test_off_line_under_a_permanent_license_there_is_no_end_to_promise() -> None:
    found = logout_status(
        SessionEnd(EndCause.LICENSE_REVOKED, NOW),
        facts=SessionFacts(last_heard_at=NOW),
        told_at=None,
        confirmed_at=None,
        now=NOW + timedelta(minutes=1),
        limits=LIMITS,
    )
    assert found == LogoutStatus(LogoutState.OFF_LINE, None)


@pytest.mark.parametrize(("idle", "seconds"), [(900, 30), (90, 30), (89, 89 / 3), (6, 2)])
def test_last_heard_is_written_every_half_minute_or_third_of_the_idle_limit_at_most(
    idle: int, seconds: float
) -> None:
    assert note_interval(SessionLimits(1, idle)) == timedelta(seconds=seconds)
