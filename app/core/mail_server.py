"""The address of a mail server, as the setting `PORTAL_SMTP_URL` has it."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
"""By scheme: in clear, encrypted from the first byte, encrypted before anything else is said."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")


class MailServer(NamedTuple):
    """Where mail is handed in, and as whom; `user` is "" where nobody has to say who they are."""

    scheme: str
    host: str
    port: int
    user: str
    password: str

    def __repr__(self) -> str:
        return f"MailServer({self})"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_mail_server(address: str) -> MailServer:
    """Read an address such as `smtp+starttls://USER:PASSWORD@HOST:587`.

    User and password are percent-encoded. Raises ValueError, which repeats nothing of it.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        user = unquote(parts.username or "", errors="strict")
        password = unquote(parts.password or "", errors="strict")
    except ValueError:
        raise ValueError("no address of a mail server") from None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment) and "@" not in host
    if parts.scheme not in PORTS or not plain or not _HOST.fullmatch(host) or port == 0:
        raise ValueError("no address of a mail server")
    if bool(user) != bool(password) or not (user + password).isprintable():
        raise ValueError("no address of a mail server")
    return MailServer(parts.scheme, host, port or PORTS[parts.scheme], user, password)
