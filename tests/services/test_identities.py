"""Letting in whoever an OpenID provider vouches for, also in several browsers at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import func, select

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
