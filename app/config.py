"""Settings: read once from the environment, checked at the start, frozen afterwards."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote_to_bytes, urlsplit

from dotenv import dotenv_values
from flask import current_app
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.durations import Rate, SessionLimits, format_ttl, parse_ttl
from app.core.env_file import parse_env_file
from app.core.errors import ConfigError, MalformedTTL
from app.core.text import is_email
from app.keyformat.signing_keys import private_key_from_pem

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT_PREFIX = "PORTAL_"
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


def _bind(text: str) -> Bind:
    if re.fullmatch(r"unix:/.{1,100}", text):
        return Bind(text, 0)
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):([0-9]{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ConfigError(
            f"{text!r} is not an address; allowed: HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:8000, or unix:/PATH."
        )
    return Bind(match[1], int(match[2]))


def _public_url(text: str) -> str:
    """The address without a slash at its end."""
    if not re.fullmatch(rf"https?://{HOST}(/[A-Za-z0-9._~-]+)*/?", text):
        raise ConfigError(
            f"{text!r} is not understood; allowed: the address that people open, such as "
            "https://portal.example or https://intranet.example/portal."
        )
    return text.rstrip("/")


def _hosts(text: str) -> tuple[str, ...]:
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
        return _sqlite(Path(url.database).absolute())
    if url.drivername in POSTGRESQL and not set(url.host or "") & set("@/?#%"):
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)
    raise ConfigError(
        "this is no database address; allowed: sqlite:////FOLDER/FILE or "
        "postgresql+psycopg://USER:PASSWORD@HOST/NAME, with @ : / ? # % in the user's name or "
        "the password written as %40 %3A %2F %3F %23 %25."
    )


def _sqlite(file: Path) -> str:
    # mode=rw: a missing database is an error; SQLite would otherwise create an empty one.
    name = f"file:{quote(os.fsencode(file))}"
    url = URL.create("sqlite", database=name, query={"mode": "rw", "uri": "true"})
    return url.render_as_string()


def _signing_keys(text: str) -> str:
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


def _secret_key(text: str) -> str:
    if len(text) < 32:
        raise ConfigError("it is too short; allowed: at least 32 random characters.")
    return text


def _password(text: str) -> str:
    if not 8 <= len(text) <= 1000:
        raise ConfigError("its length is wrong; allowed: 8 to 1000 characters.")
    return text


def _email(text: str) -> str:
    if not is_email(text):
        raise ConfigError(f"{text!r} is not an e-mail address; allowed: such as admin@example.com.")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in SWITCH:
        raise ConfigError(f"{text!r} is not understood; allowed: on or off.")
    return SWITCH[text.lower()]


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ConfigError(
                f"{text!r} is refused; allowed: a whole number from {least} to {most}."
            )
        return int(text)

    return convert


def _rate(text: str) -> Rate:
    match = re.fullmatch(r"([1-9][0-9]{0,5}) per (second|minute|hour|day)", text)
    if not match:
        raise ConfigError(f"{text!r} is not understood; allowed: such as '10 per minute'.")
    return Rate(int(match[1]), UNIT_SECONDS[match[2]])


def _ttl(text: str) -> int:
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise ConfigError(error.detail) from None


def _ttls(text: str) -> tuple[int, ...]:
    ttls = tuple(_ttl(part) for part in text.split(","))
    if len(set(ttls)) != len(ttls):
        raise ConfigError(f"{text!r} names one choice twice; allowed: each once.")
    return ttls


def _setting(read: Callable[[str], T], default: T, *, secret: bool = False) -> T:
    """A field of Config, whose value `read` makes from the text of the setting of that name.

    A secret may be read from a file instead, and is left out of `repr`.
    """
    metadata = {"read": read, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Every setting with its default; `docs/operators-guide.md` describes each.

    The field `instance` is the setting `PORTAL_INSTANCE`, and so on. Defaults that depend on
    another setting are worked out in `load_config`.
    """

    bind: Bind = _setting(_bind, Bind("127.0.0.1", 8000))
    instance: Path = _setting(lambda text: Path(text).absolute(), ROOT / "instance")
    database_url: str = _setting(database_address, "", secret=True)
    """Default: SQLite in the instance folder."""
    secret_key: str = _setting(_secret_key, "", secret=True)
    signing_keys: str = _setting(_signing_keys, "", secret=True)
    """A folder (default: one in the instance folder), or a private key as PEM text."""
    checkpoints: Path = _setting(lambda text: Path(text).absolute(), Path())
    """The file of the audit log's checkpoints (default: in the instance folder)."""
    admin_email: str = _setting(_email, "")
    admin_password: str = _setting(_password, "", secret=True)
    sample_data: bool = _setting(_switch, False)
    sample_password: str = _setting(_password, "", secret=True)
    license_ttls: tuple[int, ...] = _setting(_ttls, _ttls("1h,3h,6h,12h,1d,3d,7d"))
    license_ttl_default: int = _setting(_ttl, _ttl("1h"))
    license_ttl_max: int = _setting(_ttl, _ttl("7d"))
    heartbeat_seconds: int = _setting(_whole(1, 3600), 5)
    """Unless set, at most half of `agent_idle_seconds`."""
    agent_idle_seconds: int = _setting(_whole(2, 604800), 900)
    signin_failures: Rate = _setting(_rate, Rate(10, 60))
    inspect_limit: Rate = _setting(_rate, Rate(120, 60))
    registrations: Rate = _setting(_rate, Rate(20, 3600))
    session_idle_seconds: int = _setting(_whole(60, 604800), 1800)
    session_max_seconds: int = _setting(_whole(60, 2592000), 43200)
    database_wait_seconds: int = _setting(_whole(1, 600), 60)
    trusted_proxies: int = _setting(_whole(0, 10), 0)
    https: bool = _setting(_switch, False)
    public_url: str = _setting(_public_url, "")
    hosts: tuple[str, ...] = _setting(_hosts, ())
    """Names, with or without a port, in lower case; empty: see `answered_hosts`."""
    workers: int = _setting(_whole(1, 64), 2)
    threads: int = _setting(_whole(1, 64), 8)
    """In each worker, for requests that may write; besides them half as many that only read."""
    hashes_at_once: int = _setting(_whole(1, 64), 2)
    backups: Path | None = _setting(lambda text: Path(text).absolute(), None)
    """The folder in which copies are made by themselves; none: no copies are."""
    backup_every: int = _setting(_ttl, _ttl("1h"))
    backup_keep: int = _setting(_whole(1, 100000), 48)
    backup_passphrase: str = _setting(str, "", secret=True)
    keep_sessions: int = _setting(_ttl, _ttl("90d"))
    """In seconds after their end."""

    @property
    def database_file(self) -> Path | None:
        """The file that `database_url` opens if the database is SQLite, else None."""
        url = make_url(self.database_url)
        if url.drivername != "sqlite" or url.database is None:
            return None
        return Path(os.fsdecode(unquote_to_bytes(url.database.removeprefix("file:"))))

    @property
    def answered_hosts(self) -> tuple[str, ...]:
        """The names that the portal answers to; empty: to any."""
        if self.hosts or self.bind.is_local or not self.public_url:
            return self.hosts
        named = re.sub(r":[0-9]+$", "", urlsplit(self.public_url).netloc.lower())
        return (named, self.bind.host, "localhost", "127.0.0.1", "[::1]")

    @property
    def agent_limits(self) -> SessionLimits:
        """The limits of sessions on OP Agents."""
        return SessionLimits(self.heartbeat_seconds, self.agent_idle_seconds)


