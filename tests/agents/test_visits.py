"""Visits: what is noted of a session under a temporary key, and that it stays as it was."""

from datetime import timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app.access.visits import VisitSearch, find_visits
from app.accounts.users import UserFields, update_user
from app.agents.codes import EndCause
from app.agents.heartbeats import LiveSession
from app.agents.purging import purge_agent_sessions
from app.agents.visiting import MARGIN, store_visits_ends
from app.audit.feed import feed_of
from app.audit.tags import AuditTag
from app.core.durations import SessionLimits
from app.core.permissions import Role
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import AgentSession, Organisation, User, Visit
from tests.agents.stage import HOUR, IDLE, LIMITS, beat, events, issue, signed_in
from tests.conftest import NOW, Cast

SECOND = timedelta(seconds=1)
KEEP = timedelta(days=90)
both = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture(autouse=True)
def _stage(cast: Cast) -> None:
    """Acme and its neighbour."""


@both
def test_a_session_under_a_key_is_a_visit_and_another_is_none(session: Session, cast: Cast) -> None:
    options = KeyOptions(HOUR, reason="Börse is down", ticket="OPS-7")
    here = signed_in(session, cast.pat, issue(session, cast, options=options), hostname="lab-7")
    signed_in(session, cast.carl, mac_id="00:1A:2B:3C:4D:5F")
    visit = session.scalars(select(Visit)).one()
    assert visit.session_id == here.agent_session.id
    assert (visit.email, visit.role, visit.issued_by) == (cast.pat, "partner", cast.ada)
    for word in ("borse is down", "ops-7", "lab-7", "00:1a:2b:3c:4d:5e", "198.51.100.9", cast.ada):
        assert word in visit.search_text


def test_whoever_is_renamed_later_is_still_who_they_were(session: Session, cast: Cast) -> None:
    """A developer visits, and is made an auditor under another name and address afterwards."""
    signed_in(session, cast.dev, issue(session, cast))
    for email, role in ((cast.dev, Role.AUDITOR), (cast.ada, Role.SUPER_ADMIN)):
        fields = UserFields(f"new-{email}", "Somebody Else", role, None)
        actor = cast.actor(cast.grace)
        update_user(session, email=email, fields=fields, actor=actor, now=NOW)
    session.commit()
    visit = session.scalars(select(Visit)).one()
    assert (visit.email, visit.name, visit.role) == (cast.dev, "", "developer")
    assert visit.issued_by == cast.ada


@both
def test_visits_stay_when_sessions_go(session: Session, cast: Cast) -> None:
    made = signed_in(session, cast.pat, issue(session, cast)).agent_session
    other = signed_in(session, cast.carl, mac_id="00:1A:2B:3C:4D:5F").agent_session
    for each in (made, other):
        each.ended_at, each.end_code = NOW, EndCause.SIGNED_OUT.value
        each.last_heard_at = NOW
    session.commit()
    at = NOW + KEEP
    assert purge_agent_sessions(session, now=at, keep=KEEP, limits=LIMITS) == 1
    assert session.scalars(select(AgentSession)).all() == [made]


@both
@pytest.mark.parametrize(
    ("heard", "cause", "after"),
    [(HOUR, EndCause.KEY_EXPIRED, HOUR), (60, EndCause.NOT_HEARD_FROM, 60 + IDLE)],
)
def test_an_end_that_nobody_was_there_for_is_stored(
    session: Session, cast: Cast, heard: int, cause: EndCause, after: int
) -> None:
    """The agent never comes back, and the idle limit is changed long after: the end stays."""
    made = signed_in(session, cast.pat, issue(session, cast), now=NOW).agent_session
    made.last_heard_at = NOW + timedelta(seconds=heard)
    session.commit()
    at = NOW + timedelta(seconds=after)
    too_early = at + MARGIN - timedelta(microseconds=1)
    assert store_visits_ends(session, now=too_early, limits=LIMITS) == 0
    assert store_visits_ends(session, now=at + MARGIN, limits=LIMITS) == 1
    session.commit()
    longer = SessionLimits(heartbeat_seconds=5, idle_seconds=10 * HOUR)
    assert store_visits_ends(session, now=at + timedelta(days=1), limits=longer) == 0
    session.refresh(made)
    assert (made.ended_at, made.end_code) == (at, cause.value)
    assert len(events(session, AuditTag.AGENT_SESSION_ENDED)) == 1


def test_whoever_is_there_goes_on(session: Session, cast: Cast) -> None:
    here = signed_in(session, cast.pat, issue(session, cast))
    at = here.agent_session.last_heard_at + LIMITS.idle
    assert store_visits_ends(session, now=at, limits=LIMITS) == 0
    assert isinstance(beat(session, here.token, at - SECOND), LiveSession)


def visits_in_feed(session: Session, organisation_id: str = Cast.acme) -> list[str]:
    return [entry.subject for entry in feed_of(session, organisation_id) if entry.visit_id]


@both
def test_the_feed_has_the_visits_of_the_times_in_which_clients_see_them(
    session: Session, cast: Cast
) -> None:
    """One before, one while on, one while off, one while on again; of a neighbour none."""
    acme, key = session.get_one(Organisation, cast.acme), issue(session, cast)
    session.scalars(select(User).where(User.email == cast.dev)).one().name = "Dev"

    def visit(who: str, *, seen: bool) -> None:
        acme.clients_see_visits = seen
        session.commit()
        signed_in(session, who, key)

    visit(cast.pat, seen=False)
    assert visits_in_feed(session) == []
    visit(cast.dev, seen=True)
    signed_in(session, cast.dev, issue(session, cast, cast.bolt))
    assert visits_in_feed(session) == ["Dev (dev@example.com)"]
    visit(cast.dev, seen=False)
    assert visits_in_feed(session) == []
    visit(cast.pat, seen=True)
    assert visits_in_feed(session) == [cast.pat, "Dev (dev@example.com)"]
    assert visits_in_feed(session, cast.bolt) == []


@pytest.mark.parametrize(
    "search",
    [
        VisitSearch(Cast.acme),
        VisitSearch(Cast.acme, "pat", NOW, NOW + KEEP, older_than=1),
        VisitSearch(Cast.acme, newer_than=1),
    ],
)
def test_a_page_is_found_by_an_index_and_not_sorted(session: Session, search: VisitSearch) -> None:
    """Of a hundred thousand visits too: nobody else's session is looked at."""
    asked: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object):
        asked.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        find_visits(session, search, now=NOW, limits=LIMITS, size=50)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    statement, values = asked[-1]
    plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[arg-type]
    steps = [str(step[-1]) for step in plan]
    assert "USING INDEX ix_agent_sessions_visits" in steps[0]
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")], steps
