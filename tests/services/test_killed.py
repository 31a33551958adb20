"""The whole portal under load, killed with SIGKILL again and again: what it has answered is kept.

Four super admins generate keys and two partners sign in while a worker, the background process, or
everything at once is killed; `TEST_KILLS` says how often.
"""

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from flask import Flask
from sqlalchemy import func, select

from app import create_app
from app.cli.copies import opened_copy
from app.config import ROOT, load_config
from app.core.permissions import Role
from app.extensions import db
from app.models import AgentSession, AuditEvent, TemporaryLicense
from tests.portal_process import ADMIN_EMAIL, ADMIN_PASSWORD, FLASK, PATIENCE, SETTINGS, free_port
from tests.services.test_jobs import background_of, named_database, wait_until

KILLS = int(os.environ.get("TEST_KILLS", "1"))
ON_REQUEST = pytest.mark.skipif("TEST_KILLS" not in os.environ, reason="TEST_KILLS is not set")
"""On PostgreSQL for whoever asks for it: the suite would take half a minute longer."""
ADMINS, PARTNERS = 4, 2
ORGANISATION = "ORG-000001"
PARTNER = "partner@example.org"
PASSPHRASE = "correct horse battery"


@dataclass
class Installation:
    """A portal that is started as often as need be, on one folder and one port."""

    folder: Path
    environ: dict[str, str]
    process: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def url(self) -> str:
        return f"http://{self.environ['PORTAL_BIND']}"

    def start(self) -> None:
        log = (self.folder / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*FLASK, "serve"], cwd=ROOT, env=os.environ | self.environ, stdout=log, stderr=log
            )
        wait_until(self.answers, self.folder / "server.log")

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=PATIENCE).status_code == 200
        return False

    def kill_a_worker(self) -> None:
        workers = [pid for pid in children_of(self.process.pid) if pid not in self.background()]
        if workers:
            kill(random.choice(workers))

    def kill_the_background_process(self) -> None:
        for pid in self.background():
            kill(pid)

    def kill_everything(self) -> None:
        victims = [self.process.pid, *children_of(self.process.pid), *self.background()]
        for pid in victims:
            kill(pid)
        self.process.wait()
        self.start()

    def background(self) -> list[int]:
        return background_of(self.process.pid)

    def command(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*FLASK, *words],
            cwd=ROOT,
            env=os.environ | self.environ,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class Load:
    """What people did, and what they were answered."""

    url: str
    stop: Event = field(default_factory=Event)
    keys: list[str] = field(default_factory=list)
    """The Key IDs that were answered."""
    sessions: list[str] = field(default_factory=list)
    """The tokens that agents were given."""
    unanswered: int = 0

    def generate(self, project: int) -> None:
        path = f"{self.url}/projects/{project}/license"
        while not self.stop.is_set():
            with suppress(httpx.HTTPError), httpx.Client(timeout=PATIENCE) as browser:
                self._sign_in(browser)
                while not self.stop.is_set():
                    form = fields_of(browser.get(path).text) | {"ttl": "1h"}
                    self.unanswered += 1
                    answer = browser.post(path, data=form)
                    self.unanswered -= 1
                    if answer.status_code == 303 and "key=" in answer.headers["location"]:
                        self.keys += re.findall(r"key=([^&]+)", answer.headers["location"])

    def _sign_in(self, browser: httpx.Client) -> None:
        form = fields_of(browser.get(f"{self.url}/login").text)
        form |= {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        assert browser.post(f"{self.url}/login", data=form).status_code in (303, 503)

    def work(self, key: str, mac_id: str) -> None:
        asked = {
            "login_id": PARTNER,
            "password": ADMIN_PASSWORD,
            "registration_key": key,
            "mac_id": mac_id,
        }
        while not self.stop.is_set():
            with suppress(httpx.HTTPError):
                answer = httpx.post(
                    f"{self.url}/api/agent/v1/sessions", json=asked, timeout=PATIENCE
                )
                if answer.status_code == 201:
                    self.sessions.append(answer.json()["session_token"])


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page: its CSRF token, and what makes its form count once."""
    found = {}
    for field_ in re.findall(r'<input[^>]*type="hidden"[^>]*>', page):
        name, value = (re.search(rf'{what}="([^"]*)"', field_) for what in ("name", "value"))
        if name and value:
            found[name[1]] = unescape(value[1])
    return found


@contextmanager
def under_load(installation: Installation, project: int, key: str) -> Iterator[Load]:
    load = Load(installation.url)
    people = [Thread(target=load.generate, args=(project,)) for _ in range(ADMINS)]
    people += [
        Thread(target=load.work, args=(key, f"02:00:00:00:00:{number:02x}"))
        for number in range(PARTNERS)
    ]
    for person in people:
        person.start()
    try:
        yield load
    finally:
        load.stop.set()
        for person in people:
            person.join()


@pytest.fixture
def killed(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Installation]:
    (tmp_path / "backups").mkdir(mode=0o700)
    environ = SETTINGS | {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_BIND": f"127.0.0.1:{free_port()}",
        "PORTAL_WORKERS": "2",
        "PORTAL_BACKUPS": str(tmp_path / "backups"),
        "PORTAL_BACKUP_EVERY": "1s",
        "PORTAL_BACKUP_KEEP": "100000",
        "PORTAL_BACKUP_PASSPHRASE": PASSPHRASE,
        "PORTAL_SIGNIN_FAILURES": "100000 per minute",
    }
    if database == "postgres":
        environ["PORTAL_DATABASE_URL"] = named_database(request.getfixturevalue("postgres_url"))
    installation = Installation(tmp_path, environ)
    installation.start()
    yield installation
    installation.process.terminate()
    installation.process.wait(PATIENCE)


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, ON_REQUEST])]
)
def test_killed_under_load_it_keeps_what_it_has_answered_and_doubles_nothing(
    killed: Installation, database: str
) -> None:
    project, key = set_the_stage(killed)
    random.seed(KILLS)
    ways = (killed.kill_everything, killed.kill_a_worker, killed.kill_the_background_process)
    with under_load(killed, project, key) as load:
        for number in range(KILLS):
            known = len(load.keys)
            wait_until(lambda known=known: len(load.keys) > known)  # somebody works again
            time.sleep(random.random())
            ways[number % len(ways)]()
        known = len(load.keys)
        wait_until(lambda: len(load.keys) > known + ADMINS)
    with looked_at(killed) as app:
        report(database, load, judge(load))
        wait_until(is_caught_up, killed.folder / "server.log")
        assert "verified to checkpoint" in killed.command("audit", "verify")
        judge_copies(Path(app.extensions["config"].backups))


@contextmanager
def looked_at(installation: Installation) -> Iterator[Flask]:
    app = create_app(load_config(installation.environ))
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()


def set_the_stage(installation: Installation) -> tuple[int, str]:
    """A project, a partner and a key that they may use: (the project's id, the key)."""
    file = installation.folder / "projects.csv"
    file.write_text(f"Organisation ID,Name,E-mail,Plan\n{ORGANISATION},Acme,a@acme.example,Trial\n")
    installation.command("projects", "import", str(file))
    made = ("users", "create", "--email", PARTNER, "--role", Role.PARTNER, "--password-stdin")
    installation.command(*made, stdin=ADMIN_PASSWORD)
    issued = ("licenses", "issue", "--organisation", ORGANISATION, "--ttl", "7d")
    key = installation.command(*issued, "--as", ADMIN_EMAIL).strip().splitlines()[-1]
    return 1, key


def judge(load: Load) -> dict[str, int]:
    """Every key and session that was answered is there, once, with one event; no other event is."""
    session = db.session()
    stored = Counter(session.scalars(select(TemporaryLicense.key_id)))
    issued = Counter(events("license.issued"))
    assert len(load.keys) == len(set(load.keys)), "a Key ID was answered twice"
    lost = set(load.keys) - set(stored)
    assert lost == set()
    assert issued == stored, "a key without its event, or an event without its key"
    more = len(stored) - 1 - len(load.keys)
    assert 0 <= more <= load.unanswered, "keys that nobody has asked for"
    sessions = session.scalar(select(func.count(AgentSession.id))) or 0
    signed_in = len(events("agent.signed_in"))
    assert signed_in == sessions >= len(load.sessions)
    return {"keys": len(load.keys), "unanswered_but_there": more, "sessions": len(load.sessions)}


def events(tag: str) -> list[str]:
    return [*db.session.scalars(select(AuditEvent.subject).where(AuditEvent.tag == tag))]


def is_caught_up() -> bool:
    """Whether every event is a leaf, and every leaf under the newest checkpoint."""
    leaves, signed = db.metadata.tables["audit_leaves"], db.metadata.tables["audit_checkpoints"]
    counts = (
        select(func.count(AuditEvent.id)),
        select(func.count()).select_from(leaves),
        select(func.max(signed.c.size)),
    )
    found = {db.session.scalar(count) for count in counts}
    db.session.rollback()
    return len(found) == 1


def judge_copies(folder: Path) -> None:
    """Each copy that is on the record is on it once, and is there; none is half a copy."""
    told = Counter(events("portal.backed_up"))
    there = {file.name for file in folder.iterdir() if file.suffix == ".backup"}
    assert set(told.values()) <= {1}
    assert set(told) <= there
    for name in there:
        with opened_copy(folder / name, PASSPHRASE) as (_, members):
            assert [len(content.read()) > 0 for _, content in members]


def report(database: str, load: Load, found: dict[str, Any]) -> None:
    """For whoever asks for many kills: the figures."""
    if KILLS >= 100:
        print(f"\n{database}: {KILLS} kills, {found}, unanswered {load.unanswered}")
