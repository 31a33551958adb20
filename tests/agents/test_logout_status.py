"""Sessions that have ended, and the proof that their agents have logged out."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.agents.codes import EndCause
from app.agents.heartbeats import LiveSession, heartbeat
from app.agents.live_sessions import end_session
from app.agents.logout_status import MOST_LISTED, EndedSession, ended_by_revocation, ended_lately
from app.agents.machines import detach, revoke_permanent_license
from app.agents.session_rules import LogoutState, LogoutStatus
from app.agents.sessions import confirm_end, sign_out
from app.licenses.services import revoke_license
from app.models import AgentSession, TemporaryLicense
from tests.agents.stage import IDLE, LIMITS, beat, issue, machine_of, signed_in
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

SECOND = timedelta(seconds=1)
MOMENT = NOW + timedelta(minutes=1)
TIMES = {"heartbeat_seconds": 5, "limits": LIMITS}


def lately(
    session: Session, now: object = MOMENT, organisation_id: str = Cast.acme
) -> list[EndedSession]:
    return ended_lately(session, organisation_id, now=now, limits=LIMITS)  # type: ignore[arg-type]


def revoke(session: Session, cast: Cast, license: TemporaryLicense) -> None:
    revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=MOMENT)
    session.commit()


def test_a_revoked_key_is_told_then_confirmed(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license, now=MOMENT - 10 * SECOND)
    revoke(session, cast, license)

    def logout_status(seconds: int) -> LogoutStatus:
        session.expire_all()
        now = MOMENT + seconds * SECOND
        (one,) = ended_by_revocation(session, license, now=now, limits=LIMITS)
        assert one.agent_session is here.agent_session
        assert (one.end.cause, one.end.at) == (EndCause.KEY_REVOKED, MOMENT)
        assert [other.status for other in lately(session, now)] == [one.status]
        return one.status

    assert logout_status(1) == LogoutStatus(LogoutState.WAITING)
    assert logout_status(60) == LogoutStatus(LogoutState.OFF_LINE, license.expires_at)
    beat(session, here.token, MOMENT + 61 * SECOND)
    assert logout_status(62) == LogoutStatus(LogoutState.TOLD, MOMENT + 61 * SECOND)
    beat(session, here.token, MOMENT + 65 * SECOND)
    assert logout_status(66) == LogoutStatus(LogoutState.TOLD, MOMENT + 61 * SECOND)
    sign_out(session, token=here.token, now=MOMENT + 67 * SECOND, limits=LIMITS)
    assert logout_status(68) == LogoutStatus(LogoutState.CONFIRMED, MOMENT + 67 * SECOND)
    sign_out(session, token=here.token, now=MOMENT + 99 * SECOND, limits=LIMITS)
    assert logout_status(99) == LogoutStatus(LogoutState.CONFIRMED, MOMENT + 67 * SECOND)


def test_only_whom_the_revocation_logged_out_is_proof_of_it(session: Session, cast: Cast) -> None:
    license, other = issue(session, cast), issue(session, cast)
    gone = signed_in(session, cast.pat, license)
    sign_out(session, token=gone.token, now=MOMENT - SECOND, limits=LIMITS)
    session.commit()
    signed_in(session, cast.pat, other)
    here = signed_in(session, cast.dev, license)
    assert ended_by_revocation(session, license, now=MOMENT, limits=LIMITS) == []
    revoke(session, cast, license)
    found = ended_by_revocation(session, license, now=MOMENT, limits=LIMITS)
    assert [one.agent_session for one in found] == [here.agent_session]


def test_an_agent_that_was_silent_before_is_off_line_at_once(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    signed_in(session, cast.pat, license, now=NOW)
    revoke(session, cast, license)
    (one,) = lately(session)
    assert one.status == LogoutStatus(LogoutState.OFF_LINE, license.expires_at)


def test_under_a_permanent_license_off_line_promises_no_end(session: Session, cast: Cast) -> None:
    agent = machine_of(signed_in(session, cast.carl, now=NOW))
    revoke_permanent_license(
        session, actor=cast.actor(cast.ada), agent_id=agent.id, now=MOMENT, limits=LIMITS
    )
    (one,) = lately(session)
    assert (one.end.cause, one.status) == (
        EndCause.LICENSE_REVOKED,
        LogoutStatus(LogoutState.OFF_LINE),
    )


def test_every_end_of_the_last_day_is_listed_the_latest_first(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    agent = machine_of(signed_in(session, cast.carl, now=NOW))
    people = [
        signed_in(session, cast.pat, license, now=NOW, mac_id=f"02:00:00:00:00:0{number}")
        for number in range(3)
    ]
    ada = cast.actor(cast.ada)
    sign_out(session, token=people[0].token, now=NOW + SECOND, limits=LIMITS)
    number = people[1].agent_session.id
    end_session(session, actor=ada, session_id=number, now=NOW + 2 * SECOND, limits=LIMITS)
    detach(session, actor=ada, agent_id=agent.id, now=NOW + 3 * SECOND, limits=LIMITS)
    session.commit()
    causes = [one.end.cause.value for one in lately(session)]
    assert causes == ["agent_blocked", "ended_by_admin", "signed_out"]
    silent = NOW + timedelta(seconds=IDLE)
    assert lately(session, silent)[0].end.cause is EndCause.NOT_HEARD_FROM
    assert lately(session, organisation_id=cast.bolt) == []
    assert len(lately(session, NOW + timedelta(hours=24))) == 4
    assert len(lately(session, NOW + timedelta(hours=24, seconds=2))) == 2
    assert lately(session, silent + timedelta(hours=24)) == []


def test_the_list_is_bounded(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    first = signed_in(session, cast.pat, license).agent_session
    for number in range(MOST_LISTED + 5):
        session.add(
            AgentSession(
                token_hash=str(number),
                user_id=first.user_id,
                organisation_id=cast.acme,
                temporary_license_id=license.id,
                mac_id=first.mac_id,
                address="",
                started_at=NOW,
                last_heard_at=NOW,
                ended_at=NOW + SECOND,
                end_code="signed_out",
            )
        )
    session.flush()
    assert len(lately(session)) == MOST_LISTED


@pytest.mark.parametrize("token", ["", "nonsense", "\x00"])
def test_confirming_a_session_that_never_was_does_nothing(
    session: Session, cast: Cast, token: str
) -> None:
    confirm_end(session, token=token, now=NOW, limits=LIMITS)
    assert session.scalar(select(func.count()).select_from(AgentSession)) == 0


def test_confirming_a_session_that_lives_does_not_end_it(session: Session, cast: Cast) -> None:
    """A browser's window that was told late must not end the session begun meanwhile."""
    here = signed_in(session, cast.pat, issue(session, cast))
    confirm_end(session, token=here.token, now=MOMENT, limits=LIMITS)
    session.commit()
    answer = heartbeat(session, token=here.token, now=MOMENT, limits=LIMITS)
    assert isinstance(answer, LiveSession)
    assert here.agent_session.confirmed_at is None


def test_confirming_stores_an_end_that_nobody_has_been_told(session: Session, cast: Cast) -> None:
    license = issue(session, cast)
    here = signed_in(session, cast.pat, license, now=license.expires_at - SECOND)
    later = license.expires_at + SECOND
    confirm_end(session, token=here.token, now=later, limits=LIMITS)
    session.refresh(here.agent_session)
    found = here.agent_session
    assert (found.ended_at, found.end_code) == (license.expires_at, "key_expired")
    assert (found.told_at, found.confirmed_at) == (None, later)
