"""Every setting as the portal has it, and where it came from; secrets are not shown."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, NamedTuple

from app.config import Config
from app.core.durations import Rate
from app.settings import values
from app.settings.sources import ENVIRONMENT_PREFIX

HIDDEN = "(hidden)"
_UNITS = {86400: "d", 3600: "h", 60: "m", 1: "s"}


class Row(NamedTuple):
    """A setting; `source` is "default", "environment", ".env" or "file NAME"."""

    name: str
    value: str
    source: str


def list_settings(
    config: Config, environ: Mapping[str, str], env_file: Mapping[str, str]
) -> list[Row]:
    """Each setting of `config`, which was loaded from `environ`, a part of it from `env_file`."""
    return [_row(setting, config, environ, env_file) for setting in fields(Config)]


def _row(
    setting: Field[Any], config: Config, environ: Mapping[str, str], env_file: Mapping[str, str]
) -> Row:
    name = ENVIRONMENT_PREFIX + setting.name.upper()
    value = written(setting, getattr(config, setting.name))
    file = environ.get(f"{name}_FILE", "").strip() if setting.metadata["secret"] else ""
    if file:
        return Row(name, HIDDEN, f"file {file}")
    text = environ.get(name, "").strip()
    if not text and setting.name == "database_url":
        return Row(name, f"sqlite:///{config.database_file}", "default")
    if not text:
        return Row(name, value, "default")
    source = ".env" if env_file.get(name) == environ[name] else "environment"
    return Row(name, HIDDEN if setting.metadata["secret"] else value, source)


def written(setting: Field[Any], value: Any) -> str:
    """A value as the setting would have it; "" if there is none."""
    match value:
        case bool():
            return "on" if value else "off"
        case int() if setting.metadata["read"] in (values.ttl, values.keep):
            return _ttl(value) if value else "forever"
        case Rate():
            units = {seconds: unit for unit, seconds in values.UNIT_SECONDS.items()}
            return f"{value.count} per {units[value.seconds]}"
        case tuple() if not isinstance(value, values.Bind):
            part = _ttl if setting.metadata["read"] is values.ttls else str
            return ",".join(map(part, value))
        case _:
            return "" if value is None else str(value)


def _ttl(seconds: int) -> str:
    unit = next(unit for unit in _UNITS if seconds % unit == 0)
    return f"{seconds // unit}{_UNITS[unit]}"
