"""`flask audit ...` and `flask jobs`' round, as they are called."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from app.audit.log import log_event
from app.audit.log_key import ensure_log_key
from app.audit.tags import AuditTag
from app.cli.jobs import cut_audit_log, work
from app.config import Config
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.extensions import db
from app.models import AuditCheckpoint, AuditEvent
from tests.conftest import Clock

pytestmark = pytest.mark.databases("sqlite", "postgres")


class Portal:
    def __init__(self, app: Flask, config: Config) -> None:
        self.app = app
        self.config = config

    def run(self, *command: str) -> tuple[int, str, str]:
        with self.app.app_context():
            result = self.app.test_cli_runner().invoke(args=["audit", *command])
        return result.exit_code, result.stdout, result.stderr

    def happen(self) -> None:
        with self.app.app_context():
            log_event(db.session(), AuditTag.SIGNED_IN, actor=SYSTEM, now=utcnow())
            db.session.commit()

    def prove(self) -> None:
        with self.app.app_context():
            work(self.config)


@pytest.fixture
def portal(app: Flask, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """A portal whose checkpoints and log key are the test's own."""
    config: Config = app.extensions["config"]
    monkeypatch.setattr(app, "extensions", app.extensions | {"config": config})
    for name, value in (("instance", tmp_path), ("checkpoints", tmp_path / "checkpoints")):
        monkeypatch.setitem(config.__dict__, name, value)
    with app.app_context():
        ensure_log_key(db.session(), instance=tmp_path)
        db.session.commit()
    return Portal(app, config)


def test_verify_says_how_much_is_proven(portal: Portal) -> None:
    portal.happen()
    portal.prove()
    portal.happen()
    assert portal.run("verify") == (0, "3 events, verified to checkpoint 2\n", "")


def test_verify_says_what_was_cut_off_for_its_age(portal: Portal, clock: Clock) -> None:
    """Mallory, who may write into the database, cuts off what tells of him and adds the event that
    says so. The record holds; that something was cut off is said, to whoever never asked for it."""
    for _ in range(300):
        portal.happen()
    portal.prove()
    clock.advance(days=2)
    with portal.app.app_context():
        cut_audit_log(timedelta(days=1))
    portal.prove()
    status, out, err = portal.run("verify")
    assert (status, err) == (0, "Those before index 256 were cut off for their age.\n")
    assert out == "46 events, verified to checkpoint 302\n"


def test_verify_ends_with_1_and_names_the_event(portal: Portal) -> None:
    portal.happen()
    portal.prove()
    with portal.app.app_context():
        last = db.session.scalar(select(AuditEvent.id).order_by(AuditEvent.id.desc()))
        db.session.execute(update(AuditEvent).where(AuditEvent.id == last).values(actor="mallory"))
        db.session.commit()
    status, out, err = portal.run("verify")
    assert (status, out) == (1, "")
    assert f"Event {last} (index 1) was changed" in err


def test_verify_before_anything_was_signed(portal: Portal) -> None:
    status, out, err = portal.run("verify")
    assert (status, out) == (0, "1 events, verified to checkpoint 0\n")
    assert "There is no file of checkpoints" in err


def test_verify_with_checkpoints_that_were_kept_elsewhere(portal: Portal, tmp_path: Path) -> None:
    """The attacker has the database and the portal's file, and cuts both; a copy is elsewhere."""
    portal.prove()
    portal.happen()
    portal.prove()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(portal.config.checkpoints.read_bytes())
    portal.config.checkpoints.unlink()
    with portal.app.app_context():
        newest = db.session.scalar(select(AuditEvent.id).order_by(AuditEvent.id.desc()))
        db.session.execute(delete(AuditCheckpoint).where(AuditCheckpoint.size > 1))
        db.session.execute(delete(AuditEvent).where(AuditEvent.id == newest))
        db.session.commit()
    status, _, err = portal.run("verify", "--checkpoints", str(elsewhere))
    assert status == 1
    assert "(index 1) is missing" in err


def test_export_leaves_out_what_is_not_proven_yet_and_says_so(portal: Portal) -> None:
    portal.prove()
    portal.happen()
    status, out, err = portal.run("export")
    first, *events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [event["index"] for event in events] == [0]
    assert first["log_key"] == portal.run("key")[1].strip()
    assert err == "2 events are not in the tree yet and were left out.\n"


def test_an_export_is_an_event_itself(portal: Portal) -> None:
    portal.prove()
    portal.run("export", "--format", "csv")
    portal.prove()
    assert '"kind": "audit.exported"' in portal.run("export")[1]


def test_export_into_a_file_is_all_or_nothing(portal: Portal, tmp_path: Path) -> None:
    portal.prove()
    file = tmp_path / "export.jsonl"
    assert portal.run("export", "--output", str(file))[0] == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2
    status, _, err = portal.run("export", "--output", str(tmp_path / "no" / "folder"))
    assert status == 1
    assert "cannot be written (No such file or directory)" in err


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_export_of_no_time_is_used_wrongly(portal: Portal, time: str) -> None:
    status, _, err = portal.run("export", "--from", time)
    assert status == 2
    assert "is no date" in err.lower()


def test_prove_prints_one_line_of_an_export(portal: Portal) -> None:
    portal.prove()
    line = json.loads(portal.run("prove", "0", "--json")[1])
    [_, exported] = portal.run("export")[1].splitlines()
    assert line.keys() == {"index", "leaf", "leaf_hash", "proof", "event", "checkpoint"}
    assert json.loads(exported).items() <= line.items()
    assert portal.run("prove", "7")[0] == 1
    assert "Beside it" not in portal.run("prove", "0")[1]  # a tree of one leaf needs no path


def test_without_its_key_the_log_is_not_signed_and_it_is_said(
    portal: Portal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit-log-key.pem").unlink()
    portal.prove()
    assert "audit log: The key of the audit log" in caplog.text
    assert not portal.config.checkpoints.exists()


@pytest.mark.parametrize("kind", ["a folder", "a folder that is missing"])
def test_checkpoints_that_cannot_be_written_are_kept_until_they_can(
    portal: Portal, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """(As root every file can be written, so what stands in the way here is no file at all.)"""
    file = portal.config.checkpoints
    if kind == "a folder":
        file.mkdir()
    else:
        portal.config.__dict__["checkpoints"] = tmp_path / "missing" / "checkpoints"
    portal.happen()
    portal.prove()
    assert "audit log: " in caplog.text
    if kind == "a folder":
        file.rmdir()
    else:
        (tmp_path / "missing").mkdir()
    portal.prove()
    assert portal.run("verify") == (0, "2 events, verified to checkpoint 2\n", "")


def test_the_public_addresses(portal: Portal) -> None:
    client = portal.app.test_client()
    assert client.get("/.well-known/audit-checkpoint").status_code == 404
    portal.prove()
    checkpoint = client.get("/.well-known/audit-checkpoint")
    assert checkpoint.text == portal.config.checkpoints.read_text(encoding="utf-8")[:-1]
    assert checkpoint.content_type == "text/plain; charset=utf-8"
    key = client.get("/.well-known/audit-log-key")
    assert key.text == portal.run("key")[1]
    assert key.headers["Cache-Control"] == "public, max-age=5"
