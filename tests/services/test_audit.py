"""The audit log: what is recorded, how it is listed, and in which words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.audit.log import count_events, list_entries, record
from app.audit.tags import AuditTag
from app.audit.wording import details, what_happened
from app.core.actor import SYSTEM, Actor
from app.core.permissions import Role
from app.models import AuditEvent
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")


def note(session: Session, moment: datetime = NOW, **more: object) -> AuditEvent:
    event = record(session, AuditTag.SIGNED_IN, actor=SYSTEM, now=moment, **more)
    session.flush()
    return event


def test_an_event_says_who_did_what_when_to_what_and_from_where(
    session: Session, cast: Cast
) -> None:
    record(
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
    entry = list_entries(session)[0]
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
    listed = [entry.subject for entry in list_entries(session) if " " in entry.subject]
    assert listed == ["the third", "the second", "the first", "long ago"]


def test_a_page_of_the_log(session: Session) -> None:
    for number in range(7):
        note(session, NOW + timedelta(seconds=number), subject=str(number))
    assert [entry.subject for entry in list_entries(session, offset=2, limit=3)] == ["4", "3", "2"]
    assert list_entries(session, offset=20) == []


def test_what_concerns_one_organisation(session: Session, cast: Cast) -> None:
    note(session, organisation_id=cast.acme)
    note(session, organisation_id=cast.bolt)
    note(session)
    assert count_events(session, organisation_id=cast.acme) == 1
    assert [e.organisation for e in list_entries(session, organisation_id=cast.acme)] == ["Acme"]
    assert count_events(session, organisation_id="ORG-NOBODY") == 0


def test_an_event_outlives_the_organisation_that_it_names(session: Session) -> None:
    note(session, organisation_id="ORG-GONE")
    entry = list_entries(session)[0]
    assert (entry.organisation_id, entry.organisation) == ("ORG-GONE", None)


def test_what_is_too_long_to_store_is_cut(session: Session) -> None:
    actor = Actor(None, "x" * 1000, Role.AUDITOR, "203.0.113.7")
    record(session, AuditTag.SIGN_IN_REFUSED, actor=actor, now=NOW, subject="y" * 1000)
    session.commit()
    entry = list_entries(session)[0]
    assert (len(entry.who), len(entry.subject)) == (254, 300)


def test_every_tag_has_words_of_its_own() -> None:
    labels = [tag.label for tag in AuditTag]
    assert len(set(labels)) == len(labels)
    for tag in AuditTag:
        assert what_happened(tag.value) == tag.label
        assert tag.label[0].isupper()


def test_a_tag_of_another_version_is_told_as_it_is() -> None:
    assert what_happened("machine.cloned") == "machine.cloned"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, []),
        ({"ttl": 604800}, [("TTL", "7 days")]),
        ({"reason": "throttled"}, [("reason", "too many wrong passwords")]),
        ({"code": "temporary_key_required"}, [("reason", "temporary key required")]),
        ({"role": "super_admin"}, [("role", "super admin")]),
        ({"mac_id": "02:00:00:00:00:01"}, [("MAC ID", "02:00:00:00:00:01")]),
        ({"created": 3, "updated": 0}, [("created", "3"), ("updated", "0")]),
        ({"user": None, "hostname": "", "project_id": 7}, []),
        ({"expires_at": "soon"}, [("ends", "soon")]),
        ({"expires_at": "2026-11-24T18:40:00"}, [("ends", "2026-11-24T18:40:00")]),
        ({"changed": ["name", "plan"]}, [("changed", "name, plan")]),
        ({"changed": {"name": "x"}}, [("changed", "name: x")]),
    ],
)
def test_data_in_words(data: dict[str, object], told: list[object]) -> None:
    assert details(data) == told


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(("ttl", "code", "reason", "expires_at", "role")) | st.text()


@given(st.dictionaries(NAMES, VALUES))
def test_whatever_is_recorded_can_be_told(data: dict[str, object]) -> None:
    for name, value in details(data):
        assert isinstance(name, str)
        assert isinstance(value, str | datetime)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("organisation_id", [None, "ORG-000123"])
def test_a_page_is_found_by_an_index_and_not_by_sorting_the_whole_log(
    session: Session, organisation_id: str | None
) -> None:
    said = []

    def listen(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        said.append((statement, parameters))

    event.listen(session.get_bind(), "before_cursor_execute", listen)
    list_entries(session, organisation_id=organisation_id)
    event.remove(session.get_bind(), "before_cursor_execute", listen)
    statement, parameters = next((s, p) for s, p in said if "FROM audit_events" in s)
    plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "USING INDEX" in plan[0][3]
    assert not any("TEMP B-TREE" in row[3] for row in plan)
