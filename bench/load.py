"""A portal under load, for some minutes: `make load`.

    python -m bench.load [--database URL] [--size ORGANISATIONS KEYS] [--agents N] [--seconds S]
                         [--rows N] [--no-files]

Agents that send heartbeats, super admins who search, generate and revoke keys, partners who sign
in, keys that expire, and an import in the middle, against `flask serve` as it is by default. Then
the database is compared with what the portal said. Prints what was found, and writes it to
docs/load-*.json and docs/benchmarks.md; the exit status is 1 if anything was lost, late or broken.
With --database it runs on that empty PostgreSQL database. Nothing leaves loopback.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from threading import Thread

from sqlalchemy import func, select, update

from app import create_app
from app.audit.tags import AuditTag
from app.config import load_config
from app.core.tokens import hash_token
from app.extensions import db
from app.models import AgentSession, AuditEvent, Project, TemporaryLicense
from app.models.engine import writing
from bench.client import ROOT, sign_in
from bench.crowd import Actor, Admin, Agent, Partner, Story, play
from bench.judging import (
    Asked,
    Phase,
    after_revocation,
    by_kind,
    failures,
    latest_after_expiry,
    put_off,
    refused_too_early,
)
from bench.results import write_load
from bench.run import LARGE, Installation

ADMINS, PARTNERS = 20, 50
HEARTBEAT = 5
"""Seconds, as the portal tells its agents by default."""
BEFORE, LATEST_START = 0.3, 0.1
"""Parts of the run: before the import begins, and in which everybody begins."""
Check = tuple[str, float, bool]
"""What was looked at, its figure, and whether it is as it should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="an empty PostgreSQL database")
    parser.add_argument("--size", type=int, nargs=2, default=LARGE)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--rows", type=int, default=100_000, help="how many are imported")
    parser.add_argument("--no-files", action="store_true", help="print what was found alone")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
        portal = Installation(folder / "portal", tuple(given.size), given.database)
        portal.environ["PORTAL_LICENSE_TTLS"] = "20s,1m,1h"
        story, phases, import_took = run(portal, given.agents, given.seconds, given.rows)
        checks = judge(story) + compare(portal, story, given.rows)
    rows = by_kind(story.asked, phases)
    for what, phase, number, taken in rows:
        print(f"{what:15} {phase:14} {number:7}", *(f"{one:8.1f}" for one in taken))
    print(f"the import took {import_took:.1f} s")
    for what, figure, is_good in checks:
        print(f"{'' if is_good else 'NOT '}good: {what}: {figure:g}")
    if not given.no_files:
        write_load("postgresql" if given.database else "sqlite", rows, checks, import_took)
    sys.exit(not all(is_good for _, _, is_good in checks))


def run(
    portal: Installation, agents: int, seconds: float, rows: int
) -> tuple[Story, list[Phase], float]:
    """Play it: what happened, the phases of the run, and the seconds that the import took."""
    story, random = Story(), Random(1)
    lists = json.loads((portal.folder / "ours.json").read_text())["lists"]
    _hear_them_now(portal)
    file = portal.folder / "import.csv"
    _write_rows(file, rows)
    imported: list[float] = []

    def import_rows() -> None:
        time.sleep(seconds * BEFORE)
        imported.append(time.time())
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "projects", "import", str(file)]
        environ = os.environ | portal.environ
        subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
        imported.append(time.time())

    with portal.served() as server:
        sign_in(server)  # loads what the first request loads
        importing = Thread(target=import_rows)
        importing.start()
        began = time.time()
        until = began + seconds
        play(_cast(lists, story, agents, seconds, random), server.port, story, until)
        importing.join()
    begins, ends = imported
    phases = [
        Phase("before import", began, begins),
        Phase("during import", begins, ends),
        Phase("after import", ends, until),
    ]
    return story, phases, ends - begins


