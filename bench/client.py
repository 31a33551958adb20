"""A portal that serves on loopback, and what it takes to ask it."""

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from itertools import cycle
from pathlib import Path
from urllib.parse import quote_plus

from bench.operations import PASSWORD, Operation

ROOT = Path(__file__).parent.parent
EMAIL = "admin@example.com"
PATIENCE = 60
CONNECTIONS = 16
SCRIPT = """
local asked, headers, expected = {%s}, {%s}, %d
local number, threads = 0, {}
wrong = 0
function setup(thread) table.insert(threads, thread) end
function request()
  number = number %% #asked + 1
  return wrk.format(%s, asked[number][1], headers, asked[number][2])
end
function response(status) if status ~= expected then wrong = wrong + 1 end end
function done(summary)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("wrong") end
  io.write(string.format("RESULT %%d %%d %%d\\n", summary.requests, summary.duration, all))
end
"""
"""For wrk: what is asked in turn, and whether each answer had the right status."""


@dataclass
class Server:
    """What serves: the product, or the floor. `headers` are those of who is signed in."""

    port: int
    process: subprocess.Popen[bytes]
    started_in: float
    """Seconds from the start to the first answer."""
    headers: dict[str, str]
    csrf_token: str = ""

    def ask(
        self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body or None, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return answer, answer.read()

    def megabytes_a_worker(self) -> float:
        """The proportional set size of a worker, on average."""
        workers = _children(self.process.pid)
        rollups = [Path(f"/proc/{worker}/smaps_rollup").read_text() for worker in workers]
        sizes = [int(found[1]) for text in rollups if (found := re.search(r"Pss:\s+(\d+)", text))]
        return sum(sizes) / len(sizes) / 1024


@contextmanager
def serving(command: list[str], environ: dict[str, str], ready: str) -> Iterator[Server]:
    """`command` on a free port of loopback, until the end of the block."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.format(port=port) for part in command]
    environ = os.environ | environ | {"PORTAL_BIND": f"127.0.0.1:{port}"}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
        try:
            _wait_for(port, ready, process, began)
            yield Server(port, process, time.monotonic() - began, {})
        except RuntimeError:
            log.seek(0)
            sys.stderr.write(log.read().decode())
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def sign_in(server: Server) -> None:
    """Sign in as the super admin: the session's cookie, and the token that its forms need."""
    cookies: dict[str, str] = {}
    answer, page = server.ask("GET", "/login")
    form = f"email={quote_plus(EMAIL)}&password={PASSWORD}&csrf_token={_token(page)}"
    sent = {"Content-Type": "application/x-www-form-urlencoded"}
    answer, _ = server.ask("POST", "/login", form, sent | {"Cookie": _kept(cookies, answer)})
    if answer.status != 303:
        raise RuntimeError(f"the sign-in was answered {answer.status}")
    server.headers = {"Cookie": _kept(cookies, answer)}
    answer, page = server.ask("GET", "/projects/1/license")
    server.headers = {"Cookie": _kept(cookies, answer)}
    server.csrf_token = _token(page)


def latencies(server: Server, operation: Operation, times: int) -> list[float]:
    """Milliseconds of `times` requests, one after another on one connection, sorted."""
    headers = _headers(server, operation)
    requests = list(operation.requests(server.csrf_token))
    if operation.once:
        times = min(times, len(requests))
    taken = []
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        for (path, body), _ in zip(cycle(requests), range(times), strict=False):
            began = time.perf_counter()
            connection.request(operation.method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            taken.append((time.perf_counter() - began) * 1000)
            if answer.status != operation.status:
                raise RuntimeError(f"{operation.name}: {path} was answered {answer.status}")
    return sorted(taken)


def throughput(server: Server, operation: Operation, seconds: float) -> float:
    """Requests a second at CONNECTIONS connections, by wrk."""
    requests = list(operation.requests(server.csrf_token))
    table = ", ".join(f"{{{json.dumps(path)}, {json.dumps(body)}}}" for path, body in requests)
    headers = ", ".join(
        f"[{json.dumps(name)}]={json.dumps(value)}"
        for name, value in _headers(server, operation).items()
    )
    script = SCRIPT % (table, headers, operation.status, json.dumps(operation.method))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        url = f"http://127.0.0.1:{server.port}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", file.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+)", done.stdout)
    if not found or found[3] != "0":
        raise RuntimeError(f"{operation.name}: some answers were wrong\n{done.stdout}")
    return int(found[1]) / (int(found[2]) / 1e6)


def size(server: Server, operation: Operation) -> int:
    """Bytes of an answer's body over the wire, compressed as browsers ask for it."""
    path, body = next(operation.requests(server.csrf_token))
    headers = _headers(server, operation) | {"Accept-Encoding": "gzip"}
    answer, content = server.ask(operation.method, path, body, headers)
    if answer.headers.get("Content-Encoding") == "gzip":
        gzip.decompress(content)
    return len(content)


def _headers(server: Server, operation: Operation) -> dict[str, str]:
    own = {"Host": f"127.0.0.1:{server.port}", **server.headers, **operation.headers}
    if operation.form:
        own["Content-Type"] = "application/x-www-form-urlencoded"
    if operation.headers.get("Authorization"):
        own.pop("Cookie", None)
    return own


def _wait_for(port: int, path: str, process: subprocess.Popen[bytes], began: float) -> None:
    while time.monotonic() < began + PATIENCE:
        if process.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request("GET", path)
                connection.getresponse().read()
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("the server does not answer")


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def _kept(cookies: dict[str, str], answer: HTTPResponse) -> str:
    """The header with the cookies so far and those that the answer sets."""
    for one in answer.headers.get_all("Set-Cookie") or []:
        name, _, value = one.split(";")[0].partition("=")
        cookies[name] = value
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _token(page: bytes) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.decode())
    if not found:
        raise RuntimeError("the page has no form")
    return found[1]
