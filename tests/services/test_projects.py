"""Making, finding, changing and putting away projects."""

import threading
from datetime import date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from app.config import current_config
from app.core.durations import KeyLimits
from app.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.core.paging import Total
from app.extensions import db
from app.licenses import services as licenses
from app.licenses.option_rules import KeyOptions
from app.licenses.services import free_key_id, issue_license, revoke_license
from app.models import AgentSession, AuditEvent, Organisation, Project, User
from app.models.types import HIGHEST_ID
from app.projects.fields import ProjectFields
from app.projects.finding import Found, find_page, find_projects
from app.projects.search import Expiry, Search, Sort
from app.projects.services import (
    archive_project,
    create_project,
    delete_project,
    get_project,
    other_projects,
    restore_project,
    update_project,
    version_of,
    why_not_deletable,
)
from app.projects.totals import project_totals
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

TODAY = NOW.date()
LATER = NOW + timedelta(minutes=1)


def fields(name: str = "Cargo", organisation_id: str = "ORG-9", **more: object) -> ProjectFields:
    values = {"organisation_id": organisation_id, "organisation_name": "Cargo & Co", "name": name}
    return ProjectFields(**values | more)  # type: ignore[arg-type]


def make(session: Session, cast: Cast, name: str = "Cargo", *args: str, **more: object) -> Project:
    made = create_project(
        session, actor=cast.actor(cast.ada), fields=fields(name, *args, **more), now=NOW
    )
    return made.project


def page_of_found(session: Session, search: Search, now: datetime = NOW, number: int = 1) -> Found:
    totals = project_totals(session, now)
    return find_page(session, search, now, totals=totals, number=number, size=24)


def found(session: Session, text: str = "", **more: object) -> list[str]:
    search = Search(text=text, **more)  # type: ignore[arg-type]
    session.flush()
    names = [project.name for project in find_projects(session, search, NOW)]
    page = page_of_found(session, search)
    assert [project.name for project in page.projects] == names
    assert page.page.total == Total(len(names))
    return names


def events(session: Session) -> list[tuple[str, str, str | None]]:
    ours = AuditEvent.tag.startswith("project.")
    rows = session.scalars(select(AuditEvent).where(ours).order_by(AuditEvent.id))
    return [(row.tag, row.subject, row.organisation_id) for row in rows]


def issue(session: Session, cast: Cast, organisation_id: str, ttl: int = 3600) -> str:
    return issue_license(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=organisation_id,
        options=KeyOptions(ttl),
        limits=KeyLimits((3600, 10800), 7 * 86_400),
        signing_keys=current_config().signing_keys,
        now=NOW,
    )[0].key_id


# Making


def test_a_new_organisation_id_makes_an_organisation(session: Session, cast: Cast) -> None:
    made = create_project(session, actor=cast.actor(cast.ada), fields=fields(), now=NOW)
    assert not made.joined
    assert made.project.organisation.name == "Cargo & Co"
    assert made.project.status == "Active"
    assert events(session) == [("project.created", "Cargo", "ORG-9")]


def test_a_known_organisation_gets_the_project_and_keeps_its_name(
    session: Session, cast: Cast
) -> None:
    made = create_project(
        session, actor=cast.actor(cast.ada), fields=fields(organisation_id=cast.acme), now=NOW
    )
    assert made.joined
    assert made.project.organisation.name == "Acme"
    assert [other.name for other in other_projects(session, made.project, 5)] == ["Acme ERP"]


def test_a_new_organisation_needs_a_name_and_a_known_one_does_not(
    session: Session, cast: Cast
) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(session, cast, organisation_name="")
    assert refused.value.field == "organisation_name"
    assert make(session, cast, "Cargo", cast.acme, organisation_name="")


def test_an_organisation_has_each_project_name_once(session: Session, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(session, cast, "Acme ERP", cast.acme)
    assert refused.value.field == "name"
    assert refused.value.detail == "Acme already has a project of this name; choose another name."
    assert make(session, cast, "Acme ERP", cast.bolt)


def test_of_two_who_make_the_same_project_at_once_one_gets_a_sentence(
    app: Flask, cast: Cast
) -> None:
    """On PostgreSQL both look first and find nothing; on SQLite the second waits for its turn."""
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def one() -> None:
        with app.app_context():
            start.wait()
            try:
                make(db.session(), cast)
                db.session.commit()
                outcomes.append("made")
            except InvalidInput as error:
                db.session.rollback()
                outcomes.append(error.field)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["made", "name"]
    with app.app_context():
        assert db.session.scalar(select(func.count()).where(Project.name == "Cargo")) == 1


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.dev, Cast.carl])
def test_only_who_may_manage_projects_does(session: Session, cast: Cast, who: str) -> None:
    one = {"actor": cast.actor(who), "now": NOW, "project_id": cast.acme_project}
    version = version_of(get_project(session, cast.acme_project))
    for refused in (
        lambda: create_project(session, actor=cast.actor(who), now=NOW, fields=fields()),
        lambda: update_project(session, fields=fields(), version=version, **one),
        lambda: archive_project(session, **one),
        lambda: restore_project(session, **one),
        lambda: delete_project(session, **one),
    ):
        with pytest.raises(NotAllowed):
            refused()
    assert events(session) == []


