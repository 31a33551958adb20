"""Measures the portal beside its floor, on two sizes of data: `make bench`.

    python -m bench.run [--operations WORD] [--seconds S] [--large ORGANISATIONS KEYS]
                        [--database URL] [--no-files]

Prints a table; docs/benchmarks.json and docs/images/benchmarks.svg get the same. Needs `wrk`
(`apt-get install wrk`). With --database it measures on that empty PostgreSQL database alone, at the
large size. Nothing leaves loopback.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.client import EMAIL, PASSWORD, ROOT, latencies, serving, sign_in, size, throughput
from bench.floor import asked_of, short
from bench.operations import Operation, operations
from bench.picture import picture
from bench.rows import write_rows

SMALL = (100, 1_000)
LARGE = (100_000, 1_000_000)
ASKED = 200
"""How many requests one connection makes of each operation."""
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Line:
    """What one operation takes. Times in milliseconds, on one connection."""

    operation: str
    requests_a_second: float
    of_floor: float
    """Its requests a second as a part of the floor's."""
    p50: float
    p95: float
    p99: float
    of_small: float | None
    """Its p50 as a multiple of that with little data."""
    bytes: int


def percentile(taken: list[float], part: float) -> float:
    """Of sorted values, the one that `part` of them do not exceed."""
    return taken[min(len(taken) - 1, int(len(taken) * part))]


def table(lines: list[Line]) -> str:
    """The lines as text in columns."""
    head = ("operation", "req/s", "of floor", "p50", "p95", "p99", "of small", "bytes")
    rows = [head] + [
        (
            line.operation,
            f"{line.requests_a_second:.0f}",
            f"{line.of_floor:.2f}",
            f"{line.p50:.1f}",
            f"{line.p95:.1f}",
            f"{line.p99:.1f}",
            f"{line.of_small:.2f}" if line.of_small else "-",
            str(line.bytes),
        )
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


class Installation:
    """A portal with rows of one size, filled and stopped."""

    def __init__(self, folder: Path, size: tuple[int, int], database: str | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.environ = {
            "PORTAL_INSTANCE": str(folder),
            "PORTAL_ADMIN_EMAIL": EMAIL,
            "PORTAL_ADMIN_PASSWORD": PASSWORD,
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
        how = ["--config", "app/cli/worker.py", "--log-level", "warning", "--no-control-socket"]
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
            bare = Operation(one.name, [f"/floor/{short(one.name)}"], one.method)
            at_floor = throughput(floor, bare, seconds)
            length = size(server, one)
            taken = latencies(server, one, ASKED)
            a_second = 0 if one.once else throughput(server, one, seconds)
            few = p50_small.get(one.name)
            lines.append(
                Line(
                    one.name,
                    a_second,
                    a_second / at_floor,
                    percentile(taken, 0.5),
                    percentile(taken, 0.95),
                    percentile(taken, 0.99),
                    median(taken) / few if few else None,
                    length,
                )
            )
            print(table(lines[-1:]).splitlines()[-1], file=sys.stderr)
        whole = {"MB a worker": server.megabytes_a_worker(), "seconds to start": server.started_in}
    return lines, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", default="", help="a word of the operations' names")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--large", type=int, nargs=2, default=LARGE)
    parser.add_argument("--database", help="an empty PostgreSQL database")
    parser.add_argument("--no-files", action="store_true", help="print the table alone")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        small = None if given.database else Installation(folder / "small", SMALL, None)
        large = Installation(folder / "large", tuple(given.large), given.database)
        lines, whole = measure(large, small, given.operations, given.seconds)
    print(table(lines))
    print(", ".join(f"{name}: {value:.2f}" for name, value in whole.items()))
    if not given.no_files:
        kind = "postgresql" if given.database else "sqlite"
        found = {"lines": [asdict(line) for line in lines], **whole}
        (DOCS / f"benchmarks-{kind}.json").write_text(json.dumps(found, indent=1) + "\n")
        (DOCS / "images" / f"benchmarks-{kind}.svg").write_text(picture(lines))


if __name__ == "__main__":
    main()
