"""`op-agent`: an OP Agent on the command line."""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from .api import Portal, SignIn
from .background import ThreadInbox
from .errors import ClientError, PortalUnreachable, Refused, WrongUse
from .keys import looks_whole
from .machine import Machine, this_machine
from .pasted import clean_key
from .session import Agent, Ended, Status, open_session
from .terminal import (
    MAX_INPUT,
    Screen,
    ask_hidden,
    can_ask,
    decoded,
    forgiving_output,
    printable,
    read_secret_file,
)
from .usage import Parser, add_network, add_version, guarded, proxy_of, table
from .words import countdown, instant, length

REFUSED = 6
UNREACHABLE = 7
SESSION_ENDED = 5

STATUS_OF_END = {
    "signed_out": 0,
    "key_expired": 3,
    "key_revoked": 4,
    "license_revoked": 4,
    "session_ended": SESSION_ENDED,
    "agent_blocked": 8,
    "subscription_expired": 9,
}

_STATUSES = {
    0: "signed out by the user (Ctrl+C, SIGTERM or SIGHUP)",
    1: "failed: the output cannot be written any more, or something unexpected",
    3: "the license key expired",
    4: "the license key, or the machine's license, was revoked",
    5: "the session was ended in the portal",
    6: "the portal refused the sign-in",
    7: "the portal could not be reached to sign in",
    8: "the agent was blocked (detached in the portal)",
    9: "the organisation's subscription ended",
    130: "interrupted before it was signed in",
}

_WARN_AT = (300, 60)
"""Seconds before the end at which a line is printed where no live line shows the time left."""

_CLOCK_IS_OFF = 60
"""Seconds by which two clocks may differ before it is worth a line."""


def main(argv: list[str] | None = None) -> int:
    """The command. Gives its exit status."""
    forgiving_output()
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    with _on_signals(_interrupt):
        return guarded("op-agent", lambda: run(arguments))


def _parser() -> Parser:
    parser = Parser(prog="op-agent", description=__doc__, epilog=table(_STATUSES))
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_sign_in(commands.add_parser("sign-in", help="sign in, and stay until the session ends"))
    machine = commands.add_parser("machine", help="show what a portal is told of this machine")
    _add_machine(machine)
    machine.set_defaults(run=_show_machine)
    return parser


def _add_sign_in(parser: argparse.ArgumentParser) -> None:
    parser.epilog = table(_STATUSES)
    parser.description = (
        "The password is asked for, unless a file or standard input gives it; so is the key of\n"
        "a partner or developer. With both on standard input, the first line is the password."
    )
    parser.set_defaults(run=_sign_in)
    parser.add_argument("--portal", required=True, metavar="URL", help="the portal's address")
    parser.add_argument("--login-id", required=True, metavar="EMAIL")
    password = parser.add_mutually_exclusive_group()
    password.add_argument("--password-file", type=Path, metavar="FILE")
    password.add_argument("--password-stdin", action="store_true")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--ask-key", action="store_true", help="ask for the registration key at once")
    key.add_argument("--key-stdin", action="store_true", help="the registration key is on stdin")
    _add_machine(parser)
    parser.add_argument(
        "--save-configuration", action="store_true", help="save configuration data in the cloud"
    )
    parser.add_argument(
        "--configuration",
        type=Path,
        metavar="FILE",
        help="with --save-configuration: a JSON object to save once signed in",
    )
    parser.add_argument(
        "--license-file",
        type=Path,
        metavar="FILE",
        help="where to keep the license if this sign-in registers the machine",
    )
    add_network(parser)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mac-id", metavar="MAC", help="instead of the one that is found")
    parser.add_argument("--machine-id", metavar="ID", help="instead of the operating system's")


def _show_machine(arguments: argparse.Namespace) -> int:
    machine = this_machine(arguments.mac_id, arguments.machine_id)
    print(f"MAC ID:     {machine.mac_id} ({machine.mac_id_from})")
    print(f"Machine ID: {machine.machine_id or 'none'}")
    print(f"Host name:  {printable(machine.host_name or 'none')}")
    return 0


