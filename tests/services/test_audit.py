"""The audit log: what is recorded, how it is listed, and in which words."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app.audit.log import AuditEntry, count_events, list_entries, log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM, Actor
from app.core.permissions import Role
from app.models import AuditEvent
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
    log_event(session, AuditTag.SIGN_IN_REFUSED, actor=actor, now=NOW, subject="y" * 1000)
    session.commit()
    entry = list_entries(session)[0]
    assert (len(entry.who), len(entry.subject)) == (254, 300)


def stored(session: Session, tag: str, **data: object) -> AuditEntry:
    """What pages show of an event that whatever version has stored."""
    session.add(AuditEvent(happened_at=NOW, tag=tag, actor="", address="", subject="", data=data))
    session.flush()
    return list_entries(session)[0]


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
