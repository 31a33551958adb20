"""Sessions on OP Agents: being heard from, ending, and who is listed as signed in."""

from datetime import datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password
from app.accounts.users import disable_user
from app.agents.codes import EndCause
from app.agents.configuration import configuration_of, save_configuration
from app.agents.heartbeats import LiveSession
from app.agents.live_sessions import (
    end_session,
    end_temporary_sessions,
    live_sessions_of,
    live_sessions_under,
    partners_signed_in,
    session_has_ended,
)
from app.agents.people import enable_user, reset_password
from app.agents.sessions import sign_out
from app.audit.tags import AuditTag
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotAllowed, NotFound
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import AgentSession, Project, User
from tests.agents.stage import (
    HOUR,
    IDLE,
    LIMITS,
    MAC,
    beat,
    end_of,
    events,
    issue,
    machine_of,
    signed_in,
)
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

START = NOW + timedelta(seconds=1)
SECOND = timedelta(seconds=1)


# Being heard from


def test_a_live_session_is_answered_and_last_heard_is_written_every_half_minute_at_most(
    session: Session, cast: Cast
) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    for seconds, noted in [(5, 0), (29, 0), (30, 30), (59, 30), (60, 60)]:
        answer = beat(session, here.token, START + timedelta(seconds=seconds))
        assert isinstance(answer, LiveSession)
        session.expire_all()
        assert here.agent_session.last_heard_at == START + timedelta(seconds=noted)


def test_with_a_short_idle_limit_last_heard_is_written_more_often(
    session: Session, cast: Cast
) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    for seconds in range(1, 40):
        now = START + timedelta(seconds=seconds)
        assert isinstance(beat(session, here.token, now, SessionLimits(2, 6)), LiveSession)


def test_a_heartbeat_is_answered_while_the_database_is_busy(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    busy = Session(db.engine)
    busy.execute(select(User).where(User.email == cast.pat).with_for_update())
    try:
        answer = beat(session, here.token, START + timedelta(minutes=1))
        assert isinstance(answer, LiveSession)
    finally:
        busy.close()


def test_an_unknown_token_belongs_to_no_session(session: Session, cast: Cast) -> None:
    for token in ("", "nonsense", "\x00", "é" * 10_000, "\ud800"):
        assert end_of(session, token, NOW) == ("session_ended", EndCause.UNKNOWN, NOW)


def statements_of(session: Session, token: str, now: datetime) -> list[str]:
    """What a heartbeat asks of the database, but for beginning and ending transactions."""
    session.commit()
    session.expunge_all()
    asked: list[str] = []

    def note(*details: object) -> None:
        asked.append(str(details[2]).split(maxsplit=1)[0])

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        answer = beat(session, token, now)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert isinstance(answer, LiveSession)
    return [word for word in asked if word not in ("BEGIN", "PRAGMA", "ROLLBACK", "COMMIT")]


@pytest.mark.parametrize("who", [Cast.pat, Cast.carl])
def test_a_heartbeat_that_changes_nothing_is_one_query_and_no_write(
    session: Session, cast: Cast, who: str
) -> None:
    here = signed_in(session, who, issue(session, cast) if who == cast.pat else None)
    assert statements_of(session, here.token, START + 29 * SECOND) == ["SELECT"]


@pytest.mark.parametrize(
    ("who", "writes"), [(Cast.pat, ["UPDATE"]), (Cast.carl, ["UPDATE", "UPDATE"])]
)
def test_every_half_minute_a_heartbeat_writes_last_heard_and_last_seen(
    session: Session, cast: Cast, who: str, writes: list[str]
) -> None:
    here = signed_in(session, who, issue(session, cast) if who == cast.pat else None)
    number = here.agent_session.id
    now = START + 30 * SECOND
    assert statements_of(session, here.token, now) == ["SELECT", *writes]
    found = session.get(AgentSession, number)
    assert found is not None
    assert found.last_heard_at == now
    if found.agent is not None:
        assert found.agent.last_seen_at == now
    assert statements_of(session, here.token, now + SECOND) == ["SELECT"]


def test_being_told_is_noted_once(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    number = here.agent_session.id
    end_session(
        session,
        actor=cast.actor(cast.ada),
        session_id=number,
        now=START + SECOND,
        limits=LIMITS,
    )
    for seconds in (3, 8):
        beat(session, here.token, START + seconds * SECOND)
    session.expire_all()
    assert here.agent_session.told_at == START + 3 * SECOND
    assert here.agent_session.confirmed_at is None


# Ending


@pytest.mark.parametrize(("seconds", "lives"), [(-1, True), (0, False), (1, False)])
def test_the_first_heartbeat_at_the_expiry_is_refused(
    session: Session, cast: Cast, seconds: int, lives: bool
) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license, now=license.expires_at - timedelta(minutes=5))
    moment = license.expires_at + seconds * SECOND
    if lives:
        assert isinstance(beat(session, here.token, moment), LiveSession)
    else:
        assert end_of(session, here.token, moment) == (
            "key_expired",
            EndCause.KEY_EXPIRED,
            license.expires_at,
        )


def test_revoking_the_key_ends_every_session_under_it_at_the_next_heartbeat(
    session: Session, cast: Cast
) -> None:
    license = issue(session, cast)
    pat, dev = signed_in(session, cast.pat, license), signed_in(session, cast.dev, license)
    moment = START + timedelta(minutes=1)
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=moment)
    for here in (pat, dev):
        assert end_of(session, here.token, moment) == (
            "key_revoked",
            EndCause.KEY_REVOKED,
            moment,
        )