def _sign_in(arguments: argparse.Namespace) -> int:
    screen = Screen(sys.stdout)
    portal = Portal(
        arguments.portal,
        ca_file=arguments.ca_file,
        proxy=proxy_of(arguments),
        plain_http=arguments.plain_http,
    )
    machine = this_machine(arguments.mac_id, arguments.machine_id)
    configuration = _configuration(arguments)
    password, key = _secrets(arguments)
    wanted = SignIn(arguments.login_id, password, key, arguments.save_configuration)
    try:
        agent = _open(portal, wanted, machine, screen)
    except Refused as refusal:
        return _not_signed_in(screen, _refusal(refusal), REFUSED)
    except PortalUnreachable as trouble:
        return _not_signed_in(screen, str(trouble), UNREACHABLE)
    try:
        return _stay(agent, screen, _after_sign_in(agent, arguments, configuration))
    except BaseException:
        agent.sign_out()
        raise


def _open(portal: Portal, wanted: SignIn, machine: Machine, screen: Screen) -> Agent:
    """Signs in; asks for a key if it turns out that one is needed, and there is somebody to ask."""
    screen.live("Checking login status...")
    try:
        return open_session(portal, wanted, machine)
    except Refused as refusal:
        if refusal.code != "temporary_key_required" or wanted.registration_key or not can_ask():
            raise
        screen.line(str(refusal))
        key = _ask_key()
        if key is None:
            raise
    screen.live("Checking login status...")
    return open_session(portal, replace(wanted, registration_key=key), machine)


def _stay(agent: Agent, screen: Screen, notes: ThreadInbox[str]) -> int:
    """Stays signed in until the end; says why it came, and tells the portal."""
    display = _Display(agent, screen, notes)
    with _on_signals(agent.stop):
        for line in _welcome(agent):
            screen.line(line)
        ended = agent.run(display.show)
    screen.line(_farewell(ended))
    try:
        told = agent.confirm()
    except KeyboardInterrupt:  # asked twice: do not wait for the portal
        told = False
    if not told:
        screen.line("The portal could not be told; it ends the session by itself.")
    return STATUS_OF_END.get(ended.code, SESSION_ENDED)


def _not_signed_in(screen: Screen, sentence: str, status: int) -> int:
    screen.live("")
    print(f"op-agent: not signed in: {printable(sentence)}", file=sys.stderr)
    return status


# What is said


def _welcome(agent: Agent) -> Iterator[str]:
    organisation, user, license_ = agent.organisation, agent.user, agent.license
    yield (
        f"Signed in to {organisation.name} ({organisation.organisation_id}) "
        f"as {user.login_id} ({user.role})."
    )
    seconds_left = agent.status.seconds_left
    if license_.expires_at is None or seconds_left is None:
        yield f"Permanent license {license_.key_id}."
    else:
        until = instant(license_.expires_at)
        yield f"Temporary license key {license_.key_id}: {length(seconds_left)}, until {until}."
    if agent.license_key is not None:
        yield f"This machine is now registered with {organisation.name}."
    ahead = agent.portal_clock_ahead or 0.0
    if abs(ahead) >= _CLOCK_IS_OFF:
        how = "behind" if ahead > 0 else "ahead of"
        yield f"The clock of this machine is {length(abs(ahead))} {how} the portal's."
    yield "Ctrl+C signs out."


def _farewell(ended: Ended) -> str:
    return ended.sentence if ended.code == "signed_out" else f"{ended.sentence} Signed out."


def _refusal(refusal: Refused) -> str:
    wait = refusal.retry_after
    again = "" if wait is None else f" Try again in {length(wait)}."
    return f"{refusal}{again} ({refusal.code})"


