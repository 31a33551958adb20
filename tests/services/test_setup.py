"""What is done once before any worker starts: database, migrations, keys, first users."""

import multiprocessing
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import create_engine, func, inspect, select, text

from app import create_app
from app.accounts.passwords import password_matches
from app.agents.registration import ensure_machine_salt
from app.cli import server
from app.cli.setup import bind_migrate, upgrade_database
from app.config import ROOT, Config, load_config
from app.core.errors import ConfigError
from app.core.permissions import Role
from app.core.private_files import private_file, secret_key
from app.extensions import db
from app.licenses.keyring import ensure_signing_key
from app.licenses.option_rules import KeyOptions
from app.models import Base, Installation, Organisation, SigningKey, User
from app.models.project_search import is_of_models
from tests.agents.stage import issue, signed_in
from tests.conftest import NOW, Cast


def environment(folder: Path, **settings: str) -> dict[str, str]:
    named = {f"PORTAL_{name}": value for name, value in settings.items()}
    return {"PORTAL_INSTANCE": str(folder), "PORTAL_SECRET_KEY": "for tests only, " * 3, **named}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """The settings of a portal whose database does not exist yet, or is empty."""
    if request.param == "sqlite":
        yield load_config(environment(tmp_path))
        return
    url = request.getfixturevalue("postgres_url")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE fresh"))
    own = url.replace("/postgres?", "/fresh?")
    yield load_config(environment(tmp_path, DATABASE_URL=own))
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE fresh WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def portal(config: Config) -> Iterator[Flask]:
    portal = create_app(config)
    with portal.app_context():
        yield portal
        db.session.remove()
        db.engine.dispose()


def alembic(portal: Flask) -> AlembicConfig:
    bind_migrate(portal)
    return portal.extensions["migrate"].migrate.get_config(str(ROOT / "migrations"))


def differences() -> list[object]:
    """What the models' tables are and the database's are not, or the other way round."""
    with db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": is_of_models}
        )
        return compare_metadata(context, Base.metadata)


def test_the_migrations_make_what_the_models_say(config: Config, portal: Flask) -> None:
    upgrade_database(config, NOW)
    assert differences() == []


def test_the_migrations_can_be_undone_and_done_again(config: Config, portal: Flask) -> None:
    upgrade_database(config, NOW)
    command.downgrade(alembic(portal), "base")
    assert set(inspect(db.engine).get_table_names()) == {"alembic_version"}
    upgrade_database(config, NOW)
    assert differences() == []


def test_an_upgrade_of_what_is_current_changes_nothing(config: Config, portal: Flask) -> None:
    upgrade_database(config, NOW)
    upgrade_database(config, NOW)
    assert list(config.instance.glob("*before-upgrade*")) == []


def test_there_is_one_newest_migration(portal: Flask) -> None:
    assert len(ScriptDirectory.from_config(alembic(portal)).get_heads()) == 1


def upgrade_in_a_process(config: Config) -> None:
    portal = create_app(config)
    with portal.app_context():
        server.set_up(config)
        db.engine.dispose()


