"""Finding among more projects than are sorted and counted each time, on both databases.

What is found is compared with a filter in plain Python over the same rows.
"""

import os
import random
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from app.core.paging import MAX_PAGE, Total
from app.core.text import fold
from app.extensions import db
from app.models import Organisation, Project, TemporaryLicense
from app.models.kept import KEPT
from app.projects import finding
from app.projects.finding import Found, find_page, find_projects
from app.projects.rules import organisation_search_text, project_search_text
from app.projects.search import Expiry, Search, Sort
from app.projects.totals import project_totals
from app.projects.words import MANY_ENTRIES
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

MANY = 2200
SIZE = 24
TODAY = NOW.date()
WORDS = (
    *("Solar", "Énergie", "Łódź", "100%", "snake_case", 'O\'Brien "Sons"', "back\\slash"),
    *("東京プロジェクト", "القاهرة", "שלום", "Ωmega", "Straße", "s.a.", "*?", "🚀 Rocket", "zq"),
)
PLANS = ("", "Trial", "Growth", "Pro")


@pytest.fixture
def rows(session: Session, cast: Cast) -> list[Project]:
    """The cast's two projects and MANY others, of which some hold keys."""
    chance = random.Random(8)
    organisations, projects = [], []
    for number in range(MANY):
        name = f"{chance.choice(WORDS)} {chance.choice(WORDS)} {number}"
        organisation_id, email = f"T-{number:05}", f"ops{number}@org{number % 7}.example"
        organisation = f"{chance.choice(WORDS)} Group {number % 100}"
        organisations.append(
            {
                "id": organisation_id,
                "name": organisation,
                "search_text": organisation_search_text(organisation, organisation_id),
                "created_at": NOW,
            }
        )
        expiry = chance.choice([None, TODAY + timedelta(days=chance.randrange(-400, 400))])
        projects.append(
            {
                "organisation_id": organisation_id,
                "name": name,
                "contact_email": email,
                "plan": chance.choice(PLANS) if number else "Rare",
                "plan_expires_on": expiry,
                "status": "Active",
                "archived_at": NOW if chance.random() < 0.03 else None,
                "search_text": project_search_text(name, email),
                "created_at": NOW + timedelta(seconds=chance.randrange(1000)),
                "updated_at": NOW,
            }
        )
    session.execute(insert(Organisation), organisations)
    session.execute(insert(Project), projects)
    _add_keys(session, cast, [row["id"] for row in organisations[::90]])
    session.commit()
    return list(session.query(Project))


def _add_keys(session: Session, cast: Cast, organisation_ids: list[str]) -> None:
    kid = session.scalar(text("SELECT kid FROM signing_keys"))
    keys = [
        {
            "key_id": f"AAAA-{number:04}".replace("0", "Z").replace("1", "Y"),
            "organisation_id": organisation_id,
            "kid": kid,
            "ttl_seconds": 60,
            "issued_at": NOW,
            "starts_at": NOW,
            "expires_at": NOW + timedelta(seconds=60),
            "ends_at": NOW + timedelta(seconds=60),
            "issued_by_id": cast.actor(cast.ada).user_id,
            "revoked_at": NOW if number % 3 == 0 else None,
        }
        for number, organisation_id in enumerate(organisation_ids)
    ]
    session.execute(insert(TemporaryLicense), keys)


def page(session: Session, search: Search, now: datetime = NOW, number: int = 1) -> Found:
    totals = project_totals(session, now)
    return find_page(session, search, now, totals=totals, number=number, size=SIZE)


