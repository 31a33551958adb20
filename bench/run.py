"""Measures the portal beside its floor, on two sizes of data: `make bench`.

    python -m bench.run [--operations WORD] [--seconds S] [--large ORGANISATIONS KEYS]
                        [--database URL [--small-database URL]] [--no-files]

Prints a table; docs/benchmarks.md, docs/benchmarks-*.json and docs/images/benchmarks-*.svg get the
same. Needs `wrk` (`apt-get install wrk`). With --database it measures on that empty PostgreSQL
database, at the large size, beside little data in that of --small-database if there is one. Nothing
leaves loopback.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import timeit
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from app.accounts.passwords import hash_password
from bench.client import EMAIL, ROOT, Server, latencies, serving, sign_in, size, throughput
from bench.floor import QUERIES, asked_of, short
from bench.operations import PASSWORD, Operation, operations
from bench.results import Line, percentile, table, write_results
from bench.rows import write_rows

SMALL = (100, 1_000)
LARGE = (100_000, 1_000_000)
ASKED = 200
"""How many requests one connection makes of each operation."""


class Installation:
    """A portal with rows of one size, filled and stopped."""

    def __init__(self, folder: Path, size: tuple[int, int], database: str | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.environ = {
            "PORTAL_INSTANCE": str(folder),
            "PORTAL_ADMIN_EMAIL": EMAIL,
            "PORTAL_ADMIN_PASSWORD": PASSWORD,
            "PORTAL_SECOND_FACTOR": "off",
            "PORTAL_WORKERS": "2",
            "PORTAL_INSPECT_LIMIT": "999999 per second",
            "PORTAL_LICENSE_TTLS": "1h,1d,7d",
        }
        if database:
            self.environ["PORTAL_DATABASE_URL"] = database
        with self.served():
            pass
        rows, params, ours = (folder / name for name in ("rows.db", "params.json", "ours.json"))
        now = datetime.now(UTC).replace(tzinfo=None)
        asked = write_rows(rows, organisations=size[0], keys=size[1], now=now)
        params.write_text(json.dumps(asked))
        command = [sys.executable, "bench/fill.py", str(rows), str(params), str(ours)]
        subprocess.run(command, cwd=ROOT, env=os.environ | self.environ, check=True)
        self.operations = operations(json.loads(ours.read_text()))

    def served(self) -> Any:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve"]
        return serving(command, self.environ, "/login")

    def floor_served(self, chosen: list[Operation]) -> Any:
        asked = self.folder / "floor.json"
        asked.write_text(json.dumps(asked_of(chosen)))
        server = ["--bind", "127.0.0.1:{port}", "--reuse-port", "--workers", "2", "--threads", "8"]
        how = ["--preload", "--config", "app/cli/worker.py", "--log-level", "warning"]
        how.append("--no-control-socket")
        command = [sys.executable, "-m", "gunicorn", "bench.floor:create_floor()", *server, *how]
        environ = self.environ | {"FLOOR_OPERATIONS": str(asked)}
        return serving(command, environ, "/floor/none")


def measure(
    large: Installation, small: Installation | None, wanted: str, seconds: float
) -> tuple[list[Line], dict[str, float]]:
    """A line for each operation with `wanted` in its name; what a start and a worker take."""
    chosen = [one for one in large.operations if wanted.lower() in one.name.lower()]
    p50_small: dict[str, float] = {}
    if small:
        with small.served() as server:
            sign_in(server)
            for one in small.operations:
                if one.name in {other.name for other in chosen}:
                    p50_small[one.name] = median(latencies(server, one, ASKED))
    lines = []
    with large.served() as server, large.floor_served(chosen) as floor:
        sign_in(server)
        for one in chosen:
            line = _line(server, floor, one, seconds, p50_small.get(one.name))
            lines.append(line)
            print(table([line]).splitlines()[-1], file=sys.stderr)
        whole = {"MB a worker": server.megabytes_a_worker(), "seconds to start": server.started_in}
    return lines, whole | {"ms a password hash": hashing()}


def _line(
    server: Server, floor: Server, one: Operation, seconds: float, p50_small: float | None
) -> Line:
    bare = Operation(one.name, [f"/floor/{short(one.name)}"], one.method)
    at_floor = 0 if one.hashes or one.once else throughput(floor, bare, seconds)
    answer, _ = floor.ask(one.method, bare.paths[0])
    length = size(server, one)
    taken = latencies(server, one, ASKED)
    a_second = 0 if one.once else throughput(server, one, seconds)
    return Line(
        one.name,
        a_second,
        a_second / at_floor if at_floor else None,
        *(percentile(taken, part) for part in (0.5, 0.95, 0.99)),
        median(taken) / p50_small if p50_small else None,
        int(answer.headers[QUERIES]),
        length,
    )


def hashing() -> float:
    """Milliseconds that one password takes, the median of some."""
    return 1000 * median(timeit.repeat(lambda: hash_password(PASSWORD), number=1, repeat=5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", default="", help="a word of the operations' names")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--large", type=int, nargs=2, default=LARGE)
    parser.add_argument("--database", help="an empty PostgreSQL database")
    parser.add_argument("--small-database", help="another one")
    parser.add_argument("--no-files", action="store_true", help="print the table alone")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        small = None
        if given.small_database or not given.database:
            small = Installation(folder / "small", SMALL, given.small_database)
        large = Installation(folder / "large", tuple(given.large), given.database)
        lines, whole = measure(large, small, given.operations, given.seconds)
    print(table(lines))
    print(", ".join(f"{name}: {value:.2f}" for name, value in whole.items()))
    if not given.no_files:
        write_results("postgresql" if given.database else "sqlite", lines, whole)


if __name__ == "__main__":
    main()
