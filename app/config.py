"""Every setting, once: read from the environment, checked at the start, frozen afterwards.

What the text of one means is in `settings/values.py`.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from flask import current_app
from sqlalchemy.engine import make_url

from app.core.durations import KeyLimits, Rate, SessionLimits, format_ttl
from app.core.errors import ConfigError
from app.core.mail_server import MailServer, parse_mail_server
from app.core.permissions import SecondFactorPolicy
from app.settings import values
from app.settings.sources import ENVIRONMENT_PREFIX, text_of

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]


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

    bind: values.Bind = _setting(values.bind, values.Bind("127.0.0.1", 8000))
    instance: Path = _setting(lambda text: Path(text).absolute(), ROOT / "instance")
    database_url: str = _setting(values.database_address, "", secret=True)
    """Default: SQLite in the instance folder."""
    secret_key: str = _setting(values.secret_key, "", secret=True)
    signing_keys: str = _setting(values.signing_keys, "", secret=True)
    """A folder (default: one in the instance folder), or a private key as PEM text."""
    checkpoints: Path = _setting(
        lambda text: Path(text).absolute(), ROOT / "instance" / "checkpoints"
    )
    """The file of the audit log's checkpoints (default: in the instance folder)."""
    admin_email: str = _setting(values.email, "")
    admin_password: str = _setting(str, "", secret=True)
    """Checked when somebody gets it: it may have been set when other passwords were allowed."""
    sample_data: bool = _setting(values.switch, False)
    sample_password: str = _setting(str, "", secret=True)
    license_ttls: tuple[int, ...] = _setting(values.ttls, values.ttls("1h,3h,6h,12h,1d,3d,7d"))
    license_ttl_default: int = _setting(values.ttl, values.ttl("1h"))
    license_ttl_max: int = _setting(values.ttl, values.ttl("7d"))
    heartbeat_seconds: int = _setting(values.whole(1, 3600), 5)
    """Unless set, at most half of `agent_idle_seconds`."""
    agent_idle_seconds: int = _setting(values.whole(2, 604800), 900)
    signin_failures: Rate = _setting(values.rate, Rate(10, 60))
    inspect_limit: Rate = _setting(values.rate, Rate(120, 60))
    registrations: Rate = _setting(values.rate, Rate(20, 3600))
    second_factor: SecondFactorPolicy = _setting(
        values.second_factor, SecondFactorPolicy.SUPER_ADMIN
    )
    """Who must have one on the portal; `PORTAL_SECOND_FACTOR` is off where sample data is on."""
    oidc_issuer: str = _setting(values.issuer, "")
    oidc_client_id: str = _setting(str, "")
    oidc_client_secret: str = _setting(str, "", secret=True)
    oidc_name: str = _setting(values.label, "")
    """The provider's name on pages (default: its host)."""
    oidc_role_claim: str = _setting(str, "roles")
    oidc_role_map: tuple[values.RoleGiven, ...] = _setting(values.role_map, ())
    local_sign_in: bool = _setting(values.switch, True)
    """Whether a password or a passkey opens the portal; OP Agents take passwords anyway."""
    session_idle_seconds: int = _setting(values.whole(60, 604800), 1800)
    session_max_seconds: int = _setting(values.whole(60, 2592000), 43200)
    database_wait_seconds: int = _setting(values.whole(1, 600), 60)
    trusted_proxies: int = _setting(values.whole(0, 10), 0)
    https: bool = _setting(values.switch, False)
    public_url: str = _setting(values.public_url, "")
    ticket_url: str = _setting(values.ticket_url, "")
    """The address of a ticket, with `{ticket}` in the place of its reference; "": no links."""
    smtp_url: str = _setting(values.mail_server, "", secret=True)
    """Where mail is handed in; "": no mail is sent."""
    mail_from: str = _setting(values.sender, "")
    """Unless set, rolling-window at the portal's own name."""
    webhook_private: bool = _setting(values.switch, False)
    """Whether webhooks may be on this machine or in a private network."""
    hosts: tuple[str, ...] = _setting(values.hosts, ())
    """Names, with or without a port, in lower case; empty: see `answered_hosts`."""
    log: str = _setting(values.log_style, "")
    """Unless set, "text" on a terminal and "json" elsewhere."""
    metrics_bind: values.Bind | None = _setting(values.bind, None)
    workers: int = _setting(values.whole(1, 64), 2)
    threads: int = _setting(values.whole(1, 64), 8)
    """In each worker, for requests that may write; besides them half as many that only read."""
    hashes_at_once: int = _setting(values.whole(1, 64), 2)
    backups: Path | None = _setting(lambda text: Path(text).absolute(), None)
    """The folder in which copies are made by themselves; none: no copies are."""
    backup_every: int = _setting(values.ttl, values.ttl("1h"))
    backup_keep: int = _setting(values.whole(1, 100000), 48)
    backup_passphrase: str = _setting(str, "", secret=True)
    keep_sessions: int = _setting(values.ttl, values.ttl("90d"))
    """In seconds after their end."""
    keep_audit: int = _setting(values.keep, 0)
    """In seconds; 0: for ever."""

    @property
    def key_limits(self) -> KeyLimits:
        """The limits of temporary keys."""
        return KeyLimits(self.license_ttls, self.license_ttl_max)

    @property
    def database_file(self) -> Path | None:
        """The file that `database_url` opens if the database is SQLite, else None."""
        url = make_url(self.database_url)
        if url.drivername != "sqlite" or url.database is None:
            return None
        return Path(os.fsdecode(unquote_to_bytes(url.database.removeprefix("file:"))))

    @property
    def address(self) -> str:
        """The portal's whole address as people reach it, without a slash at its end; "" if it has
        a name that nobody has set."""
        if self.public_url:
            return self.public_url
        if self.https or self.bind.path:
            return f"http{'s' if self.https else ''}://{self.hosts[0]}" if self.hosts else ""
        return f"http://{self.bind}"

    @property
    def answered_hosts(self) -> tuple[str, ...]:
        """The names that the portal answers to; empty: to any."""
        if self.hosts or self.bind.is_local or not self.public_url:
            return self.hosts
        named = re.sub(r":[0-9]+$", "", urlsplit(self.public_url).netloc.lower())
        return (named, self.bind.host, "localhost", "127.0.0.1", "[::1]")

    @property
    def mail_server(self) -> MailServer | None:
        """Where mail is handed in; None: no mail is sent."""
        return parse_mail_server(self.smtp_url) if self.smtp_url else None

    @property
    def sender(self) -> str:
        """Whom mails come from."""
        name = urlsplit(self.public_url).hostname or "localhost"
        return self.mail_from or f"rolling-window@{name}"

    @property
    def known_root(self) -> str:
        """The same for who has no request, and "" also where a proxy may have another one."""
        direct = self.bind.is_loopback and not self.trusted_proxies
        return self.address if self.public_url or self.https or direct else ""

    @property
    def mails_links(self) -> bool:
        """Whether one-time links can be mailed: they take a server, and an address to lead to."""
        return bool(self.smtp_url and self.known_root)

    @property
    def agent_limits(self) -> SessionLimits:
        """The limits of sessions on OP Agents."""
        return SessionLimits(self.heartbeat_seconds, self.agent_idle_seconds)


