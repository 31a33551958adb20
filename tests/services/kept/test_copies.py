"""Copies: whole or not there, consistent while others write, refused when anything is wrong."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.cli import copies, restoring
from app.cli.copies import back_up_if_due, opened_copy, prune_backups
from app.cli.server import set_up
from app.cli.setup import newest_migration, say_running
from app.config import ROOT
from app.core.errors import ConfigError, PortalError
from app.extensions import db
from app.models import AuditEvent, Organisation
from tests.conftest import NOW, Clock
from tests.full_disk import full_disk
from tests.services.kept.stage import PASSPHRASE, Installation, new_installation


def members(file: Path) -> list[str]:
    with opened_copy(file, PASSPHRASE) as (_, found):
        return [name for name, content in found if content.read() is not None]


def test_a_copy_has_everything_and_nobody_else_reads_it(here: Installation) -> None:
    here.start()
    here.prove()
    file = here.back_up()
    names = members(file)
    assert {"secret-key", "audit-log-key.pem", "checkpoints", "revocations.jsonl"} <= {*names}
    assert [name for name in names if name.startswith("signing-keys/")]
    assert names[-1] == "database"
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent).count(file.name) == len(
        [name for name in os.listdir(file.parent) if "one.backup" in name]
    )
    raw = file.read_bytes()
    assert b"PRIVATE KEY" not in raw
    assert here.config.secret_key.encode() not in raw


def test_it_is_consistent_while_others_write(here: Installation) -> None:
    """Each transaction adds an organisation and an event: the copy has as many of both."""
    here.start()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with here.app.app_context():
                db.session.add(
                    Organisation(
                        id=f"N-{number}", name=f"N {number}", search_text="n", created_at=NOW
                    )
                )
                db.session.add(
                    AuditEvent(happened_at=NOW, tag="test", actor="x", subject=f"N-{number}")
                )
                db.session.commit()

    writers = [threading.Thread(target=write)]
    for writer in writers:
        writer.start()
    try:
        files = [here.back_up(here.copy.with_name(f"{number}.backup")) for number in range(3)]
    finally:
        stop.set()
        for writer in writers:
            writer.join(60)
    here.close()
    for file in files:
        here.restore(file)
        with here.context():
            added = db.session.scalar(
                select(func.count()).select_from(Organisation).where(Organisation.id.like("N-%"))
            )
            noted = db.session.scalar(
                select(func.count()).select_from(AuditEvent).where(AuditEvent.tag == "test")
            )
        assert added == noted


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda raw: raw[:-1], "was changed or cut off"),
        (lambda raw: raw[: len(raw) // 2], "was changed or cut off"),
        (lambda raw: raw[:-100] + bytes(100), "was changed or cut off"),
        (lambda raw: raw[:2000] + b"x" + raw[2001:], "was changed or cut off"),
        (lambda raw: raw[:40], "is no copy of a portal"),
        (lambda _: b"", "is no copy of a portal"),
        (lambda _: b"something else\n", "is no copy of a portal"),
        (lambda _: b'{"format": 3}\n', "is no copy of a portal"),
        (lambda raw: raw.replace(b'"version": 1', b'"version": 2', 1), "newer version"),
        (lambda raw: raw.replace(b'"migration": "0', b'"migration": "9', 1), "newer version"),
        (lambda raw: raw.replace(b'"made_at": "2026', b'"made_at": "2036', 1), "changed or cut"),
    ],
)
def test_a_copy_that_is_not_good_is_refused_and_nothing_changes(
    here: Installation, damage, sentence: str
) -> None:
    here.start()
    file = here.back_up()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PortalError, match=sentence):
        here.restore()
    with here.context():
        assert db.session.scalar(select(func.count(Organisation.id))) == 2
    assert not list(here.config.instance.glob(".restore-*"))
    with here.context():
        set_up(here.config)


def test_a_wrong_passphrase(here: Installation) -> None:
    here.start()
    here.back_up()
    with pytest.raises(PortalError, match="The passphrase does not open"):
        here.restore(passphrase="another")


def test_a_copy_of_another_installation(here: Installation, tmp_path: Path) -> None:
    here.start()
    if here.config.database_file is None:
        pytest.skip("there is one database")
    other = new_installation(tmp_path / "other", None)
    other.start()
    other.back_up(here.copy)
    with pytest.raises(PortalError, match="of another installation"):
        here.restore()
    other.close()


def test_the_other_kind_of_database(here: Installation) -> None:
    here.start()
    file = here.back_up()
    kind, other = ("sqlite", "postgresql")
    if here.config.database_file is None:
        kind, other = other, kind
    file.write_bytes(file.read_bytes().replace(kind.encode(), other.encode(), 1))
    with pytest.raises(PortalError, match=f"copy of a {other} database"):
        here.restore()


def test_what_is_there_is_not_replaced_unless_that_is_said(here: Installation) -> None:
    here.start()
    here.back_up()
    with pytest.raises(PortalError, match="add --replace"):
        here.restore(replace=False)


def test_a_portal_that_runs_is_not_replaced(here: Installation) -> None:
    """And none starts while a copy is restored, nor is another one restored."""
    here.start()
    here.back_up()
    held = restoring.while_stopped(here.config)
    with held:
        with pytest.raises(PortalError, match="another restore"):
            here.restore()
        with pytest.raises(ConfigError, match="A copy is being restored"):
            say_running(here.config)
    here.restore()


def test_a_database_that_others_use_is_not_replaced(here: Installation) -> None:
    """A portal on another machine, whose instance folder is another."""
    if here.config.database_file is not None:
        pytest.skip("an SQLite file is used on one machine")
    here.start()
    here.back_up()
    with here.app.app_context():
        elsewhere = db.engine.connect()
        elsewhere.detach()
    with pytest.raises(PortalError, match="The database is in use"):
        here.restore()
    elsewhere.close()
    here.restore()


def test_a_full_disk_leaves_no_copy(here: Installation) -> None:
    here.start()
    first = here.back_up().read_bytes()
    with (
        full_disk(30_000),
        pytest.raises(PortalError, match=r"No copy was made|Nothing was changed"),
    ):
        here.back_up()
    assert here.copy.read_bytes() == first
    assert [name for name in os.listdir(here.copy.parent) if name.startswith(".one")] == []


def test_a_full_disk_during_a_restore_leaves_what_was_there(here: Installation) -> None:
    here.start()
    here.back_up()
    with full_disk(30_000), pytest.raises(PortalError):
        here.restore()
    with here.context():
        set_up(here.config)
        assert db.session.scalar(select(func.count(Organisation.id))) == 2


def test_whatever_stops_a_restore_no_portal_starts_on_what_is_not_settled(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.start()
    here.back_up()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "settle_restored_copy", fail)
        with pytest.raises(RuntimeError):
            here.restore()
    with here.context(), pytest.raises(SystemExit):
        set_up(here.config)
    here.restore()
    with here.context():
        set_up(here.config)


def test_an_older_version_is_upgraded(here: Installation, clock: Clock) -> None:
    """What a copy has is of the migration that its header names."""
    here.start()
    file = here.back_up()
    with here.context():
        newest = newest_migration()
    assert json.loads(file.read_bytes().split(b"\n")[0])["migration"] == newest


def test_a_slip_does_not_replace_the_database(here: Installation) -> None:
    here.start()
    file = here.config.database_file or here.config.instance / "audit-log-key.pem"
    before = file.read_bytes()
    with pytest.raises(PortalError, match="is no copy of a portal"):
        here.back_up(file)
    assert file.read_bytes() == before


# By themselves


@pytest.fixture
def automatic(here: Installation, tmp_path: Path) -> Installation:
    here.start()
    folder = tmp_path / "copies"
    here.config = replace(here.config, backups=folder, backup_passphrase=PASSPHRASE, backup_keep=3)
    return here


def due(here: Installation, now) -> Path | None:
    with here.context():
        return back_up_if_due(here.config, now)


def test_the_first_is_made_at_once_then_one_an_hour_and_so_many_are_kept(
    automatic: Installation, clock: Clock
) -> None:
    folder = automatic.config.backups
    made = due(automatic, clock.now())
    assert made is not None
    assert due(automatic, clock.advance(minutes=59)) is None
    for _ in range(4):
        assert due(automatic, clock.advance(hours=1)) is not None
    assert len(list(folder.iterdir())) == 3
    assert not made.exists()


def test_others_files_are_left(automatic: Installation, clock: Clock) -> None:
    folder = automatic.config.backups
    folder.mkdir()
    other = folder / "by-hand.backup"
    automatic.back_up(other)
    due(automatic, clock.now())
    prune_backups(folder, 0, clock.now())
    assert list(folder.iterdir()) == [other]


def test_a_copy_by_hand_beside_them_is_none_of_them(automatic: Installation, clock: Clock) -> None:
    """Its name must not count as the newest for ever: each round would make a copy then."""
    by_hand = automatic.config.backups / "rolling-window-by-hand.backup"
    automatic.back_up(by_hand)
    clock.advance(hours=2)
    assert due(automatic, clock.now()) is not None
    assert due(automatic, clock.advance(seconds=10)) is None
    prune_backups(automatic.config.backups, 0, clock.now())
    assert [*automatic.config.backups.iterdir()] == [by_hand]


def test_a_clock_that_was_set_back_stops_no_copies(automatic: Installation, clock: Clock) -> None:
    """Nor does each round make one until it has caught up, in place of all of before."""
    due(automatic, clock.now())
    assert due(automatic, clock.advance(days=-3)) is not None
    assert due(automatic, clock.advance(seconds=10)) is None


def test_copies_of_a_clock_that_was_ahead_are_the_first_to_go(
    automatic: Installation, clock: Clock
) -> None:
    """Otherwise each new one went at once, since they count as newer."""
    clock.advance(days=3)
    for _ in range(3):
        due(automatic, clock.advance(hours=1))
    made = due(automatic, clock.advance(days=-3))
    assert made is not None
    assert made.exists()
    assert len([*automatic.config.backups.iterdir()]) == 3


def test_without_a_passphrase_it_says_so(automatic: Installation, clock: Clock) -> None:
    automatic.config = replace(automatic.config, backup_passphrase="")
    with pytest.raises(PortalError, match="PORTAL_BACKUP_PASSPHRASE"):
        due(automatic, clock.now())


def test_who_is_killed_leaves_nothing_that_looks_whole(
    automatic: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = automatic.config.backups

    def killed() -> None:
        monkeypatch.setattr(copies, "_verify", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with automatic.app.app_context():
            db.engine.dispose(close=False)
            back_up_if_due(automatic.config, NOW)

    child = multiprocessing.get_context("fork").Process(target=killed)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert list(folder.glob("rolling-window-*")) == []
    assert list(folder.glob(".rolling-window-*"))
    assert due(automatic, clock.now()) is not None
    assert list(folder.glob(".*")) == []


# The commands


def test_the_commands(tmp_path: Path) -> None:
    """As an operator calls them, the passphrase on standard input."""
    here = new_installation(tmp_path / "instance", None)
    here.start()
    here.close()
    environ = os.environ | {
        "PORTAL_INSTANCE": str(here.config.instance),
        "PORTAL_SECRET_KEY": here.config.secret_key,
    }

    def run(*arguments: str, given: str = "a passphrase\n") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environ, input=given, capture_output=True, text=True, check=False
        )

    file = str(tmp_path / "one.backup")
    nothing = run("backup", file)
    assert (nothing.returncode, "There is no passphrase" in nothing.stderr) == (1, True)
    done = run("backup", file, "--passphrase-stdin")
    assert (done.returncode, done.stderr) == (0, "")
    wrong = run("restore", file, "--replace", "--passphrase-stdin", given="other\n")
    assert (wrong.returncode, "The passphrase does not open" in wrong.stderr) == (1, True)
    back = run("restore", file, "--replace", "--passphrase-stdin", "--trust-copy")
    assert (back.returncode, back.stderr) == (0, "")
    assert "the copy was trusted" in back.stdout
    missing = run("restore", str(tmp_path / "none"), "--passphrase-stdin")
    assert (missing.returncode, "cannot be read" in missing.stderr) == (1, True)
    assert run("restore").returncode == 2
