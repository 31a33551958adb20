"""`config`: what each setting is, and where it came from."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from app.cli.settings_listing import HIDDEN, list_settings, written
from app.config import Config, load_config


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_a_default_is_written_as_the_setting_would_have_it(setting) -> None:  # type: ignore[no-untyped-def]
    text = written(setting, setting.default)
    assert not text or setting.metadata["read"](text) == setting.default


def test_each_setting_says_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 40)
    file = {"PORTAL_WORKERS": "3", "PORTAL_LICENSE_TTLS": "1h,90s"}
    environ = file | {
        "PORTAL_HTTPS": "yes",
        "PORTAL_DATABASE_URL": "postgresql://u:geheim@h/db",
        "PORTAL_SECRET_KEY_FILE": str(tmp_path / "secret"),
    }
    rows = {row.name: row[1:] for row in list_settings(load_config(environ), environ, file)}
    assert rows["PORTAL_WORKERS"] == ("3", ".env")
    assert rows["PORTAL_LICENSE_TTLS"] == ("1h,90s", ".env")
    assert rows["PORTAL_HTTPS"] == ("on", "environment")
    assert rows["PORTAL_DATABASE_URL"] == (HIDDEN, "environment")
    assert rows["PORTAL_SECRET_KEY"] == (HIDDEN, f"file {tmp_path / 'secret'}")
    assert rows["PORTAL_BIND"] == ("127.0.0.1:8000", "default")
    assert rows["PORTAL_SIGNIN_FAILURES"] == ("10 per minute", "default")
    assert rows["PORTAL_LICENSE_TTL_MAX"] == ("7d", "default")
    assert "geheim" not in str(rows)


def test_the_command_prints_a_row_for_each(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_ADMIN_EMAIL", "boss@example.com")
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", "correct horse battery")
    run = app.test_cli_runner().invoke(args=["config", "--json"])
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(run.output)}
    assert len(rows) == len(fields(Config))
    assert rows["PORTAL_ADMIN_PASSWORD"] == (HIDDEN, "environment")
    assert rows["PORTAL_ADMIN_EMAIL"] == ("boss@example.com", "environment")
    assert "horse" not in app.test_cli_runner().invoke(args=["config"]).output
