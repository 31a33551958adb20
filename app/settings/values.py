"""How the text of each setting is read: what it means, or a ConfigError that says why not."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.addresses import is_private_way
from app.core.durations import Rate, parse_ttl
from app.core.errors import ConfigError, MalformedTTL
from app.core.mail_server import parse_mail_server
from app.core.permissions import PROVIDED_ROLES, Role, SecondFactorPolicy
from app.core.text import LABEL_LENGTH, is_email
from app.keyformat.signing_keys import private_key_from_pem

POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")
UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
SWITCH = {"on": True, "1": True, "true": True, "yes": True}
SWITCH |= {"off": False, "0": False, "false": False, "no": False}
HOST = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"


class Bind(NamedTuple):
    """The address and port that the portal listens on, or `unix:/PATH` and no port."""

    host: str
    port: int

    @property
    def path(self) -> str:
        """The file of a Unix socket, else ""."""
        return self.host.removeprefix("unix:") if not self.port else ""

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "[::1]") or self.host.startswith("127.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.is_loopback or bool(self.path)

    def __str__(self) -> str:
        return self.host if self.path else f"{self.host}:{self.port}"


class RoleGiven(NamedTuple):
    """A value of the claim that an identity provider's roles are in, and the role that it gives."""

    value: str
    role: Role

    def __str__(self) -> str:
        return f"{self.value}={self.role}"


