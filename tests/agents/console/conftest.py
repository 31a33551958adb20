"""A key, and a browser at the OP Agent's window."""

import pytest
from flask import Flask

from app.extensions import db
from app.models import TemporaryLicense
from tests.agents.stage import issue, text_of
from tests.conftest import Cast, Clock, Visitor


@pytest.fixture
def license(app: Flask, cast: Cast, clock: Clock) -> TemporaryLicense:
    """A license of Acme's, of one hour, issued now."""
    with app.app_context():
        license = issue(db.session(), cast)
        _ = license.organisation.name
        db.session.expunge_all()
    return license


@pytest.fixture
def key(app: Flask, license: TemporaryLicense) -> str:
    return text_of(license, app)


@pytest.fixture
def partner(app: Flask, cast: Cast) -> Visitor:
    """A browser at the OP Agent's window; nobody is signed in."""
    visitor = Visitor(app.test_client())
    visitor.get("/agent")
    return visitor
