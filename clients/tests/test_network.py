"""What the network can do: nobody there, TLS, proxies, redirects, addresses."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import DAY, NOW, Authority
from stub_portal import KEY, PARTNER, PASSWORD, StubPortal, problem

from rolling_window_client.api import Portal, SignIn, fetch
from rolling_window_client.errors import PortalUnreachable, SessionEnded, WrongUse
from rolling_window_client.machine import Machine
from rolling_window_client.transport import Transport

AS_PARTNER = SignIn(PARTNER, PASSWORD, KEY)
PATIENCE = 60.0
"""Seconds after which a test gives up."""


def test_nobody_there(machine: Machine) -> None:
    there = Portal(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PortalUnreachable, match=r"^Nothing is listening at 127\.0\.0\.1:\d+\.$"):
        there.sign_in(AS_PARTNER, machine)


def test_an_unknown_host_name(machine: Machine) -> None:
    there = Portal("https://portal.invalid")
    with pytest.raises(PortalUnreachable, match="not known"):
        there.sign_in(AS_PARTNER, machine)


@pytest.mark.parametrize(
    "bytes_sent",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much", b"SSH-2.0-OpenSSH_9.2\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\x00" * 70_000,
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500, b"HTTP/1.1 2 OK\r\nContent-Length: x\r\n\r\n"],
    ids=["nothing", "cut", "another protocol", "broken chunks", "zeros", "500 headers", "nonsense"],
)  # fmt: skip
def test_an_answer_that_breaks_off_or_is_no_http(bytes_sent: bytes) -> None:
    with (
        raw_server(lambda connection: connection.sendall(bytes_sent)) as port,
        pytest.raises(PortalUnreachable, match=r"^[A-Z0-9].*\.$"),
    ):
        Portal(f"http://127.0.0.1:{port}").session("a-token")


def test_a_server_that_hangs_is_given_up_in_time() -> None:
    given_up = threading.Event()
    with raw_server(lambda _: given_up.wait(PATIENCE)) as port:
        with pytest.raises(PortalUnreachable, match="in time"):
            fetch_within(port, 0.3)
        given_up.set()


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    given_up, to_the_end = threading.Event(), []

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        give_up_at = time.monotonic() + PATIENCE
        while not given_up.wait(0.1):
            connection.sendall(b"x")
            if time.monotonic() > give_up_at:
                to_the_end.append(True)
                return

    with raw_server(drip) as port:
        with pytest.raises(PortalUnreachable):
            fetch_within(port, 0.5)
        given_up.set()
    assert not to_the_end


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (1_048_576, False)])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    portal: StubPortal, size: int, fits: bool
) -> None:
    portal.documents["/x"] = b"x" * size
    calls = partial(
        Transport().send,
        "GET",
        f"{portal.address}/x",
        headers={},
        seconds=5.0,
        max_bytes=1000,
    )
    if fits:
        assert len(calls().body) == size
    else:
        with pytest.raises(PortalUnreachable, match="larger than 1000 bytes"):
            calls()


def test_a_kept_connection_that_was_closed_is_made_anew_for_a_heartbeat() -> None:
    served: list[int] = []

    def hang_up_at_first(connection: socket.socket) -> None:
        served.append(1)
        if len(served) % 2 == 0:
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_server(hang_up_at_first) as port:
        there = Portal(f"http://127.0.0.1:{port}")
        there.end_session("a-token")
        assert len(served) == 2
        with pytest.raises(PortalUnreachable):
            there.save_configuration("a-token", {})
        # Sent on the kept connection it may be lost before the server has seen it.
        assert len(served) in (2, 3), "what changes something is sent once"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(portal: StubPortal, machine: Machine, status: int) -> None:
    with StubPortal() as elsewhere:
        there = Portal(portal.address)
        grant = there.sign_in(AS_PARTNER, machine)
        location = {"Location": f"{elsewhere.address}/api/agent/v1/session"}
        portal.instead = lambda _: (status, location, b"")
        with pytest.raises(PortalUnreachable, match=r"redirect to .* not followed"):
            there.session(grant.token)
        with pytest.raises(PortalUnreachable, match="redirect"):
            there.sign_in(AS_PARTNER, machine)
        assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["", "//", "http://[", "javascript:x", "\x1b[2J", "/other"])
def test_a_redirect_to_nowhere_is_told_too(portal: StubPortal, location: str) -> None:
    portal.instead = lambda _: (302, {"Location": location}, b"")
    with pytest.raises(PortalUnreachable, match="redirect") as raised:
        Portal(portal.address).session("a-token")
    assert str(raised.value).isprintable()


# TLS


@pytest.fixture
def safe_portal(authority: Authority) -> Iterator[StubPortal]:
    with StubPortal(tls=authority.server("localhost")) as stub:
        yield stub


def test_a_private_authority(
    safe_portal: StubPortal, machine: Machine, authority: Authority
) -> None:
    there = Portal(safe_portal.address, ca_file=authority.file)
    assert there.sign_in(AS_PARTNER, machine).token in safe_portal.sessions


def test_an_authority_that_is_not_known(safe_portal: StubPortal, machine: Machine) -> None:
    with pytest.raises(
        PortalUnreachable, match=r"certificate of localhost:\d+ is from an authority"
    ):
        Portal(safe_portal.address).sign_in(AS_PARTNER, machine)
    assert safe_portal.asked == []


def test_a_certificate_of_another_host(machine: Machine, authority: Authority) -> None:
    with (
        StubPortal(tls=authority.server("other.example")) as stub,
        pytest.raises(PortalUnreachable, match="is for another host name"),
    ):
        Portal(stub.address, ca_file=authority.file).sign_in(AS_PARTNER, machine)


def test_an_expired_certificate(machine: Machine, authority: Authority) -> None:
    with (
        StubPortal(tls=authority.server("localhost", until=NOW - DAY)) as stub,
        pytest.raises(PortalUnreachable, match="has expired"),
    ):
        Portal(stub.address, ca_file=authority.file).sign_in(AS_PARTNER, machine)


def test_a_server_that_speaks_no_tls(portal: StubPortal, machine: Machine) -> None:
    with pytest.raises(PortalUnreachable, match="does not speak TLS"):
        Portal(f"https://127.0.0.1:{portal.port}").sign_in(AS_PARTNER, machine)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(WrongUse, match="PEM"):
        Portal("https://portal.example", ca_file=file)


# Addresses


@pytest.mark.parametrize(
    "address",
    ["", "portal.example", "ftp://portal.example", "https://", "https://a:99999", "https://a:b",
     "https://user:secret@portal.example", "https://portal.example/?q", "https://portal.example/#f",
     "http://portal.example", "http://192.0.2.1", "https://[::1", "http://127.0.0.1.evil.example"],
)  # fmt: skip
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(WrongUse) as raised:
        Portal(address)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    ["https://portal.example", "https://portal.example/below/", "http://localhost:8000",
     "http://127.0.0.1:8000", "http://[::1]:8000"],
)  # fmt: skip
def test_addresses_that_are_taken(address: str) -> None:
    assert not Portal(address).address.endswith("/")


def test_plain_http_to_others_only_when_asked_for() -> None:
    Portal("http://portal.example", plain_http=True)


def test_a_portal_below_a_path(portal: StubPortal) -> None:
    portal.instead = lambda _: problem(401, "session_ended")
    with pytest.raises(SessionEnded):
        Portal(f"{portal.address}/below/").session("a-token")
    assert portal.asked[0].path == "/below/api/agent/v1/session"


# Proxies


class Proxy(BaseHTTPRequestHandler):
    """Passes requests and tunnels on, and notes who asked for what."""

    passed: ClassVar[list[tuple[str, str, str | None]]]
    address = ""
    refuses = False

    def do_GET(self) -> None:
        self.note()
        with closing(socket.create_connection(("127.0.0.1", self.target()))) as there:
            path = "/" + self.path.split("/", 3)[3]
            there.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while received := there.recv(65_536):
                self.wfile.write(received)

    def do_CONNECT(self) -> None:
        self.note()
        if self.refuses:
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        with closing(socket.create_connection(("127.0.0.1", self.target()))) as there:
            back = threading.Thread(target=pipe, args=(there, self.connection), daemon=True)
            back.start()
            pipe(self.connection, there)

    def target(self) -> int:
        return int(self.path.removeprefix("http://").split("/")[0].rpartition(":")[2])

    def note(self) -> None:
        self.passed.append((self.command, self.path, self.headers.get("Proxy-Authorization")))

    def log_message(self, *_: object) -> None:
        """Silent."""


def pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while received := source.recv(65_536):
            target.sendall(received)
    except OSError:
        pass
    finally:
        target.close()


@pytest.fixture
def proxy() -> Iterator[type[Proxy]]:
    class OwnProxy(Proxy):
        passed: ClassVar[list[tuple[str, str, str | None]]] = []

    server = HTTPServer(("127.0.0.1", 0), OwnProxy)
    OwnProxy.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield OwnProxy
    server.shutdown()
    server.server_close()


def test_a_proxy_that_is_given(
    proxy: type[Proxy], safe_portal: StubPortal, machine: Machine, authority: Authority
) -> None:
    there = Portal(safe_portal.address, ca_file=authority.file, proxy=proxy.address)
    there.sign_in(AS_PARTNER, machine)
    assert proxy.passed == [("CONNECT", f"localhost:{safe_portal.port}", None)]


def test_a_proxy_of_the_environment_with_a_password(
    proxy: type[Proxy], monkeypatch: pytest.MonkeyPatch, portal: StubPortal
) -> None:
    portal.documents["/x"] = b"here"
    monkeypatch.setenv("http_proxy", proxy.address.replace("//", "//me:p%40ss@"))
    there = Transport(plain_http=True)
    assert fetch(there, f"http://portal.example:{portal.port}/x") == b"here"
    assert proxy.passed[0][2] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_proxies_of_the_environment_never_hold_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, portal: StubPortal, machine: Machine, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    Portal(portal.address).sign_in(AS_PARTNER, machine)


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PortalUnreachable, match="proxy"):
        Portal("https://portal.invalid").session("a-token")
    monkeypatch.setenv("no_proxy", "portal.invalid")
    with pytest.raises(PortalUnreachable, match="not known"):
        Portal("https://portal.invalid").session("a-token")


def test_a_proxy_that_is_not_there(machine: Machine) -> None:
    there = Portal("https://portal.example", proxy=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PortalUnreachable, match=r"proxy .* cannot be reached"):
        there.sign_in(AS_PARTNER, machine)


def test_a_proxy_that_refuses(proxy: type[Proxy], machine: Machine) -> None:
    proxy.refuses = True
    there = Portal("https://portal.example", proxy=proxy.address)
    with pytest.raises(PortalUnreachable, match=r"does not let requests through .*\(status 403\)"):
        there.sign_in(AS_PARTNER, machine)


@pytest.mark.parametrize("given", ["socks5://127.0.0.1:1080", "http://", "http://a:b"])
def test_a_proxy_that_cannot_be_used(given: str) -> None:
    with pytest.raises(WrongUse, match="proxy"):
        Portal("https://portal.example", proxy=given)


# Helpers


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def fetch_within(port: int, seconds: float) -> None:
    Transport().send(
        "POST", f"http://127.0.0.1:{port}/", headers={}, seconds=seconds, max_bytes=1000
    )


class raw_server:  # noqa: N801 - reads as a function
    """Accepts connections, and does with each what it is told, once the request has begun."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with closing(connection):
            try:
                connection.recv(65_536)
                self._serve(connection)
            except OSError:
                pass
