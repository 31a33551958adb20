"""The server as a whole, in its own processes, under rough treatment."""

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import missing
from tests.portal_process import PATIENCE, Server, served_portal
from tests.postgres import restart_postgres, start_postgres

KEYS = "/.well-known/license-keys.json"
"""An address that needs the database, and nobody signed in."""


def status_of(server: Server, path: str = KEYS, host: str = "127.0.0.1") -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path, headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


def wait_until(condition: Callable[[], bool]) -> None:
    """A connection that a worker leaves behind as it goes does not count."""
    give_up_at = time.monotonic() + PATIENCE
    while not _holds(condition):
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.05)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except ConnectionError:
        return False


def test_slow_senders_keep_nobody_waiting_and_are_hung_up_on(tmp_path: Path) -> None:
    """The attacker opens forty connections, sends half of a request on each, and then a byte
    now and then, or nothing."""
    parts = [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nemail=",
    ]
    with served_portal(tmp_path) as server, ExitStack() as connections:
        slow = []
        for number in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            connections.enter_context(connection)
            connection.sendall(parts[number % 2])
            connection.setblocking(False)
            slow.append(connection)
        for path in ("/login", KEYS, "/healthz"):
            assert status_of(server, path) == 200
        assert not any(is_closed(connection) for connection in slow)
        wait_until(lambda: sum(not is_closed(each, drip=b"x") for each in slow[:20]) == 0)
        wait_until(lambda: all(is_closed(each) for each in slow))
        assert status_of(server) == 200


def test_who_only_reads_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    """Another program holds the database for long, and forty want to write; agents ask all the
    same whether their sessions live."""
    body = b'{"registration_key": "none"}'
    inspection = (
        b"POST /api/agent/v1/keys/inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    settings = {"PORTAL_DATABASE_WAIT_SECONDS": "600", "PORTAL_THREADS": "1"}
    with served_portal(tmp_path, **settings) as server, ExitStack() as connections:
        other = connections.enter_context(
            closing(sqlite3.connect(tmp_path / "portal.db", isolation_level=None))
        )
        other.execute("BEGIN IMMEDIATE")
        waiting = []
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            connections.enter_context(connection)
            connection.sendall(inspection)
            waiting.append(connection)
        for _ in range(3):
            assert status_of(server, "/api/agent/v1/session") == 401
            assert status_of(server, "/login") == 200
            assert status_of(server) == 200
        other.execute("ROLLBACK")
        answers = [connection.makefile("rb").readline().split()[1] for connection in waiting]
    assert set(answers) <= {b"200", b"503"}
    assert b"200" in answers


def is_closed(connection: socket.socket, drip: bytes = b"") -> bool:
    try:
        connection.send(drip)
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not in pytest's own temporary folder, which others clean up."""
    with TemporaryDirectory(prefix="portal-") as name:
        yield Path(name)


@pytest.mark.postgres
def test_postgresql_may_be_restarted_and_may_freeze(folder: Path, tmp_path: Path) -> None:
    """Restarted while nobody asks, it is noticed before the first query; frozen, within seconds."""
    with ExitStack() as first:
        address = first.enter_context(start_postgres(folder))
        if address is None:
            missing("PostgreSQL", "apt-get install postgresql")
        settings = {"PORTAL_DATABASE_URL": address, "PORTAL_WORKERS": "2"}
        server = first.enter_context(served_portal(tmp_path, **settings))
        assert [status_of(server) for _ in range(20)] == [200] * 20
        restart(folder)
        assert [status_of(server) for _ in range(20)] == [200] * 20
        frozen = processes_of(folder)
        assert len(frozen) > 1
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        try:
            assert status_of(server) == 503
            assert status_of(server, "/api/docs") == 200
        finally:
            for process in frozen:
                os.kill(process, signal.SIGCONT)
        wait_until(lambda: status_of(server) == 200)


def restart(folder: Path) -> None:
    before = processes_of(folder)[0]
    restart_postgres(folder)
    assert processes_of(folder)[0] != before


def processes_of(folder: Path) -> list[int]:
    """The server's processes, the one that leads first."""
    leader = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    return [leader, *map(int, children)]


def test_a_reload_takes_new_code(tmp_path: Path) -> None:
    """The workers begin with what the process that leads them has loaded; a reload must not."""
    made = "from app import create_app\n\napp = create_app()\n"
    code = made + "app.add_url_rule('/{0}', '{0}', str)\n"
    module = tmp_path / "wsgi.py"
    module.write_text(code.format("old"))
    with served_portal(tmp_path, cwd=tmp_path) as server:
        assert (status_of(server, "/old"), status_of(server, "/new")) == (403, 404)
        module.write_text(code.format("newer"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status_of(server, "/newer") == 403)
        wait_until(lambda: status_of(server, "/old") == 404)


def test_a_reload_loses_no_request(tmp_path: Path) -> None:
    """Six clients connect, think for a moment, and ask, while the workers are replaced."""
    lost: list[str] = []
    over = threading.Event()

    def ask(server: Server) -> None:
        while not over.is_set():
            try:
                connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
                connection.connect()
                over.wait(0.02)
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                connection.close()
            except (HTTPException, OSError) as error:
                lost.append(repr(error))

    with served_portal(tmp_path, PORTAL_WORKERS="2") as server:
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(6)]
        for client in clients:
            client.start()
        try:
            for _ in range(2):
                before = workers_of(server)
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda before=before: not before & workers_of(server))
        finally:
            over.set()
            for client in clients:
                client.join()
    assert lost == []


def workers_of(server: Server) -> set[int]:
    """The processes that answer: those that began as copies of the one that leads."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    leader = Path(f"/proc/{pid}/cmdline").read_bytes()
    found = set()
    for child in children:
        with suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_bytes() == leader:
                found.add(int(child))
    return found


def test_a_reload_takes_new_settings(tmp_path: Path) -> None:
    """SIGHUP reads .env anew; what is wrong in it leaves the old settings in force."""
    settings = tmp_path / ".env"
    settings.write_text("PORTAL_HOSTS=127.0.0.1,old.example\n")
    with served_portal(tmp_path, cwd=tmp_path) as server:
        assert status_of(server, "/login", "old.example") == 200
        assert status_of(server, "/login", "new.example") == 421
        settings.write_text("PORTAL_HOSTS=127.0.0.1,new.example\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status_of(server, "/login", "new.example") == 200)
        wait_until(lambda: status_of(server, "/login", "old.example") == 421)
        settings.write_text("PORTAL_HOSTZ=x\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "PORTAL_HOSTZ: there is no such setting" in server.log.read_text())
        assert status_of(server, "/login", "new.example") == 200
