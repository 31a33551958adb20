"""A mail server and a webhook's receiver that behave as they are told: well, or badly."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from socketserver import BaseRequestHandler, ThreadingTCPServer
from ssl import SSLContext
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from app.notices.signing import signature


class Posted(NamedTuple):
    """A request that a receiver got."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said

    def is_signed_with(self, secret: str) -> bool:
        timestamp = int(self.headers["webhook-timestamp"])
        return self.headers["webhook-signature"] == signature(secret, self.id, timestamp, self.body)


Behave = Callable[[Posted, socket.socket], None]


def answer(status: int, extra: str = "", body: bytes = b"") -> Behave:
    """Answer with a status."""

    def behave(_posted: Posted, connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status} Whatever\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return behave


class WebhookReceiver:
    """Real HTTP on a real port; `behave` says what it does with the next requests."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.acknowledged: list[str] = []
        """The ids of those that were answered with 2xx."""
        self.behave: Behave = answer(204)
        self.ended = threading.Event()
        """Set when the test is over: who hangs hangs until then."""
        self.port = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def acknowledge(self, posted: Posted) -> None:
        with self._lock:
            self.acknowledged.append(posted.id)

    def serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        first = file.readline().decode()
        headers = {}
        while line := file.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        posted = Posted(first.split()[1], headers, file.read(int(headers["content-length"])))
        with self._lock:
            self.posted.append(posted)
        self.behave(posted, connection)


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, IndexError):
                receiver.serve(self.request)

    class Server(ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.ended.set()
        server.shutdown()
        thread.join()


class MailReceiver:
    """Real SMTP on a real port; `replies` are its answers to DATA, in turn, then it takes all."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.rcpt_replies: list[str] = []
        self.replies: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(  # noqa: N802 (its name is aiosmtpd's)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if self.rcpt_replies:
            return self.rcpt_replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        reply = self.replies.pop(0) if self.replies else "250 OK"
        if reply == "hang up":
            server.transport.abort()
            return "421 hung up"
        if reply.startswith("250"):
            mail = BytesParser(policy=default).parsebytes(envelope.content)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return reply

    def to(self, email: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == email]


@contextmanager
def mail_receiver(
    *, password: str = "", tls: SSLContext | None = None, implicit: bool = False
) -> Iterator[MailReceiver]:
    """`tls` is offered by STARTTLS, or `implicit` from the first byte."""
    receiver = MailReceiver()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        receiver.port = free.getsockname()[1]
    options: dict[str, Any] = {"ssl_context" if implicit else "tls_context": tls} if tls else {}
    if password:
        options |= {
            "auth_require_tls": False,
            "authenticator": lambda *given: AuthResult(
                success=given[-1].password == password.encode()
            ),
        }
    controller = Controller(receiver, hostname="127.0.0.1", port=receiver.port, **options)
    controller.start()
    yield receiver
    controller.stop()
