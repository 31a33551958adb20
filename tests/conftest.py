"""One cast and one stage for every test: two databases, a clock to turn, people to act."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import create_app
from app.accounts import passwords
from app.accounts.authentication import Authentication, authenticate
from app.agents.registration import ensure_machine_salt
from app.cli.setup import upgrade_database
from app.config import load_config
from app.core.actor import Actor
from app.core.durations import Rate
from app.core.permissions import Role
from app.extensions import db
from app.licenses.keyring import ensure_signing_key
from app.models import Base, Organisation, Project, User
from app.models.kept import forget_all
from app.portal import ready
from tests.postgres import start_postgres

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
PASSWORD = "correct horse battery"
SECRET = "for tests only, " * 3

# How long an example takes is a matter of the machine, and each begins with what the last one left.
settings.register_profile(
    "portal",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("portal")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def missing(what: str, how: str) -> None:
    """Skip loudly; where nothing may be missing (CI), fail."""
    sentence = f"{what} is not on this machine; get it with: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session", autouse=True)
def fast_passwords() -> Iterator[None]:
    """Hash with the least work: these passwords protect nothing."""
    slow = passwords.hasher
    passwords.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    yield
    passwords.hasher = slow


SECRETS = re.compile(re.escape(PASSWORD) + r"|rw1\.[\w-]+\.[\w-]+\.[\w-]{86}")
"""What no test may make the portal write down."""


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_logged() -> Iterator[None]:
    """After the last test: no line of the log, of all tests together, held a password or a key."""
    said = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = self.format(record)
            if SECRETS.search(line):
                said.append(line)

    listener = Listener()
    logging.getLogger().addHandler(listener)
    yield
    logging.getLogger().removeHandler(listener)
    assert said == []


def check_files(folder: Path) -> None:
    """After the last test: what SQLite has kept of all that was written, deleted rows too."""
    for file in folder.rglob("*.db*"):
        assert not SECRETS.search(file.read_bytes().decode("latin-1")), file


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    # Not in pytest's own temporary folder: other test runs clean up there.
    with TemporaryDirectory(prefix="portal-") as folder, start_postgres(Path(folder)) as url:
        if url is None:
            missing("PostgreSQL", "apt-get install postgresql")
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test is run on SQLite, or on the databases that the mark nearest to it names."""
    if "installation" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("databases")
        names = mark.args if mark else ("sqlite",)
        metafunc.parametrize("installation", [DATABASES[name] for name in names], indirect=True)


DATABASES = {
    "sqlite": pytest.param("sqlite"),
    "postgres": pytest.param("postgres", marks=pytest.mark.postgres),
}


