"""The audit log: what is recorded, how it is listed, and in which words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from app.audit.finding import AuditSearch, find_events, organisations_named, parse_day
from app.audit.log import AuditEntry, latest_entries, log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM, Actor
from app.core.errors import InvalidInput
from app.core.permissions import Role
from app.models import AuditEvent
from app.models.positions import Stretch
from app.projects.fields import ProjectFields
from app.projects.services import archive_project, create_project
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")


def note(session: Session, moment: datetime = NOW, **more: object) -> AuditEvent:
    log_event(session, AuditTag.SIGNED_IN, actor=SYSTEM, now=moment, **more)
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).all()[0]


def test_an_event_says_who_did_what_when_to_what_and_from_where(
    session: Session, cast: Cast
) -> None:
    log_event(
        session,
        AuditTag.LICENSE_ISSUED,
        actor=cast.actor(cast.ada),
        now=NOW,
        organisation_id=cast.acme,
        subject="K7QF-3MXP",
        ttl=10800,
        expires_at="2026-11-24T18:40:00+00:00",
    )
    session.commit()
    entry = latest_entries(session, limit=50)[0]
    assert entry.happened_at == NOW
    assert (entry.who, entry.what) == ("ada@example.com", "Generated a temporary key")
    assert (entry.organisation_id, entry.organisation) == (cast.acme, "Acme")
    assert (entry.subject, entry.address) == ("K7QF-3MXP", "203.0.113.7")
    assert entry.details == [("TTL", "3 hrs"), ("ends", datetime(2026, 11, 24, 18, 40, tzinfo=UTC))]


def test_the_newest_stands_first_and_within_an_instant_the_later_one(session: Session) -> None:
    note(session, NOW - timedelta(seconds=1), subject="the first")
    note(session, NOW, subject="the second")
    note(session, NOW, subject="the third")
    note(session, NOW - timedelta(days=1), subject="long ago")
    listed = [entry.subject for entry in latest_entries(session, limit=50) if " " in entry.subject]
    assert listed == ["the third", "the second", "the first", "long ago"]


def subjects(page: Stretch[AuditEntry]) -> list[str]:
    return [entry.subject for entry in page.rows]


def test_pages_follow_each_other_in_both_directions(session: Session) -> None:
    """Of one instant there are several: none is left out or shown twice."""
    session.execute(delete(AuditEvent))
    for number in range(7):
        note(session, NOW + timedelta(seconds=number // 3), subject=str(number))
    first = find_events(session, AuditSearch(), size=3)
    assert (subjects(first), first.goes_back) == (["6", "5", "4"], False)
    second = find_events(session, AuditSearch(older_than=first.rows[-1].id), size=3)
    assert subjects(second) == ["3", "2", "1"]
    last = find_events(session, AuditSearch(older_than=second.rows[-1].id), size=3)
    assert (subjects(last), last.goes_on) == (["0"], False)
    back = find_events(session, AuditSearch(newer_than=last.rows[0].id), size=3)
    assert subjects(back) == ["3", "2", "1"]
    assert find_events(session, AuditSearch(newer_than=back.rows[0].id), size=3) == first
    assert find_events(session, AuditSearch(newer_than=first.rows[0].id), size=3).rows == []


def test_what_is_not_there_leads_to_the_first_page(session: Session) -> None:
    note(session, subject="x")
    assert subjects(find_events(session, AuditSearch(older_than=2**31 - 1), size=1)) == ["x"]


def test_what_each_filter_finds(session: Session, cast: Cast) -> None:
    session.execute(delete(AuditEvent))
    ada, at = cast.actor(cast.ada), NOW + timedelta(hours=1)
    note(session, organisation_id=cast.acme, subject="acme")
    note(session, organisation_id="ORG-GONE", subject="gone")
    log_event(session, AuditTag.LICENSE_VIEWED, actor=ada, now=at, subject="K7QF-3MXP")
    log_event(session, AuditTag.AGENT_SIGNED_IN, actor=ada, now=at, key_id="K7QF-3MXP", subject="m")
    found = {
        "person": (AuditSearch(person=cast.ada), ["m", "K7QF-3MXP"]),
        "nobody": (AuditSearch(person="ada"), []),
        "organisation": (AuditSearch(organisation=cast.acme), ["acme"]),
        "its name": (AuditSearch(organisation="aCME"), ["acme"]),
        "one that is gone": (AuditSearch(organisation="ORG-GONE"), ["gone"]),
        "kind": (AuditSearch(kind="license.viewed"), ["K7QF-3MXP"]),
        "no kind": (AuditSearch(kind="license"), []),
        "key": (AuditSearch(key_id="K7QF-3MXP"), ["m", "K7QF-3MXP"]),
        "from": (AuditSearch(start=at), ["m", "K7QF-3MXP"]),
        "to": (AuditSearch(end=at), ["gone", "acme"]),
        "all": (AuditSearch(person=cast.ada, kind="agent.signed_in", start=at), ["m"]),
    }
    for name, (search, expected) in found.items():
        assert subjects(find_events(session, search, size=9)) == expected, name


@pytest.mark.parametrize(
    ("text", "end", "instant"),
    [
        ("2026-11-24", False, "2026-11-24T00:00+00:00"),
        ("2026-11-24", True, "2026-11-25T00:00+00:00"),
        (" 2026-11-24T15:40 ", True, "2026-11-24T15:40+00:00"),
        ("2026-11-24T15:40+02:00", False, "2026-11-24T13:40+00:00"),
    ],
)
def test_a_day_is_meant_whole(text: str, end: bool, instant: str) -> None:
    assert parse_day("to", text, end=end) == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    "text", ["x", "24.11.2026", "2026-02-30", "9999-12-31", "0001-01-01T00+14"]
)
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(InvalidInput, match="no date"):
        parse_day("to", text, end=True)


def test_an_event_outlives_the_organisation_that_it_names(session: Session) -> None:
    note(session, organisation_id="ORG-GONE")
    entry = latest_entries(session, limit=50)[0]
    assert (entry.organisation_id, entry.organisation) == ("ORG-GONE", None)


def test_what_is_too_long_to_store_is_cut(session: Session) -> None:
    actor = Actor(None, "x" * 1000, Role.AUDITOR, "203.0.113.7")
    log_event(session, AuditTag.SIGN_IN_REFUSED, actor=actor, now=NOW, subject="y" * 1000)
    session.commit()
    entry = latest_entries(session, limit=50)[0]
    assert (len(entry.who), len(entry.subject)) == (254, 300)


NAMED = [
    ("Ørsted Energi", "ØRSTED energi"),
    ("Øresund", "Øresund"),
    ("Łódź Foods", "lodz foods"),
    ("東京電力", "東京電力"),
    ("Straße " * 28 + "1", "strasse " * 28 + "1"),
    ("A" * 199, "a" * 199),
]


@pytest.mark.parametrize(("name", "asked"), NAMED)
def test_an_organisation_is_found_by_its_whole_name_in_any_script(
    session: Session, cast: Cast, name: str, asked: str
) -> None:
    """SQLite's lower() knows the letters of English alone."""
    fields = ProjectFields("ORG-9", name, "Nine")
    ada = cast.actor(cast.ada)
    project = create_project(session, actor=ada, fields=fields, now=NOW).project
    session.flush()
    assert organisations_named(session, asked) == ["ORG-9"]
    assert organisations_named(session, asked[1:]) == []
    archive_project(session, actor=ada, project_id=project.id, now=NOW)
    session.flush()
    assert organisations_named(session, asked) == ["ORG-9"]


