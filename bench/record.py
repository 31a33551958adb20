"""What it takes that the audit log proves itself, with many events, and what it costs to generate.

    python -m bench.record [EVENTS]

On an SQLite instance of its own: EVENTS (a million) are written and added to the tree; then
`audit verify`, `audit export`, the clients' `audit-verify` on what was exported, pages of the Audit
page at each size, and generating keys with and without the background process's work beside it,
in turns. Prints a table; `docs/benchmarks.md` has what it said last.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import Process
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select

from app import create_app
from app.accounts.authentication import Authentication
from app.accounts.users import create_user, find_user
from app.accounts.web_sessions import sign_in_to_portal
from app.agents.registration import ensure_machine_salt
from app.audit.log_key import ensure_log_key
from app.cli.jobs import prove_record
from app.cli.setup import upgrade_database
from app.config import ROOT, Config, load_config
from app.core.actor import SYSTEM, Actor
from app.core.permissions import Role
from app.extensions import db
from app.licenses.keyring import ensure_signing_key
from app.licenses.option_rules import KeyOptions
from app.licenses.services import issue_license
from app.models import AuditEvent, Organisation
from app.models.engine import writing

NOW = datetime.now(UTC).replace(microsecond=0)
AT_ONCE = 20_000
ROUNDS, KEYS = 12, 100
PAGES = 40


def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            {
                "PORTAL_INSTANCE": folder,
                "PORTAL_SECRET_KEY": "b" * 40,
                "PORTAL_SECOND_FACTOR": "off",
            }
        )
        app = create_app(config)
        with app.app_context():
            set_up(config)
            for size in (1_000, events):
                add_events(size)
                _, took = timed(lambda: prove_record(config))
                say(f"{size:,} events added to the tree and signed", took)
                say(f"the Audit page's first, at {size:,}", page_ms(app, "/audit"), "ms")
                middle = f"/audit?before={size // 2}"
                say(f"a page from the middle, at {size:,}", page_ms(app, middle), "ms")
            db.session.remove()
        outside(Path(folder))
        with app.app_context():
            cost_of_generating(config)


def set_up(config: Config) -> None:
    upgrade_database(config, NOW)
    with writing():
        session = db.session()
        ensure_signing_key(session, signing_keys=config.signing_keys, now=NOW)
        ensure_machine_salt(session)
        ensure_log_key(session, instance=config.instance)
        create_user(
            session,
            email="ada@example.com",
            role=Role.SUPER_ADMIN,
            password_hash="",
            actor=SYSTEM,
            now=NOW,
        )
        session.add(Organisation(id="ORG-1", name="Acme", search_text="acme", created_at=NOW))
        session.commit()


def add_events(until: int) -> None:
    """Events as an active portal writes them, until there are so many."""
    session = db.session()
    there = session.scalar(select(func.count(AuditEvent.id))) or 0
    with writing():
        for start in range(there, until, AT_ONCE):
            now = datetime.now(UTC)
            numbers = range(start, min(start + AT_ONCE, until))
            session.execute(insert(AuditEvent), [event(number, now) for number in numbers])
            session.commit()


def event(number: int, now: datetime) -> dict[str, Any]:
    return {
        "happened_at": now,
        "tag": ("license.issued", "agent.signed_in", "license.viewed")[number % 3],
        "actor_id": 1,
        "actor": "ada@example.com",
        "role": "super_admin",
        "address": "203.0.113.7",
        "request_id": f"{number:032x}",
        "organisation_id": "ORG-1",
        "key_id": "ABCD-EFGH",
        "subject": "ABCD-EFGH",
        "data": {"ttl": 3600, "expires_at": "2026-11-24T18:40:00+00:00"},
    }


def page_ms(app: Flask, path: str) -> float:
    """The median of some requests, in milliseconds."""
    client = signed_in(app)
    taken = [timed(lambda: client.get(path))[1] * 1000 for _ in range(PAGES)]
    return statistics.median(taken)


def signed_in(app: Flask) -> FlaskClient:
    """A browser of Ada's, who needs no password here."""
    client = app.test_client()
    with app.app_context(), writing():
        ada = find_user(db.session(), "ada@example.com")
        who = Authentication("ada@example.com", "203.0.113.7", ada)
        token = sign_in_to_portal(db.session(), who=who, now=datetime.now(UTC))
        db.session.commit()
    with client.session_transaction() as kept:
        kept["_user_id"], kept["_fresh"] = token, True
    if client.get("/audit").status_code != 200:
        raise RuntimeError("the page was refused")
    return client


def outside(folder: Path) -> None:
    """The commands, each in a process of its own."""
    environ = os.environ | {"PORTAL_INSTANCE": str(folder), "PORTAL_SECRET_KEY": "b" * 40}
    export = folder / "export.jsonl"

    def run(*words: str, to: Path | None = None) -> str:
        with (to or folder / "said").open("wb") as out:
            subprocess.run(words, cwd=ROOT, env=environ, stdout=out, check=True)
        return "" if to else (folder / "said").read_text()

    flask = (sys.executable, "-m", "flask", "--app", "wsgi")
    for name, words, to in (
        ("audit verify", (*flask, "audit", "verify"), None),
        ("audit export --format jsonl", (*flask, "audit", "export", "--format", "jsonl"), export),
    ):
        say(name, timed(lambda words=words, to=to: run(*words, to=to))[1])
    say("the export", export.stat().st_size / 2**20, "MiB")
    key = run(*flask, "audit", "key").strip()
    client = "from rolling_window_client.audit_verify import main; main()"
    words = (sys.executable, "-c", client, "--key", key, str(export))
    environ["PYTHONPATH"] = str(ROOT / "clients" / "src")
    say("audit-verify (clients) on it", timed(lambda: run(*words))[1])
    say("the most memory of any of these", _most_memory(), "MiB")


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def cost_of_generating(config: Config) -> None:
    """Blocks of keys in turns: with nothing beside, and with the record being proved all the time.

    The background process does so each ten seconds; here it is at it without a pause.
    """
    actor = Actor(1, "ada@example.com", Role.SUPER_ADMIN, "203.0.113.7")
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(timed(lambda: generate(config, actor))[1])
        with proving(config):
            beside.append(timed(lambda: generate(config, actor))[1])
    say(
        f"a key, nothing beside (median of {ROUNDS} blocks)",
        statistics.median(alone) * 1000 / KEYS,
        "ms",
    )
    say("a key, the record proved beside", statistics.median(beside) * 1000 / KEYS, "ms")
    say(
        "the second as a multiple of the first",
        statistics.median(beside) / statistics.median(alone),
        "",
    )


def generate(config: Config, actor: Actor) -> None:
    for _ in range(KEYS):
        with writing():
            issue_license(
                db.session(),
                actor=actor,
                organisation_id="ORG-1",
                options=KeyOptions(3600),
                limits=config.key_limits,
                signing_keys=config.signing_keys,
                now=datetime.now(UTC),
            )
            db.session.commit()
            db.session.remove()


@contextmanager
def proving(config: Config) -> Iterator[None]:
    process = Process(target=_prove_on_and_on, args=(config,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _prove_on_and_on(config: Config) -> None:
    app = create_app(config)
    with app.app_context():
        while True:
            prove_record(config)
            time.sleep(0.05)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    done = work()
    return done, time.perf_counter() - began


def say(what: str, figure: float, unit: str = "s") -> None:
    print(f"{what:<62} {figure:10.2f} {unit}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
