"""What a super admin does with a machine, and what becomes of those who work on it."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.codes import EndCause
from app.agents.configuration import configuration_of, save_configuration
from app.agents.heartbeats import LiveSession
from app.agents.live_sessions import end_temporary_sessions, live_sessions_of
from app.agents.machines import (
    attach,
    detach,
    dissociate,
    get_agent,
    machines_of,
    machines_with,
    revoke_permanent_license,
)
from app.audit.feed import FeedKind
from app.audit.tags import AuditTag
from app.core.errors import Conflict, NotAllowed, NotFound
from app.licenses.offline import revocations
from app.models import Agent, Project
from app.models.types import HIGHEST_ID
from tests.agents.stage import (
    LIMITS,
    MAC,
    beat,
    end_of,
    events,
    feed,
    issue,
    machine_of,
    refusal_of,
    signed_in,
    try_to_sign_in,
)
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

SECOND = timedelta(seconds=1)
MOMENT = NOW + timedelta(minutes=1, microseconds=400_000)
HOST = "LAPTOP-7"
NAME = f"{HOST} ({MAC})"


@pytest.fixture
def agent(session: Session, cast: Cast) -> Agent:
    """A machine of Acme's, registered by Carl, who has logged in on it."""
    return machine_of(signed_in(session, cast.carl, hostname=HOST, now=NOW))


def done_by(cast: Cast, agent: Agent, who: str = Cast.ada) -> dict[str, object]:
    return {"actor": cast.actor(who), "agent_id": agent.id, "now": MOMENT, "limits": LIMITS}


def test_detaching_logs_everybody_out_and_keeps_everybody_out(
    session: Session, cast: Cast, agent: Agent
) -> None:
    license = issue(session, cast)
    carl, pat = signed_in(session, cast.carl), signed_in(session, cast.pat, license)
    ended = detach(session, **done_by(cast, agent))
    assert {found.user.email for found in ended} == {cast.carl, cast.pat}
    for here in (carl, pat):
        assert end_of(session, here.token, MOMENT) == (
            "agent_blocked",
            EndCause.AGENT_BLOCKED,
            MOMENT,
        )
    for who in (cast.carl, cast.dev):
        assert refusal_of(try_to_sign_in(session, who)).detail == "Agent is Blocked."
    (event,) = events(session, AuditTag.MACHINE_DETACHED)
    assert (event.actor, event.subject) == (cast.ada, NAME)
    assert event.data == {"mac_id": MAC, "key_id": agent.license.key_id}
    assert feed(session)[0] == (FeedKind.MACHINE_DETACHED, "", NAME)
    with pytest.raises(Conflict, match="detached already"):
        detach(session, **done_by(cast, agent))


def test_after_attaching_ended_sessions_stay_ended_and_people_sign_in_anew(
    session: Session, cast: Cast, agent: Agent
) -> None:
    here = signed_in(session, cast.carl)
    detach(session, **done_by(cast, agent))
    later = MOMENT + SECOND
    attach(session, actor=cast.actor(cast.ada), agent_id=agent.id, now=later)
    assert end_of(session, here.token, later)[1] is EndCause.AGENT_BLOCKED
    again = signed_in(session, cast.carl, now=later)
    assert again.license_key is None
    assert isinstance(beat(session, again.token, later), LiveSession)
    assert len(events(session, AuditTag.MACHINE_ATTACHED)) == 1
    assert (FeedKind.MACHINE_ATTACHED, "", NAME) in feed(session)
    with pytest.raises(Conflict, match="attached already"):
        attach(session, actor=cast.actor(cast.ada), agent_id=agent.id, now=later)


def test_dissociating_revokes_the_license_and_logs_everybody_out(
    session: Session, cast: Cast, agent: Agent
) -> None:
    here, key_id = signed_in(session, cast.carl), agent.license.key_id
    dissociate(session, **done_by(cast, agent))
    assert end_of(session, here.token, MOMENT) == ("session_ended", EndCause.DISSOCIATED, MOMENT)
    assert [one.jti for one in revocations(session, MOMENT)] == [key_id]
    assert machines_of(session, cast.acme) == []
    assert machines_with(session, mac_id=MAC) == []
    assert len(events(session, AuditTag.MACHINE_DISSOCIATED)) == 1
    assert feed(session)[0] == (FeedKind.MACHINE_DISSOCIATED, "", NAME)
    with pytest.raises(NotFound):
        dissociate(session, **done_by(cast, agent))


def test_dissociating_a_detached_machine_whose_license_was_revoked_keeps_both_dates(
    session: Session, cast: Cast, agent: Agent
) -> None:
    revoke_permanent_license(session, **done_by(cast, agent))
    detach(session, **done_by(cast, agent))
    options = done_by(cast, agent) | {"now": MOMENT + timedelta(days=1)}
    dissociate(session, **options)
    session.commit()
    assert agent.license.revoked_at == MOMENT
    assert signed_in(session, cast.carl).license_key is not None