def test_portals_that_start_at_once_make_one_of_everything(config: Config, portal: Flask) -> None:
    """On an empty database: one signing key, one super admin, one set of sample data."""
    config = replace(
        config,
        admin_email="boss@example.com",
        admin_password="correct-horse",
        sample_data=True,
        sample_password="correct-horse",
    )
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=upgrade_in_a_process, args=(config,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert differences() == []
    counts = [
        db.session.scalar(select(func.count()).select_from(table))
        for table in (SigningKey, Installation, Organisation)
    ]
    assert counts == [1, 1, 50]
    admins = db.session.scalars(select(User.email).where(User.role == Role.SUPER_ADMIN))
    assert admins.all() == ["boss@example.com"]


def test_a_database_of_another_version_is_refused_in_one_line(
    config: Config, portal: Flask
) -> None:
    upgrade_database(config, NOW)
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    with pytest.raises(ConfigError) as refused:
        upgrade_database(config, NOW)
    assert refused.value.detail.startswith("PORTAL_DATABASE_URL: ")
    assert "another version" in refused.value.detail
    assert "\n" not in refused.value.detail


@pytest.fixture
def sqlite_portal(tmp_path: Path) -> Iterator[Flask]:
    portal = create_app(load_config(environment(tmp_path)))
    with portal.app_context():
        yield portal
        db.session.remove()
        db.engine.dispose()


def settings(portal: Flask) -> Config:
    return portal.extensions["config"]


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_database_file_is_for_the_portals_user_only(sqlite_portal: Flask) -> None:
    file = settings(sqlite_portal).database_file
    upgrade_database(settings(sqlite_portal), NOW)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for part in file.parent.glob("portal.db*"):
        assert mode(part) == 0o600, part


def test_a_copy_is_kept_before_an_upgrade(sqlite_portal: Flask) -> None:
    config = settings(sqlite_portal)
    upgrade_database(config, NOW)
    with db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE keepsake (word VARCHAR)"))
        connection.execute(text("INSERT INTO keepsake VALUES ('kept')"))
    command.downgrade(alembic(sqlite_portal), "base")
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO alembic_version VALUES ('older')"))
    with pytest.raises(ConfigError):
        upgrade_database(config, NOW)
    copy = config.instance / "portal-before-upgrade-20261124T154000Z.db"
    assert mode(copy) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT word FROM keepsake").fetchall() == [("kept",)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    sqlite_portal: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("in the middle of it")

    monkeypatch.setattr(Operations, "batch_alter_table", fail)
    with pytest.raises(RuntimeError):
        upgrade_database(settings(sqlite_portal), NOW)
    assert inspect(db.engine).get_table_names() == []


@pytest.mark.parametrize("folder", ["with a space", "50%off", "what?", "a#b", "ünï", "a&b=c"])
def test_the_instance_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    config = load_config(environment(tmp_path / folder))
    portal = create_app(config)
    with portal.app_context():
        upgrade_database(config, NOW)
        assert db.session.scalar(select(User.id)) is None
        db.session.remove()
        db.engine.dispose()
    assert (tmp_path / folder / "portal.db").stat().st_size > 0
    assert [file.name for file in tmp_path.iterdir()] == [folder]


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = load_config(environment(tmp_path / "file" / "instance"))
    portal = create_app(config)
    with portal.app_context(), pytest.raises(ConfigError) as refused:
        upgrade_database(config, NOW)
    assert refused.value.detail.startswith(f"PORTAL_INSTANCE: {tmp_path}/file/instance/portal.db ")
    assert refused.value.detail.endswith("name a folder that the portal may write.")


def test_a_secret_is_made_once_and_for_the_portals_user_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secret-key"
    first = private_file(file, "first")
    assert (first, private_file(file, "second")) == ("first", "first")
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert [part.name for part in file.parent.iterdir()] == ["secret-key"]


def make_in_a_process(file: Path, number: int) -> None:
    assert private_file(file, f"secret {number}") == private_file(file, "later")


def test_the_folder_that_git_makes_is_for_the_portals_user_only(tmp_path: Path) -> None:
    """A clone has `instance/` for everybody to read; one that is in use keeps its mode."""
    tmp_path.chmod(0o755)
    (tmp_path / ".gitkeep").touch()
    secret_key(tmp_path)
    assert mode(tmp_path) == 0o700
    tmp_path.chmod(0o750)
    secret_key(tmp_path)
    assert mode(tmp_path) == 0o750


def test_processes_that_make_a_secret_at_once_agree_on_one(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    file = tmp_path / "secret-key"
    processes = [spawn.Process(target=make_in_a_process, args=(file, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_the_secret_key_outlives_a_restart(tmp_path: Path) -> None:
    environ = {"PORTAL_INSTANCE": str(tmp_path)}
    first, second = (create_app(load_config(environ)) for _ in range(2))
    assert first.config["SECRET_KEY"] == second.config["SECRET_KEY"]
    assert len(first.config["SECRET_KEY"]) >= 64
    assert mode(tmp_path / "secret-key") == 0o600


class Served(Exception):
    """In the place of the production server."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Runs `flask serve` up to where the server would take over: (exit status, what it said)."""
    started: list[Config] = []

    def take_over(settings: Config) -> None:
        started.append(settings)
        raise Served

    monkeypatch.setattr(server, "lead_server", take_over)
    portals: list[Flask] = []

    def run(**settings: str) -> tuple[int, str]:
        settings.setdefault("BIND", f"127.0.0.1:{free_port()}")
        portal = create_app(load_config(environment(tmp_path, **settings)))
        portals.append(portal)
        result = portal.test_cli_runner().invoke(server.serve)
        return (0 if isinstance(result.exception, Served) else result.exit_code), result.output

    run.started = started
    run.portals = portals
    yield run
    for portal in portals:
        with portal.app_context():
            db.engine.dispose()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_serve_sets_everything_up_and_hands_over(serve: object, tmp_path: Path) -> None:
    port = free_port()
    assert serve(BIND=f"127.0.0.1:{port}", WORKERS="3") == (
        0,
        "Nobody can sign in to the portal yet. Make a super admin with\n"
        "  .venv/bin/rolling-window users create --email admin@example.com --role super_admin\n"
        "or let one of before in again with .venv/bin/rolling-window users enable E-MAIL.\n"
        f"Rolling Window serves on http://127.0.0.1:{port}/\n"
        f"The OP Agent in the browser: http://127.0.0.1:{port}/agent\n",
    )
    assert {file.name for file in tmp_path.iterdir()} >= {"portal.db", "signing-keys"}
    assert len(list((tmp_path / "signing-keys").iterdir())) == 1
    (settings,) = serve.started
    assert (str(settings.bind), settings.workers) == (f"127.0.0.1:{port}", 3)


def test_the_first_super_admin_is_made_once(serve: object) -> None:
    admin = {"ADMIN_EMAIL": "Boss@Example.com", "ADMIN_PASSWORD": "correct-horse"}
    assert "Made the first super admin: Boss@Example.com\n" in serve(**admin)[1]
    said = serve(**admin | {"ADMIN_EMAIL": "other@example.com"})[1]
    assert "Made" not in said
    assert (
        "To sign in as boss@example.com without the password, give a new one with\n"
        "  .venv/bin/rolling-window users reset-password boss@example.com\n"
    ) in said
    with serve.portals[-1].app_context():
        users = list(db.session.scalars(select(User)))
        db.session.remove()
    assert [(user.email, user.role) for user in users] == [("boss@example.com", Role.SUPER_ADMIN)]
    assert password_matches(users[0].password_hash, "correct-horse")


def test_a_taken_port_is_refused_in_one_line_before_anything_is_made(
    serve: object, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert serve(BIND=f"127.0.0.1:{port}") == (
            1,
            f"PORTAL_BIND: 127.0.0.1:{port} cannot be used (Address already in use); "
            "stop what uses it or choose another address.\n",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bind", ["nowhere.invalid:80", "192.0.2.1:80", "[2001:db8::1]:80"])
def test_an_address_that_is_not_ours_is_refused_in_one_line(serve: object, bind: str) -> None:
    status, said = serve(BIND=bind)
    assert status == 1
    assert re.fullmatch(r"PORTAL_BIND: \S+ cannot be used \(.+\); stop .+\n", said)


def test_a_server_that_is_out_of_reach_is_refused_in_one_line_without_its_password(
    serve: object,
) -> None:
    status, said = serve(DATABASE_URL="postgresql://portal:hidden-hidden@127.0.0.1:1/portal")
    assert status == 1
    assert said.startswith("PORTAL_DATABASE_URL: the database cannot be used (")
    assert said.count("\n") == 1
    assert "hidden" not in said


def test_a_file_that_is_no_database_is_refused_in_one_line(serve: object, tmp_path: Path) -> None:
    (tmp_path / "portal.db").write_bytes(b"no database, " * 100)
    status, said = serve()
    assert status == 1
    assert re.fullmatch(r"PORTAL_INSTANCE: .+ \(file is not a database\); name .+\n", said)


def test_a_folder_for_signing_keys_that_cannot_be_made_is_named(
    serve: object, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    status, said = serve(SIGNING_KEYS=str(tmp_path / "file" / "keys"))
    assert status == 1
    assert said.startswith("PORTAL_SIGNING_KEYS: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORTAL_WORKERS", "none"), ("PORTAL_INSTANCE", "/dev/null/x"), ("PORTAL_LICENSE_TTLS", "x")],
)
def test_a_wrong_setting_stops_the_start_with_one_line_and_no_traceback(
    name: str, value: str, tmp_path: Path
) -> None:
    environ = {"PATH": os.environ["PATH"], "PORTAL_INSTANCE": str(tmp_path), name: value}
    flask = [sys.executable, "-m", "flask", "--app", "wsgi", "serve"]
    done = subprocess.run(flask, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"{name}: .+\n", done.stderr)


@pytest.mark.parametrize("moved", [False, True])
def test_what_is_installed_is_made_anew_after_the_folder_was_moved(
    tmp_path: Path, moved: bool
) -> None:
    """The programs in `.venv` name the folder in which they were installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = subprocess.check_output(["python3", "--version"], text=True).strip()
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / ".fits").write_text(f"{tmp_path.parent if moved else tmp_path} {python}\n")
    subprocess.run(["make", "fitting-venv"], cwd=tmp_path, check=True)
    assert venv.exists() != moved


def test_a_password_that_nobody_may_have_stops_the_start_only_where_it_is_used(
    serve: object,
) -> None:
    weak = {"ADMIN_EMAIL": "boss@example.com", "ADMIN_PASSWORD": "password123"}
    status, said = serve(**weak)
    assert status == 1
    assert said.startswith("PORTAL_ADMIN_PASSWORD: That password is too easy to guess.")
    assert serve(**weak | {"ADMIN_PASSWORD": "correct-horse"})[0] == 0
    for password in ("password123", "short"):
        assert serve(**weak | {"ADMIN_PASSWORD": password})[0] == 0
    sample = {"SAMPLE_DATA": "on", "SAMPLE_PASSWORD": "password123"}
    assert serve(**sample)[1].startswith("PORTAL_SAMPLE_PASSWORD: ")


def test_upgrade_check_says_what_a_start_would_do(config: Config) -> None:
    """Status 0 if nothing is to be done; a newer database is refused in one line."""
    portal = create_app(config)
    run = portal.test_cli_runner()
    with portal.app_context():
        done = run.invoke(args=["upgrade"])
        assert (done.exit_code, done.stdout) == (0, f"The database is at {newest()}, the newest.\n")
        assert run.invoke(args=["upgrade", "--check"]).exit_code == 0
        for at, sentence in (("0007", f"brings it to {newest()}"), ("9999", "newer than this")):
            with db.engine.begin() as connection:
                connection.execute(text(f"UPDATE alembic_version SET version_num = '{at}'"))
            checked = run.invoke(args=["upgrade", "--check"])
            assert checked.exit_code == 1
            assert sentence in checked.stdout
        refused = run.invoke(args=["upgrade"])
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
        assert "is of another version of this program" in refused.stderr
        db.engine.dispose()


def newest() -> str:
    return max(file.name[:4] for file in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))


def test_sessions_of_before_are_carried_over_as_visits(config: Config, portal: Flask) -> None:
    upgrade_database(config, NOW)
    session = db.session()
    ensure_signing_key(session, signing_keys=config.signing_keys, now=NOW)
    ensure_machine_salt(session)
    cast = Cast(session)
    key = issue(session, cast, options=KeyOptions(3600, reason="Börse"))
    signed_in(session, cast.pat, key)
    signed_in(session, cast.carl)

    def visits() -> list[tuple[object, ...]]:
        query = "SELECT session_id, email, name, role, issued_by, search_text FROM visits"
        with db.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    before = visits()
    assert len(before) == 1
    session.close()
    for revision, same in (("0017", 6), ("0012", 5)):  # a key had no reason then
        command.downgrade(alembic(portal), revision)
        db.engine.dispose()
        upgrade_database(config, NOW)
        assert [row[:same] for row in visits()] == [row[:same] for row in before]
