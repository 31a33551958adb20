"""Every setting, once; what the text of one means is in `values.py`."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from sqlalchemy.engine import make_url

from app.config import values
from app.core.durations import KeyLimits, Rate, SessionLimits
from app.core.mail_server import MailServer, parse_mail_server
from app.core.permissions import SecondFactorPolicy

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


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
    another setting are worked out in `loading.py`.
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
    """Who must have one on the portal; off by default where sample data is on."""
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
