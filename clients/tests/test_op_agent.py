"""`op-agent`, as it is called: what it sends, says, and ends with."""

import io
import json
import os
import sys
from pathlib import Path

import pytest
from signing import temporary_key
from stub_portal import CLIENT, KEY, LICENSE_KEY, PARTNER, PASSWORD, StubPortal, problem
from world import UNREACHABLE, FakePortal, World, signed_in

from rolling_window_client import op_agent
from rolling_window_client.background import ThreadInbox
from rolling_window_client.op_agent import STATUS_OF_END, _Display, main
from rolling_window_client.terminal import Screen

GONE = "http://127.0.0.1:9"


class Agent:
    """Calls the command, with a password and a key on standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str, stdin: str = "") -> int:
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            status = main(list(arguments))
        except SystemExit as wrong_use:
            status = int(wrong_use.code or 0)
        self.out, self.err = self.capsys.readouterr()
        said = self.out + self.err
        assert "Traceback" not in said
        for secret in (PASSWORD, KEY, LICENSE_KEY):
            assert secret not in said
        return status

    def sign_in(
        self,
        portal: StubPortal | str,
        *more: str,
        login_id: str = PARTNER,
        stdin: str = f"{PASSWORD}\n{KEY}\n",
    ) -> int:
        address = portal if isinstance(portal, str) else portal.address
        secrets = ["--password-stdin"] + ["--key-stdin"] * ("\n" in stdin.strip())
        options = ["--portal", address, "--login-id", login_id, *secrets, *more]
        status = self("sign-in", *options, stdin=stdin)
        if isinstance(portal, StubPortal):
            assert not any(token in self.out + self.err for token in portal.sessions)
        return status


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Agent:
    return Agent(monkeypatch, capsys)


@pytest.fixture
def short(portal: StubPortal) -> StubPortal:
    """A portal whose key has very little time left."""
    portal.ttl = 0.3
    return portal


def test_a_key_that_expires(agent: Agent, short: StubPortal) -> None:
    assert agent.sign_in(short) == 3
    assert "Signed in to Acme Ltd (ORG-000123) as partner@example.com (partner)." in agent.out
    assert "Temporary license key K7QF-3MXP: 0 sec, until " in agent.out
    assert agent.out.endswith("The license key has expired. Signed out.\n")
    assert short.paths()[-1] == "DELETE /api/agent/v1/session"
    assert agent.out.isascii()
    assert "\r" not in agent.out, "a pipe gets plain lines"
    assert len(agent.out.splitlines()) <= 5


@pytest.mark.parametrize(("code", "status"), STATUS_OF_END.items())
def test_the_exit_status_tells_how_it_ended(
    agent: Agent, portal: StubPortal, code: str, status: int
) -> None:
    portal.heartbeat_seconds = 0.5
    portal.instead = lambda asked: problem(401, code, "Why.") if asked.method == "GET" else None
    assert agent.sign_in(portal) == status
    assert "Why." in agent.out
    assert portal.paths()[-1] == "DELETE /api/agent/v1/session"


def test_a_code_of_a_later_version_is_an_end_too(agent: Agent, portal: StubPortal) -> None:
    portal.heartbeat_seconds = 0.5
    portal.instead = lambda asked: problem(401, "new", "Why.") if asked.method == "GET" else None
    assert agent.sign_in(portal) == 5


@pytest.mark.parametrize(
    ("login_id", "stdin", "code"),
    [(PARTNER, f"wrong\n{KEY}", "invalid_credentials"),
     (PARTNER, f"{PASSWORD}\nrw1.x", "key_invalid"),
     (PARTNER, f"{PASSWORD}\n{temporary_key(ttl=10**9)}", "key_invalid"),
     (CLIENT, f"{PASSWORD}\n{KEY}", "temporary_key_not_for_clients")],
)  # fmt: skip
def test_a_refusal(agent: Agent, portal: StubPortal, login_id: str, stdin: str, code: str) -> None:
    assert agent.sign_in(portal, login_id=login_id, stdin=stdin) == 6
    assert code in agent.err
    assert agent.err.startswith("op-agent: not signed in: ")
    assert agent.out == ""


def test_a_key_that_is_needed_and_nobody_to_ask(
    agent: Agent, portal: StubPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(op_agent, "can_ask", lambda: False)
    assert agent.sign_in(portal, stdin=PASSWORD) == 6
    assert "(temporary_key_required)" in agent.err


def test_a_key_that_is_needed_is_asked_for(
    agent: Agent, short: StubPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(op_agent, "can_ask", lambda: True)
    monkeypatch.setattr(op_agent, "ask_hidden", lambda *_: f' "{KEY}" ')
    assert agent.sign_in(short, stdin=PASSWORD) == 3
    assert "A temporary license key is needed." in agent.out


def test_throttled_says_for_how_long(agent: Agent, portal: StubPortal) -> None:
    status, headers, body = problem(429, "throttled", "Too many attempts.")
    portal.instead = lambda _: (status, headers | {"Retry-After": "42"}, body)
    assert agent.sign_in(portal) == 6
    assert "Too many attempts. Try again in 42 sec. (throttled)" in agent.err


def test_a_portal_that_is_not_there(agent: Agent) -> None:
    assert agent.sign_in(GONE) == 7
    assert agent.err == "op-agent: not signed in: Nothing is listening at 127.0.0.1:9.\n"


def test_a_portals_name_cannot_steer_the_terminal(agent: Agent, portal: StubPortal) -> None:
    portal.instead = lambda _: problem(403, "key_invalid", "\x1b[2J\x9b1m\u202eNo\r\nwell.")
    assert agent.sign_in(portal) == 6
    assert not any(sign in agent.err for sign in "\x1b\x9b\u202e\r")


def test_the_license_of_a_registered_machine_is_kept_where_only_its_owner_reads_it(
    agent: Agent, portal: StubPortal, tmp_path: Path
) -> None:
    portal.registered = False
    portal.heartbeat_seconds = 0.5
    portal.instead = lambda asked: problem(401, "session_ended") if asked.method == "GET" else None
    file = tmp_path / "license.txt"
    status = agent.sign_in(
        portal, "--license-file", str(file), login_id=CLIENT, stdin=f"{PASSWORD}\n"
    )
    assert status == 5
    assert file.read_text() == f"{LICENSE_KEY}\n"
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert "Permanent license K7QF-3MXP." in agent.out
    assert "This machine is now registered with Acme Ltd." in agent.out
    assert list(tmp_path.iterdir()) == [file]


def test_the_configuration_is_saved(agent: Agent, portal: StubPortal, tmp_path: Path) -> None:
    portal.heartbeat_seconds = 0.5
    portal.instead = lambda asked: (
        problem(401, "session_ended") if asked.path.endswith("/session") else None
    )
    file = tmp_path / "configuration.json"
    file.write_text('{"colour": "green"}')
    options = ["--save-configuration", "--configuration", str(file)]
    assert agent.sign_in(portal, *options, login_id=CLIENT, stdin=PASSWORD) == 5
    assert portal.configuration == {"colour": "green"}
    assert json.loads(portal.asked[0].body)["save_configuration"] is True
    assert "The configuration is saved." in agent.out


def test_under_a_key_the_configuration_is_not_saved(
    agent: Agent, short: StubPortal, tmp_path: Path
) -> None:
    file = tmp_path / "configuration.json"
    file.write_text("{}")
    options = ["--save-configuration", "--configuration", str(file)]
    assert agent.sign_in(short, *options) == 3
    assert "The configuration is not saved" in agent.out
    assert "PUT" not in "".join(short.paths())


def test_the_password_in_a_file(agent: Agent, short: StubPortal, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    options = ["--portal", short.address, "--login-id", PARTNER, "--password-file", str(file)]
    assert agent("sign-in", *options, "--key-stdin", stdin=f"\n  {KEY[:9]}\n{KEY[9:]}  \n") == 3


@pytest.mark.parametrize(
    ("more", "stdin"),
    [
        (["--portal", "http://portal.example"], PASSWORD),
        (["--portal", "nonsense"], PASSWORD),
        (["--mac-id", "FF:FF:FF:FF:FF:FF"], PASSWORD),
        (["--machine-id", "x" * 129], PASSWORD),
        (["--ca-file", "/nowhere/authority.pem"], PASSWORD),
        (["--proxy", "http://me:secret@proxy.example"], PASSWORD),
        (["--proxy", "socks5://proxy.example"], PASSWORD),
        (["--configuration", "x.json"], PASSWORD),
        (["--save-configuration", "--configuration", "/nowhere/x.json"], PASSWORD),
        (["--password-file", "x"], PASSWORD),
        (["--key-stdin"], PASSWORD),
        (["--no-such-option"], PASSWORD),
        ([], ""),
        ([], "x" * 70_000),
    ],
)
def test_wrong_use(agent: Agent, more: list[str], stdin: str) -> None:
    assert agent.sign_in(GONE, *more, stdin=stdin) == 2
    assert "secret" not in agent.err
    assert agent.err


@pytest.mark.parametrize("stdin", [b"\xff\xfe", b"\xc3("])
def test_a_password_that_is_no_text(agent: Agent, tmp_path: Path, stdin: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(stdin)
    options = ["--portal", GONE, "--login-id", PARTNER, "--password-file", str(file)]
    assert agent("sign-in", *options) == 2


@pytest.mark.parametrize(
    "arguments",
    [(), (KEY,), ("sign-in", KEY), ("sign-in", f"--registration-key={KEY}"),
     ("sign-in", "--portal", GONE, "--login-id", "x", "--registration-key", KEY),
     ("sign-in", "--portal", GONE, "--login-id", "x", f"--key-stdin={KEY}")],
)  # fmt: skip
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    agent: Agent, arguments: tuple[str, ...]
) -> None:
    assert agent(*arguments) == 2
    assert KEY not in agent.out + agent.err


def test_what_a_portal_is_told_of_this_machine(agent: Agent) -> None:
    assert agent("machine", "--mac-id", "001a.2b3c.4d5e", "--machine-id", "abc") == 0
    assert "00:1A:2B:3C:4D:5E (given)" in agent.out
    assert "abc" in agent.out


def test_something_unexpected_is_told_by_its_name_alone(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(f"with {PASSWORD} in it")

    monkeypatch.setattr(op_agent, "open_session", fails)
    assert agent.sign_in(GONE) == 1
    assert agent.err == "op-agent: failed unexpectedly (RuntimeError).\n"


@pytest.mark.parametrize(("ahead", "words"), [(7300, "2 hr 1 min behind"), (-7300, "ahead of")])
def test_a_clock_that_is_off_is_told(
    agent: Agent, short: StubPortal, ahead: float, words: str
) -> None:
    short.clock_ahead = ahead
    assert agent.sign_in(short) == 3
    assert f"The clock of this machine is {words}" in agent.out.replace("2 hr 1 min ahead", "ahead")


# The screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_rewritten() -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    screen.line("First.")
    screen.live("0:00:02 left")
    screen.live("0:00:02 left")
    screen.live("0:00:01 left")
    screen.line("Last.")
    assert terminal.getvalue() == (
        "First.\n0:00:02 left\r\x1b[K0:00:01 left\r\x1b[KLast.\n"
    )  # fmt: skip


def test_the_line_that_is_rewritten_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    terminal = Terminal()
    Screen(terminal).live("0123456789abcdef")
    assert terminal.getvalue() == "012345678"


def shown_while_it_lives(stream: io.StringIO, portal: FakePortal, world: World) -> list[str]:
    agent = signed_in(world, portal)
    agent.run(_Display(agent, Screen(stream), ThreadInbox()).show)
    return stream.getvalue().replace("\r\x1b[K", "\n").splitlines()


def test_in_a_pipe_few_lines_tell_that_time_runs_out() -> None:
    world = World()
    portal = FakePortal(world, ttl=3600.0)
    assert shown_while_it_lives(io.StringIO(), portal, world) == ["5 min left.", "1 min left."]


def test_an_outage_is_two_lines_however_long_it_takes() -> None:
    world = World()
    portal = FakePortal(world, ttl=3600.0)
    world.at(world.boot + 1000.0, lambda: setattr(portal, "trouble", UNREACHABLE))
    world.at(world.boot + 3000.0, lambda: setattr(portal, "trouble", None))
    assert shown_while_it_lives(io.StringIO(), portal, world)[:2] == [
        "The portal cannot be reached, still working until 2026-11-24 13:00:00 UTC. "
        "(Nothing is listening at portal.example.)",
        "The portal is reached again.",
    ]


def test_on_a_terminal_every_second_is_shown_once() -> None:
    world = World()
    shown = shown_while_it_lives(Terminal(), FakePortal(world, ttl=70.0), world)
    seconds = [int(line[2:4]) * 60 + int(line[5:7]) for line in shown]
    assert len(seconds) >= 69
    assert seconds == list(range(seconds[0], seconds[0] - len(seconds), -1))


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    screen = Screen(terminal)
    screen.live("0:00:02 left")
    screen.line("Last.")
    assert terminal.getvalue() == "Last.\n"
