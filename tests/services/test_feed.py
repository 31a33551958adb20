"""The Feed: what it is told of projects, how it is searched, and what never stands in it."""

import io
from contextlib import suppress
from datetime import timedelta

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit.feed import FeedKind, add_entry, count_entries, feed_of
from app.core.errors import InvalidInput
from app.models import FeedEvent, Organisation, Project, TemporaryLicense
from app.projects.fields import ProjectFields
from app.projects.importing import import_projects
from app.projects.rows import read_projects
from app.projects.services import (
    archive_project,
    create_project,
    delete_project,
    get_project,
    restore_project,
    update_project,
    version_of,
)
from tests.agents.test_feed_silence import (
    PARTNER_HOST,
    PARTNERS_DO,
    History,
    set_the_stage,
    some,
)
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

MINUTE = timedelta(minutes=1)


def told(session: Session, organisation_id: str) -> list[tuple[str, str]]:
    """(kind, subject) of an organisation's lines, the oldest first."""
    lines = feed_of(session, organisation_id, limit=1000)
    return [(line.kind.name if line.kind else "", line.subject) for line in reversed(lines)]


def create(session: Session, cast: Cast, name: str, organisation_id: str = "ORG-9") -> int:
    fields = ProjectFields(organisation_id, "Nine", name)
    made = create_project(session, actor=cast.actor(cast.ada), fields=fields, now=NOW)
    return made.project.id


def update(session: Session, cast: Cast, project_id: int, plan: str) -> None:
    project = get_project(session, project_id)
    organisation = project.organisation
    update_project(
        session,
        actor=cast.actor(cast.ada),
        project_id=project_id,
        version=version_of(project),
        fields=ProjectFields(organisation.id, organisation.name, project.name, "", plan),
        now=NOW,
    )


def bring_in(session: Session, cast: Cast, text: str, *, dry_run: bool = False) -> None:
    import_projects(
        session,
        actor=cast.actor(cast.ada),
        file=read_projects(io.BytesIO(text.encode()), named_columns={}),
        file_name="clients.csv",
        now=NOW,
        dry_run=dry_run,
    )


class TestProjects:
    def test_each_change_of_a_project_is_a_line(self, session: Session, cast: Cast) -> None:
        ada = cast.actor(cast.ada)
        first, second = create(session, cast, "Shop"), create(session, cast, "ERP")
        update(session, cast, first, "Growth")
        archive_project(session, actor=ada, project_id=first, now=NOW)
        restore_project(session, actor=ada, project_id=first, now=NOW)
        delete_project(session, actor=ada, project_id=second, now=NOW)
        assert told(session, "ORG-9") == [
            ("PROJECT_CREATED", "Shop"),
            ("PROJECT_CREATED", "ERP"),
            ("PROJECT_UPDATED", "Shop"),
            ("PROJECT_ARCHIVED", "Shop"),
            ("PROJECT_RESTORED", "Shop"),
            ("PROJECT_DELETED", "ERP"),
        ]

    def test_the_vendors_staff_are_not_named(self, session: Session, cast: Cast) -> None:
        create(session, cast, "Shop")
        (line,) = feed_of(session, "ORG-9")
        assert line.client == ""

    def test_what_changes_nothing_tells_nothing(self, session: Session, cast: Cast) -> None:
        ada = cast.actor(cast.ada)
        project_id = create(session, cast, "Shop")
        update(session, cast, project_id, "")
        restore_project(session, actor=ada, project_id=project_id, now=NOW)
        assert told(session, "ORG-9") == [("PROJECT_CREATED", "Shop")]

    def test_with_an_organisation_its_feed_goes(self, session: Session, cast: Cast) -> None:
        project_id = create(session, cast, "Shop")
        session.commit()
        delete_project(session, actor=cast.actor(cast.ada), project_id=project_id, now=NOW)
        session.commit()
        assert session.get(Organisation, "ORG-9") is None
        assert told(session, "ORG-9") == []


class TestImport:
    def test_a_few_projects_are_each_a_line(self, session: Session, cast: Cast) -> None:
        bring_in(session, cast, f"CIK,Name,Plan\n{cast.acme},New,\n{cast.acme},Acme ERP,Trial\n")
        assert told(session, cast.acme) == [
            ("PROJECT_CREATED", "New"),
            ("PROJECT_UPDATED", "Acme ERP"),
        ]

    def test_many_are_one_line_for_their_organisation(self, session: Session, cast: Cast) -> None:
        rows = "".join(f"{cast.acme},Project {number},\n" for number in range(12))
        bring_in(session, cast, f"CIK,Name,Plan\n{rows}{cast.acme},Acme ERP,Trial\n9,Nine,\n")
        assert told(session, cast.acme) == [("PROJECTS_IMPORTED", "12 created, 1 changed")]
        assert told(session, "9") == [("PROJECT_CREATED", "Nine")]

    def test_what_is_left_alone_and_a_dry_run_tell_nothing(
        self, session: Session, cast: Cast
    ) -> None:
        bring_in(session, cast, f"CIK,Name\n{cast.acme},Acme ERP\n")
        bring_in(session, cast, f"CIK,Name\n{cast.acme},New\n", dry_run=True)
        assert told(session, cast.acme) == []

    def test_its_lines_are_found_as_any_others(self, session: Session, cast: Cast) -> None:
        bring_in(session, cast, f"CIK,Name\n{cast.acme},Łódź\n")
        (line,) = feed_of(session, cast.acme, text="lodz created")
        assert (line.happened_at, line.subject) == (NOW, "Łódź")


