"""A portal on SQLite, and an empty PostgreSQL database that it may be copied to."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, text

from app.cli import server
from app.extensions import db
from tests.conftest import PASSWORD
from tests.services.db_copy.stage import add_the_other_tables, portal_on


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance with the sample data and rows in every table; to be copied, not to be used."""
    folder = tmp_path_factory.mktemp("sample")
    with portal_on(folder, PORTAL_SAMPLE_DATA="on", PORTAL_SAMPLE_PASSWORD=PASSWORD) as portal:
        server.set_up(portal.extensions["config"])
        add_the_other_tables(db.session.connection())
        db.session.commit()
    return folder


@pytest.fixture
def folder(sample: Path, tmp_path: Path) -> Path:
    """The sample instance, for one test."""
    return Path(shutil.copytree(sample, tmp_path / "instance"))


@pytest.fixture
def portal(folder: Path) -> Iterator[Flask]:
    with portal_on(folder) as portal:
        yield portal


@pytest.fixture
def to(postgres_url: str) -> Iterator[str]:
    """The address, with a password, of an empty database that orders texts as English does."""
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS copied WITH (FORCE)"))
        connection.execute(
            text("CREATE DATABASE copied TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        )
    yield postgres_url.replace("portal@/postgres?", "portal:hidden%40hidden@/copied?")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE copied WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def target(to: str) -> Iterator[Engine]:
    """What looks into TO, and interferes there."""
    engine = create_engine(to)
    yield engine
    engine.dispose()
