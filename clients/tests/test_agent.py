"""An Agent in the background of a program, with the real clocks; and what the README shows."""

import getpass
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from signing import ISSUED_AT, jwk_set, revocation_list, temporary_key
from stub_portal import KEY, PARTNER, PASSWORD, Answer, Asked, StubPortal

from rolling_window_client import license_check, op_agent, session, sign_in
from rolling_window_client.api import Portal, SignIn
from rolling_window_client.background import ThreadInbox
from rolling_window_client.errors import PortalUnreachable, SessionEnded, WrongUse
from rolling_window_client.machine import Machine
from rolling_window_client.session import Agent, Ended, open_session
from rolling_window_client.usage import table

PATIENCE = 60.0
"""Seconds after which something is held for broken: how exact an end is, test_session.py tells."""

README = Path(__file__).parents[1] / "README.md"


def opened(stub: StubPortal, machine: Machine) -> Agent:
    return open_session(Portal(stub.address), SignIn(PARTNER, PASSWORD, KEY), machine)


def test_in_the_background_it_ends_by_itself(portal: StubPortal, machine: Machine) -> None:
    portal.ttl = 0.6
    started = time.monotonic()
    with opened(portal, machine) as agent:
        with pytest.raises(SessionEnded) as raised:
            agent.wait(PATIENCE)
        took = time.monotonic() - started
    assert raised.value.code == "key_expired"
    assert 0.5 <= took < PATIENCE
    assert portal.paths()[-1] == "DELETE /api/agent/v1/session"


def test_waiting_is_only_waiting_while_the_session_goes_on(
    portal: StubPortal, machine: Machine
) -> None:
    with opened(portal, machine) as agent:
        started = time.monotonic()
        agent.wait(0.2)
        assert time.monotonic() - started >= 0.2
        agent.check()
        assert agent.ended is None


def test_leaving_the_block_signs_out(portal: StubPortal, machine: Machine) -> None:
    with opened(portal, machine) as agent:
        pass
    assert agent.ended == Ended("signed_out", "Signed out.")
    assert [one.ended for one in portal.sessions.values()] == ["session_ended"]


def test_a_revocation_wakes_whoever_waits(portal: StubPortal, machine: Machine) -> None:
    portal.heartbeat_seconds = 0.5
    with opened(portal, machine) as agent:
        portal.end_all("key_revoked")
        with pytest.raises(SessionEnded, match="key_revoked"):
            agent.wait(PATIENCE)


def test_the_end_is_called_out(portal: StubPortal, machine: Machine) -> None:
    portal.ttl = 0.3
    told, ended = threading.Event(), []

    def on_end(how: Ended) -> None:
        ended.append(how.code)
        told.set()

    agent = opened(portal, machine)
    agent.start(on_end)
    assert told.wait(PATIENCE)
    assert ended == ["key_expired"]
    agent.sign_out()


def test_it_is_kept_alive_once(portal: StubPortal, machine: Machine) -> None:
    with opened(portal, machine) as agent, pytest.raises(RuntimeError, match="already"):
        agent.start()


def test_it_can_sign_out_where_it_is_told_of_the_end(portal: StubPortal, machine: Machine) -> None:
    portal.ttl = 0.2
    agent = opened(portal, machine)
    done = threading.Event()

    def on_end(_: Ended) -> None:
        agent.sign_out()
        done.set()

    agent.start(on_end)
    assert done.wait(PATIENCE)


@pytest.fixture
def hanging(portal: StubPortal) -> Iterator[StubPortal]:
    """Signs in, and then takes every request and answers none."""
    hang = threading.Event()

    def nothing(asked: Asked) -> Answer | None:
        if asked.method != "POST":
            hang.wait(10 * PATIENCE)
        return None

    portal.instead = nothing
    yield portal
    hang.set()


def test_a_portal_that_hangs_delays_nothing(hanging: StubPortal, machine: Machine) -> None:
    hanging.ttl, hanging.heartbeat_seconds = 1.0, 0.5
    started = time.monotonic()
    agent = opened(hanging, machine)
    ended = agent.run()
    took = time.monotonic() - started
    assert ended.code == "key_expired"
    assert 0.9 <= took < PATIENCE
    assert not agent.confirm()
    assert time.monotonic() - started < PATIENCE


