"""Settings: read once from the environment, refused at start if wrong, frozen afterwards."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from dotenv import dotenv_values
from flask import current_app
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.durations import Rate, format_ttl, parse_ttl
from app.core.errors import ConfigError, MalformedTTL
from app.keyformat.signing_keys import private_key_from_pem

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
PREFIX = "PORTAL_"
SECRETS = (
    "SECRET_KEY",
    "DATABASE_URL",
    "SIGNING_KEYS",
    "ADMIN_PASSWORD",
    "SAMPLE_PASSWORD",
)
UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
SWITCH = {"on": True, "1": True, "true": True, "yes": True}
SWITCH |= {"off": False, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Config:
    """Every setting, with its default; `docs/operators-guide.md` has the table of them."""

    host: str = "127.0.0.1"
    port: int = 8000
    instance: Path = ROOT / "instance"
    database_url: str = field(default="", repr=False)
    database_file: Path | None = None
    """The file, if the database is SQLite; `database_url` opens it."""
    secret_key: str = field(default="", repr=False)
    signing_keys: str = field(default="", repr=False)
    admin_email: str = ""
    admin_password: str = field(default="", repr=False)
    sample_data: bool = False
    sample_password: str = field(default="", repr=False)
    license_ttls: tuple[int, ...] = (3600, 10800, 21600, 43200, 86400, 259200, 604800)
    license_ttl_default: int = 3600
    license_ttl_max: int = 604800
    heartbeat_seconds: int = 5
    agent_idle_seconds: int = 900
    signin_failures: Rate = Rate(10, 60)
    inspect_limit: Rate = Rate(120, 60)
    session_idle_seconds: int = 1800
    session_max_seconds: int = 43200
    database_wait_seconds: int = 60
    trusted_proxies: int = 0
    https: bool = False
    workers: int = 2


def current_config() -> Config:
    """The configuration of the running app."""
    config: Config = current_app.extensions["config"]
    return config


def environment() -> dict[str, str]:
    """The process's environment, and beneath it what a file `.env` in the current folder says.

    Raises ConfigError, in one line, if there is such a file and it cannot be read.
    """
    try:
        written = dotenv_values(Path.cwd() / ".env", interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f".env: it cannot be read ({error}); make it readable UTF-8.") from None
    return {name: value for name, value in written.items() if value is not None} | dict(os.environ)


def load_config(environ: Mapping[str, str]) -> Config:
    """The configuration that `environ` describes.

    Raises ConfigError, whose message is one line that names the setting, what was wrong and
    what is allowed.
    """
    settings = _Settings(environ)
    idle = settings.read("AGENT_IDLE_SECONDS", _whole(2, 604800), 900)
    host, port = settings.read("BIND", _bind, ("127.0.0.1", 8000))
    instance = settings.read("INSTANCE", lambda text: Path(text).absolute(), ROOT / "instance")
    database_url, database_file = settings.read(
        "DATABASE_URL", _database, _sqlite(instance / "portal.db")
    )
    config = Config(
        host=host,
        port=port,
        instance=instance,
        database_url=database_url,
        database_file=database_file,
        secret_key=settings.read("SECRET_KEY", _secret_key, ""),
        signing_keys=settings.read("SIGNING_KEYS", _signing_keys, str(instance / "signing-keys")),
        admin_email=settings.read("ADMIN_EMAIL", _email, ""),
        admin_password=settings.read("ADMIN_PASSWORD", _password, ""),
        sample_data=settings.read("SAMPLE_DATA", _switch, False),
        sample_password=settings.read("SAMPLE_PASSWORD", _password, ""),
        license_ttls=settings.read("LICENSE_TTLS", _ttls, Config.license_ttls),
        license_ttl_default=settings.read("LICENSE_TTL_DEFAULT", _ttl, Config.license_ttl_default),
        license_ttl_max=settings.read("LICENSE_TTL_MAX", _ttl, Config.license_ttl_max),
        heartbeat_seconds=settings.read("HEARTBEAT_SECONDS", _whole(1, 3600), min(5, idle // 2)),
        agent_idle_seconds=idle,
        signin_failures=settings.read("SIGNIN_FAILURES", _rate, Config.signin_failures),
        inspect_limit=settings.read("INSPECT_LIMIT", _rate, Config.inspect_limit),
        session_idle_seconds=settings.read("SESSION_IDLE_SECONDS", _whole(60, 604800), 1800),
        session_max_seconds=settings.read("SESSION_MAX_SECONDS", _whole(60, 2592000), 43200),
        database_wait_seconds=settings.read("DATABASE_WAIT_SECONDS", _whole(1, 600), 60),
        trusted_proxies=settings.read("TRUSTED_PROXIES", _whole(0, 10), 0),
        https=settings.read("HTTPS", _switch, False),
        workers=settings.read("WORKERS", _whole(1, 64), 2),
    )
    _check_together(config)
    return config


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
            "seldom would always be taken for gone."
        )
    if bool(config.admin_email) != bool(config.admin_password):
        raise ConfigError(
            "PORTAL_ADMIN_EMAIL: it and PORTAL_ADMIN_PASSWORD go together; set both or neither."
        )


class _Settings:
    """The PORTAL_ settings of an environment, each read by a function that may refuse it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def read(self, name: str, convert: Callable[[str], T], default: T) -> T:
        text = self._text(name)
        if text is None:
            return default
        try:
            return convert(text)
        except ConfigError as error:
            raise ConfigError(f"{PREFIX}{name}: {error.detail}") from None

    def _text(self, name: str) -> str | None:
        text = self.environ.get(PREFIX + name, "").strip()
        file = self.environ.get(f"{PREFIX}{name}_FILE", "").strip() if name in SECRETS else ""
        if text and file:
            raise ConfigError(f"{PREFIX}{name}: it and {PREFIX}{name}_FILE are both set; keep one.")
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise ConfigError(
                    f"{PREFIX}{name}_FILE: {file!r} cannot be read ({reason}); "
                    "name a file that the portal may read."
                ) from None
            if not text:
                raise ConfigError(f"{PREFIX}{name}_FILE: {file!r} is empty; put the secret in it.")
        return text or None


def _bind(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):([0-9]{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ConfigError(
            f"{text!r} is not an address; allowed: HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:8000."
        )
    return match[1], int(match[2])


def _database(text: str) -> tuple[str, Path | None]:
    """The address that SQLAlchemy opens, and the file if it is one."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = URL.create("unreadable")
    if url.drivername == "sqlite" and url.database and not url.query and url.database[0] != ":":
        return _sqlite(Path(url.database).absolute())
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False), None
    raise ConfigError(
        "this is no database address; allowed: sqlite:////FOLDER/FILE or "
        "postgresql+psycopg://USER:PASSWORD@HOST/NAME."
    )


def _sqlite(file: Path) -> tuple[str, Path | None]:
    # mode=rw: a database that is missing is an error, never a new empty one.
    name = f"file:{quote(os.fsencode(file))}"
    url = URL.create("sqlite", database=name, query={"mode": "rw", "uri": "true"})
    return url.render_as_string(), file


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
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text) or len(text) > 254:
        raise ConfigError(f"{text!r} is no e-mail address; allowed: such as admin@example.com.")
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
