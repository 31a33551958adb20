"""The journal of what was withdrawn: written before the answer, or nothing is done."""

import json
import os
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.accounts.users import disable_user
from app.agents.heartbeats import heartbeat
from app.agents.live_sessions import end_session
from app.agents.machines import detach, dissociate, revoke_permanent_license
from app.agents.people import reset_password
from app.agents.retiring import retire_signing_key
from app.agents.sessions import sign_out
from app.audit.journal import (
    JournalDamaged,
    Line,
    Withdrawal,
    append_lines,
    journal_beside,
    note_withdrawal,
    read_journal,
)
from app.core.actor import COMMAND_LINE
from app.core.errors import Busy
from app.licenses.keyring import current_kid, rotate_signing_key
from app.licenses.services import revoke_license
from app.models import TemporaryLicense
from tests.agents.stage import LIMITS, issue, machine_of, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor, signing_keys
from tests.full_disk import full_disk

pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture
def journal(app: Flask) -> Path:
    file = journal_beside(app.extensions["config"].checkpoints)
    file.unlink(missing_ok=True)
    return file


def lines(journal: Path) -> list[tuple[str, object]]:
    if not journal.exists():
        return []
    return [(line.kind.value, line.id) for line in read_journal(journal)]


def test_every_withdrawal_has_its_line(
    app: Flask, session: Session, cast: Cast, journal: Path
) -> None:
    key = issue(session, cast)
    ended, left = (signed_in(session, who, key) for who in (cast.pat, cast.dev))
    agents = [
        machine_of(signed_in(session, cast.carl, mac_id=f"00:1A:2B:3C:4D:0{number}"))
        for number in range(3)
    ]
    kid = current_kid(session)
    rotate_signing_key(session, signing_keys=signing_keys(app), actor=COMMAND_LINE, now=NOW)
    session.commit()
    assert lines(journal) == []
    ada = cast.actor(cast.ada)
    given = {"actor": ada, "now": NOW}
    end_session(session, session_id=ended.agent_session.id, limits=LIMITS, **given)
    sign_out(session, token=left.token, now=NOW, limits=LIMITS)
    revoke_license(session, key_id=key.key_id, **given)
    detach(session, agent_id=agents[0].id, limits=LIMITS, **given)
    dissociate(session, agent_id=agents[1].id, limits=LIMITS, **given)
    revoke_permanent_license(session, agent_id=agents[2].id, limits=LIMITS, **given)
    pat = disable_user(session, email=cast.pat, **given)
    reset_password(session, email=cast.dev, password_hash="x", **given)
    retire_signing_key(session, kid=kid, limits=LIMITS, **given)
    session.commit()
    written = lines(journal)
    for expected in [
        ("session_ended", ended.agent_session.id),
        ("session_ended", left.agent_session.id),
        ("key_revoked", key.key_id),
        ("machine_detached", agents[0].id),
        ("machine_dissociated", agents[1].id),
        ("license_revoked", agents[2].id),
        ("user_disabled", pat.id),
        ("sessions_of_user_ended", cast.actor(cast.dev).user_id),
        ("signing_key_retired", kid),
    ]:
        assert expected in written
    assert json.loads(journal.read_text().splitlines()[0])["at"] == "2026-11-24T15:40:00Z"
    assert journal.stat().st_mode & 0o777 == 0o600


def test_what_is_rolled_back_has_no_line(session: Session, cast: Cast, journal: Path) -> None:
    key = issue(session, cast)
    revoke_license(session, actor=cast.actor(cast.ada), key_id=key.key_id, now=NOW)
    session.rollback()
    session.commit()
    assert lines(journal) == []