# Changing


def change(session: Session, cast: Cast, project: Project, **changed: object) -> Project:
    values = {
        "organisation_id": project.organisation_id,
        "organisation_name": project.organisation.name,
        "name": project.name,
        "contact_email": project.contact_email,
        "plan": project.plan,
        "plan_expires_on": project.plan_expires_on,
        "status": project.status,
    }
    return update_project(
        session,
        actor=cast.actor(cast.grace),
        project_id=project.id,
        version=version_of(project),
        fields=ProjectFields(**values | changed),  # type: ignore[arg-type]
        now=LATER,
    )


def test_a_change_is_found_by_searches_and_recorded(session: Session, cast: Cast) -> None:
    project = get_project(session, cast.acme_project)
    change(session, cast, project, name="Zürich ERP", contact_email="uli@x.de", plan="Trial")
    session.commit()
    assert found(session, "zurich uli") == ["Zürich ERP"]
    assert found(session, "acme@client") == []
    assert project.updated_at == LATER
    assert events(session) == [("project.updated", "Zürich ERP", cast.acme)]
    changed = session.scalars(select(AuditEvent.data).order_by(AuditEvent.id.desc())).first()
    assert changed["changed"] == "name, contact email, plan"


def test_renaming_an_organisation_renames_it_on_all_its_projects(
    session: Session, cast: Cast
) -> None:
    make(session, cast, "Acme Shop", cast.acme)
    change(
        session, cast, get_project(session, cast.acme_project), organisation_name="Zenith Ünited"
    )
    session.commit()
    assert found(session, "zenith united") == ["Acme ERP", "Acme Shop"]
    assert session.get_one(Organisation, cast.acme).name == "Zenith Ünited"


def test_the_organisation_id_never_changes(session: Session, cast: Cast) -> None:
    project = get_project(session, cast.acme_project)
    change(session, cast, project, organisation_id=cast.bolt, plan="Trial")
    assert project.organisation_id == cast.acme


def test_a_save_that_changes_nothing_leaves_no_trace(session: Session, cast: Cast) -> None:
    project = change(session, cast, get_project(session, cast.acme_project))
    assert project.updated_at == NOW
    assert events(session) == []


def test_a_change_needs_names_that_are_not_blank_or_taken(session: Session, cast: Cast) -> None:
    project = get_project(session, cast.acme_project)
    make(session, cast, "Acme Shop", cast.acme)
    for field, value in (("organisation_name", ""), ("name", "Acme Shop")):
        with pytest.raises(InvalidInput) as refused:
            change(session, cast, project, **{field: value})
        assert refused.value.field == field


@pytest.mark.parametrize("theirs", [{"plan": "Trial"}, {"organisation_name": "Zenith"}])
def test_who_saves_over_somebody_elses_change_is_stopped(
    session: Session, cast: Cast, theirs: dict[str, str]
) -> None:
    project = get_project(session, cast.acme_project)
    version = version_of(project)
    change(session, cast, project, **theirs)
    with pytest.raises(Conflict):
        update_project(
            session,
            actor=cast.actor(cast.ada),
            project_id=project.id,
            version=version,
            fields=fields(),
            now=LATER,
        )
    assert project.name == "Acme ERP"


# Putting away


def test_an_archived_project_is_left_out_until_it_is_asked_for(
    session: Session, cast: Cast
) -> None:
    one = {"actor": cast.actor(cast.ada), "project_id": cast.acme_project}
    archive_project(session, now=NOW, **one)
    archive_project(session, now=LATER, **one)
    assert get_project(session, cast.acme_project).archived_at == NOW
    assert found(session) == ["Bolt Shop"]
    assert found(session, archived=True) == ["Acme ERP"]
    assert project_totals(session, NOW).count(archived=False) == Total(1)
    restore_project(session, now=LATER, **one)
    restore_project(session, now=LATER, **one)
    assert found(session) == ["Acme ERP", "Bolt Shop"]
    assert [tag for tag, _, _ in events(session)] == ["project.archived", "project.restored"]


