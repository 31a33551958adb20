"""A real portal in processes of its own, on a real port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from app.config import ROOT

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "correct horse battery"
SETTINGS = {
    "PORTAL_ADMIN_EMAIL": ADMIN_EMAIL,
    "PORTAL_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "PORTAL_HEARTBEAT_SECONDS": "1",
    "PORTAL_WORKERS": "1",
    "PORTAL_SECOND_FACTOR": "off",
}
PATIENCE = 60
"""Seconds that anything may take before it is held for broken."""
FLASK = [sys.executable, "-m", "flask", "--app", "wsgi"]


@dataclass(frozen=True)
class Server:
    """What serves: `process` leads the workers."""

    url: str
    port: int
    environ: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def served_portal(folder: Path, *, cwd: Path = ROOT, **settings: str) -> Iterator[Server]:
    """`flask serve` with its instance in `folder`, until the end of the block."""
    port = free_port()
    environ = SETTINGS | {
        "PORTAL_INSTANCE": str(folder),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PYTHONPATH": str(ROOT),
    }
    environ |= settings
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*FLASK, "serve"],
            cwd=cwd,
            env=os.environ | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for_answer(f"{url}/login", process, log)
        environ.pop("PYTHONPATH")
        yield Server(url, port, environ, process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            with urlopen(url, timeout=PATIENCE):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    process.kill()
    pytest.fail(f"The portal did not start:\n{log.read_text()}")