def test_nothing_is_revoked_if_the_disk_is_full(
    session: Session, cast: Cast, journal: Path
) -> None:
    """The line half written is taken back, and the next one is whole."""
    key = issue(session, cast)
    journal.write_bytes(b"")
    revoke_license(session, actor=cast.actor(cast.ada), key_id=key.key_id, now=NOW)
    # The limit holds for every file of this process: only the journal is to be written meanwhile.
    with full_disk(20), pytest.raises(Busy, match="nothing was done"):
        append_lines(journal, session.info["revocations.jsonl"])
    session.rollback()
    assert journal.read_bytes() == b""
    assert session.get_one(TemporaryLicense, key.id).revoked_at is None
    revoke_license(session, actor=cast.actor(cast.ada), key_id=key.key_id, now=NOW)
    session.commit()
    assert lines(journal) == [("key_revoked", key.key_id)]


def test_a_journal_that_cannot_be_written_is_503_and_nothing_is_done(
    clock: Clock, ada: Visitor, session: Session, cast: Cast, journal: Path
) -> None:
    key = issue(session, cast)
    journal.mkdir()
    try:
        tab = f"/projects/{cast.acme_project}/license"
        answer = ada.post(f"{tab}/{key.key_id}/revoke")
        assert answer.status_code == 503
        assert "written into the journal" in answer.text
    finally:
        journal.rmdir()
    session.expire_all()
    assert session.get_one(TemporaryLicense, key.id).revoked_at is None


def test_a_heartbeat_is_answered_all_the_same(session: Session, cast: Cast, journal: Path) -> None:
    here = signed_in(session, cast.carl)
    agent_id = machine_of(here).id
    detach(session, actor=cast.actor(cast.ada), agent_id=agent_id, now=NOW, limits=LIMITS)
    session.commit()
    journal.unlink()
    journal.mkdir()
    try:
        later = NOW + timedelta(seconds=5)
        end = heartbeat(session, token=here.token, now=later, limits=LIMITS)
    finally:
        journal.rmdir()
    assert end.cause == "agent_blocked"


def _write_many(file: Path, number: int) -> None:
    for count in range(200):
        append_lines(
            file,
            [f'{{"at":"2026-11-24T15:40:00Z","kind":"key_revoked","id":"{number}-{count}"}}\n'],
        )


def test_several_workers_write_whole_lines(journal: Path) -> None:
    context = get_context("fork")
    workers = [context.Process(target=_write_many, args=(journal, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert len(set(lines(journal))) == 800


def test_a_line_that_was_cut_by_a_crash_was_never_answered(session: Session, journal: Path) -> None:
    note_withdrawal(session, Withdrawal.KEY_REVOKED, "K7QF-3MXP", NOW)
    session.commit()
    with journal.open("ab") as file:
        file.write(b'{"at":"2026-11-24T15:4')
    assert list(read_journal(journal)) == [Line(NOW, Withdrawal.KEY_REVOKED, "K7QF-3MXP")]
    note_withdrawal(session, Withdrawal.KEY_REVOKED, "ABCD-2345", NOW)
    session.commit()
    assert [line.id for line in read_journal(journal)] == ["K7QF-3MXP", "ABCD-2345"]


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b'{"at":"2026-11-24T15:40:00","kind":"key_revoked","id":"x"}\n',
        b'{"at":"2026-11-24T15:40:00Z","kind":"something","id":"x"}\n',
        b'{"at":"2026-11-24T15:40:00Z","kind":"key_revoked"}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_cannot_be_read_is_damage(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "revocations.jsonl"
    file.write_bytes(line)
    with pytest.raises(JournalDamaged, match="line 1"):
        list(read_journal(file))


def test_a_thousand_lines_are_one_write(session: Session, journal: Path) -> None:
    """What is bulk waits for one fsync."""
    for number in range(1000):
        note_withdrawal(session, Withdrawal.SESSION_ENDED, number, NOW)
    calls = []
    fsync = os.fsync
    os.fsync = lambda descriptor: calls.append(descriptor) or fsync(descriptor)
    try:
        session.commit()
    finally:
        os.fsync = fsync
    assert len(lines(journal)) == 1000
    assert len(calls) <= 2
