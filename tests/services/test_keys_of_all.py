"""Finding keys of all organisations: what is found, page by page, and by which index."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.orm import Session

from app.core.errors import InvalidInput
from app.licenses.finding import WITHIN, KeyGroup, KeySearch, find_keys
from app.licenses.queries import state_of
from app.models import TemporaryLicense, User
from tests.agents.stage import issue
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

KEYS = 240
SIZE = 7


@pytest.fixture
def keys(session: Session, cast: Cast) -> list[TemporaryLicense]:
    """Keys of both organisations in every state; many end at the same instant."""
    first = issue(session, cast)
    people = {user.email: user.id for user in session.scalars(select(User))}
    columns = TemporaryLicense.__table__.columns
    usual = {c.name: getattr(first, c.name) for c in columns if c.name != "id"}
    rows = []
    for number in range(KEYS):
        start = NOW + timedelta(hours=number % 7 - 4)
        end = start + timedelta(hours=number % 5 + 1)
        rows.append(
            usual
            | {
                "key_id": f"K{number:03}-AAAA",
                "organisation_id": (cast.acme, cast.bolt)[number % 3 == 0],
                "issued_at": min(start, NOW),
                "starts_at": start,
                "expires_at": end,
                "ends_at": end,
                "revoked_at": start if number % 6 == 0 and start <= NOW else None,
                "recipient_id": people[cast.pat] if number % 4 == 0 else None,
                "sign_ins_allowed": 2 if number % 5 == 0 else None,
                "sign_ins_used": number % 3,
            }
        )
    session.execute(insert(TemporaryLicense), rows)
    session.commit()
    session.expire_all()
    return list(session.scalars(select(TemporaryLicense)))


def ids(session: Session, search: KeySearch) -> list[int]:
    return [key.id for key in find_keys(session, search, NOW, size=10 * KEYS).rows]


def is_in(state: str, key: TemporaryLicense) -> bool:
    return state_of(key, NOW) == state


def is_used_up(key: TemporaryLicense) -> bool:
    allowed = key.sign_ins_allowed
    return state_of(key, NOW) == "active" and allowed is not None and key.sign_ins_used >= allowed


FOUND: dict[str, tuple[KeySearch, Callable[[TemporaryLicense], bool]]] = {
    "all": (KeySearch(), bool),
    **{
        state: (KeySearch(group=KeyGroup(state)), partial(is_in, state))
        for state in ("active", "scheduled", "expired", "revoked")
    },
    "used up": (KeySearch(group=KeyGroup.USED_UP), is_used_up),
    "of one": (KeySearch(organisation="ORG-000123"), lambda key: key.organisation_id[-3:] == "123"),
    "for one": (
        KeySearch(recipient="PAT@example.com"),
        lambda key: bool(key.recipient and key.recipient.email == "pat@example.com"),
    ),
    "by one": (KeySearch(issued_by="ada@example.com"), bool),
    "ending within": (
        KeySearch(within="1h"),
        lambda key: (
            key.revoked_at is None and NOW < key.ends_at <= NOW + timedelta(seconds=WITHIN["1h"])
        ),
    ),
    "of one state, organisation and person": (
        KeySearch(group=KeyGroup.ACTIVE, organisation="Acme", recipient="pat@example.com"),
        lambda key: (
            state_of(key, NOW) == "active"
            and key.recipient is not None
            and key.organisation_id == Cast.acme
        ),
    ),
}


@pytest.mark.parametrize("asked", FOUND)
def test_what_is_found_is_what_a_filter_in_plain_python_finds(
    session: Session, keys: list[TemporaryLicense], asked: str
) -> None:
    search, fits = FOUND[asked]
    expected = sorted((key for key in keys if fits(key)), key=lambda key: (key.ends_at, key.id))
    assert expected
    assert ids(session, search) == [key.id for key in expected[::-1]]


@pytest.mark.parametrize("soonest", [False, True])
def test_pages_follow_one_another_there_and_back(
    session: Session, keys: list[TemporaryLicense], soonest: bool
) -> None:
    whole = ids(session, KeySearch(soonest=soonest))
    assert len(whole) == KEYS + 1
    read: list[int] = []
    page = find_keys(session, KeySearch(soonest=soonest), NOW, size=SIZE)
    assert not page.goes_back
    pages = [[key.id for key in page.rows]]
    while page.goes_on:
        onward = KeySearch(soonest=soonest, after=pages[-1][-1])
        page = find_keys(session, onward, NOW, size=SIZE)
        pages.append([key.id for key in page.rows])
        read += pages[-2]
    assert read + pages[-1] == whole
    back = KeySearch(soonest=soonest, before=pages[-1][0])
    page = find_keys(session, back, NOW, size=SIZE)
    assert [key.id for key in page.rows] == pages[-2]
    assert page.goes_on
    assert page.goes_back


@pytest.mark.parametrize(
    ("search", "field"),
    [
        (KeySearch(key_id="K7QF"), "q"),
        (KeySearch(organisation="Nobody Ltd"), "organisation"),
        (KeySearch(recipient="nobody@example.com"), "for"),
        (KeySearch(issued_by="nobody@example.com"), "issued_by"),
    ],
)
@pytest.mark.databases("sqlite")
def test_what_nobody_is_called_is_told_beside_its_field(
    session: Session, cast: Cast, search: KeySearch, field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        find_keys(session, search, NOW, size=SIZE)
    assert raised.value.field == field


PLANS = [
    (KeySearch(), "by_end"),
    (KeySearch(after=1), "by_end"),
    (KeySearch(soonest=True, before=1), "by_end"),
    (KeySearch(group=KeyGroup.EXPIRED), "by_end"),
    (KeySearch(within="1h"), "by_end"),
    (KeySearch(group=KeyGroup.REVOKED), "revoked_by_end"),
    (KeySearch(group=KeyGroup.USED_UP), "counted"),
    (KeySearch(organisation="ORG-000123"), "organisation_id_ends_at"),
    (KeySearch(organisation="ORG-000123", after=1), "organisation_id_ends_at"),
    (KeySearch(issued_by="ada@example.com", group=KeyGroup.ACTIVE), "issued_by_id_ends_at"),
    (KeySearch(recipient="pat@example.com"), "of_recipient"),
    (KeySearch(key_id="K7QF-3MXP"), "key_id"),
]


@pytest.mark.parametrize(("search", "index"), PLANS)
def test_a_page_is_found_by_an_index_however_many_keys_there_are(
    session: Session, keys: list[TemporaryLicense], search: KeySearch, index: str
) -> None:
    said: list[tuple[str, object]] = []

    def listen(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        said.append((statement, parameters))

    event.listen(session.get_bind(), "before_cursor_execute", listen)
    find_keys(session, search, NOW, size=50)
    event.remove(session.get_bind(), "before_cursor_execute", listen)
    statement, parameters = next((s, p) for s, p in said if "LIMIT" in s and "temporary_" in s)
    if session.get_bind().dialect.name == "sqlite":
        explain = "EXPLAIN QUERY PLAN"
    else:
        # Of so few rows it would read all: what counts is what it can do.
        session.execute(text("ANALYZE temporary_licenses"))
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort"):
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        explain = "EXPLAIN"
    rows = session.connection().exec_driver_sql(f"{explain} {statement}", parameters).all()
    plan = "\n".join(str(row[-1]) for row in rows)
    assert index in plan, plan
    assert "SCAN temporary_licenses\n" not in plan
    assert "Seq Scan on temporary_licenses" not in plan
