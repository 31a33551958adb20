"""`flask keys rotate` and `flask keys list`; `keys public` stands in test_offline."""

import json
import os
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from app import create_app
from app.extensions import db
from app.keyformat.signing_keys import new_private_key, private_key_to_pem
from app.licenses.services import inspect_key
from tests.agents.stage import issue, text_of
from tests.conftest import NOW, Cast, Clock, signing_keys


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=["keys", *arguments])


def listed(app: Flask) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(run(app, "list", "--json").stdout)
    return rows


def test_rotate_says_which_key_signs_and_the_list_agrees(app: Flask, clock: Clock) -> None:
    old = listed(app)[0]["kid"]
    answer = run(app, "rotate")
    assert answer.exit_code == 0
    kid = answer.stdout.split()[0]
    assert answer.stdout == f"{kid} signs from now on.\n"
    assert [(row["kid"], row["signs"], row["private_key_found"]) for row in listed(app)] == [
        (kid, True, True),
        (old, False, True),
    ]


def test_the_new_private_key_is_a_file_that_nobody_else_reads(app: Flask, clock: Clock) -> None:
    kid = run(app, "rotate").stdout.split()[0]
    file = Path(signing_keys(app)) / f"{kid}.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == os.geteuid()


def test_keys_under_the_old_one_work_and_can_be_shown(app: Flask, cast: Cast, clock: Clock) -> None:
    with app.app_context():
        license = issue(db.session(), cast)
        before = text_of(license)
        db.session.commit()  # else the command waits for this test
        assert run(app, "rotate").exit_code == 0
        assert listed(app)[1]["kid"] == license.kid
        assert text_of(license) == before
        assert inspect_key(db.session(), text=before, now=NOW).state == "active"


def test_a_key_that_is_a_setting_is_not_rotated_here(app: Flask, clock: Clock) -> None:
    pem = private_key_to_pem(new_private_key()).decode()
    config = app.extensions["config"]
    given = create_app(type(config)(**{**config.__dict__, "signing_keys": pem}))
    answer = run(given, "rotate")
    assert answer.exit_code == 1
    assert "PORTAL_SIGNING_KEYS" in answer.stderr
    assert pem.splitlines()[1] not in answer.output
    with given.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("command", ["rotate", "list", "public"])
def test_unknown_options_are_used_wrongly(app: Flask, command: str) -> None:
    assert run(app, command, "--nothing").exit_code == 2