def test_a_project_without_a_past_is_deleted_and_an_organisation_without_projects_too(
    session: Session, cast: Cast
) -> None:
    second = make(session, cast, "Bolt Lab", cast.bolt)
    doing = {"actor": cast.actor(cast.ada), "now": NOW}
    assert delete_project(session, project_id=second.id, **doing) == "Bolt Lab"
    assert session.get(Organisation, cast.bolt)
    delete_project(session, project_id=cast.bolt_project, **doing)
    session.commit()
    assert session.get(Organisation, cast.bolt) is None
    assert events(session)[-1] == ("project.deleted", "Bolt Shop", cast.bolt)
    with pytest.raises(NotFound):
        delete_project(session, project_id=cast.bolt_project, **doing)


def refuse_to_delete(session: Session, cast: Cast, project_id: int) -> str:
    with pytest.raises(Conflict) as refused:
        delete_project(session, actor=cast.actor(cast.ada), project_id=project_id, now=NOW)
    assert why_not_deletable(session, get_project(session, project_id)) == refused.value.detail
    return refused.value.detail


def test_a_project_with_users_is_not_deleted(session: Session, cast: Cast) -> None:
    assert "has users on record" in refuse_to_delete(session, cast, cast.acme_project)


def test_a_project_with_keys_is_not_deleted_even_when_they_have_ended(
    session: Session, cast: Cast
) -> None:
    key_id = issue(session, cast, cast.bolt)
    revoke_license(session, actor=cast.actor(cast.ada), key_id=key_id, now=NOW)
    assert "has license keys on record" in refuse_to_delete(session, cast, cast.bolt_project)


def test_a_project_with_agent_sessions_is_not_deleted(session: Session, cast: Cast) -> None:
    user_id = session.scalars(select(User.id).where(User.email == cast.pat)).one()
    session.add(
        AgentSession(
            token_hash="x",
            user_id=user_id,
            organisation_id=cast.bolt,
            mac_id="00:1A:2B:3C:4D:5E",
            address="203.0.113.9",
            started_at=NOW,
            last_heard_at=NOW,
            ended_at=NOW,
        )
    )
    session.flush()
    assert "has agent sessions on record" in refuse_to_delete(session, cast, cast.bolt_project)


