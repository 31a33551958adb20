"""Settings: read once from the environment, checked at the start, frozen afterwards."""

from collections.abc import Mapping
from dataclasses import Field, fields
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from app.config.settings import Config
from app.config.sources import ENVIRONMENT_PREFIX, text_of
from app.config.values import sqlite_address
from app.core.durations import format_ttl
from app.core.errors import ConfigError
from app.core.permissions import SecondFactorPolicy


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
        "database_url": sqlite_address(instance / "portal.db"),
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
