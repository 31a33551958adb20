"""The rows of a benchmark, on both databases."""

from datetime import UTC
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.audit.tree import count_pending
from app.extensions import db
from app.models import AgentSession, AuditEvent, Project, ProjectSearch, TemporaryLicense
from bench.fill import fill, session_token
from bench.rows import write_rows
from tests.conftest import NOW, Cast, Clock, Visitor


@pytest.mark.databases("sqlite", "postgres")
def test_rows_of_a_benchmark_can_be_used_like_any_others(
    app: Flask, cast: Cast, clock: Clock, tmp_path: Path, ada: Visitor
) -> None:
    base = tmp_path / "base.db"
    now = NOW.astimezone(UTC).replace(tzinfo=None)
    asked = write_rows(base, organisations=30, keys=600, now=now)
    with app.app_context():
        db.session.execute(Project.__table__.delete())
        db.session.commit()
        params = fill(base, asked, 7, NOW)
        session = db.session()
        assert session.scalar(select(func.count()).select_from(ProjectSearch)) == 30
        for model in (TemporaryLicense, AuditEvent):
            assert session.scalar(select(func.count()).select_from(model)) >= 600
        assert session.scalar(select(func.count()).select_from(AgentSession)) == 7
        assert count_pending(session, NOW) == 0
        db.session.remove()
    lists = params["lists"]
    assert lists["token"][6] == session_token(6) == "bench-token-000006-" + "x" * 24
    beat = ada.client.get(
        "/api/agent/v1/session", headers={"Authorization": f"Bearer {lists['token'][0]}"}
    )
    assert beat.status_code == 200
    inspected = ada.client.post(
        "/api/agent/v1/keys/inspect", json={"registration_key": lists["key_text"][0]}
    )
    assert inspected.json["state"] == "active"
    assert lists["key_id"][0] in ada.get(f"/projects?q={lists['key_id'][0]}").text