def _cast(
    lists: dict[str, list[str]], story: Story, agents: int, seconds: float, random: Random
) -> list[tuple[float, Actor]]:
    """Everybody, with the seconds after which they begin."""
    tokens = lists["token"][:agents]
    own_keys = [[str(project), key_id] for project, key_id in lists["own_key"][:agents]]
    story.key_of = {token: own[1] for token, own in zip(tokens, own_keys, strict=True)}
    random.shuffle(own_keys)
    words = [*lists["rare"][:400], *lists["common"], *lists["key_id"][:400]]
    projects = [int(number) for number in lists["typical_pk"]]
    crowd: list[Actor] = [Agent(token, HEARTBEAT, random) for token in tokens]
    crowd += [Admin(words, projects, own_keys[n::ADMINS], random) for n in range(ADMINS)]
    crowd += [Partner(number, HEARTBEAT, random) for number in range(PARTNERS)]
    return [(random.uniform(0, seconds * LATEST_START), actor) for actor in crowd]


def _hear_them_now(portal: Installation) -> None:
    """A benchmark's agents were heard of in the future, so that nothing is noted; these are not."""
    app = create_app(load_config(os.environ | portal.environ))
    with app.app_context(), writing():
        db.session.execute(update(AgentSession).values(last_heard_at=AgentSession.started_at))
        db.session.commit()
        db.engine.dispose()


def _write_rows(file: Path, rows: int) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["Organisation ID", "Organisation name", "Project name", "Contact e-mail"])
        for number in range(rows):
            name = f"Imported {number:06d}"
            email = f"it-{number}@imported.example"
            writer.writerow([f"IMP-{number:06d}", name, f"{name} Hub", email])


def judge(story: Story) -> list[Check]:
    """What those who asked can tell by themselves."""
    # A copy: whoever waits for a last answer is gone, nobody appends any more.
    asked: list[Asked] = [*story.asked]
    broken, later = failures(asked), put_off(asked)
    answered = {
        token: story.revoked[key_id][1]
        for token, key_id in story.key_of.items()
        if key_id in story.revoked
    }
    latest = latest_after_expiry(asked, story.expiry_of)
    after = after_revocation(asked, answered)
    early = refused_too_early(asked, story.expiry_of, answered)
    ended = [one for one in asked if one.session and one.status == 401]
    return [
        ("requests", len(asked), True),
        ("5xx and broken connections", len(broken), not broken),
        ("503 with Retry-After", len(later), True),
        ("sessions that ended", len(ended), bool(ended)),
        ("seconds from expiry to the latest 2xx", latest or 0, latest is not None and latest < 0),
        ("2xx asked for after the answer to a revocation", len(after), not after),
        ("sessions refused too early", len(early), not early),
    ]


def compare(portal: Installation, story: Story, rows: int) -> list[Check]:
    """Whether the database holds once what the portal said it did."""
    app = create_app(load_config(os.environ | portal.environ))
    with app.app_context():
        session = db.session()
        keys = set(session.scalars(select(TemporaryLicense.key_id)))
        revoked_at = TemporaryLicense.revoked_at.is_not(None)
        revoked = set(session.scalars(select(TemporaryLicense.key_id).where(revoked_at)))
        hashes = set(session.scalars(select(AgentSession.token_hash)))
        imported = session.scalar(
            select(func.count()).where(Project.contact_email.like("it-%@imported.example"))
        )
        issued_events = _subjects(AuditTag.LICENSE_ISSUED)
        revoked_events = _subjects(AuditTag.LICENSE_REVOKED)
        db.session.remove()
        db.engine.dispose()
    lost = [
        *(one for one in story.issued if one not in keys or issued_events.count(one) != 1),
        *(one for one in story.revoked if one not in revoked or revoked_events.count(one) != 1),
        *(one for one in story.sessions if hash_token(one) not in hashes),
    ]
    return [
        ("keys generated", len(story.issued), bool(story.issued)),
        ("keys revoked", len(story.revoked), bool(story.revoked)),
        ("sessions opened", len(story.sessions), bool(story.sessions)),
        ("of these lost or doubled", len(lost), not lost),
        (
            "told of the same key twice",
            len(story.issued) - len({*story.issued}),
            len(story.issued) == len({*story.issued}),
        ),
        ("rows imported", imported or 0, imported == rows),
    ]


def _subjects(tag: AuditTag) -> list[str]:
    return list(
        db.session.scalars(
            select(AuditEvent.subject)
            .where(AuditEvent.tag == tag.value)
            .order_by(AuditEvent.id.desc())
            .limit(50_000)
        )
    )


if __name__ == "__main__":
    main()
