"""Where settings come from: the environment, the file `.env`, the files that secrets are in."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import Field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from app.core.env_file import parse_env_file
from app.core.errors import ConfigError

ENVIRONMENT_PREFIX = "PORTAL_"


def environment() -> dict[str, str]:
    """The process's environment, completed from the file `.env` in the current folder, if any.

    Raises ConfigError, in one line, if that file cannot be read.
    """
    written, own = env_file(), real_environment()
    # A secret may be in the one and its file be named in the other: the environment wins.
    for name in own:
        written.pop(name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE", None)
    return written | own


def env_file() -> dict[str, str]:
    """What `.env` says. Raises ConfigError, in one line, if that file cannot be read."""
    file = Path.cwd() / ".env"
    try:
        return parse_env_file(file.read_bytes()) if file.exists() else {}
    except OSError as error:
        raise ConfigError(
            f".env: it cannot be read ({error.strerror}); let the portal read it."
        ) from None
    except ValueError as error:
        raise ConfigError(f".env: {error}") from None


def real_environment() -> dict[str, str]:
    """The process's environment without what Flask's commands have copied into it from `.env`.

    They cut values at " #" and take quotes away, and what they copied would win over the file,
    also after the file was changed.
    """
    with suppress(OSError, UnicodeDecodeError):
        copied = dotenv_values(Path.cwd() / ".env")
        return {name: text for name, text in os.environ.items() if copied.get(name) != text}
    return dict(os.environ)


def text_of(setting: Field[Any], environ: Mapping[str, str]) -> str | None:
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