def test_a_restart_of_the_portal_is_survived(portal: StubPortal, machine: Machine) -> None:
    portal.heartbeat_seconds = 0.5
    with opened(portal, machine) as agent:
        portal.stop()
        wait_until(lambda: agent.status.trouble is not None)
        portal.start()
        wait_until(lambda: agent.status.trouble is None)
        agent.check()


def test_a_session_that_nobody_waits_for_any_more_is_ended(
    portal: StubPortal, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+C while the portal makes up its mind leaves no session behind."""
    interrupt_the_first_wait(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        opened(portal, machine)
    assert [one.ended for one in portal.sessions.values()] == ["session_ended"]


def test_a_session_that_comes_too_late_is_ended(
    portal: StubPortal, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SIGN_IN_SECONDS", 0.2)

    given_up = threading.Event()

    def too_late(asked: Asked) -> None:
        if asked.method == "POST":
            given_up.wait(PATIENCE)

    portal.instead = too_late
    with pytest.raises(PortalUnreachable, match="in time"):
        opened(portal, machine)
    given_up.set()
    wait_until(lambda: [one.ended for one in portal.sessions.values()] == ["session_ended"])


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(0.02)


def interrupt_the_first_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    real_wait, waits = ThreadInbox.wait, iter([KeyboardInterrupt])

    def wait(inbox: ThreadInbox[object], seconds: float) -> object:
        for interrupt in waits:
            raise interrupt
        return real_wait(inbox, seconds)

    monkeypatch.setattr(ThreadInbox, "wait", wait)


# What the README shows


def block(number: int) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    return str(blocks[number])


def test_the_ten_lines_are_ten_and_run(
    portal: StubPortal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.heartbeat_seconds = 0.5
    lines = block(0)
    assert len([line for line in lines.splitlines() if line]) == 10
    answers = {"Password: ": PASSWORD, "Registration key: ": KEY}
    monkeypatch.setattr(getpass, "getpass", lambda prompt="Password: ": answers[prompt])
    worked: list[str] = []

    def work(organisation_id: str) -> None:
        worked.append(organisation_id)
        if len(worked) == 2:
            portal.end_in(0.0)

    exec(  # the README's own text
        lines.replace("https://portal.example", portal.address), {"do_a_piece_of_work": work}
    )
    assert worked[:2] == ["ORG-000123"] * 2
    # By its own clock, or by a heartbeat's answer: whichever was first.
    assert capsys.readouterr().out in ("The license key has expired.\n", "Refused: key_expired.\n")
    assert portal.paths()[-1] == "DELETE /api/agent/v1/session"


def test_the_lines_that_check_a_key_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "license-keys.json").write_bytes(jwk_set())
    now = int(time.time())
    (tmp_path / "revoked-licenses").write_bytes(revocation_list(iat=now, next_update=now + 60))
    issued_at = ISSUED_AT.fromtimestamp(now - 60, ISSUED_AT.tzinfo)
    exec(block(1), {"text": temporary_key(issued_at=issued_at)})
    assert capsys.readouterr().out.startswith("good until ")


@pytest.mark.parametrize("command", [op_agent, license_check])
def test_the_readme_knows_every_exit_status(command: ModuleType) -> None:
    text = README.read_text(encoding="utf-8")
    _, *rows = table(command._STATUSES).splitlines()
    assert {0, 1, 2, 130} < {int(row.split()[0]) for row in rows}
    assert all(f"\n| {row.split()[0]} | " in text for row in rows)


# Bad input of an integrator


def test_an_address_that_cannot_be_used() -> None:
    with pytest.raises(WrongUse):
        sign_in("portal.example", login_id="x", password="y")


def test_nothing_of_this_package_comes_from_the_portal() -> None:
    source = Path(op_agent.__file__).parent
    imported = re.compile(r"^\s*(?:from|import) (?:app|flask|sqlalchemy)\b", re.M)
    files = list(source.glob("*.py"))
    assert len(files) > 10
    assert [file.name for file in files if imported.search(file.read_text("utf-8"))] == []
