"""Files and folders that only their owner may read, made once: the secret key, the signing keys."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from app.core.errors import ConfigError


def secret_key(instance: Path) -> str:
    """The key that signs session cookies, from the instance folder; made if it is not there yet."""
    return private_file(instance / "secret-key", secrets.token_urlsafe(48))


def private_file(path: Path, content: str, setting: str = "PORTAL_INSTANCE") -> str:
    """The text of the file `path`, which is created with `content` and mode 0600 if missing.

    If two processes create it at once, one wins and both return the winner's text. Raises
    ConfigError, in one line that names the `setting`, if the file cannot be read or created.
    """
    try:
        make_private_folder(path.parent)
        if not path.exists():
            _write_once(path, content)
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"{setting}: {path} cannot be read or made ({error.strerror}); "
            "name a folder that the portal may write."
        ) from None


def make_private_folder(path: Path) -> None:
    """Make a folder for its owner alone. One that is there keeps its mode, unless it is as git has
    made it, for everybody to read. Raises OSError if it cannot be made."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if [file.name for file in path.iterdir()] == [".gitkeep"]:
        with suppress(PermissionError):
            path.chmod(0o700)


def _write_once(path: Path, content: str) -> None:
    """Create the file with all of its content at once, unless another process was faster."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