def test_revoking_its_license_logs_client_users_out_and_leaves_partners_alone(
    session: Session, cast: Cast, agent: Agent
) -> None:
    license = issue(session, cast)
    carl, pat = signed_in(session, cast.carl), signed_in(session, cast.pat, license)
    ended = revoke_permanent_license(session, **done_by(cast, agent))
    assert {found.user.email for found in ended} == {cast.carl}
    assert end_of(session, carl.token, MOMENT) == (
        "license_revoked",
        EndCause.LICENSE_REVOKED,
        MOMENT,
    )
    assert isinstance(beat(session, pat.token, MOMENT), LiveSession)
    assert refusal_of(try_to_sign_in(session, cast.carl)).code == "license_revoked"
    signed_in(session, cast.dev, license)
    assert [one.jti for one in revocations(session, MOMENT)] == [agent.license.key_id]
    assert len(events(session, AuditTag.PERMANENT_LICENSE_REVOKED)) == 1
    assert feed(session)[0] == (FeedKind.LICENSE_REVOKED, "", NAME)
    with pytest.raises(Conflict, match="revoked already"):
        revoke_permanent_license(session, **done_by(cast, agent))


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.dev, Cast.carl])
@pytest.mark.parametrize("change", [detach, dissociate, revoke_permanent_license])
def test_nobody_but_a_super_admin_changes_a_machine(
    session: Session, cast: Cast, agent: Agent, who: str, change: object
) -> None:
    with pytest.raises(NotAllowed):
        change(session, **done_by(cast, agent, who))  # type: ignore[operator]
    with pytest.raises(NotAllowed):
        attach(session, actor=cast.actor(who), agent_id=agent.id, now=MOMENT)
    assert agent.detached_at is agent.dissociated_at is agent.license.revoked_at is None


@pytest.mark.parametrize("number", [0, 4711, HIGHEST_ID])
def test_a_machine_that_never_was_is_not_found(session: Session, cast: Cast, number: int) -> None:
    with pytest.raises(NotFound):
        get_agent(session, number)
    assert machines_with(session, agent_id=number) == []


def test_ending_all_temporary_sessions_leaves_client_users_and_other_organisations(
    session: Session, cast: Cast, agent: Agent
) -> None:
    acme, bolt = issue(session, cast), issue(session, cast, cast.bolt)
    carl = signed_in(session, cast.carl)
    partners = [
        signed_in(session, cast.pat, acme),
        signed_in(session, cast.dev, acme, mac_id="02:00:00:00:00:07"),
    ]
    elsewhere = signed_in(session, cast.pat, bolt, mac_id="02:00:00:00:00:08")
    ended = end_temporary_sessions(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=cast.acme,
        now=MOMENT,
        limits=LIMITS,
    )
    assert len(ended) == 2
    for here in partners:
        assert end_of(session, here.token, MOMENT)[1] is EndCause.ENDED_BY_ADMIN
    for here in (carl, elsewhere):
        assert isinstance(beat(session, here.token, MOMENT), LiveSession)
    with pytest.raises(NotAllowed):
        end_temporary_sessions(
            session,
            actor=cast.actor(cast.audrey),
            organisation_id=cast.acme,
            now=MOMENT,
            limits=LIMITS,
        )


# The subscription

LAST_DAY = date(2026, 11, 24)
MIDNIGHT = NOW.replace(hour=0, minute=0, day=25)


def end_subscription(session: Session, cast: Cast, last_day: date | None = LAST_DAY) -> None:
    project = session.get(Project, cast.acme_project)
    assert project is not None
    project.plan_expires_on = last_day
    session.commit()


@pytest.mark.parametrize(("seconds", "lives"), [(-1, True), (0, False), (1, False)])
def test_client_users_work_until_midnight_of_the_last_day_and_not_at_it(
    session: Session, cast: Cast, agent: Agent, seconds: int, lives: bool
) -> None:
    end_subscription(session, cast)
    here = signed_in(session, cast.carl, now=MIDNIGHT - timedelta(minutes=5))
    moment = MIDNIGHT + seconds * SECOND
    listed = live_sessions_of(session, cast.acme, moment, LIMITS)
    assert (listed == [here.agent_session]) is lives
    if lives:
        assert isinstance(beat(session, here.token, moment), LiveSession)
        signed_in(session, cast.carl, now=moment)
    else:
        assert end_of(session, here.token, moment) == (
            "subscription_expired",
            EndCause.SUBSCRIPTION_EXPIRED,
            MIDNIGHT,
        )
        answer = refusal_of(try_to_sign_in(session, cast.carl, now=moment))
        assert answer.code == "subscription_expired"


def test_after_the_subscription_no_machine_is_registered_and_partners_still_work(
    session: Session, cast: Cast
) -> None:
    end_subscription(session, cast)
    answer = refusal_of(try_to_sign_in(session, cast.carl, now=MIDNIGHT))
    assert answer.code == "subscription_expired"
    assert session.scalar(select(Agent)) is None
    signed_in(session, cast.pat, issue(session, cast, now=MIDNIGHT), now=MIDNIGHT)


def test_renewed_in_time_a_session_goes_on(session: Session, cast: Cast, agent: Agent) -> None:
    end_subscription(session, cast)
    here = signed_in(session, cast.carl, now=MIDNIGHT - SECOND)
    end_subscription(session, cast, LAST_DAY + timedelta(days=365))
    assert isinstance(beat(session, here.token, MIDNIGHT + SECOND), LiveSession)


# Configuration data


def test_a_client_user_saves_the_organisations_configuration(
    session: Session, cast: Cast, agent: Agent
) -> None:
    here = signed_in(session, cast.carl).agent_session
    for data in ({"a": [1, {"b": None}]}, {"c": "é"}):
        assert save_configuration(session, agent_session=here, data=data, now=MOMENT) is None
        session.commit()
        assert configuration_of(session, cast.acme) == data
    assert configuration_of(session, cast.bolt) == {}
    assert len(events(session, AuditTag.CONFIGURATION_SAVED)) == 2
