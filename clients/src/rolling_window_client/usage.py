"""What the commands share of their command lines."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from .errors import WrongUse
from .terminal import printable
from .transport import Transport
from .version import __version__

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130
_STATUSES = {
    FAILED: "failed: something unexpected",
    WRONG_USE: "used wrongly",
    INTERRUPTED: "interrupted",
}

_REPEATED = re.compile(
    r"(unrecognized arguments|invalid choice|invalid \w+ value|ignored explicit argument).*", re.S
)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints do not repeat what was given: it may be a key or a password."""

    def __init__(self, **settings: Any) -> None:
        settings |= {
            "allow_abbrev": False,
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        sentence = _REPEATED.sub(
            r"\1. It is not repeated here: keys and passwords never go on the command line", message
        )
        self.exit(WRONG_USE, f"{self.prog}: {sentence}.\n")


def add_version(parser: argparse.ArgumentParser) -> None:
    """--version."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """--keys, for a check without the portal."""
    parser.add_argument(
        "--keys",
        required=True,
        metavar="FILE_OR_URL",
        help="the public keys: the portal's /.well-known/license-keys.json",
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """Options about the network."""
    parser.add_argument(
        "--ca-file",
        type=Path,
        metavar="PEM",
        help="the authorities to trust, instead of the system's",
    )
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help="HTTP proxy, http://host:port; else HTTPS_PROXY, HTTP_PROXY, NO_PROXY hold",
    )
    parser.add_argument(
        "--plain-http", action="store_true", help="allow http:// to other machines than this"
    )


def proxy_of(arguments: argparse.Namespace) -> str | None:
    """The proxy asked for. Raises WrongUse if its password is on the command line."""
    proxy: str | None = arguments.proxy
    if proxy is not None and "@" in proxy:
        raise WrongUse(
            "Others on this machine can read the command line: give a proxy that has a password in "
            "the environment, as HTTPS_PROXY or HTTP_PROXY."
        )
    return proxy


def transport_of(arguments: argparse.Namespace) -> Transport:
    """What asks the network as the options say. Raises WrongUse."""
    return Transport(
        ca_file=arguments.ca_file, proxy=proxy_of(arguments), plain_http=arguments.plain_http
    )


def guarded(program: str, work: Callable[[], int]) -> int:
    """The exit status of `work`, its errors told in a sentence on standard error.

    An error that nobody thought of is told by its name alone: its text could hold a secret.
    """
    try:
        status = work()
        sys.stdout.flush()
    except WrongUse as error:
        return _told(program, str(error), WRONG_USE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody listens any more
        return FAILED
    except KeyboardInterrupt:
        return _told(program, "interrupted.", INTERRUPTED)
    except Exception as error:  # a person is told a sentence, never a stack trace
        return _told(program, f"failed unexpectedly ({type(error).__name__}).", FAILED)
    return status


def _told(program: str, sentence: str, status: int) -> int:
    print(f"{program}: {printable(sentence)}", file=sys.stderr)
    return status


def table(statuses: Mapping[int, str]) -> str:
    """Exit statuses, with those that every command has, for the end of --help."""
    rows = sorted((_STATUSES | dict(statuses)).items())
    return "exit status:\n" + "\n".join(f"  {status:>3}  {words}" for status, words in rows)
