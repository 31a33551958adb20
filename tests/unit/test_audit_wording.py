"""What an event of the audit log says, in words."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit.tags import TAGS, AuditTag
from app.audit.wording import Datum, details

THROTTLED = "too many wrong passwords"


@pytest.mark.parametrize(
    ("tag", "data", "told"),
    [
        ("license.issued", {}, []),
        ("license.issued", {"ttl": 604800}, [("TTL", "7 days")]),
        ("license.issued", {"ttl": "long"}, [("TTL", "long")]),
        ("license.issued", {"expires_at": "soon"}, [("ends", "soon")]),
        (
            "license.revoked",
            {"expires_at": "2026-11-24T18:40:00+00:00"},
            [("ends", datetime(2026, 11, 24, 18, 40, tzinfo=UTC))],
        ),
        ("license.revoked", {"expires_at": "2026-11-24T18:40"}, [("ends", "2026-11-24T18:40")]),
        ("portal.sign_in_refused", {"reason": "throttled"}, [("reason", THROTTLED)]),
        ("portal.sign_in_refused", {"reason": "too_old"}, [("reason", "too old")]),
        ("portal.not_allowed", {"permission": "see_keys"}, [("permission", "see_keys")]),
        ("agent.sign_in_refused", {"code": "throttled"}, [("reason", THROTTLED)]),
        ("agent.sign_in_refused", {"code": "key_invalid"}, [("reason", "key invalid")]),
        ("agent.session_ended", {"cause": "user_disabled"}, [("cause", "user disabled")]),
        (
            "agent.session_ended",
            {"code": "key_expired", "cause": "key_expired"},
            [("reason", "key expired")],
        ),
        (
            "agent.session_ended",
            {"code": "session_ended", "cause": "ended_by_admin"},
            [("reason", "session ended"), ("cause", "ended by admin")],
        ),
        ("user.created", {"role": "super_admin"}, [("role", "super admin")]),
        ("machine.detached", {"mac_id": "02:00:00:00:00:01"}, [("MAC ID", "02:00:00:00:00:01")]),
        ("project.imported", {"created": 3, "updated": 0}, [("created", "3"), ("updated", "0")]),
        ("project.updated", {"changed": "plan, status"}, [("changed", "plan, status")]),
        ("project.updated", {"changed": "", "more": None, "project_id": 7}, []),
    ],
)
def test_a_tag_says_its_data_in_words(
    tag: str, data: dict[str, object], told: list[object]
) -> None:
    assert details(data, TAGS[tag].data) == told


def test_what_the_subject_says_is_not_said_again() -> None:
    mac, key_id = "02:00:00:00:00:01", "FE6J-DGGJ"
    known, data = TAGS["machine.detached"].data, {"mac_id": mac, "key_id": key_id}
    assert details(data, known, f"LAPTOP-7 ({mac})") == [("Key ID", key_id)]
    assert details(data, known, key_id) == [("MAC ID", mac), ("Key ID", key_id)]


@pytest.mark.parametrize("reason", ["role", "key_expired", "wrong", "2026-11-24T18:40:00+00:00"])
def test_a_free_text_that_looks_like_a_code_is_shown_as_the_text_it_is(reason: str) -> None:
    """What a value is, its tag says: neither its name nor how it looks."""
    for known in ({}, {"reason": Datum("reason")}, AuditTag.LICENSE_REVOKED.data):
        assert details({"reason": reason}, known) == [("reason", reason)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(AuditTag), st.text(), st.data())
def test_whatever_is_stored_can_be_told(tag: AuditTag, name: str, data: st.DataObject) -> None:
    for label, value in details({name: data.draw(VALUES) for name in (*tag.data, name)}, tag.data):
        assert isinstance(label, str)
        assert isinstance(value, str | datetime)