class _Display:
    """Shows a session as it goes on: the time left, and what changes."""

    def __init__(self, agent: Agent, screen: Screen, notes: ThreadInbox[str]) -> None:
        self._agent = agent
        self._screen = screen
        self._notes = notes
        self._had_trouble = False
        self._left_before: float | None = None

    def show(self, status: Status) -> None:
        while (note := self._notes.wait(0)) is not None:
            self._screen.line(note)
        if (status.trouble is not None) != self._had_trouble:
            self._screen.line(self._change(status))
            self._had_trouble = status.trouble is not None
        self._warn(status.seconds_left)
        self._screen.live(self._live_line(status))

    def _change(self, status: Status) -> str:
        if status.trouble is None:
            return "The portal is reached again."
        expires_at = self._agent.license.expires_at
        until = "" if expires_at is None else f" until {instant(expires_at)}"
        return f"The portal cannot be reached, still working{until}. ({status.trouble})"

    def _live_line(self, status: Status) -> str:
        trouble = "" if status.trouble is None else "; the portal cannot be reached, still working"
        if status.seconds_left is None:
            return f"Signed in{trouble}"
        return f"{countdown(status.seconds_left)} left{trouble}"

    def _warn(self, left: float | None) -> None:
        before, self._left_before = self._left_before, left
        if self._screen.is_live or left is None or before is None:
            return
        for mark in _WARN_AT:
            if left <= mark < before:
                self._screen.line(f"{length(mark)} left.")


# What is asked, read and kept


def _secrets(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """The password, and the registration key if one was given. Raises WrongUse."""
    given = _standard_input() if arguments.password_stdin or arguments.key_stdin else ""
    key = given if arguments.key_stdin else None
    if arguments.password_stdin:
        password, _, rest = given.partition("\n")
        password, key = password.rstrip("\r"), rest if arguments.key_stdin else None
    elif arguments.password_file is not None:
        password = read_secret_file(arguments.password_file)
    else:
        password = ask_hidden("Password: ")
    if not password:
        raise WrongUse("No password was given.")
    if arguments.ask_key:
        return password, _ask_key()
    if arguments.key_stdin and not clean_key(key or ""):
        raise WrongUse("There is no registration key on standard input.")
    return password, clean_key(key) if key else None


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise WrongUse("Standard input is the terminal, where it would show: leave the option out.")
    return decoded(sys.stdin.buffer.read(MAX_INPUT + 1))


def _ask_key() -> str | None:
    return clean_key(ask_hidden("Registration key: ", looks_whole)) or None


def _configuration(arguments: argparse.Namespace) -> dict[str, object] | None:
    """The object in the file of --configuration. Raises WrongUse."""
    file: Path | None = arguments.configuration
    if file is None:
        return None
    if not arguments.save_configuration:
        raise WrongUse("--configuration needs --save-configuration.")
    try:
        value = json.loads(read_secret_file(file))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise WrongUse(f"{file} does not hold a JSON object.")
    return value


def _after_sign_in(
    agent: Agent, arguments: argparse.Namespace, configuration: dict[str, object] | None
) -> ThreadInbox[str]:
    """What is done once signed in, none of which may delay the end. Its outcome, in sentences."""
    notes: ThreadInbox[str] = ThreadInbox()
    if arguments.save_configuration and not agent.can_save_configuration:
        notes.put("The configuration is not saved: this license only allows reading it.")
    elif configuration is not None:
        notes.start(lambda: _save(agent, configuration))
    if arguments.license_file is not None and agent.license_key is not None:
        notes.put(_kept(agent.license_key, arguments.license_file))
    return notes


def _save(agent: Agent, configuration: dict[str, object]) -> str:
    try:
        agent.save_configuration(configuration)
    except ClientError as error:
        return f"The configuration is not saved. {error}"
    return "The configuration is saved."


def _kept(license_key: str, file: Path) -> str:
    """Writes the license where only its owner reads it, in the place of an older one."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
            new.write(f"{license_key}\n")
        Path(new.name).replace(file)
    except OSError as error:
        return f"The license could not be kept in {file}: {error.strerror}."
    return f"The license is kept in {file}."


# Signals


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Calls `act` where a signal asks for the end; those that are ignored stay so (nohup)."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda *_: act())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
