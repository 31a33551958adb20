"""`op-agent` as a process, with the real clocks: signals, a terminal, a portal that comes and goes.

Everything here takes seconds; what can be tested without waiting is in test_session.py.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stub_portal import KEY, PARTNER, PASSWORD, StubPortal

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")

SOURCE = Path(__file__).parents[1] / "src"
PATIENCE = 60.0
"""Seconds after which a process is held for broken: how exact an end is, test_session.py tells."""


def _mind_signals() -> None:
    """Whoever runs the tests in the background may ignore what is to be tried."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


RUN = "import sys; from rolling_window_client.op_agent import main; sys.exit(main(sys.argv[1:]))"
ON_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); " + RUN


class Process:
    """A running op-agent. `said` grows as it speaks."""

    def __init__(
        self, portal: StubPortal, *, terminal: bool, options: tuple[str, ...] = ()
    ) -> None:
        arguments = ["sign-in", "--portal", portal.address, "--login-id", PARTNER, *options]
        command = [sys.executable, "-c", ON_TERMINAL if terminal else RUN, *arguments]
        ends: tuple[int, int] = pty.openpty() if terminal else os.pipe()
        self.ours, theirs = ends
        self.process = subprocess.Popen(
            command,
            stdin=theirs if terminal else subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            start_new_session=terminal,
            preexec_fn=_mind_signals,  # noqa: PLW1509 (these tests start no threads of their own)
            env=os.environ | {"PYTHONPATH": str(SOURCE), "TERM": "xterm"},
        )
        os.close(theirs)
        self.said = ""

    def until(self, text: str) -> None:
        """Reads on until it has said `text`."""
        self.until_it(lambda: text in self.said)

    def until_it(self, has_come: Callable[[], bool]) -> None:
        """Reads on until it has said what is waited for."""
        give_up_at = time.monotonic() + PATIENCE
        while not has_come():
            assert time.monotonic() < give_up_at, f"not said in time; said {self.said!r}"
            assert self._read(), f"ended before; said {self.said!r}"

    def status(self) -> int:
        """Reads to the end; its exit status."""
        give_up_at = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < give_up_at, f"still running; said {self.said!r}"
        return self.process.wait(PATIENCE)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def give(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def _read(self) -> bool:
        if not select.select([self.ours], [], [], 0.1)[0]:
            return True
        try:
            received = os.read(self.ours, 65_536)
        except OSError:  # how Linux says that nobody has the terminal open any more
            return False
        self.said += received.decode("utf-8", "replace")
        return bool(received)


@pytest.fixture
def running() -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.close()


def in_a_pipe(running: list[Process], portal: StubPortal) -> Process:
    running.append(Process(portal, terminal=False, options=("--password-stdin", "--key-stdin")))
    running[-1].give(f"{PASSWORD}\n{KEY}\n")
    return running[-1]


def on_a_terminal(running: list[Process], portal: StubPortal) -> Process:
    running.append(Process(portal, terminal=True))
    running[-1].until("Password: ")
    running[-1].type(f"{PASSWORD}\n")
    running[-1].until("Registration key: ")
    return running[-1]


def started_at(portal: StubPortal) -> float:
    """When the key's time began to run, by the clock of this machine."""
    (session,) = portal.sessions.values()
    assert session.ends_at is not None
    return session.ends_at - portal.ttl


def test_a_key_ends_by_itself_and_not_early(running: list[Process], portal: StubPortal) -> None:
    portal.ttl = 2.0
    agent = in_a_pipe(running, portal)
    assert agent.status() == 3
    assert time.time() - started_at(portal) >= 1.8
    assert "Traceback" not in agent.said


def test_a_revoked_key_ends_at_a_heartbeat(running: list[Process], portal: StubPortal) -> None:
    portal.heartbeat_seconds = 1.0
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    portal.end_all("key_revoked")
    assert agent.status() == 4


def test_it_goes_on_through_a_restart_and_still_ends(
    running: list[Process], portal: StubPortal
) -> None:
    portal.heartbeat_seconds = 0.5
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    portal.stop()
    agent.until("The portal cannot be reached, still working until ")
    portal.start()
    agent.until("The portal is reached again.")
    portal.end_in(1.0)
    assert agent.status() == 3


def test_with_the_portal_gone_for_good_it_ends_and_not_early(
    running: list[Process], portal: StubPortal
) -> None:
    portal.ttl, portal.heartbeat_seconds = 2.0, 0.5
    portal.instead = lambda asked: None if asked.method == "POST" else (503, {}, b"")
    agent = in_a_pipe(running, portal)
    assert agent.status() == 3
    assert time.time() - started_at(portal) >= 1.8
    assert "The portal could not be told; it ends the session by itself." in agent.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_signs_out(
    running: list[Process], portal: StubPortal, number: signal.Signals
) -> None:
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    agent.process.send_signal(number)
    assert agent.status() == 0
    assert [one.ended for one in portal.sessions.values()] == ["session_ended"]
    assert agent.said.endswith("Signed out.\n")


def test_a_signal_before_it_is_signed_in(running: list[Process], portal: StubPortal) -> None:
    running.append(Process(portal, terminal=True))
    agent = running[-1]
    agent.until("Password: ")
    agent.process.send_signal(signal.SIGTERM)
    assert agent.status() == 130
    assert "Traceback" not in agent.said


def test_a_process_that_was_stopped_past_the_end_ends_as_it_wakes(
    running: list[Process], portal: StubPortal
) -> None:
    """As near as a test comes to a laptop that slept."""
    portal.ttl = 2.0
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    agent.process.send_signal(signal.SIGCONT)
    assert agent.status() == 3


def test_nobody_listens_any_more(running: list[Process], portal: StubPortal) -> None:
    """`op-agent ... | head -1`: signs out, and says nothing to nobody."""
    portal.heartbeat_seconds = 0.5
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    os.close(agent.ours)
    agent.ours = os.open(os.devnull, os.O_RDONLY)
    # there is something to say as soon as a heartbeat fails
    portal.instead = lambda asked: (500, {}, b"") if asked.method == "GET" else None
    assert agent.process.wait(PATIENCE) == 1
    assert [one.ended for one in portal.sessions.values()] == ["session_ended"]


def test_on_a_terminal_the_time_left_is_one_line(
    running: list[Process], portal: StubPortal
) -> None:
    portal.heartbeat_seconds = 0.5
    agent = on_a_terminal(running, portal)
    agent.type(f'"{KEY[:90]}\n{KEY[90:]}"\n')

    def counted() -> list[str]:
        return re.findall(r"\r\x1b\[K(\d:\d\d:\d\d) left", agent.said)

    agent.until_it(lambda: len(set(counted())) > 2)
    assert counted() == sorted(counted(), reverse=True)
    portal.end_in(1.0)
    assert agent.status() == 3
    assert agent.said.endswith("\r\x1b[KThe license key has expired. Signed out.\r\n")
    assert PASSWORD not in agent.said
    assert KEY[-20:] not in agent.said


def test_on_a_terminal_no_key_is_no_key(running: list[Process], portal: StubPortal) -> None:
    agent = on_a_terminal(running, portal)
    agent.type("\n")
    assert agent.status() == 6
    assert "(temporary_key_required)" in agent.said


def test_ctrl_c_on_a_terminal_signs_out(running: list[Process], portal: StubPortal) -> None:
    agent = on_a_terminal(running, portal)
    agent.type(f"{KEY}\n")
    agent.until("left")
    agent.type("\x03")
    assert agent.status() == 0
    assert portal.paths()[-1] == "DELETE /api/agent/v1/session"