def expected(session: Session, rows: list[Project], search: Search) -> list[int]:
    """The ids that a search finds, in its order: in plain Python."""
    holders = {
        license.organisation_id
        for license in session.query(TemporaryLicense)
        if license.revoked_at is None and license.expires_at > NOW
    }

    words = fold(search.text).split()

    def is_found(row: Project) -> bool:
        text = f"{row.search_text}\n{row.organisation.search_text}"
        current = row.plan_expires_on is None or row.plan_expires_on >= TODAY
        return (
            (row.archived_at is not None) == search.archived
            and all(word in text for word in words)
            and search.plan in ("", row.plan)
            and search.expiry in ("", "current" if current else "expired")
            and (not search.with_active_keys or row.organisation_id in holders)
        )

    def place(row: Project) -> tuple[object, ...]:
        name, organisation = row.search_text[:200], row.organisation.search_text[:200]
        return {
            Sort.NAME: (name, row.id),
            Sort.ORGANISATION: (organisation, name, row.id),
            Sort.EXPIRY: (row.plan_expires_on or date.max, name, row.id),
            Sort.NEWEST: (-row.created_at.timestamp(), -row.id),
        }[search.sort]

    return [row.id for row in sorted(filter(is_found, rows), key=place)]


def some_text(chance: random.Random, rows: list[Project]) -> str:
    """A part of some project's texts, in another case, or two such parts."""
    parts = []
    for _ in range(chance.choice([1, 1, 1, 2])):
        row = chance.choice(rows)
        whole = chance.choice([row.name, row.contact_email, row.organisation.name])
        start = chance.randrange(len(whole))
        part = whole[start : start + chance.choice([1, 2, 3, 5, 12])]
        parts.append(chance.choice([part, part.upper(), part.lower()]))
    return " ".join(parts)


SEARCHES = int(os.environ.get("TEST_SEARCHES", "200"))


