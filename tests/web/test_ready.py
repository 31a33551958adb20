"""/readyz: what keeps the portal from its work, and the background process among it."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.extensions import db
from app.portal import ready
from tests.conftest import Clock

pytestmark = pytest.mark.databases("sqlite", "postgres")


def ask(app: Flask) -> tuple[int, dict[str, object]]:
    answer = app.test_client().get("/readyz", headers={"Host": "whatever.example"})
    return answer.status_code, answer.json


def test_ready(app: Flask, clock: Clock) -> None:
    assert ask(app) == (200, {"ready": True})


def test_a_database_of_another_version(app: Flask, clock: Clock) -> None:
    def set_version(version: str) -> str:
        with app.app_context():
            before = db.session.scalar(text("SELECT version_num FROM alembic_version"))
            db.session.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
            db.session.commit()
        return str(before)

    newest = set_version("0001")
    try:
        status, said = ask(app)
    finally:
        set_version(newest)
    assert status == 503
    assert "at migration 0001" in str(said["reasons"])


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (60, 200), (61, 503)])
def test_a_background_process_that_is_behind(
    app: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: int, status: int
) -> None:
    monkeypatch.setattr(ready, "loaded_at", float("-inf"))
    with app.app_context():
        db.session.execute(text("DELETE FROM audit_events"))
        at = utcnow() - timedelta(seconds=seconds)
        log_event(db.session(), AuditTag.SIGNED_IN, actor=SYSTEM, now=at)
        db.session.commit()
    answered, said = ask(app)
    assert answered == status
    assert ("background process" in str(said)) is (status == 503)