def test_a_deletion_waits_for_a_key_that_is_being_issued_and_is_then_refused(
    app: Flask, session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the organisation has been found and its key is not yet recorded."""
    outcomes: list[str] = []
    begins = threading.Event()

    def delete() -> None:
        with app.app_context():
            begins.set()
            outcomes.append(refuse_to_delete(db.session(), cast, cast.bolt_project))
            db.session.rollback()

    thread = threading.Thread(target=delete)

    def key_id_after_a_while(session: Session) -> str:
        thread.start()
        assert begins.wait(60)
        thread.join(1)
        assert thread.is_alive()
        return free_key_id(session)

    monkeypatch.setattr(licenses, "free_key_id", key_id_after_a_while)
    issue(session, cast, cast.bolt)
    session.commit()
    thread.join(60)
    assert ["has license keys on record" in outcome for outcome in outcomes] == [True]


@pytest.mark.parametrize("number", [0, 4711, HIGHEST_ID])
def test_a_project_that_is_not_there_is_not_found(
    session: Session, cast: Cast, number: int
) -> None:
    with pytest.raises(NotFound):
        get_project(session, number)


# Finding


def test_a_search_looks_at_names_ids_and_e_mails_whatever_the_accents(
    session: Session, cast: Cast
) -> None:
    for text in ("bolt", "SÖHNE", "sohne", "org-000456", "000456", "BOLT@client.example", "b"):
        assert "Bolt Shop" in found(session, text), text
    assert found(session, "acme söhne") == []


def test_every_word_of_a_search_must_be_somewhere(session: Session, cast: Cast) -> None:
    assert found(session, "shop   456 söhne") == ["Bolt Shop"]
    assert found(session, "shop 123") == []


@pytest.mark.parametrize(
    ("name", "hit", "miss"),
    [
        ("100% Cotton", "0% c", "100%cotton"),
        ("snake_case", "e_c", "e_k"),
        ("back\\slash", "k\\s", "k\\\\s"),
        ("Slash/Dash", "h/d", "h//d"),
        ('O\'Brien "Sons"', 'o\'brien "sons"', "o''brien"),
        ("O’Brien’s", "o'brien's", "o;brien"),
        ("🚀 Rocket 👩‍💻", "👩‍💻 🚀", "🚁"),
        ("مشروع القاهرة", "القاهرة", "القاهره٢"),
        ("שלום", "שלום", "שלוםם"),
        ("東京 プロジェクト", "ﾌﾟﾛｼﾞｪｸﾄ", "大阪"),
        ("'; DROP TABLE projects; --", "'; drop", "'x"),
    ],
)
def test_a_search_takes_every_character_as_it_is(
    session: Session, cast: Cast, name: str, hit: str, miss: str
) -> None:
    make(session, cast, name)
    assert found(session, hit) == [name]
    assert found(session, miss) == []


@pytest.mark.parametrize("sign", ["%", "_", "*", "?", "\\", '"', "'"])
def test_signs_that_mean_something_to_a_database_mean_nothing_here(
    session: Session, cast: Cast, sign: str
) -> None:
    assert found(session, sign) == []


def test_a_search_may_have_two_hundred_characters(session: Session, cast: Cast) -> None:
    name = "x" * 200
    make(session, cast, name)
    assert found(session, name) == [name]
    assert found(session, name + "x") == []
    assert "Acme ERP" in found(session, ("acme " * 40).strip())
    assert found(session, "x" * 5000) == []


def test_a_key_id_finds_every_project_of_its_organisation(session: Session, cast: Cast) -> None:
    make(session, cast, "Bolt Lab", cast.bolt)
    key_id = issue(session, cast, cast.bolt)
    for text in (key_id, key_id.lower(), f"  {key_id.replace('-', ' ')} ", key_id.replace("-", "")):
        assert found(session, text) == ["Bolt Lab", "Bolt Shop"], text
    assert found(session, key_id[:-1]) == []
    assert found(session, "2222-2222") == []


def test_something_that_looks_like_a_key_id_is_a_word_too(session: Session, cast: Cast) -> None:
    make(session, cast, "Fabrwerk 23")
    assert found(session, "FABRWERK") == ["Fabrwerk 23"]


def test_filters_narrow_what_is_found(session: Session, cast: Cast) -> None:
    make(session, cast, "Ended", plan="Trial", plan_expires_on=TODAY - timedelta(days=1))
    make(session, cast, "Last day", plan="Trial", plan_expires_on=TODAY)
    assert found(session, plan="Trial") == ["Ended", "Last day"]
    assert found(session, plan="trial") == []
    assert found(session, expiry=Expiry.EXPIRED) == ["Ended"]
    assert found(session, expiry=Expiry.CURRENT) == ["Acme ERP", "Bolt Shop", "Last day"]
    assert found(session, "day", plan="Trial", expiry=Expiry.CURRENT) == ["Last day"]
    totals = project_totals(session, NOW)
    assert totals.plans == ["Growth", "Trial"]
    assert totals.count(archived=False) == Total(4)
    assert totals.count(archived=False, current=True) == Total(3)
    assert totals.count(archived=False, plan="Trial", current=False) == Total(1)


def test_has_active_keys_means_active_now(session: Session, cast: Cast) -> None:
    issue(session, cast, cast.bolt)
    ended = issue(session, cast, cast.acme)
    revoke_license(session, actor=cast.actor(cast.ada), key_id=ended, now=NOW)
    assert found(session, with_active_keys=True) == ["Bolt Shop"]
    search = Search(with_active_keys=True)
    for seconds, count in ((-1, 0), (0, 1), (3599, 1), (3600, 0)):
        now = NOW + timedelta(seconds=seconds)
        page = page_of_found(session, search, now).page
        assert page.total == Total(count), seconds


def test_projects_are_sorted_as_asked(session: Session, cast: Cast) -> None:
    ada = cast.actor(cast.ada)
    soon, late = date(2027, 1, 1), date(2028, 1, 1)
    for name, organisation, day in (("ärger", "Zoo", late), ("Zebra", "Aal", soon)):
        made = fields(name, f"ID {name}", organisation_name=organisation, plan_expires_on=day)
        create_project(session, actor=ada, fields=made, now=LATER)
    assert found(session) == ["Acme ERP", "ärger", "Bolt Shop", "Zebra"]
    assert found(session, sort=Sort.ORGANISATION) == ["Zebra", "Acme ERP", "Bolt Shop", "ärger"]
    assert found(session, sort=Sort.EXPIRY) == ["Zebra", "ärger", "Acme ERP", "Bolt Shop"]
    assert found(session, sort=Sort.NEWEST) == ["Zebra", "ärger", "Bolt Shop", "Acme ERP"]


def test_a_page_of_results_takes_three_queries_however_many_there_are(
    session: Session, cast: Cast
) -> None:
    for number in range(60):
        make(session, cast, f"Cargo {number}", f"ORG-{number}")
    session.commit()
    session.expunge_all()
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        found = page_of_found(session, Search("cargo"), number=2)
        assert [project.organisation_name for project in found.projects] == ["Cargo & Co"] * 24
    finally:
        event.remove(db.engine, "before_cursor_execute", count)
    assert len(statements) == 3
