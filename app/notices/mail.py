"""Sending one mail by SMTP."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from threading import Event, Timer

from app.core.mail_server import MailServer
from app.notices.delivery_rules import Outcome, smtp_outcome

STEP_SECONDS = 10
"""How long a mail server may keep silent."""
ALL_SECONDS = 30
"""And take over all of a mail, from its greeting on."""
Watch = Callable[[socket.socket], None]
UNWRITABLE = Outcome(False, "The address cannot be written in a mail", final=True)


def compose_mail(
    *, sender: str, to: str, subject: str, text: str, message_id: str, now: datetime
) -> EmailMessage:
    """A mail of plain text. Raises ValueError for an address that no mail can have."""
    message, name = EmailMessage(), sender.rpartition("@")[2]
    try:
        message["To"] = Address(addr_spec=to)
    except (MessageError, ValueError, IndexError):
        raise ValueError("no address of a mail") from None
    message["From"] = Address("Rolling Window", addr_spec=sender)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{name}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    return message


def send_mail(server: MailServer, message: EmailMessage) -> Outcome:
    """Hand a mail in, within `ALL_SECONDS`.

    Only what is said about the mail itself is for good: that the portal may not sign in there can
    be mended, and then what waits goes out.
    """
    try:
        with _connection(server, str(message["From"].addresses[0].domain)) as connection:
            return _hand_in(connection, message)
    except smtplib.SMTPNotSupportedError:
        return Outcome(False, "The mail server does not offer what this takes")
    except smtplib.SMTPResponseException as error:
        return Outcome(False, f"SMTP {error.smtp_code} before the mail")
    except ssl.SSLError as error:
        return Outcome(False, f"No encryption with the mail server: {error.reason or 'refused'}")
    except TimeoutError:
        return Outcome(False, "The mail server took too long")
    except (OSError, smtplib.SMTPException, ValueError):
        return Outcome(False, "The mail server could not be reached, or hung up")


def _hand_in(connection: smtplib.SMTP, message: EmailMessage) -> Outcome:
    try:
        connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        return smtp_outcome(max(code for code, _ in error.recipients.values()))
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        return smtp_outcome(error.smtp_code)
    return Outcome(True, "SMTP 250")


class _Connection(smtplib.SMTP):
    """A connection with a mail server; what it opens is given to `watch` before anybody waits."""

    def __init__(self, server: MailServer, own_name: str, watch: Watch) -> None:
        self._watch = watch
        self._tls = ssl.create_default_context() if server.scheme == "smtps" else None
        super().__init__(server.host, server.port, local_hostname=own_name, timeout=STEP_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """The standard library's place for whoever has a connection of their own."""
        opened = socket.create_connection((host, port), timeout)
        self._watch(opened)
        return self._tls.wrap_socket(opened, server_hostname=host) if self._tls else opened


@contextmanager
def _time_limit() -> Iterator[Watch]:
    """Raises TimeoutError after `ALL_SECONDS`, whatever is waited for on what it watches, and where
    smtplib calls a silence of `STEP_SECONDS` a hanging up.

    To close a connection would not wake who waits on it, and an encrypted one is another object:
    so it is cut by a handle that stays.
    """
    handles: list[socket.socket] = []
    over = Event()

    def cut() -> None:
        over.set()
        for handle in handles:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def watch(opened: socket.socket) -> None:
        handles.append(opened.dup())
        if over.is_set():
            raise TimeoutError

    timer = Timer(ALL_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield watch
    except OSError as error:
        if over.is_set() or isinstance(error.__context__, TimeoutError):
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        for handle in handles:
            handle.close()


@contextmanager
def _connection(server: MailServer, own_name: str) -> Iterator[smtplib.SMTP]:
    """A connection on which a mail can be handed in; it is cut when its time is over.

    It never goes on in clear where the settings ask for encryption.
    """
    with _time_limit() as watch, closing(_Connection(server, own_name, watch)) as connection:
        if server.scheme == "smtp+starttls":
            connection.starttls(context=ssl.create_default_context())
        if server.user:
            connection.login(server.user, server.password)
        yield connection
        with suppress(OSError, smtplib.SMTPException):
            connection.quit()
