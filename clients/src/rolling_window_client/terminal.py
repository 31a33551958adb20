"""Talking to a person: lines, one line that is rewritten, questions with hidden answers."""

import contextlib
import getpass
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from .errors import WrongUse

MAX_INPUT = 65_536
"""Bytes that are read of a secret."""

_TERMINAL = "/dev/tty"


class Screen:
    """Where an agent tells what happens. On a terminal, `live` rewrites one line; else it is mute.

    What was printed before is never moved: the line is overwritten until a `line` takes its place.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    @property
    def is_live(self) -> bool:
        return self._live

    def line(self, text: str) -> None:
        """Prints a line for good."""
        self._write(f"{self._clear()}{printable(text)}\n")
        self._shown = ""

    def live(self, text: str) -> None:
        """Shows `text` in the line that is rewritten; nothing where there is none."""
        text = printable(text)[: max(shutil.get_terminal_size().columns - 1, 0)]
        if self._live and text != self._shown:
            self._write(self._clear() + text)
            self._shown = text

    def _clear(self) -> str:
        return "\r\x1b[K" if self._shown else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def forgiving_output() -> None:
    """Lets names in any script be printed, whatever the terminal's character set."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def printable(text: str) -> str:
    """`text` on one line, with nothing in it that moves a terminal's cursor or hides."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def can_ask() -> bool:
    """Whether there is a terminal to ask a person on."""
    if sys.platform == "win32":
        return sys.stdin.isatty()
    with contextlib.suppress(OSError), open(_TERMINAL, "rb", buffering=0):
        return True
    return False


def ask_hidden(prompt: str, whole: Callable[[str], bool] = bool) -> str:
    """What a person types or pastes, without showing it.

    Lines are read until `whole` is satisfied with all of them or one is empty, so that a key that
    mail has wrapped can be pasted as it is. Raises WrongUse where there is no terminal.
    """
    if not can_ask():
        raise WrongUse("There is no terminal to ask on: give it in a file or on standard input.")
    if sys.platform == "win32":
        return getpass.getpass(prompt)  # of a wrapped key this takes the first line only
    with open(_TERMINAL, "r+b", buffering=0) as terminal, _no_echo(terminal.fileno()):
        terminal.write(prompt.encode())
        try:
            return _lines(terminal, whole)
        finally:
            terminal.write(b"\n")


def read_secret_file(path: Path) -> str:
    """The text in a file, without the end of its line. Raises WrongUse."""
    try:
        with path.open("rb") as file:
            return decoded(file.read(MAX_INPUT + 1))
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}.") from None


def decoded(raw: bytes) -> str:
    """Text from a file or standard input. Raises WrongUse if it is too long, or not UTF-8."""
    if len(raw) > MAX_INPUT:
        raise WrongUse(f"What was given has more than {MAX_INPUT} bytes.")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise WrongUse("What was given is not text in UTF-8.") from None


def _lines(terminal: BinaryIO, whole: Callable[[str], bool]) -> str:
    text = ""
    while len(text) < MAX_INPUT:
        line = terminal.readline()
        text += line.decode("utf-8", "replace")
        if not line.strip() or whole(text):
            break
        terminal.write(b"\r\n(more, or an empty line) ")
    return text.rstrip("\r\n")


@contextlib.contextmanager
def _no_echo(terminal: int) -> Iterator[None]:
    """Nothing typed is shown; what was typed too much is thrown away at the end."""
    if sys.platform == "win32":
        raise OSError("Windows has no terminals of this kind")
    import termios  # noqa: PLC0415 - there is none on Windows

    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
