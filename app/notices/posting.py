"""Sending one webhook: to the very address that was looked at, within ten seconds in all.

A name may lead elsewhere each time it is asked for (DNS rebinding), so it is asked for once, and
the connection goes to what was found; certificates are still checked for the name. Redirects are
not followed, and no proxy of the environment is used.
"""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import httpcore

from app.core.errors import InvalidInput
from app.core.version import VERSION
from app.notices.address_rules import Ip, Receiver, check_open, literal_ip
from app.notices.delivery_rules import Outcome, http_outcome

ALL_SECONDS = 10
MOST_READ = 64 * 1024
"""Of an answer: its status is all that counts, but who is cut short may think that it failed."""


class NameNotFound(OSError):
    """The DNS knows no address for a name, or not in time."""


def resolve(host: str, port: int, seconds: float = ALL_SECONDS) -> list[Ip]:
    """The addresses of `host`. Raises NameNotFound, also if the DNS takes longer than `seconds`."""
    if ip := literal_ip(host):
        return [ip]
    answers: SimpleQueue[list[Any]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            answers.put([])

    Thread(target=ask, daemon=True).start()  # the system's resolver takes no time limit
    try:
        found = answers.get(timeout=seconds)
    except Empty:
        found = []
    if not found:
        raise NameNotFound(host)
    return [ip_address(each[4][0].partition("%")[0]) for each in found]


def post(receiver: Receiver, *, body: bytes, headers: dict[str, str], private: bool) -> Outcome:
    """Post `body`; `private`: also to this machine and private networks."""
    until = monotonic() + ALL_SECONDS
    try:
        found = resolve(receiver.host, receiver.port)
        if not private:
            check_open(receiver.host, found)
        return http_outcome(_status(receiver, found, body, headers, until))
    except InvalidInput:
        return Outcome(False, "Its address leads to this machine or a private network")
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as e:
        return Outcome(False, _reason(e))


def _reason(error: Exception) -> str:
    """Why there is no answer, in our words: what receivers say goes into no page and no log."""
    if isinstance(error, NameNotFound):
        return "Its name was not found"
    if isinstance(error, httpcore.TimeoutException | TimeoutError):
        return f"No answer within {ALL_SECONDS} seconds"
    if isinstance(error, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
        return "Its certificate is not accepted, or it speaks no TLS"
    if isinstance(error, httpcore.ConnectError):
        return "It could not be reached"
    return "It hung up, or spoke no HTTP"


def _status(
    receiver: Receiver, found: list[Ip], body: bytes, headers: dict[str, str], until: float
) -> int:
    host = f"[{receiver.host}]" if ":" in receiver.host else receiver.host
    address = f"{receiver.scheme}://{host}:{receiver.port}{receiver.target}"
    sent = {
        "Content-Type": "application/json",
        "User-Agent": f"Rolling-Window/{VERSION}",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **headers,
    }
    # No limits of its own: `_Bounded` has the one that counts.
    with (
        httpcore.ConnectionPool(
            ssl_context=_tls(), network_backend=_Bounded(found, until), max_connections=1
        ) as pool,
        pool.stream("POST", address, headers=list(sent.items()), content=body) as answer,
    ):
        with suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            _read_some(answer.iter_stream())
        return answer.status


def _read_some(parts: Iterable[bytes]) -> None:
    read = 0
    for part in parts:
        read += len(part)
        if read > MOST_READ:
            return


@cache
def _tls() -> ssl.SSLContext:
    # The machine's own certificates: a company's receiver has one by the company.
    return ssl.create_default_context()


class _Bounded(httpcore.NetworkBackend):
    """Connects to what was `found`, whatever the name, and lets nothing go on after `until`."""

    def __init__(self, found: list[Ip], until: float) -> None:
        self._found, self._until = found, until
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = dict.fromkeys(map(str, self._found))
        for ip in others:
            with suppress(httpcore.ConnectError):
                return self._connect(ip, port)
        return self._connect(last, port)

    def _connect(self, ip: str, port: int) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(ip, port, timeout=_left(self._until))
        return _BoundedStream(stream, self._until)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._until))
        return _BoundedStream(stream, self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    """The seconds that are left. Raises ReadTimeout if there are none."""
    left = until - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left
