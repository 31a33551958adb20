"""The sample data: what is in it, and that it never goes into a database in use."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.passwords import password_matches
from app.accounts.users import create_user, find_user
from app.cli import server
from app.cli.sample import SampleUser, load_sample_data, new_sample_users
from app.config import current_config
from app.core.actor import SYSTEM
from app.core.permissions import Role
from app.licenses.queries import licenses_of
from app.licenses.rules import LicenseState, license_state
from app.models import AuditEvent, Delivery, Organisation, Project, TemporaryLicense, User
from app.notices.key_watch import look_at_keys
from app.notices.outbox import spread_notices
from tests.conftest import NOW, Cast, Visitor

CHOICES = (3600, 10800, 21600, 43200, 86400, 259200, 604800)


def load(session: Session, choices: tuple[int, ...] = CHOICES) -> list[SampleUser]:
    made = load_sample_data(
        session,
        users=new_sample_users(""),
        config=replace(current_config(), license_ttls=choices),
        now=NOW,
    )
    session.commit()
    return made


def count(session: Session, model: type) -> int:
    return session.scalar(select(func.count()).select_from(model))


def test_there_are_fifty_organisations_the_first_with_a_well_known_id(session: Session) -> None:
    load(session)
    ids = list(session.scalars(select(Organisation.id).order_by(Organisation.id)))
    assert len(ids) == 50
    assert (ids[0], ids[-1]) == ("ORG-000001", "ORG-000050")


def test_projects_are_of_many_kinds(session: Session) -> None:
    load(session)
    projects = list(session.scalars(select(Project)))
    assert max(Counter(project.organisation_id for project in projects).values()) == 3
    assert {project.plan for project in projects} == {"", "Trial", "Growth", "Enterprise"}
    today = NOW.date()
    assert any(p.plan_expires_on and p.plan_expires_on < today for p in projects)
    assert any(p.plan_expires_on and p.plan_expires_on > today for p in projects)
    assert any(p.plan_expires_on is None for p in projects)
    names = "".join(project.name + project.organisation.name for project in projects)
    for letter in "üŁø京яنח해":
        assert letter in names
    assert max(len(project.organisation.name) for project in projects) > 90
    assert all(project.contact_email.endswith(".example") for project in projects)


def test_there_is_a_user_of_every_role_whose_password_is_the_one_told(session: Session) -> None:
    made = load(session)
    assert {who.email: who.role for who in made} == {
        "admin@example.com": Role.SUPER_ADMIN,
        "auditor@example.com": Role.AUDITOR,
        "partner@example.com": Role.PARTNER,
        "developer@example.com": Role.DEVELOPER,
        "client@example.com": Role.CLIENT,
    }
    assert len({who.password for who in made}) == 5
    for who in made:
        user = find_user(session, who.email)
        assert password_matches(user.password_hash, who.password)
        assert user.organisation_id == ("ORG-000001" if who.role is Role.CLIENT else None)


def test_one_password_may_be_set_for_all() -> None:
    assert {who.password for who in new_sample_users("correct-horse")} == {"correct-horse"}


def test_there_are_keys_in_every_state(session: Session) -> None:
    load(session)
    states = Counter(
        license_state(
            issued_at=license.issued_at,
            starts_at=license.starts_at,
            ends_at=license.ends_at,
            revoked_at=license.revoked_at,
            now=NOW,
        )
        for license in session.scalars(select(TemporaryLicense))
    )
    assert states[LicenseState.ACTIVE] >= 5
    assert states[LicenseState.EXPIRED] >= 3
    assert states[LicenseState.REVOKED] >= 2
    assert set(states) == set(LicenseState) - {LicenseState.INVALID}
    assert len(licenses_of(session, "ORG-000001", NOW)) >= 3


@pytest.mark.parametrize("choices", [(4,), (3600,), (1, 2, 3)])
def test_keys_fit_the_choices_of_the_settings(session: Session, choices: tuple[int, ...]) -> None:
    load(session, choices)
    ttls = set(session.scalars(select(TemporaryLicense.ttl_seconds)))
    assert ttls
    assert ttls <= set(choices)


def test_nothing_goes_into_a_database_that_has_organisations(session: Session, cast: Cast) -> None:
    before = [count(session, model) for model in (Organisation, Project, User, AuditEvent)]
    assert load(session) == []
    assert before == [count(session, model) for model in (Organisation, Project, User, AuditEvent)]


@pytest.mark.databases("sqlite", "postgres")
def test_loading_twice_changes_nothing(session: Session) -> None:
    load(session)
    assert load(session) == []
    assert count(session, Organisation) == 50


def test_a_super_admin_who_is_there_is_the_one_there_is(session: Session) -> None:
    create_user(
        session,
        email="boss@example.com",
        role=Role.SUPER_ADMIN,
        password_hash="x",
        actor=SYSTEM,
        now=NOW,
    )
    made = load(session)
    assert "admin@example.com" not in {who.email for who in made}
    assert len(made) == 4
    issuers = {license.issued_by.email for license in session.scalars(select(TemporaryLicense))}
    assert issuers == {"boss@example.com"}


def test_a_user_whose_e_mail_is_taken_is_left_alone(session: Session) -> None:
    create_user(
        session,
        email="partner@example.com",
        role=Role.DEVELOPER,
        password_hash="x",
        actor=SYSTEM,
        now=NOW,
    )
    assert "partner@example.com" not in {who.email for who in load(session)}
    assert find_user(session, "partner@example.com").role is Role.DEVELOPER


def test_everything_happened_in_the_past_and_is_in_the_audit_log(session: Session) -> None:
    load(session)
    events = list(session.scalars(select(AuditEvent)))
    assert all(event.happened_at <= NOW for event in events)
    assert min(event.happened_at for event in events) == NOW - timedelta(days=300)
    tags = Counter(event.tag for event in events)
    assert tags["project.created"] == count(session, Project)
    assert tags["user.created"] == 5
    assert tags["license.issued"] == count(session, TemporaryLicense)


def test_nobody_is_told_of_what_was_made_up(session: Session) -> None:
    """Whoever tries it out with mail set up gets no news of keys that ended before the start."""
    load(session)
    ends = [license.ends_at for license in session.scalars(select(TemporaryLicense))]
    first_end = min(end for end in ends if end > NOW)
    told = [kind for kind, _ in deliveries(session, NOW)]
    assert told == []
    assert ("key.expired", first_end) in deliveries(session, first_end)


def deliveries(session: Session, now: datetime) -> list[tuple[str, datetime]]:
    """What the background process makes of the outbox."""
    for step in (
        partial(spread_notices, mail=True),
        look_at_keys,
        partial(spread_notices, mail=True),
    ):
        step(session, now=now)
    return [(made.kind, made.happened_at) for made in session.scalars(select(Delivery))]


def test_the_start_loads_it_once_and_tells_the_sign_ins_once(
    app: Flask, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = app.extensions["config"]
    wanted = replace(config, sample_data=True, sample_password="correct-horse")
    monkeypatch.setitem(app.extensions, "config", wanted)
    monkeypatch.setattr(server, "_refuse_taken_address", lambda _settings: None)
    monkeypatch.setattr(server, "lead_server", lambda _settings: None)
    first = app.test_cli_runner().invoke(server.serve).output
    assert "admin@example.com      correct-horse  super_admin\n" in first
    assert first.count("correct-horse") == 5
    second = app.test_cli_runner().invoke(server.serve).output
    assert "correct-horse" not in second
    assert visitor.sign_in("admin@example.com", "correct-horse").status_code == 303
    for path in ("/", "/projects", "/audit"):
        assert visitor.get(path).status_code == 200, path


def test_without_the_setting_nothing_is_loaded(
    app: Flask, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_refuse_taken_address", lambda _settings: None)
    monkeypatch.setattr(server, "lead_server", lambda _settings: None)
    assert app.test_cli_runner().invoke(server.serve).exit_code == 0
    assert count(session, Organisation) == 0
