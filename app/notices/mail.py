"""Sending one mail by SMTP."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from threading import Timer
from typing import Any

from app.core.mail_server import MailServer
from app.notices.delivery_rules import Outcome, smtp_outcome

STEP_SECONDS = 10
"""How long a mail server may take over one answer."""
ALL_SECONDS = 30
"""And over all of a mail."""
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


def _cut(connected: socket.socket) -> None:
    """Whoever waits on the connection is woken; to close it would not do that."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


@contextmanager
def _connection(server: MailServer, own_name: str) -> Iterator[smtplib.SMTP]:
    """A connection on which a mail can be handed in; it is cut when its time is over.

    It never goes on in clear where the settings ask for encryption.
    """
    given: dict[str, Any] = {"local_hostname": own_name, "timeout": STEP_SECONDS}
    if server.scheme == "smtps":
        given["context"] = ssl.create_default_context()
    kind = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    connection = kind(server.host, server.port, **given)
    cut = Timer(ALL_SECONDS, _cut, [connection.sock])
    cut.daemon = True
    cut.start()
    try:
        if server.scheme == "smtp+starttls":
            connection.starttls(context=ssl.create_default_context())
        if server.user:
            connection.login(server.user, server.password)
        yield connection
        with suppress(OSError, smtplib.SMTPException):
            connection.quit()
    finally:
        cut.cancel()
        connection.close()
