"""What goes over the network: encrypted, checked, and to the address that was looked at."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.core.mail_server import MailServer, parse_mail_server
from app.notices import address_rules, mail, posting
from app.notices.address_rules import literal_ip, read_address
from app.notices.delivery_rules import Outcome
from app.notices.mail import compose_mail, send_mail
from app.notices.posting import post
from tests.receivers import WebhookReceiver, mail_receiver, webhook_receiver

NOW = datetime.now(UTC)


class Certified(NamedTuple):
    """The file of a certificate for `hooks.example` and `localhost`, with its key."""

    file: Path

    @property
    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    names = x509.SubjectAlternativeName([x509.DNSName("hooks.example"), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return Certified(file)


@pytest.fixture
def trusted(certified: Certified, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certified.file))
    posting._tls.cache_clear()
    yield
    posting._tls.cache_clear()


@pytest.fixture
def hook() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@contextmanager
def encrypted(hook: WebhookReceiver, certified: Certified) -> Iterator[int]:
    """The port at which the receiver takes one connection with TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with suppress(OSError, IndexError):
                connection, _ = listener.accept()
                with certified.server.wrap_socket(connection, server_side=True) as secured:
                    hook.serve(secured)

        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to the first of these, then to the next; what was asked for."""
    asked, left, real = [], [*addresses], socket.getaddrinfo

    def look_up(host: str, port: int, *more: Any, **named: Any) -> list[Any]:
        if literal_ip(host):  # to be connected to
            return real(host, port, *more, **named)
        asked.append(host)
        ip = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def sent(address: str, *, private: bool = True) -> Outcome:
    return post(read_address(address), body=b"{}", headers={"webhook-id": "x"}, private=private)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("hooks.example", "HTTP 204"),
        ("other.example", "Its certificate is not accepted, or it speaks no TLS"),
    ],
)
@pytest.mark.usefixtures("trusted")
def test_a_certificate_is_checked_for_the_name(
    hook: WebhookReceiver,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    answer: str,
) -> None:
    leads_to(monkeypatch, "127.0.0.1")
    with encrypted(hook, certified) as port:
        assert sent(f"https://{name}:{port}/").answer == answer
    assert [posted.headers["host"] for posted in hook.posted] == [
        f"{name}:{port}" for _ in hook.posted
    ]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    hook: WebhookReceiver, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, "127.0.0.1")
    with encrypted(hook, certified) as port:
        assert not sent(f"https://hooks.example:{port}/").delivered
    assert hook.posted == []


def test_a_name_is_asked_for_once(hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a name leads to an address in the open while it is looked at, and to the
    portal's own network when it is connected to."""
    monkeypatch.setattr(address_rules, "is_open", lambda ip: str(ip) == "127.0.0.2")
    asked = leads_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    # Nothing listens at 127.0.0.2: the receiver, at 127.0.0.1, must not be reached.
    outcome = sent(f"http://hooks.example:{hook.port}/", private=False)
    assert outcome.answer == "It could not be reached"
    assert (asked, hook.posted) == (["hooks.example"], [])


def test_a_name_that_leads_here_is_refused(
    hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254"):
        leads_to(monkeypatch, address)
        outcome = sent(f"http://hooks.example:{hook.port}/", private=False)
        assert "private network" in outcome.answer
    assert hook.posted == []


def test_a_proxy_of_the_environment_is_not_used(
    hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert sent(hook.address).delivered


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_given: Any, **_more: Any) -> list[Any]:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert sent("https://hooks.example/").answer == "Its name was not found"


def a_mail() -> EmailMessage:
    return compose_mail(
        sender="portal@a.example",
        to="b@b.example",
        subject="s",
        text="t",
        message_id="msg_1",
        now=NOW,
    )


@pytest.mark.parametrize(
    ("scheme", "first", "drop"),
    [
        ("smtp", b"", b""),
        ("smtp", b"", b"2"),
        ("smtp", b"220 mail.example\r\n", b"2"),
        ("smtps", b"\x16\x03\x03\x40\x00", b"\x02"),
    ],
    ids=["silent", "greeting", "answer", "handshake"],
)
def test_a_mail_server_that_hangs_or_drips_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, scheme: str, first: bytes, drop: bytes
) -> None:
    monkeypatch.setattr(mail, "STEP_SECONDS", 1)
    monkeypatch.setattr(mail, "ALL_SECONDS", 1 if drop else 30)
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(first)
            for _ in range(100):  # who is not cut off hears it hang up
                connection.sendall(drop)
                over.wait(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        outcome = send_mail(MailServer(scheme, *listener.getsockname(), "", ""), a_mail())
        over.set()
        thread.join()
    assert outcome == Outcome(False, "The mail server took too long")


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("is_trusted", [True, False])
def test_mail_is_encrypted_and_the_server_is_who_it_says(
    certified: Certified, request: pytest.FixtureRequest, scheme: str, is_trusted: bool
) -> None:
    if is_trusted:
        request.getfixturevalue("trusted")
    with mail_receiver(tls=certified.server, implicit=scheme == "smtps") as receiver:
        url = f"{scheme}://localhost:{receiver.port}"
        outcome = send_mail(parse_mail_server(url), a_mail())
    assert (outcome.delivered, len(receiver.mails)) == (is_trusted, is_trusted)
