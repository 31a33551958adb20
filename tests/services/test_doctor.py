"""`doctor` on installations in which something is wrong, each in its own way."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from app.audit.log import log_event
from app.audit.log_key import FILE as LOG_KEY
from app.audit.log_key import ensure_log_key
from app.audit.tags import AuditTag
from app.cli.doctor import CHECKS, Finding, findings
from app.cli.jobs import prove_record
from app.cli.setup import newest_migration
from app.config import Config, load_config
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.core.permissions import Role, SecondFactorPolicy
from app.extensions import db
from app.licenses.keyring import current_kid
from app.models import AuditCheckpoint, User
from tests.conftest import NOW, Cast, Clock

pytestmark = pytest.mark.databases("sqlite", "postgres")


class House:
    """An installation in which all is well, until a test breaks something."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app = app
        backups = folder / "backups"
        backups.mkdir(mode=0o700)
        (backups / "rolling-window-20261124T154000Z.backup").write_text("x")
        self.config: Config = replace(
            app.extensions["config"],
            instance=folder,
            checkpoints=folder / "checkpoints",
            second_factor=SecondFactorPolicy.SUPER_ADMIN,
            backups=backups,
            backup_passphrase="correct horse battery",
        )
        with app.app_context():
            ensure_log_key(db.session(), instance=folder)
            db.session.commit()
            prove_record(self.config)
            db.session.remove()

    def findings(self) -> dict[str, Finding]:
        with self.app.app_context():
            return {found.check: found for found in findings(self.config, db.session())}

    def execute(self, statement: Any) -> None:
        with self.app.app_context():
            db.session.execute(statement)
            db.session.commit()