def test_random_searches_find_what_a_plain_filter_finds(
    session: Session, rows: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(4711)
    monkeypatch.setattr(finding, "FEW", 300)
    for _ in range(SEARCHES):
        search = Search(
            text=some_text(chance, rows) if chance.random() < 0.8 else "",
            plan=chance.choice(["", "", "", *PLANS]),
            expiry=chance.choice([*Expiry, Expiry.ANY, Expiry.ANY]),
            with_active_keys=chance.random() < 0.1,
            archived=chance.random() < 0.1,
            sort=chance.choice(list(Sort)),
        )
        ids = expected(session, rows, search)
        found = page(session, search)
        assert [row.id for row in found.projects] == ids[:SIZE], search
        if found.page.total.is_exact:
            assert found.page.total == Total(len(ids)), search
        else:
            last = page(session, search, number=-1)
            assert [row.id for row in last.projects] == ids[-SIZE:], search
            assert len(ids) > SIZE or not found.page.more, search


def test_pages_from_both_ends_leave_nothing_out(session: Session, rows: list[Project]) -> None:
    for sort in Sort:
        for words in ("", "group"):
            look_at_pages(session, rows, Search(words, sort=sort))


def look_at_pages(session: Session, rows: list[Project], search: Search) -> None:
    ids = expected(session, rows, search)
    assert [project.id for project in find_projects(session, search, NOW)] == ids
    for number in (1, 2, 40, 80):
        start = (number - 1) * SIZE
        found = page(session, search, number=number)
        assert [row.id for row in found.projects] == ids[start : start + SIZE]
        assert found.page.more is (start + SIZE < len(ids))
    for number in (1, 2, 40):
        end = len(ids) - (number - 1) * SIZE
        found = page(session, search, number=-number)
        assert [row.id for row in found.projects] == ids[end - SIZE : end]
    for number in (10_000, MAX_PAGE):
        found = page(session, search, number=number)
        assert found.page.number == -1
        assert [row.id for row in found.projects] == ids[-SIZE:]


def test_many_are_counted_about_or_not_at_all(session: Session, rows: list[Project]) -> None:
    assert str(page(session, Search()).page.total) == "about 2,100"
    assert str(page(session, Search("group")).page.total) == "more than 2,000"
    assert page(session, Search(plan="Rare", archived=True)).page.total.is_exact
    assert page(session, Search("omega")).page.total.is_exact


def test_many_are_counted_anew_after_half_a_minute(session: Session, rows: list[Project]) -> None:
    before = project_totals(session, NOW)
    session.execute(text("DELETE FROM projects WHERE plan = 'Trial'"))
    for moment in (NOW, NOW + KEPT - timedelta(microseconds=1)):
        assert project_totals(session, moment) == before
    for moment in (NOW + KEPT, NOW - timedelta(microseconds=1), NOW + timedelta(days=1)):
        assert "Trial" not in project_totals(session, moment).plans


def test_a_renamed_organisation_is_found_by_its_new_name(
    session: Session, rows: list[Project]
) -> None:
    organisation = session.get(Organisation, "T-00007")
    assert organisation is not None
    organisation.name = "Quixotic"
    organisation.search_text = organisation_search_text("Quixotic", organisation.id)
    session.flush()
    assert [row.organisation_id for row in page(session, Search("uixot")).projects] == ["T-00007"]
    session.delete(session.query(Project).filter_by(organisation_id="T-00007").one())
    session.flush()
    assert page(session, Search("uixot")).projects == []


def test_a_short_word_that_begins_many_entries_is_found_all_the_same(
    session: Session, rows: list[Project]
) -> None:
    """A sign that a hundred different others follow is not looked up in SQLite's index."""
    for number in range(MANY_ENTRIES + 5):
        row = rows[number]
        row.name = f"é§{chr(0x4E00 + number)} {number}"
        row.search_text = project_search_text(row.name, row.contact_email)
    session.flush()
    search = Search("§")
    ids = expected(session, rows, search)
    assert len(ids) > SIZE
    assert [row.id for row in page(session, search).projects] == ids[:SIZE]


PLANNED = [
    Search(),
    Search(sort=Sort.ORGANISATION),
    Search(sort=Sort.EXPIRY),
    Search(sort=Sort.NEWEST),
    Search(plan="Growth"),
    Search(plan="Rare"),
    Search(expiry=Expiry.EXPIRED),
    Search(expiry=Expiry.CURRENT, sort=Sort.EXPIRY),
    Search(with_active_keys=True),
    Search(archived=True),
    Search("solar"),
    Search("group"),
    Search("zq"),
    Search("2222-2222"),
]


@pytest.fixture
def statements(session: Session) -> Iterator[list[tuple[str, object]]]:
    """What the database is asked, as it is asked."""
    asked: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object):
        asked.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", note)
    yield asked
    event.remove(db.engine, "before_cursor_execute", note)


def test_no_search_reads_the_whole_table_or_sorts_many(
    session: Session, rows: list[Project], statements: list[tuple[str, object]]
) -> None:
    """SQLite tells its plan; PostgreSQL is told that reading a whole table is dear, and obeys."""
    session.execute(text("ANALYZE"))
    if db.engine.dialect.name == "postgresql":
        session.execute(text("SET LOCAL enable_seqscan = off"))
    totals = project_totals(session, NOW)
    for search in PLANNED:
        for number in (1, -1):
            statements.clear()
            find_page(session, search, NOW, totals=totals, number=number, size=SIZE)
            asked = [one for one in statements if one[0].startswith(("SELECT", "WITH"))]
            assert len(asked) <= 3
            for statement, values in asked:
                look_at_plan(session, statement, values)


def look_at_plan(session: Session, statement: str, values: object) -> None:
    sqlite = db.engine.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
    plan = session.connection().exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
    steps = [str(step[-1]) for step in plan]
    for step in steps:
        assert not step.startswith(("SCAN projects", "SCAN organisations")), steps
        assert step != "SCAN project_search", steps
        assert "Seq Scan on projects" not in step, steps
        assert "Seq Scan on project_search" not in step, steps
    if re.search(r"LIMIT \S+ OFFSET \S+$", statement):  # not the few that are sorted
        assert not any("TEMP B-TREE FOR ORDER BY" in step for step in steps), steps
