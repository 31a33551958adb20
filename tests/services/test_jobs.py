"""The background process, in a process of its own, beside the server and alone."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event

import psycopg
import pytest

from app.cli import jobs
from app.config import ROOT
from tests.portal_process import FLASK, PATIENCE, Server, served_portal
from tests.receivers import webhook_receiver


def wait_until(condition: Callable[[], bool], log: Path | None = None) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        told = log.read_text(encoding="utf-8") if log else ""
        assert time.monotonic() < give_up_at, f"it did not happen; {told}"
        time.sleep(0.05)


def background_of(leader: int) -> list[int]:
    """The processes that run the jobs of the server that `leader` leads."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "jobs" in words and words[-2:-1] == [str(leader)]:
            found.append(int(folder.name))
    return found


def ask(folder: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(folder / "portal.db", timeout=PATIENCE)) as database:
        return database.execute(query).fetchall()


def pending(folder: Path) -> int:
    [(events,)] = ask(folder, "SELECT count(*) FROM audit_events")
    [(signed,)] = ask(folder, "SELECT coalesce(max(size), 0) FROM audit_checkpoints")
    return events - signed


def command(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLASK, *words],
        cwd=ROOT,
        env=os.environ | server.environ,
        capture_output=True,
        text=True,
    )


def test_serve_starts_it_and_starts_it_again_and_takes_it_along(tmp_path: Path) -> None:
    with served_portal(tmp_path) as server:
        wait_until((tmp_path / "checkpoints").exists, server.log)
        [first] = background_of(server.process.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: background_of(server.process.pid) not in ([], [first]), server.log)
        [second] = background_of(server.process.pid)
        command(server, "audit", "export")  # which is an event
        wait_until(lambda: pending(tmp_path) == 0, server.log)
        verified = command(server, "audit", "verify")
        assert (verified.returncode, verified.stderr) == (0, "")
    wait_until(lambda: not Path(f"/proc/{second}").exists())


def test_it_tells_of_what_happens(tmp_path: Path) -> None:
    with (
        webhook_receiver() as hook,
        served_portal(tmp_path, PORTAL_WEBHOOK_PRIVATE="on") as server,
    ):
        assert command(server, "webhooks", "add", hook.address).returncode == 0
        assert command(server, "keys", "rotate").returncode == 0
        wait_until(lambda: len(hook.posted) == 1, server.log)
        assert hook.posted[0].said["type"] == "signing_key.rotated"


def test_what_fails_between_rounds_waits_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full is said once a round and job, and not each second."""
    monkeypatch.setattr(jobs, "ROUND_SECONDS", 0.2)
    monkeypatch.setattr(jobs, "WATCH_SECONDS", 0.001)
    asked: list[bool] = []

    def fail() -> bool:
        asked.append(True)
        return False

    jobs._wait(Event(), None, fail)
    assert asked == [True]


def test_it_ends_when_the_server_was_killed(tmp_path: Path) -> None:
    """Else it would go on with code and settings of long ago."""
    with served_portal(tmp_path) as server:
        wait_until(lambda: len(background_of(server.process.pid)) == 1)
        leader = server.process.pid
        server.process.kill()
        wait_until(lambda: not background_of(leader))


def test_a_reload_takes_another_one(tmp_path: Path) -> None:
    with served_portal(tmp_path) as server:
        wait_until(lambda: len(background_of(server.process.pid)) == 1)
        [first] = background_of(server.process.pid)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: background_of(server.process.pid) not in ([], [first]))


def test_of_two_one_works_and_the_other_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    """Two background processes on one database: nothing is done twice."""
    with served_portal(tmp_path) as server:
        wait_until((tmp_path / "checkpoints").exists, server.log)
        with subprocess.Popen(
            [*FLASK, "jobs"], cwd=ROOT, env=os.environ | server.environ, stderr=subprocess.DEVNULL
        ) as other:
            wait_until(lambda: pending(tmp_path) == 0)
            # No other one is started before the second has had the time to take over.
            os.kill(server.process.pid, signal.SIGSTOP)
            os.kill(background_of(server.process.pid)[0], signal.SIGKILL)
            assert command(server, "audit", "export").returncode == 0
            wait_until(lambda: pending(tmp_path) == 0)
            os.kill(server.process.pid, signal.SIGCONT)
            other.terminate()
        assert command(server, "audit", "verify").returncode == 0


KILLS = int(os.environ.get("TEST_KILLS", "2"))
"""How often it is killed; an environment may ask for more."""


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    settings = {}
    if database == "postgres":
        url = request.getfixturevalue("postgres_url")
        settings["PORTAL_DATABASE_URL"] = named_database(url)
    with served_portal(tmp_path, **settings) as server:
        wait_until((tmp_path / "checkpoints").exists, server.log)
        os.kill(server.process.pid, signal.SIGSTOP)  # so that it starts no other
        for pid in background_of(server.process.pid):
            os.kill(pid, signal.SIGKILL)
        for number in range(KILLS):
            created = command(server, "keys", "rotate")
            assert created.returncode == 0, created.stderr
            with subprocess.Popen(
                [*FLASK, "jobs"],
                cwd=ROOT,
                env=os.environ | server.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                # From before it works to after it has: another moment each time.
                time.sleep(0.8 + 0.05 * (number % 16))
                process.kill()
        os.kill(server.process.pid, signal.SIGCONT)
        wait_until(
            lambda: f"to checkpoint {KILLS + 2}" in command(server, "audit", "verify").stdout
        )
        verified = command(server, "audit", "verify")
        assert (verified.returncode, verified.stderr) == (0, "")


def named_database(url: str) -> str:
    """The address of a new database on the server that `url` is on."""
    name = f"jobs_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    base, question, query = url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}{question}{query}"