@pytest.fixture(scope="session")
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """The portal on a migrated database of the kind that is asked for."""
    environ = {
        "PORTAL_INSTANCE": str(tmp_path_factory.mktemp(request.param)),
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_SECOND_FACTOR": "off",  # tests of it say otherwise
    }
    if request.param == "postgres":
        environ["PORTAL_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    config = load_config(environ)
    portal = create_app(config)
    with portal.app_context():
        upgrade_database(config, NOW)
    ready.loaded_at = float("inf")  # no background process runs beside tests
    yield portal
    with portal.app_context():
        db.engine.dispose()
    check_files(Path(environ["PORTAL_INSTANCE"]))


@pytest.fixture
def app(installation: Flask) -> Flask:
    """The portal, with a signing key and nothing else in its database."""
    with installation.app_context():
        empty_database()
        forget_all()
        ensure_signing_key(db.session(), signing_keys=signing_keys(installation), now=NOW)
        ensure_machine_salt(db.session())
        db.session.commit()
    return installation


def empty_database() -> None:
    for table in reversed(Base.metadata.sorted_tables):
        db.session.execute(table.delete())
    db.session.commit()


def signing_keys(app: Flask) -> str:
    return app.extensions["config"].signing_keys


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """A database session for tests of services; commit what another session is to see."""
    with app.app_context():
        yield db.session()
        db.session.rollback()


class Clock:
    """The time of day, as the test says."""

    def __init__(self, now: datetime) -> None:
        self.instant = now

    def now(self, zone: object = None) -> datetime:
        return self.instant

    def advance(self, **duration: float) -> datetime:
        """Turn the clock: `clock.advance(hours=3)`, `clock.advance(seconds=-1)`."""
        self.instant += timedelta(**duration)
        return self.instant


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the whole portal, standing still at NOW until it is turned."""
    clock = Clock(NOW)
    monkeypatch.setattr("app.core.clock.datetime", clock)
    return clock


class Cast:
    """Acme and its neighbour Bolt, and the people around them; each knows PASSWORD."""

    acme = "ORG-000123"
    bolt = "ORG-000456"
    ada = "ada@example.com"
    """A super admin."""
    grace = "grace@example.com"
    """Another super admin."""
    audrey = "audrey@example.com"
    """An auditor."""
    pat = "pat@example.com"
    """A partner."""
    dev = "dev@example.com"
    """A developer."""
    carl = "carl@example.com"
    """A client user of Acme."""

    def __init__(self, session: Session) -> None:
        from app.core.text import fold

        for organisation_id, name in ((self.acme, "Acme"), (self.bolt, "Bolt & Söhne")):
            session.add(
                Organisation(
                    id=organisation_id,
                    name=name,
                    search_text=fold(f"{name}\n{organisation_id}"),
                    created_at=NOW,
                )
            )
        session.flush()
        self.acme_project = self._project(session, self.acme, "Acme ERP")
        self.bolt_project = self._project(session, self.bolt, "Bolt Shop")
        password_hash = passwords.hash_password(PASSWORD)
        roles = {
            self.ada: Role.SUPER_ADMIN,
            self.grace: Role.SUPER_ADMIN,
            self.audrey: Role.AUDITOR,
            self.pat: Role.PARTNER,
            self.dev: Role.DEVELOPER,
            self.carl: Role.CLIENT,
        }
        self._ids = {}
        self._roles = roles
        for email, role in roles.items():
            user = User(
                email=email,
                search_text=email,
                role=role,
                password_hash=password_hash,
                organisation_id=self.acme if role is Role.CLIENT else None,
                created_at=NOW,
            )
            session.add(user)
            session.flush()
            self._ids[email] = user.id
        session.commit()

    def _project(self, session: Session, organisation_id: str, name: str) -> int:
        from app.core.text import fold

        email = f"{name.split(maxsplit=1)[0].lower()}@client.example"
        project = Project(
            organisation_id=organisation_id,
            name=name,
            contact_email=email,
            plan="Growth",
            status="Active",
            search_text=fold(f"{name}\n{email}"),
            created_at=NOW,
            updated_at=NOW,
        )
        session.add(project)
        session.flush()
        return project.id

    def actor(self, email: str) -> Actor:
        """A person of the cast, as services know people."""
        return Actor(self._ids[email], email, self._roles[email], "203.0.113.7")


def authenticated(
    session: Session,
    login_id: str,
    password: str = PASSWORD,
    *,
    address: str = "203.0.113.7",
    now: datetime = NOW,
    limit: Rate = Rate(10, 60),
    outside_transaction: Callable[[], AbstractContextManager[None]] | None = None,
) -> Authentication:
    """Who somebody has proven to be, as a view finds out; what was done before is committed."""

    @contextmanager
    def committed() -> Iterator[None]:
        session.commit()
        yield

    return authenticate(
        session,
        login_id=login_id,
        password=password,
        address=address,
        secret=SECRET,
        limit=limit,
        clock=lambda: now,
        outside_transaction=outside_transaction or committed,
    )


@pytest.fixture
def cast(app: Flask) -> Cast:
    with app.app_context():
        return Cast(db.session())


class Visitor:
    """Somebody with a browser: keeps cookies, sends the CSRF token that the last page had."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.csrf_token = ""

    def get(self, path: str, *, htmx: bool = False, **options: object) -> TestResponse:
        return self._seen(self.client.get(path, headers=_headers(htmx), **options))

    def post(
        self,
        path: str,
        data: dict[str, object] | None = None,
        *,
        htmx: bool = False,
        **options: object,
    ) -> TestResponse:
        if not self.csrf_token:
            self.get("/login")
        fields = {"csrf_token": self.csrf_token, **(data or {})}
        return self._seen(self.client.post(path, data=fields, headers=_headers(htmx), **options))

    def sign_in(self, email: str, password: str = PASSWORD, **fields: object) -> TestResponse:
        answer = self.post("/login", {"email": email, "password": password, **fields})
        if answer.status_code == 303:
            self.get("/login?next=/audit")
            self.get("/audit")
        return answer

    def _seen(self, answer: TestResponse) -> TestResponse:
        match = re.search(r'name="csrf_token" value="([^"]+)"', answer.text) or re.search(
            r"X-CSRFToken&#34;: &#34;([^&]+)&|X-CSRFToken\": \"([^\"]+)\"", answer.text
        )
        if match:
            self.csrf_token = next(group for group in match.groups() if group)
        return answer


def _headers(htmx: bool) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Request-Type": "partial"} if htmx else {}


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    """Nobody yet: an anonymous browser."""
    return Visitor(app.test_client())


@pytest.fixture
def ada(app: Flask, cast: Cast) -> Visitor:
    """A super admin, signed in."""
    return _signed_in(app, cast.ada)


@pytest.fixture
def grace(app: Flask, cast: Cast) -> Visitor:
    """Another super admin, signed in."""
    return _signed_in(app, cast.grace)


@pytest.fixture
def pat(app: Flask, cast: Cast) -> Visitor:
    """A partner, signed in."""
    return _signed_in(app, cast.pat)


@pytest.fixture
def audrey(app: Flask, cast: Cast) -> Visitor:
    """An auditor, signed in."""
    return _signed_in(app, cast.audrey)


def _signed_in(app: Flask, email: str) -> Visitor:
    visitor = Visitor(app.test_client())
    assert visitor.sign_in(email).status_code == 303
    return visitor
