"""`op-agent` as a process, with the real clocks: signals, a terminal, a portal that comes and goes.

Everything here takes seconds; what can be tested without waiting is in test_session.py.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_portal import KEY, PARTNER, PASSWORD, StubPortal

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")

SOURCE = Path(__file__).parents[1] / "src"
LATE = 1.5
"""Seconds by which a process may be late on a busy machine, its own end included."""


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

    def until(self, text: str, seconds: float = 10.0) -> None:
        """Reads on until it has said `text`."""
        give_up_at = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < give_up_at, f"not said: {text!r}; but {self.said!r}"
            assert self._read(), f"ended without {text!r}; said {self.said!r}"

    def status(self, seconds: float = 10.0) -> int:
        """Reads to the end; its exit status."""
        give_up_at = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < give_up_at, f"still running; said {self.said!r}"
        return self.process.wait(seconds)

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


def test_a_key_ends_to_the_second(running: list[Process], portal: StubPortal) -> None:
    portal.ttl = 2.0
    agent = in_a_pipe(running, portal)
    assert agent.status() == 3
    lived = time.time() - started_at(portal)
    assert 1.8 <= lived <= 2.0 + LATE
    assert "Traceback" not in agent.said


def test_a_revoked_key_ends_within_a_heartbeat(running: list[Process], portal: StubPortal) -> None:
    portal.heartbeat_seconds = 1.0
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    portal.end_all("key_revoked")
    revoked_at = time.time()
    assert agent.status() == 4
    assert time.time() - revoked_at <= 1.0 + LATE


def test_it_goes_on_through_a_restart_and_still_ends_on_time(
    running: list[Process], portal: StubPortal
) -> None:
    portal.ttl, portal.heartbeat_seconds = 5.0, 0.5
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    portal.stop()
    agent.until("The portal cannot be reached, still working until ")
    portal.start()
    agent.until("The portal is reached again.")
    assert agent.status() == 3
    assert 4.8 <= time.time() - started_at(portal) <= 5.0 + LATE


def test_with_the_portal_gone_for_good_it_ends_on_time(
    running: list[Process], portal: StubPortal
) -> None:
    portal.ttl, portal.heartbeat_seconds = 2.0, 0.5
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    portal.stop()
    assert agent.status() == 3
    assert 1.8 <= time.time() - started_at(portal) <= 2.0 + LATE
    assert "The portal could not be told; it ends the session by itself." in agent.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_signs_out(
    running: list[Process], portal: StubPortal, number: signal.Signals
) -> None:
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    agent.process.send_signal(number)
    asked_at = time.monotonic()
    assert agent.status() == 0
    assert time.monotonic() - asked_at <= LATE
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
    woken_at = time.monotonic()
    assert agent.status() == 3
    assert time.monotonic() - woken_at <= LATE


def test_nobody_listens_any_more(running: list[Process], portal: StubPortal) -> None:
    """`op-agent ... | head -1`: signs out, and says nothing to nobody."""
    portal.heartbeat_seconds = 0.5
    agent = in_a_pipe(running, portal)
    agent.until("Ctrl+C signs out.")
    os.close(agent.ours)
    agent.ours = os.open(os.devnull, os.O_RDONLY)
    # there is something to say as soon as a heartbeat fails
    portal.instead = lambda asked: (500, {}, b"") if asked.method == "GET" else None
    assert agent.process.wait(10) == 1
    assert [one.ended for one in portal.sessions.values()] == ["session_ended"]


def test_on_a_terminal_the_time_left_is_one_line(
    running: list[Process], portal: StubPortal
) -> None:
    portal.ttl = 3.5
    agent = on_a_terminal(running, portal)
    agent.type(f'"{KEY[:90]}\n{KEY[90:]}"\n')
    assert agent.status() == 3
    assert agent.said.count("\r\x1b[K") >= 4
    for second in (3, 2, 1, 0):
        assert f"0:00:0{second} left" in agent.said
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