@pytest.fixture
def house(
    app: Flask, cast: Cast, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> House:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("app.cli.doctor.automatic_copies", lambda folder: [*folder.iterdir()])
    house = House(app, tmp_path)
    moment = utcnow().timestamp()
    for copy in (tmp_path / "backups").iterdir():
        os.utime(copy, (moment, moment))
    monkeypatch.setattr("app.cli.doctor.MOST_CLOCK_DIFFERENCE", timedelta(days=100_000))
    return house


def test_where_all_is_well_nothing_is_to_be_mended(house: House) -> None:
    found = house.findings()
    assert [finding for finding in found.values() if not finding.ok] == []
    assert set(found) == {"settings", *CHECKS}


def open_file(house: House) -> None:
    house.config.instance.chmod(0o755)


def open_key(house: House) -> None:
    (house.config.instance / LOG_KEY).chmod(0o640)


def short_secret(house: House) -> None:
    house.config = replace(house.config, secret_key="short")


def short_passphrase(house: House) -> None:
    house.config = replace(house.config, backup_passphrase="short")


def other_migration(house: House) -> None:
    house.execute(text("UPDATE alembic_version SET version_num = '0001'"))


def open_to_the_network(house: House) -> None:
    bind = load_config({"PORTAL_BIND": "0.0.0.0:8000"}).bind
    house.config = replace(house.config, bind=bind)


def https_without_proxy(house: House) -> None:
    house.config = replace(house.config, https=True, public_url="https://portal.example")


def no_address(house: House) -> None:
    house.config = replace(house.config, https=True, trusted_proxies=1)


def no_second_factor(house: House) -> None:
    house.config = replace(house.config, second_factor=SecondFactorPolicy.OFF)


def provider_down(house: House) -> None:
    house.config = replace(house.config, oidc_issuer="http://127.0.0.1:9")


def sample_account(house: House) -> None:
    with house.app.app_context():
        user = User(
            email="partner@example.com", role=Role.PARTNER, password_hash="x", created_at=NOW
        )
        db.session.add(user)
        db.session.commit()


def no_backups(house: House) -> None:
    house.config = replace(house.config, backups=None)


def no_backup_yet(house: House) -> None:
    for copy in (house.config.instance / "backups").iterdir():
        copy.unlink()


def old_backup(house: House) -> None:
    for copy in (house.config.instance / "backups").iterdir():
        os.utime(copy, (NOW.timestamp() - 7201, NOW.timestamp() - 7201))


def no_signing_key(house: House) -> None:
    house.config = replace(house.config, signing_keys=str(house.config.instance))


def behind(house: House) -> None:
    with house.app.app_context():
        at = utcnow() - timedelta(seconds=61)
        log_event(db.session(), AuditTag.SIGNED_IN, actor=SYSTEM, now=at)
        log_event(db.session(), AuditTag.SIGNED_IN, actor=SYSTEM, now=at)
        old = db.session.scalar(select(AuditCheckpoint.signed_at))
        db.session.execute(update(AuditCheckpoint).values(signed_at=old - timedelta(minutes=5)))
        db.session.commit()


def no_log_key(house: House) -> None:
    (house.config.instance / LOG_KEY).unlink()


def other_log_key(house: House) -> None:
    house.execute(text("UPDATE installation SET audit_log_key = 'another+00000000+AQ=='"))


def no_checkpoints(house: House) -> None:
    house.config.checkpoints.unlink()


def damaged_checkpoints(house: House) -> None:
    house.config.checkpoints.write_text("my shopping list\n\nmilk\n")


def checkpoints_are_a_folder(house: House) -> None:
    house.config.checkpoints.unlink()
    house.config.checkpoints.mkdir()


def nothing_signed(house: House) -> None:
    house.execute(text("DELETE FROM audit_checkpoints"))
    house.config.checkpoints.unlink()


BROKEN: list[tuple[Callable[[House], None], str, str]] = [
    (open_file, "file modes", "Others may read"),
    (open_key, "file modes", LOG_KEY),
    (short_secret, "secrets", "The secret key is too short"),
    (short_passphrase, "secrets", "PORTAL_BACKUP_PASSPHRASE is too short"),
    (other_migration, "migrations", "at migration 0001"),
    (open_to_the_network, "proxy and HTTPS", "without encryption"),
    (https_without_proxy, "proxy and HTTPS", "set PORTAL_TRUSTED_PROXIES"),
    (no_address, "proxy and HTTPS", "set PORTAL_PUBLIC_URL"),
    (no_second_factor, "second factor", "A password alone opens the portal"),
    (provider_down, "identity provider", "http://127.0.0.1:9 does not answer"),
    (sample_account, "sample accounts", "partner@example.com"),
    (no_backups, "backups", "set PORTAL_BACKUPS"),
    (no_backup_yet, "backups", "There is no copy"),
    (old_backup, "backups", "is 2.0 hours old"),
    (no_signing_key, "signing keys", "The private key that signs is missing"),
    (behind, "background process", "is behind by 2 events"),
    (no_log_key, "checkpoints", "is missing or damaged"),
    (other_log_key, "checkpoints", "is not the key of this log"),
    (no_checkpoints, "checkpoints", "do not end with the same checkpoint"),
    (damaged_checkpoints, "checkpoints", "set it aside"),
    (checkpoints_are_a_folder, "checkpoints", "cannot be read"),
    (nothing_signed, "checkpoints", "Nothing of the audit log is signed yet"),
]


@pytest.mark.parametrize(("harm", "check", "sentence"), BROKEN)
def test_what_is_broken_is_said_with_what_to_do(
    house: House, harm: Callable[[House], None], check: str, sentence: str
) -> None:
    try:
        harm(house)
        found = house.findings()
    finally:
        house.config.instance.chmod(0o700)
        with house.app.app_context():
            newest = newest_migration()
        house.execute(text(f"UPDATE alembic_version SET version_num = '{newest}'"))
    broken = {name for name, finding in found.items() if not finding.ok}
    assert broken == {check}
    assert sentence in found[check].sentence


def test_a_clock_that_differs_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite it shows by events from the future; PostgreSQL has a clock of its own."""
    monkeypatch.setattr("app.cli.doctor.MOST_CLOCK_DIFFERENCE", timedelta(seconds=30))
    with house.app.app_context():
        at = utcnow() + timedelta(minutes=2)
        log_event(db.session(), AuditTag.SIGNED_IN, actor=SYSTEM, now=at)
        db.session.commit()
    found = house.findings()["clock"]
    assert not found.ok
    assert "clock and the database's differ by" in found.sentence


def test_it_ends_with_1_and_prints_json(app: Flask, cast: Cast) -> None:
    with app.app_context():
        done = app.test_cli_runner().invoke(args=["doctor", "--json"])
    rows = json.loads(done.stdout)
    assert done.exit_code == 1
    assert {tuple(row) for row in rows} == {("check", "ok", "sentence")}
    with app.app_context():
        lines = app.test_cli_runner().invoke(args=["doctor"]).stdout.splitlines()
    assert len(lines) == len(rows)
    assert any(line.startswith("MEND  backups: No copies are made") for line in lines)


def test_the_kid_that_signs_is_named(house: House) -> None:
    with house.app.app_context():
        kid = current_kid(db.session())
    assert house.findings()["signing keys"].sentence == f"{kid} signs."
