"""A portal that is none: the agents' interface over HTTP, as agreed, with a few users and one key.

Run by itself it serves until it is stopped: `python stub_portal.py --port 8765 --ttl 10`.
"""

import argparse
import contextlib
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from signing import permanent_license, temporary_key

PASSWORD = "correct horse battery"
KEY = temporary_key()
PARTNER = "partner@example.com"
CLIENT = "client@example.com"
ORGANISATION = {"organisation_id": "ORG-000123", "name": "Acme Ltd"}
LICENSE_KEY = permanent_license()
KNOWN_MEMBERS = {
    "login_id", "password", "mac_id", "registration_key", "hostname", "agent_version",
    "save_configuration", "machine_id",
}  # fmt: skip

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Session:
    login_id: str
    kind: str
    ends_at: float | None
    ended: str | None = None
    confirmed_at: float | None = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """As a server does that ends: nothing stays open."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


@dataclass
class StubPortal:
    """`instead`, if set, answers in the place of everything; return None to answer as usual."""

    ttl: float = 3600.0
    heartbeat_seconds: float = 5.0
    tls: ssl.SSLContext | None = None
    port: int = 0
    instead: Callable[[Asked], Answer | None] | None = None
    asked: list[Asked] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    configuration: object = None
    registered: bool = True
    date: str | None = None
    clock_ahead: float = 0.0
    _server: _Server | None = None

    @property
    def address(self) -> str:
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    def start(self) -> "StubPortal":
        server = _Server(("127.0.0.1", self.port), _handler(self))
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def __enter__(self) -> "StubPortal":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def end_all(self, code: str) -> None:
        for session in self.sessions.values():
            session.ended = session.ended or code

    def end_in(self, seconds: float) -> None:
        """Every temporary key has so many seconds left from now on."""
        for session in self.sessions.values():
            session.ends_at = time.time() + seconds

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if self.instead is not None and (answer := self.instead(asked)) is not None:
            return answer
        if asked.path in self.documents:
            return 200, {"Content-Type": "application/json"}, self.documents[asked.path]
        call = (asked.method, asked.path.removeprefix("/api/agent/v1"))
        if call == ("POST", "/sessions"):
            return self._sign_in(json.loads(asked.body))
        session = self.sessions.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if call == ("DELETE", "/session"):
            return self._end(session)
        if session is None or self._ended(session) is not None:
            return problem(401, self._ended(session) if session else "session_ended")
        return self._in_session(call, session, asked.body)

    def _in_session(self, call: tuple[str, str], session: Session, body: bytes) -> Answer:
        if call == ("GET", "/session"):
            return ok(self._state(session))
        if call == ("GET", "/configuration"):
            return ok(self.configuration or {})
        if call == ("PUT", "/configuration") and session.kind == "permanent":
            self.configuration = json.loads(body)
            return 204, {}, b""
        return problem(403, "configuration_read_only")

    def _sign_in(self, sent: dict[str, object]) -> Answer:
        if (
            not sent.keys() <= KNOWN_MEMBERS
            or not {"login_id", "password", "mac_id"} <= sent.keys()
        ):
            return problem(422, "invalid_request")
        login_id, key = str(sent["login_id"]), sent.get("registration_key")
        if sent["password"] != PASSWORD or login_id not in {PARTNER, CLIENT}:
            return problem(401, "invalid_credentials", "The e-mail or the password is wrong.")
        if login_id == CLIENT and key is not None:
            return problem(403, "temporary_key_not_for_clients")
        if login_id == PARTNER and key is None:
            return problem(403, "temporary_key_required", "A temporary license key is needed.")
        if login_id == PARTNER and key != KEY:
            return problem(403, "key_invalid", "This is not a license key that was made here.")
        token = secrets.token_urlsafe(32)
        ends_at = time.time() + self.ttl if login_id == PARTNER else None
        session = Session(login_id, "temporary" if ends_at else "permanent", ends_at)
        self.sessions[token] = session
        answer = self._state(session) | {"session_token": token}
        if session.kind == "permanent" and not self.registered:
            self.registered = True
            answer["license_key"] = LICENSE_KEY
        return ok(answer, status=201)

    def _state(self, session: Session) -> dict[str, object]:
        left = None if session.ends_at is None else session.ends_at - time.time()
        until = None
        if session.ends_at is not None:
            instant = datetime.fromtimestamp(session.ends_at + self.clock_ahead, UTC)
            until = instant.isoformat().replace("+00:00", "Z")
        role = "partner" if session.kind == "temporary" else "client"
        return {
            "organisation": ORGANISATION,
            "user": {"login_id": session.login_id, "role": role},
            "license": {"kind": session.kind, "key_id": "K7QF-3MXP", "expires_at": until},
            "expires_in": left,
            "heartbeat_seconds": self.heartbeat_seconds,
            "can_save_configuration": session.kind == "permanent",
            "member_of_a_later_version": [1],
        }

    def _end(self, session: Session | None) -> Answer:
        if session is not None:
            session.ended = self._ended(session) or "session_ended"
            session.confirmed_at = time.time()
        return 204, {}, b""

    def _ended(self, session: Session) -> str | None:
        if session.ended is None and session.ends_at is not None and time.time() >= session.ends_at:
            session.ended = "key_expired"
        return session.ended


def ok(members: object, *, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


def problem(status: int, code: str | None, detail: str = "", **more: object) -> Answer:
    body = {"type": "about:blank", "title": "Refused", "status": status, "code": code}
    body |= {"detail": detail or f"Refused: {code}."} | more
    return status, {"Content-Type": "application/problem+json"}, json.dumps(body).encode()


def _handler(portal: StubPortal) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body, time.time())
            status, more, content = portal.answer(asked)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815

        def date_time_string(self, timestamp: float | None = None) -> str:
            return portal.date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


def serve() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--ttl", type=float, default=10.0, help="seconds")
    parser.add_argument("--heartbeat-seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    portal = StubPortal(arguments.ttl, arguments.heartbeat_seconds, port=arguments.port).start()
    print(f"{portal.address}: {PARTNER} and {CLIENT}, password {PASSWORD!r}, key {KEY}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    serve()