def current_config() -> Config:
    """The configuration of the running app."""
    config: Config = current_app.extensions["config"]
    return config


def load_config(environ: Mapping[str, str]) -> Config:
    """The configuration that `environ` describes.

    Raises ConfigError with one line that names the setting, what is wrong and what is allowed.
    """
    for sentence in unknown_names(environ):
        raise ConfigError(sentence)
    given: dict[str, Any] = {
        setting.name: _read(setting, text)
        for setting in fields(Config)
        if (text := text_of(setting, environ)) is not None
    }
    instance = given.get("instance", Config.instance)
    idle_seconds = given.get("agent_idle_seconds", Config.agent_idle_seconds)
    dependent: dict[str, Any] = {
        "database_url": values.sqlite_address(instance / "portal.db"),
        "signing_keys": str(instance / "signing-keys"),
        "checkpoints": instance / "checkpoints",
        "heartbeat_seconds": min(Config.heartbeat_seconds, idle_seconds // 2),
    }
    if issuer := given.get("oidc_issuer"):
        dependent["oidc_name"] = urlsplit(issuer).hostname
    if given.get("sample_data"):
        dependent["second_factor"] = SecondFactorPolicy.OFF
    config = Config(**(dependent | given))
    _check_together(config)
    return config


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each misspelt setting: ignored in silence, its default would decide."""
    known = [ENVIRONMENT_PREFIX + setting.name.upper() for setting in fields(Config)]
    known += [
        f"{ENVIRONMENT_PREFIX}{setting.name.upper()}_FILE"
        for setting in fields(Config)
        if setting.metadata["secret"]
    ]
    unknown = [
        name
        for name in environ
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name not in known
    ]
    return [
        f"{name}: there is no such setting; did you mean {_nearest(name, known)}? "
        "The operator's guide has the table of all."
        for name in unknown
    ]


def _nearest(name: str, known: list[str]) -> str:
    return get_close_matches(name.upper(), known, n=1, cutoff=0)[0]


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
    _check_provider(config)


def _check_provider(config: Config) -> None:
    together = ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_role_map")
    lacking = [name for name in together if not getattr(config, name)]
    if lacking and len(lacking) < len(together):
        raise ConfigError(
            f"{ENVIRONMENT_PREFIX}{lacking[0].upper()}: it is missing; to sign in by an OpenID "
            "provider takes PORTAL_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET and _ROLE_MAP."
        )
    if not config.local_sign_in and not config.oidc_issuer:
        raise ConfigError(
            "PORTAL_LOCAL_SIGN_IN: off leaves no way to sign in; set PORTAL_OIDC_ISSUER first."
        )