def current_config() -> Config:
    """The configuration of the running app."""
    config: Config = current_app.extensions["config"]
    return config


def environment() -> dict[str, str]:
    """The process's environment, completed from the file `.env` in the current folder, if any.

    Raises ConfigError, in one line, if that file cannot be read.
    """
    file = Path.cwd() / ".env"
    try:
        written = parse_env_file(file.read_bytes()) if file.exists() else {}
    except OSError as error:
        raise ConfigError(
            f".env: it cannot be read ({error.strerror}); let the portal read it."
        ) from None
    except ValueError as error:
        raise ConfigError(f".env: {error}") from None
    own = real_environment()
    # A secret may be in the one and its file be named in the other: the environment wins.
    for name in own:
        written.pop(name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE", None)
    return written | own


def real_environment() -> dict[str, str]:
    """The process's environment without what Flask's commands have copied into it from `.env`.

    They cut values at " #" and take quotes away, and what they copied would win over the file,
    also after the file was changed.
    """
    with suppress(OSError, UnicodeDecodeError):
        copied = dotenv_values(Path.cwd() / ".env")
        return {name: text for name, text in os.environ.items() if copied.get(name) != text}
    return dict(os.environ)


def load_config(environ: Mapping[str, str]) -> Config:
    """The configuration that `environ` describes.

    Raises ConfigError with one line that names the setting, what is wrong and what is allowed.
    """
    _refuse_unknown(environ)
    given: dict[str, Any] = {
        setting.name: _read(setting, text)
        for setting in fields(Config)
        if (text := _text_of(setting, environ)) is not None
    }
    instance = given.get("instance", Config.instance)
    idle_seconds = given.get("agent_idle_seconds", Config.agent_idle_seconds)
    dependent = {
        "database_url": _sqlite(instance / "portal.db"),
        "signing_keys": str(instance / "signing-keys"),
        "checkpoints": instance / "checkpoints",
        "heartbeat_seconds": min(Config.heartbeat_seconds, idle_seconds // 2),
    }
    config = Config(**(dependent | given))
    _check_together(config)
    return config


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    """A misspelt setting would be ignored in silence, and its default would decide."""
    known = [ENVIRONMENT_PREFIX + setting.name.upper() for setting in fields(Config)]
    known += [
        f"{ENVIRONMENT_PREFIX}{setting.name.upper()}_FILE"
        for setting in fields(Config)
        if setting.metadata["secret"]
    ]
    for name in environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name not in known:
            [nearest] = get_close_matches(name.upper(), known, n=1, cutoff=0)
            raise ConfigError(
                f"{name}: there is no such setting; did you mean {nearest}? "
                "The operator's guide has the table of all."
            )


def _text_of(setting: Field[Any], environ: Mapping[str, str]) -> str | None:
    """The text of a setting, from the environment or from the file named there; None if unset."""
    name = ENVIRONMENT_PREFIX + setting.name.upper()
    text = environ.get(name, "").strip()
    file = environ.get(f"{name}_FILE", "").strip() if setting.metadata["secret"] else ""
    if text and file:
        raise ConfigError(f"{name}: it and {name}_FILE are both set; keep one.")
    if file:
        text = _secret_in(file, f"{name}_FILE")
    return text or None


def _secret_in(file: str, name: str) -> str:
    try:
        text = Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{name}: {file!r} cannot be read ({reason}); name a file that the portal may read."
        ) from None
    if not text:
        raise ConfigError(f"{name}: {file!r} is empty; put the secret in it.")
    return text


def _read(setting: Field[Any], text: str) -> Any:
    try:
        return setting.metadata["read"](text)
    except ConfigError as error:
        raise ConfigError(f"{ENVIRONMENT_PREFIX}{setting.name.upper()}: {error.detail}") from None


def _check_together(config: Config) -> None:
    for ttl in config.license_ttls:
        if ttl > config.license_ttl_max:
            raise ConfigError(
                f"PORTAL_LICENSE_TTLS: {format_ttl(ttl)} is above the ceiling of "
                f"{format_ttl(config.license_ttl_max)}; take it out or raise "
                "PORTAL_LICENSE_TTL_MAX."
            )
    if config.license_ttl_default not in config.license_ttls:
        choices = ", ".join(format_ttl(ttl) for ttl in config.license_ttls)
        raise ConfigError(
            f"PORTAL_LICENSE_TTL_DEFAULT: {format_ttl(config.license_ttl_default)} is not one "
            f"of the choices; allowed: {choices}."
        )
    if config.heartbeat_seconds >= config.agent_idle_seconds:
        raise ConfigError(
            f"PORTAL_HEARTBEAT_SECONDS: {config.heartbeat_seconds} is not less than "
            f"PORTAL_AGENT_IDLE_SECONDS ({config.agent_idle_seconds}); an agent that asks so "
            "seldom would always count as gone."
        )
    if bool(config.admin_email) != bool(config.admin_password):
        raise ConfigError(
            "PORTAL_ADMIN_EMAIL: it and PORTAL_ADMIN_PASSWORD go together; set both or neither."
        )