def bind(text: str) -> Bind:
    if re.fullmatch(r"unix:/.{1,100}", text):
        return Bind(text, 0)
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):([0-9]{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ConfigError(
            f"{text!r} is not an address; allowed: HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:8000, or unix:/PATH."
        )
    return Bind(match[1], int(match[2]))


def public_url(text: str) -> str:
    """The address without a slash at its end."""
    if not re.fullmatch(rf"https?://{HOST}(/[A-Za-z0-9._~-]+)*/?", text):
        raise ConfigError(
            f"{text!r} is not understood; allowed: the address that people open, such as "
            "https://portal.example or https://intranet.example/portal."
        )
    return text.rstrip("/")


def issuer(text: str) -> str:
    """An OpenID provider's own name, to the letter: with or without a slash at its end."""
    if not is_private_way(text) or set(text) & set("?# @\\"):
        raise ConfigError(
            f"{text!r} is not understood; allowed: the provider's address with https://, such as "
            "https://login.example/realms/ours (http:// on this machine alone)."
        )
    return text


def role_map(text: str) -> tuple[RoleGiven, ...]:
    pairs = [part.rpartition("=") for part in text.split(",")]
    roles = {value.strip(): role.strip() for value, _, role in pairs}
    if not all(roles) or not set(roles.values()) <= set(PROVIDED_ROLES):
        raise ConfigError(
            f"{text!r} is not understood; allowed: VALUE=ROLE with commas between them, such as "
            f"portal-admins=super_admin,audit=auditor; roles: {', '.join(PROVIDED_ROLES)}."
        )
    return tuple(RoleGiven(value, Role(role)) for value, role in roles.items())


def ticket_url(text: str) -> str:
    if not re.fullmatch(rf"https?://{HOST}[/?][^\s{{}}\"'<>]*\{{ticket\}}[^\s{{}}\"'<>]*", text):
        raise ConfigError(
            f"{text!r} is not understood; allowed: an http or https address with {{ticket}} in its "
            "path or after it, such as https://tickets.example/{ticket}."
        )
    return text


def hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(","))
    if not all(re.fullmatch(HOST, host) for host in hosts):
        raise ConfigError(
            f"{text!r} is not understood; allowed: names with commas between them, such as "
            "portal.example,portal.example:8443."
        )
    return hosts


def database_address(text: str) -> str:
    """The database URL that SQLAlchemy opens. Raises ConfigError if `text` is none."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = URL.create("unreadable")
    if url.drivername == "sqlite" and url.database and not url.query and url.database[0] != ":":
        return sqlite_address(Path(url.database).absolute())
    if url.drivername in POSTGRESQL and not set(url.host or "") & set("@/?#%"):
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)
    raise ConfigError(
        "this is no database address; allowed: sqlite:////FOLDER/FILE or "
        "postgresql+psycopg://USER:PASSWORD@HOST/NAME, with @ : / ? # % in the user's name or "
        "the password written as %40 %3A %2F %3F %23 %25."
    )


def sqlite_address(file: Path) -> str:
    # mode=rw: a missing database is an error; SQLite would otherwise create an empty one.
    name = f"file:{quote(os.fsencode(file))}"
    url = URL.create("sqlite", database=name, query={"mode": "rw", "uri": "true"})
    return url.render_as_string()


def mail_server(text: str) -> str:
    """The address of a mail server, which may hold a password and so is not repeated."""
    try:
        parse_mail_server(text)
    except ValueError:
        raise ConfigError(
            "this is no address of a mail server; allowed: smtp://HOST:PORT, smtps://... or "
            "smtp+starttls://..., with USER:PASSWORD@ before the host where one is needed, and "
            "@ : / ? # % in those written as %40 %3A %2F %3F %23 %25."
        ) from None
    return text


def sender(text: str) -> str:
    if not is_email(text) or not re.fullmatch(
        r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", text
    ):
        raise ConfigError(f"{text!r} is no sender; allowed: such as portal@example.com.")
    return text


def signing_keys(text: str) -> str:
    if not text.startswith("-----BEGIN"):
        return text
    try:
        private_key_from_pem(text.encode())
    except ValueError:
        raise ConfigError(
            "this PEM text is no private key for signing; allowed: an Ed25519 private key, "
            "or the name of the folder where such keys are."
        ) from None
    return text


def secret_key(text: str) -> str:
    if len(text) < 32:
        raise ConfigError("it is too short; allowed: at least 32 random characters.")
    return text


def email(text: str) -> str:
    if not is_email(text):
        raise ConfigError(f"{text!r} is not an e-mail address; allowed: such as admin@example.com.")
    return text


def switch(text: str) -> bool:
    if text.lower() not in SWITCH:
        raise ConfigError(f"{text!r} is not understood; allowed: on or off.")
    return SWITCH[text.lower()]


def second_factor(text: str) -> SecondFactorPolicy:
    try:
        return SecondFactorPolicy(text.lower())
    except ValueError:
        allowed = ", ".join(SecondFactorPolicy)
        raise ConfigError(f"{text!r} is not understood; allowed: {allowed}.") from None


def label(text: str) -> str:
    if len(text) > LABEL_LENGTH or not text.isprintable():
        raise ConfigError(f"it is refused; allowed: up to {LABEL_LENGTH} characters on one line.")
    return text


def log_style(text: str) -> str:
    if text not in ("json", "text"):
        raise ConfigError(f"{text!r} is not understood; allowed: json or text.")
    return text


def whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ConfigError(
                f"{text!r} is refused; allowed: a whole number from {least} to {most}."
            )
        return int(text)

    return convert


def rate(text: str) -> Rate:
    match = re.fullmatch(r"([1-9][0-9]{0,5}) per (second|minute|hour|day)", text)
    if not match:
        raise ConfigError(f"{text!r} is not understood; allowed: such as '10 per minute'.")
    return Rate(int(match[1]), UNIT_SECONDS[match[2]])


def ttl(text: str) -> int:
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise ConfigError(error.detail) from None


def keep(text: str) -> int:
    """Seconds, 0 being for ever."""
    return 0 if text.lower() == "forever" else ttl(text)


def ttls(text: str) -> tuple[int, ...]:
    ttls = tuple(ttl(part) for part in text.split(","))
    if len(set(ttls)) != len(ttls):
        raise ConfigError(f"{text!r} names one choice twice; allowed: each once.")
    return ttls