def test_disabling_the_user_ends_the_session(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    moment = START + timedelta(minutes=1)
    disable_user(session, email=cast.pat, actor=cast.actor(cast.ada), now=moment)
    assert end_of(session, here.token, moment) == (
        "session_ended",
        EndCause.USER_DISABLED,
        moment,
    )


def test_a_new_password_ends_the_session(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    moment = START + timedelta(minutes=1)
    reset_password(
        session,
        email=cast.pat,
        password_hash=hash_password("another one"),
        actor=cast.actor(cast.ada),
        now=moment,
    )
    assert end_of(session, here.token, moment) == ("session_ended", EndCause.OTHER, moment)


@pytest.mark.parametrize(("seconds", "lives"), [(-1, True), (0, False), (1, False)])
def test_a_session_not_heard_from_for_fifteen_minutes_has_ended(
    session: Session, cast: Cast, seconds: int, lives: bool
) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    falls_silent = START + timedelta(seconds=IDLE)
    moment = falls_silent + seconds * SECOND
    if lives:
        assert isinstance(beat(session, here.token, moment), LiveSession)
    else:
        assert end_of(session, here.token, moment) == (
            "session_ended",
            EndCause.NOT_HEARD_FROM,
            falls_silent,
        )


def test_an_end_is_recorded_once_when_the_agent_is_told(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license, now=license.expires_at - timedelta(minutes=1))
    told = license.expires_at + 2 * SECOND
    for _ in range(3):
        assert end_of(session, here.token, told)[0] == "key_expired"
    (event,) = events(session, AuditTag.AGENT_SESSION_ENDED)
    assert (event.happened_at, event.actor) == (told, cast.pat)
    assert (event.organisation_id, event.subject) == (cast.acme, f"{cast.pat} on {MAC}")
    assert event.data["key_id"] == license.key_id
    assert event.data["code"] == "key_expired"
    assert event.data["ended_at"] == license.expires_at.isoformat()
    session.refresh(here.agent_session)
    assert here.agent_session.ended_at == license.expires_at
    assert here.agent_session.end_code == "key_expired"


def test_signing_out_twice_is_signing_out_once(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    moment = START + timedelta(minutes=1)
    for seconds in (0, 5):
        now = moment + seconds * SECOND
        sign_out(session, token=here.token, now=now, limits=LIMITS)
    sign_out(session, token="nonsense", now=moment, limits=LIMITS)
    assert end_of(session, here.token, moment + timedelta(hours=1)) == (
        "session_ended",
        EndCause.SIGNED_OUT,
        moment,
    )
    (event,) = events(session, AuditTag.AGENT_SESSION_ENDED)
    assert event.data["cause"] == "signed_out"


def test_signing_out_after_the_expiry_records_the_expiry(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license, now=license.expires_at - SECOND)
    sign_out(session, token=here.token, now=license.expires_at + SECOND, limits=LIMITS)
    (event,) = events(session, AuditTag.AGENT_SESSION_ENDED)
    assert event.data["cause"] == "key_expired"


def test_a_super_admin_ends_a_session_and_the_agent_is_told(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    moment = START + timedelta(minutes=1)
    options = {"session_id": here.agent_session.id, "now": moment, "limits": LIMITS}
    end_session(session, actor=cast.actor(cast.ada), **options)
    assert end_of(session, here.token, moment) == (
        "session_ended",
        EndCause.ENDED_BY_ADMIN,
        moment,
    )
    (event,) = events(session, AuditTag.AGENT_SESSION_ENDED)
    assert (event.actor, event.data["user"]) == (cast.ada, cast.pat)
    with pytest.raises(Conflict, match="has ended already"):
        end_session(session, actor=cast.actor(cast.grace), **options)
    assert len(events(session, AuditTag.AGENT_SESSION_ENDED)) == 1


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.carl])
def test_nobody_else_may_end_a_session(session: Session, cast: Cast, who: str) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    with pytest.raises(NotAllowed):
        end_session(
            session,
            actor=cast.actor(who),
            session_id=here.agent_session.id,
            now=START,
            limits=LIMITS,
        )
    with pytest.raises(NotAllowed):
        end_temporary_sessions(
            session,
            actor=cast.actor(who),
            organisation_id=cast.acme,
            now=START,
            limits=LIMITS,
        )


def test_a_user_who_is_enabled_again_does_not_go_on_where_they_were(
    session: Session, cast: Cast
) -> None:
    """The agent has not asked meanwhile, so nothing but the disabling itself had ended it."""
    here = signed_in(session, cast.pat, issue(session, cast))
    actor = cast.actor(cast.ada)
    disable_user(session, email=cast.pat, actor=actor, now=START)
    enable_user(session, email=cast.pat, actor=actor, now=START)
    code, _, _ = end_of(session, here.token, START)
    assert code == "session_ended"


def test_a_session_that_never_was_cannot_be_ended(session: Session, cast: Cast) -> None:
    with pytest.raises(NotFound):
        end_session(session, actor=cast.actor(cast.ada), session_id=4711, now=START, limits=LIMITS)


def test_saving_configuration_data_is_refused_and_recorded(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license)
    answer = save_configuration(session, agent_session=here.agent_session, data={"a": 1}, now=START)
    assert answer is not None
    assert answer.code == "configuration_read_only"
    assert configuration_of(session, cast.acme) == {}
    (event,) = events(session, AuditTag.CONFIGURATION_REFUSED)
    assert (event.actor, event.organisation_id, event.subject) == (
        cast.pat,
        cast.acme,
        MAC,
    )
    assert event.data["key_id"] == license.key_id


# Who is signed in


def test_the_lists_and_the_count_say_who_is_signed_in(session: Session, cast: Cast) -> None:
    acme, bolt = issue(session, cast), issue(session, cast, cast.bolt)
    first = signed_in(session, cast.pat, acme)
    second = signed_in(session, cast.dev, acme, now=START + SECOND)
    signed_in(session, cast.pat, bolt)
    now = START + timedelta(minutes=1)
    both = [second.agent_session, first.agent_session]
    assert live_sessions_of(session, cast.acme, now, LIMITS) == both
    assert live_sessions_under(session, acme.id, now, LIMITS) == both
    assert len(live_sessions_of(session, cast.bolt, now, LIMITS)) == 1
    assert partners_signed_in(session, now, LIMITS, 9)[0] == 2
    sign_out(session, token=second.token, now=now, limits=LIMITS)
    assert live_sessions_of(session, cast.acme, now, LIMITS) == [first.agent_session]
    assert partners_signed_in(session, now, LIMITS, 9)[0] == 1


def test_the_database_and_the_rule_agree_on_which_sessions_live(
    session: Session, cast: Cast
) -> None:
    """Every instant that matters, a second before, at it, and a second after."""
    license, user = issue(session, cast), session.scalar(select(User).where(User.email == cast.pat))
    here = signed_in(session, cast.pat, license).agent_session
    moments = (None, NOW, NOW + 2 * SECOND)
    instants = [
        instant + seconds * SECOND
        for instant in (NOW, NOW + timedelta(seconds=IDLE), NOW + timedelta(seconds=HOUR))
        for seconds in (-1, 0, 1)
    ]
    heard = (NOW, NOW + timedelta(seconds=HOUR - 2))
    for last, ended, revoked, disabled in product(heard, moments, moments, moments):
        here.last_heard_at, here.ended_at = last, ended
        license.revoked_at, user.disabled_at = revoked, disabled
        session.flush()
        for now in instants:
            listed = live_sessions_of(session, cast.acme, now, LIMITS) == [here]
            assert listed is not session_has_ended(session, here, now=now, limits=LIMITS)


@pytest.mark.parametrize("who", [Cast.pat, Cast.carl], ids=["under a key", "under its license"])
def test_they_agree_on_each_thing_that_may_end_a_session_on_a_registered_machine(
    session: Session, cast: Cast, who: str
) -> None:
    """Each by itself, a moment before, at and after it; what does not concern a session too."""
    agent = machine_of(signed_in(session, cast.carl, now=NOW))
    key = issue(session, cast) if who == cast.pat else None
    here = signed_in(session, who, key, now=NOW).agent_session
    project = session.get(Project, cast.acme_project)
    moments = (NOW - SECOND, NOW, NOW + SECOND)
    today, midnight = NOW.date(), NOW.replace(hour=0, minute=0) + timedelta(days=1)
    columns = [
        (here, ("last_heard_at", "ended_at"), (*moments, midnight - SECOND)),
        (here.user, ("disabled_at",), moments),
        (agent, ("detached_at", "dissociated_at"), moments),
        (agent.license, ("revoked_at",), moments),
        (project, ("plan_expires_on",), (today - timedelta(days=1), today, None)),
    ]
    if key is not None:
        columns.append((key, ("starts_at", "revoked_at"), moments))
    instants = [
        instant + step
        for instant in (NOW, NOW + LIMITS.idle, NOW + timedelta(seconds=HOUR), midnight)
        for step in (-SECOND, timedelta(microseconds=-1), timedelta(0), SECOND)
    ]
    for row, names, values in columns:
        for name, value in product(names, values):
            before = getattr(row, name)
            setattr(row, name, value)
            session.flush()
            for now in instants:
                listed = here in live_sessions_of(session, cast.acme, now, LIMITS)
                ended = session_has_ended(session, here, now=now, limits=LIMITS)
                assert listed is not ended, (name, value, now)
            setattr(row, name, before)


def test_a_list_of_many_sessions_is_one_query(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    for number in range(5):
        signed_in(session, cast.pat if number % 2 else cast.dev, license)
    session.commit()
    session.expunge_all()
    session.connection()
    queries: list[str] = []

    def note(*details: object) -> None:
        queries.append(str(details[2]))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        sessions = live_sessions_of(session, cast.acme, START, LIMITS)
        shown = [
            (found.user.email, found.temporary_license.key_id)
            for found in sessions
            if found.temporary_license
        ]
        partners_signed_in(session, START, LIMITS, 9)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(shown) == 5
    # The list; who the partners are, and their sessions.
    assert len(queries) == 3


def test_a_session_under_a_permanent_license_is_listed_too(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast)).agent_session
    here.temporary_license = None
    session.flush()
    a_day_later = START + timedelta(days=1)
    here.last_heard_at = a_day_later
    session.flush()
    assert live_sessions_of(session, cast.acme, a_day_later, LIMITS) == [here]
