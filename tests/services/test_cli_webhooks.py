"""`flask webhooks ...`."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.audit.notice_kinds import KINDS
from app.extensions import db
from app.models import AuditEvent, Delivery
from tests.conftest import Cast
from tests.receivers import WebhookReceiver, answer, webhook_receiver


@pytest.fixture
def hook(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """A receiver on this machine, which is allowed."""
    config = replace(app.extensions["config"], webhook_private=True)
    monkeypatch.setitem(app.extensions, "config", config)
    with webhook_receiver() as receiver:
        yield receiver


def run(app: Flask, *words: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=["webhooks", *words])


def test_added_listed_tested_and_removed(app: Flask, cast: Cast, hook: WebhookReceiver) -> None:
    by = ("--as", cast.ada)
    added = run(app, "add", hook.address, "--event", "key.revoked", *by, "--json")
    secret = json.loads(added.stdout)["secret"]
    tested = run(app, "test", hook.address, *by)
    assert (tested.exit_code, tested.stdout) == (0, "HTTP 204\n")
    [posted] = hook.posted
    assert posted.is_signed_with(secret)
    assert posted.said["type"] == "webhook.test"
    [row] = json.loads(run(app, "list", "--json").stdout)
    assert (row["address"], row["events"]) == (hook.address, ["key.revoked"])
    assert (row["added_by"], row["last_answer"]) == (cast.ada, "HTTP 204")
    assert secret not in run(app, "list").stdout
    hook.behave = answer(500)
    tested = run(app, "test", hook.address, "--json")
    assert tested.exit_code == 1
    assert json.loads(tested.stdout) == {"delivered": False, "answer": "HTTP 500"}
    assert run(app, "remove", hook.address).exit_code == 0
    assert run(app, "remove", hook.address).exit_code == 1
    with app.app_context():
        waiting = select(Delivery).where(Delivery.next_try_at.is_not(None))
        assert db.session.scalars(waiting).all() == []
        tags = db.session.scalars(select(AuditEvent.tag).order_by(AuditEvent.id)).all()
        told = [tag for tag in tags if tag.startswith("webhook")]
        assert told == ["webhook.added", *["webhook.tested"] * 2, "webhook.removed"]


def test_without_events_it_is_told_of_all(app: Flask, cast: Cast, hook: WebhookReceiver) -> None:
    assert "whsec_" in run(app, "add", hook.address).stdout
    [row] = json.loads(run(app, "list", "--json").stdout)
    assert row["events"] == list(KINDS)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("add", "http://127.0.0.1/"), 1),
        (("add", "http://2130706433/"), 1),
        (("add", "https://hooks.example/", "--event", "key.made"), 2),
        (("add", "https://198.51.100.7/", "--as", "dev@example.com"), 1),
        (("test", "https://hooks.example/"), 1),
        (("remove", "https://hooks.example/"), 1),
    ],
)
def test_what_is_refused(app: Flask, cast: Cast, words: tuple[str, ...], status: int) -> None:
    refused = run(app, *words)
    assert (refused.exit_code, refused.stdout) == (status, "")
    assert refused.stderr