def stored(session: Session, tag: str, **data: object) -> AuditEntry:
    """What pages show of an event that whatever version has stored."""
    session.add(AuditEvent(happened_at=NOW, tag=tag, actor="", address="", subject="", data=data))
    session.flush()
    return latest_entries(session, limit=50)[0]


def test_every_tag_has_words_of_its_own(session: Session) -> None:
    assert len({tag.label for tag in AuditTag}) == len(AuditTag)
    for tag in AuditTag:
        assert tag.label[0].isupper()
        assert stored(session, tag.value).what == tag.label


def test_what_a_tag_has_no_name_for_is_not_recorded(session: Session) -> None:
    with pytest.raises(ValueError, match=r"portal\.signed_in has no data named reason, ttl"):
        note(session, ttl=3600, reason="role", subject="x")


def test_what_another_version_has_stored_is_shown_as_it_is(session: Session) -> None:
    entry = stored(session, "machine.cloned", copies=3, cloned_at="soon", mac_ids=["a", "b"])
    assert entry.what == "machine.cloned"
    assert entry.details == [("copies", "3"), ("cloned at", "soon"), ("mac ids", "a, b")]
    entry = stored(session, "license.issued", ttl=3600, recipients={"to": "a@example.com"})
    assert entry.details == [("TTL", "1 hr"), ("recipients", "to: a@example.com")]
    assert stored(session, "license.revoked", reason="role").details == [("reason", "role")]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("search", "index"),
    [
        (AuditSearch(), "happened_at_id"),
        (AuditSearch(older_than=1), "happened_at_id"),
        (AuditSearch(person="ada@example.com"), "actor_happened_at_id"),
        (AuditSearch(organisation="ORG-000123"), "organisation_id_happened_at_id"),
        (AuditSearch(kind="license.issued"), "tag_happened_at_id"),
        (AuditSearch(key_id="K7QF-3MXP"), "key_id_happened_at_id"),
        (AuditSearch(key_id="K7QF-3MXP", newer_than=1), "key_id_happened_at_id"),
        (AuditSearch(start=NOW, end=NOW), "happened_at_id"),
    ],
)
def test_a_page_is_found_by_an_index_and_not_by_sorting_the_whole_log(
    session: Session, search: AuditSearch, index: str
) -> None:
    said = []

    def listen(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        said.append((statement, parameters))

    note(session)
    first = session.scalar(select(AuditEvent.id))
    if search.older_than or search.newer_than:
        ends = {name: first for name in ("older_than", "newer_than") if getattr(search, name)}
        search = replace(search, **ends)
    event.listen(session.get_bind(), "before_cursor_execute", listen)
    find_events(session, search, size=50)
    event.remove(session.get_bind(), "before_cursor_execute", listen)
    statement, parameters = next((s, p) for s, p in said if "LIMIT" in s and "audit_events" in s)
    plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert f"USING INDEX ix_audit_events_{index}" in plan[0][3]
    assert not any("TEMP B-TREE" in row[3] for row in plan)
