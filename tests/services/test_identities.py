"""Letting in whoever an OpenID provider vouches for, also in several browsers at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.users import find_user
from app.agents.identities import IdentityRefused, ProvenIdentity, admit
from app.core.actor import Actor
from app.core.errors import Conflict
from app.core.permissions import Role
from app.extensions import db
from app.models import Identity, User
from app.models.engine import writing
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

ISSUER = "https://login.example"
PROVIDER = Actor(None, "Example Login", Role.SUPER_ADMIN, "203.0.113.9")


def admitted(app: Flask, identity: ProvenIdentity) -> str:
    with app.app_context(), writing():
        try:
            admit(db.session(), identity=identity, provider=PROVIDER, now=NOW)
            db.session.commit()
        except (Conflict, IdentityRefused) as error:
            db.session.rollback()
            return error.code
        return "in"


def test_a_first_sign_in_in_several_browsers_makes_one_user(app: Flask, cast: Cast) -> None:
    """Each is let in, or told to try again; nobody is there twice."""
    for number in range(10):
        identity = ProvenIdentity(ISSUER, f"s{number}", f"n{number}@example.com", Role.AUDITOR)
        with ThreadPoolExecutor(4) as browsers:
            answers = [*browsers.map(lambda _, who=identity: admitted(app, who), range(4))]
        assert "in" in answers
        assert set(answers) <= {"in", "conflict"}
    with app.app_context():
        assert db.session.scalar(select(func.count(Identity.id))) == 10
        new = select(func.count(User.id)).where(User.email.like("n%@example.com"))
        assert db.session.scalar(new) == 10


@pytest.mark.databases("postgres")
def test_whoever_is_made_in_between_by_another_browser_tries_again(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada's other browser is let in after this one has looked for her and before it finds her.

    She is herself: she must not read that her address belongs to somebody else. On SQLite nobody
    else can write in between.
    """
    ada = ProvenIdentity(ISSUER, "ada", "ada@example.com", Role.AUDITOR)

    def find_after_the_other(session: Session, email: str) -> User | None:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as other_browser:
            assert other_browser.submit(admitted, app, ada).result() == "in"
        return find_user(session, email)

    monkeypatch.setattr("app.agents.identities.find_user", find_after_the_other)
    assert admitted(app, ada) == "conflict"
    assert admitted(app, ada) == "in"


def test_of_two_who_have_one_e_mail_at_once_one_is_let_in(app: Flask, cast: Cast) -> None:
    """Mallory and Ada sign in for the first time at the same moment, with her address."""
    for number in range(10):
        email = f"m{number}@example.com"
        both = [
            ProvenIdentity(ISSUER, f"{who}{number}", email, Role.AUDITOR)
            for who in ("ada", "mallory")
        ]
        with ThreadPoolExecutor(2) as browsers:
            answers = [*browsers.map(lambda who: admitted(app, who), both)]
        assert answers.count("in") == 1, answers
    with app.app_context():
        assert db.session.scalar(select(func.count(Identity.id))) == 10
