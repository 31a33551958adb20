"""What a benchmark finds: as a table, as JSON, as a picture, and in docs/benchmarks.md."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.picture import picture

DOCS = Path(__file__).parent.parent / "docs"
HEAD = ("operation", "req/s", "of floor", "p50", "p95", "p99", "of small", "queries", "bytes")


@dataclass(frozen=True)
class Line:
    """What one operation takes. Times in milliseconds, on one connection."""

    operation: str
    requests_a_second: float
    of_floor: float | None
    """Its requests a second as a part of the floor's; None where that says nothing."""
    p50: float
    p95: float
    p99: float
    of_small: float | None
    """Its p50 as a multiple of that with little data."""
    queries: int
    bytes: int

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.operation,
            f"{self.requests_a_second:.0f}" if self.requests_a_second else "-",
            f"{self.of_floor:.2f}" if self.of_floor else "-",
            *(f"{taken:.1f}" for taken in (self.p50, self.p95, self.p99)),
            f"{self.of_small:.2f}" if self.of_small else "-",
            str(self.queries),
            str(self.bytes),
        )


def percentile(taken: list[float], part: float) -> float:
    """Of sorted values, the one that `part` of them do not exceed."""
    return taken[min(len(taken) - 1, int(len(taken) * part))]


def table(lines: list[Line]) -> str:
    """The lines as text in columns."""
    rows = [HEAD, *(line.cells for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def write_results(kind: str, lines: list[Line], whole: dict[str, float]) -> None:
    """Put what was measured on a `kind` of database into the documents."""
    found = {"lines": [asdict(line) for line in lines], **whole}
    (DOCS / f"benchmarks-{kind}.json").write_text(json.dumps(found, indent=1) + "\n")
    (DOCS / "images" / f"benchmarks-{kind}.svg").write_text(picture(lines))
    page = DOCS / "benchmarks.md"
    page.write_text(with_table(page.read_text(), kind, lines, whole))


def write_load(
    kind: str,
    rows: list[tuple[str, str, int, list[float]]],
    checks: list[tuple[str, float, bool]],
    import_took: float,
) -> None:
    """Put what a run under load showed on a `kind` of database into the documents.

    `rows` are what was asked, in which phase, how often, and p50, p95, p99 in milliseconds.
    """
    found = {
        "requests": [
            {"what": what, "phase": phase, "number": number, "p50_p95_p99": taken}
            for what, phase, number, taken in rows
        ],
        "checks": [{"what": what, "figure": figure, "good": good} for what, figure, good in checks],
        "import_seconds": import_took,
    }
    (DOCS / f"load-{kind}.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "| asked | when | times | p50 | p95 | p99 |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {what} | {phase} | {number} | {taken[0]:.1f} | {taken[1]:.1f} | {taken[2]:.1f} |"
            for what, phase, number, taken in rows
        ),
        "",
        *(
            f"- {what}: {figure:.6g}" + ("" if good else " (**not as it should be**)")
            for what, figure, good in checks
        ),
        f"- the import took {import_took:.0f} s",
    ]
    page = DOCS / "benchmarks.md"
    page.write_text(_between(page.read_text(), f"load {kind}", "\n".join(lines)))


def with_table(page: str, kind: str, lines: list[Line], whole: dict[str, float]) -> str:
    """The document with the table of this `kind` of database in its place."""
    rows = [HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *(line.cells for line in lines)]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    told = ", ".join(f"{name}: {value:.2f}" for name, value in whole.items())
    return _between(page, kind, f"{text}\n\n{told}")


def _between(page: str, mark: str, text: str) -> str:
    """The document with `text` at its mark."""
    between = rf"(<!-- {mark} -->\n).*?(<!-- end -->)"
    return re.sub(between, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, flags=re.DOTALL)
