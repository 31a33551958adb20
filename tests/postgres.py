"""A PostgreSQL server of the tests' own, from Debian's binaries, gone when they end."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def start_postgres(folder: Path) -> Iterator[str | None]:
    """The address of an empty database, or None where there is no server to start."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        yield None
        return
    programs = binaries[-1].parent
    data = folder / "data"
    owner = _owner(folder)
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "portal",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ],
        check=True,
        capture_output=True,
        **owner,
    )
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c synchronous_commit=off"
    log = ["-l", folder / "log"]
    # pg_ctl hands its output to the server: a pipe would never end.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **owner}
    subprocess.run(
        [programs / "pg_ctl", "-D", data, *log, "-w", "-o", options, "start"], check=True, **quiet
    )
    try:
        yield f"postgresql+psycopg://portal@/postgres?host={folder}"
    finally:
        # One that is gone already needs no stopping.
        subprocess.run(
            [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=False, **quiet
        )


def restart_postgres(folder: Path) -> None:
    """Stop the server in `folder` as one does for an update, and start it again."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
    subprocess.run(
        [programs / "pg_ctl", "-D", folder / "data", "-m", "fast", "-w", "restart"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **_owner(folder),
    )


def _owner(folder: Path) -> dict[str, int]:
    """PostgreSQL refuses to run as root, so root runs it as `postgres` in a folder it may enter."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    for parent in folder.parents:
        if parent == Path(parent.anchor) or parent.stat().st_mode & 0o001:
            continue
        parent.chmod(parent.stat().st_mode | 0o011)
    return {"user": user.pw_uid, "group": user.pw_gid}