class TestSearch:
    @pytest.fixture(autouse=True)
    def _lines(self, session: Session, cast: Cast) -> None:
        for number, (kind, subject, client) in enumerate(
            (
                (FeedKind.MACHINE_REGISTERED, "Bürorechner (00:1A:2B:3C:4D:5E)", cast.carl),
                (FeedKind.CLIENT_SIGNED_IN, "Bürorechner (00:1A:2B:3C:4D:5E)", cast.carl),
                (FeedKind.MACHINE_DETACHED, "100%_\\x", ""),
            )
        ):
            add_entry(
                session,
                kind,
                organisation_id=cast.acme,
                subject=subject,
                now=NOW + number * MINUTE,
                client=client,
            )
        add_entry(
            session, FeedKind.PROJECT_CREATED, organisation_id=cast.bolt, subject="Bolt", now=NOW
        )

    def test_the_newest_stands_first_and_none_of_another_organisation(
        self, session: Session, cast: Cast
    ) -> None:
        kinds = [line.kind for line in feed_of(session, cast.acme)]
        assert kinds == [
            FeedKind.MACHINE_DETACHED,
            FeedKind.CLIENT_SIGNED_IN,
            FeedKind.MACHINE_REGISTERED,
        ]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", 3),
            ("BUROrechner", 2),
            ("00:1a:2b", 2),
            ("carl@ signed", 1),
            ("detached", 1),
            ("%", 1),
            ("_", 1),
            ("\\", 1),
            ("%%", 0),
            ("\x00detached", 1),
            ("Bolt", 0),
            ("'; DROP TABLE feed_events; --", 0),
        ],
    )
    def test_every_word_must_be_found_whatever_its_accents(
        self, session: Session, cast: Cast, text: str, found: int
    ) -> None:
        assert len(feed_of(session, cast.acme, text=text)) == found
        assert count_entries(session, cast.acme, text=text) == found

    def test_a_kind_and_words_must_both_fit(self, session: Session, cast: Cast) -> None:
        kind = FeedKind.CLIENT_SIGNED_IN
        assert count_entries(session, cast.acme, kind=kind, text="buro") == 1
        assert count_entries(session, cast.acme, kind=kind, text="100") == 0

    def test_a_part_of_the_lines_is_given_page_by_page(self, session: Session, cast: Cast) -> None:
        (line,) = feed_of(session, cast.acme, offset=1, limit=1)
        assert line.kind is FeedKind.CLIENT_SIGNED_IN

    def test_a_kind_of_a_later_version_is_shown_as_it_is(
        self, session: Session, cast: Cast
    ) -> None:
        session.add(
            FeedEvent(
                organisation_id=cast.acme,
                happened_at=NOW,
                kind="agent.teleported",
                actor="",
                subject="x",
                search_text="",
            )
        )
        line = feed_of(session, cast.acme)[0]
        assert (line.kind, line.what) == (None, "agent.teleported")


class Busy(History):
    """A history in which projects come, change and go besides."""

    def create(self, number: int) -> None:
        create(self.session, self.cast, f"Project {number}", Cast.acme)

    def change(self, number: int) -> None:
        for project_id in self._projects()[number : number + 1]:
            update(self.session, self.cast, project_id, f"Plan {self.now.minute}")

    def delete(self, number: int) -> None:
        for project_id in self._projects()[number : number + 1]:
            delete_project(self.session, actor=self.ada, project_id=project_id, now=self.now)

    def bring_in(self, number: int) -> None:
        rows = "".join(f"{Cast.acme},Imported {each}\n" for each in range(number + 1))
        bring_in(self.session, self.cast, "CIK,Name\n" + rows)

    def _projects(self) -> list[int]:
        return list(self.session.scalars(select(Project.id).order_by(Project.id)))


PROJECTS_DO = ("create", "change", "delete", "bring_in")
histories = st.lists(
    st.tuples(st.sampled_from((*PARTNERS_DO, *PROJECTS_DO, "by_client")), st.integers(0, 9)),
    min_size=1,
    max_size=20,
)


@pytest.mark.databases("sqlite")
@given(history=histories)
@some
def test_between_all_that_is_told_a_temporary_key_and_its_partner_leave_nothing(
    app: Flask, history: list[tuple[str, int]]
) -> None:
    """A client who reads the Feed learns of no key and no partner: no line, no ID, no name."""
    with app.app_context():
        quiet = set_the_stage(app)
        stage = Busy(quiet.session, quiet.cast)
        for what, number in history:
            before = _count(stage.session)
            with suppress(InvalidInput):
                stage.step(what, number)
            stage.session.rollback()
            if what in PARTNERS_DO:
                assert _count(stage.session) == before, what
        secrets = [Cast.pat, Cast.dev, Cast.ada, PARTNER_HOST]
        secrets += stage.session.scalars(select(TemporaryLicense.key_id)).all()
        lines = list(stage.session.scalars(select(FeedEvent)))
        assert {line.kind for line in lines} <= {kind.value for kind in FeedKind}
        words = "\n".join(f"{line.subject} {line.actor} {line.search_text}" for line in lines)
        assert not [secret for secret in secrets if secret.lower() in words.lower()]
        stage.session.rollback()


def _count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(FeedEvent)) or 0
