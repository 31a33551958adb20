"""What the start says about where the portal is, and addresses that it refuses to take."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from app.cli import server
from app.config import load_config

OPEN = "can be reached from other machines without encryption"


@pytest.mark.parametrize(
    ("settings", "address", "warned"),
    [
        ({}, "http://127.0.0.1:8000", False),
        ({"PUBLIC_URL": "https://p.example/x"}, "https://p.example/x", False),
        ({"HTTPS": "on"}, "https://YOUR-NAME", False),
        ({"HTTPS": "on", "HOSTS": "p.example:8443,q.example"}, "https://p.example:8443", False),
        ({"HTTPS": "on", "BIND": "0.0.0.0:80"}, "https://YOUR-NAME", False),
        ({"BIND": "0.0.0.0:80"}, "http://0.0.0.0:80", True),
        ({"BIND": "[::]:80"}, "http://[::]:80", True),
        ({"BIND": "0.0.0.0:80", "PUBLIC_URL": "http://p.lan"}, "http://p.lan", True),
        ({"BIND": "unix:/run/p.sock"}, "http://YOUR-NAME", False),
    ],
)
def test_the_start_says_where_people_reach_the_portal(
    capsys: pytest.CaptureFixture[str], settings: dict[str, str], address: str, warned: bool
) -> None:
    config = load_config({f"PORTAL_{name}": text for name, text in settings.items()})
    server._say_address(config)
    said = capsys.readouterr()
    assert said.out.startswith(
        f"Rolling Window serves on {address}/\nThe OP Agent in the browser: {address}/agent\n"
    )
    assert (f"It listens on {config.bind} for the proxy" in said.out) == (
        address != f"http://{config.bind}"
    )
    assert (OPEN in said.err) == warned


def refused(bind: str) -> bool:
    try:
        server._refuse_taken_address(load_config({"PORTAL_BIND": bind}))
    except SystemExit:
        return True
    return False


def test_a_unix_socket_in_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "portal.sock"
    assert not refused(f"unix:{path}")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        assert refused(f"unix:{path}")
        said = capsys.readouterr().err
        assert f"PORTAL_BIND: unix:{path} cannot be used (Address already in use)" in said
    # Left over by a portal that was stopped hard.
    assert not refused(f"unix:{path}")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "portal.sock"
    path.write_text("somebody's file")
    assert refused(f"unix:{path}")
    assert refused(f"unix:{tmp_path}/nowhere/portal.sock")
    assert path.read_text() == "somebody's file"
