"""Simulates portals under many agents, and puts the figures into docs/scaling.md: `make simulate`.

    python -m bench.simulation [--benchmarks FOLDER] [--document FILE] [--seed NUMBER]

Discrete events over the times that `make bench` has measured (FOLDER/benchmarks-sqlite.json and
benchmarks-postgresql.json); what it did not measure is in `sizing.Assumptions`. The same seed gives
the same figures.
"""

import argparse
import sys
from math import ceil
from pathlib import Path

from bench.portals import SETUPS, Outcome, Setup, demands, simulate
from bench.sizing import (
    BEAT,
    DAY,
    NOTED,
    REVOKED,
    SIGN_IN,
    WRITES,
    Assumptions,
    Measured,
    bytes_a_second,
    bytes_a_year,
    costs,
    entries,
    rates,
    read_measured,
)

DOCS = Path(__file__).parent.parent / "docs"
HOW_MEASURED = {"sqlite": "make bench", "postgresql": "python -m bench.run --database URL"}
SIZES = (1_000, 10_000, 50_000, 100_000, 300_000, 1_000_000)
HEARTBEATS = (5, 15, 60, 300)
SIMULATED_HEARTBEATS = (5, 60)
NOT_YET = "Not measured yet: `make bench`, then `make simulate`."
MILLION, PORTAL_CORES = 1_000_000, 2
TOLD = (BEAT, SIGN_IN, "generate", "inspect a key", "License tab", "Home", "search, rare")
"""The requests of which the document says how many a second a small machine answers."""
Rows = list[tuple[str, ...]]


def load(folder: Path) -> dict[str, Measured]:
    """What was measured, by the kind of database; says what is missing. Raises ValueError."""
    found = {}
    for kind, how in HOW_MEASURED.items():
        file = folder / f"benchmarks-{kind}.json"
        if measured := read_measured(file, kind):
            found[kind] = measured
        else:
            print(f"{file} is not there (`{how}` writes it): left out.", file=sys.stderr)
    if not found:
        raise ValueError("Nothing was measured yet, so there is nothing to simulate.")
    return found


def tables(found: dict[str, Measured], given: Assumptions) -> dict[str, str]:
    """The tables of the document that are computed and not simulated, by their names there."""
    million = table(_million(found["postgresql"], given)) if "postgresql" in found else NOT_YET
    return {
        "small machine": table(_small_machine(found)) if found else NOT_YET,
        "holds": table(_holds(found, given)) if found else NOT_YET,
        "assumptions": table([("what", "so many"), *given.rows()]),
        "million": million,
    }


def ladder(found: dict[str, Measured], given: Assumptions, seed: int) -> str:
    """The simulated set-ups at every size, one table for each."""
    parts = []
    for heartbeat in SIMULATED_HEARTBEATS:
        for setup in SETUPS:
            if setup.database not in found:
                continue
            rows: Rows = [LADDER_HEAD]
            for agents in SIZES:
                measured = found[setup.database]
                rows.append(
                    ladder_row(
                        simulate(
                            setup, measured, given, agents=agents, heartbeat=heartbeat, seed=seed
                        )
                    )
                )
                print(f"{setup.name}, {heartbeat} s:", *rows[-1], file=sys.stderr)
            parts.append(f"**{setup.name}; a heartbeat every {heartbeat} s**\n\n{table(rows)}")
    return "\n\n".join(parts)


LADDER_HEAD = (
    "agents",
    "seconds",
    "portal CPU",
    "write lock or database",
    "hashing",
    "threads",
    "a heartbeat waits",
    "a sign-in waits",
    "given up",
    "the first queue that grows",
)


def ladder_row(outcome: Outcome) -> tuple[str, ...]:
    used = outcome.used
    writes = used.get("write lock", used.get("database CPU", 0))
    threads = max(used["reading threads"], used["writing threads"])
    waits = [
        "grows" if outcome.growing else f"{1000 * p50:.0f} / {1000 * p99:.0f} ms"
        for p50, p99 in outcome.waits.values()
    ]
    lost = [
        f"{a_second:.1f} {what} a second"
        for queue, what in (("write lock", "notes"), ("hashing places", "sign-ins"))
        if (a_second := outcome.given_up.get(queue, 0))
    ]
    return (
        f"{outcome.agents:,}",
        f"{outcome.seconds:.2g}",
        *(f"{part:.0%}" for part in (used["portal CPU"], writes, used["hashing places"], threads)),
        *waits,
        ", ".join(lost) or "-",
        outcome.growing or "none",
    )


def _small_machine(found: dict[str, Measured]) -> Rows:
    rows: Rows = [("a second", *found)]
    for name in TOLD:
        rows.append(
            (name, *(f"{one.lines[name]['requests_a_second']:.0f}" for one in found.values()))
        )
    rows.append(("ms a password", *(f"{1000 * one.hash_seconds:.0f}" for one in found.values())))
    return rows


def _holds(found: dict[str, Measured], given: Assumptions) -> Rows:
    rows: Rows = [("set-up", *(f"{seconds} s" for seconds in HEARTBEATS))]
    for setup in SETUPS:
        if setup.database in found:
            held = [holds(setup, found[setup.database], given, one) for one in HEARTBEATS]
            rows.append((setup.name, *(f"{agents:,} ({queue})" for agents, queue in held)))
    return rows


def holds(
    setup: Setup, measured: Measured, given: Assumptions, heartbeat: float
) -> tuple[int, str]:
    """How many agents fill the first queue as far as it may be, to two digits; and which one."""
    few, many = 0, 10 * MILLION
    name = ""
    while many - few > 1:
        agents = (few + many) // 2
        times, asked = costs(measured, given, agents), rates(given, agents, heartbeat)
        used = demands(setup, times, measured.hash_seconds, asked)
        fullest = max(used, key=lambda queue: used[queue])
        if used[fullest] > given.full:
            many, name = agents, fullest
        else:
            few = agents
    digits = 10 ** max(0, len(str(few)) - 2)
    return few // digits * digits, name


def _million(measured: Measured, given: Assumptions) -> Rows:
    columns = [_needs(measured, given, heartbeat) for heartbeat in HEARTBEATS]
    rows: Rows = [("a heartbeat every", *(f"{seconds} s" for seconds in HEARTBEATS))]
    rows += [(name, *(column[name] for column in columns)) for name in columns[0]]
    return rows


def _needs(measured: Measured, given: Assumptions, heartbeat: float) -> dict[str, str]:
    """What a million agents need in a busy morning, beginning with what they ask."""
    asked = rates(given, MILLION, heartbeat)
    beats, fetches = asked[BEAT] + asked[NOTED], asked[REVOKED]
    one = Setup("one core of each", "postgresql", cores=1, database_cores=1)
    used = demands(one, costs(measured, given, MILLION), measured.hash_seconds, asked)
    cores, database = used["portal CPU"], used["database CPU"]
    hashing = asked[SIGN_IN] * measured.hash_seconds
    # A sign-in counts its attempt in a transaction of its own.
    writes = asked[NOTED] + 2 * asked[SIGN_IN] + sum(asked[name] for name in WRITES)
    lists = bytes_a_second(measured, given, {REVOKED: fetches}, MILLION)
    others = {kind: a_second for kind, a_second in asked.items() if kind != REVOKED}
    return {
        "heartbeats a second": f"{beats:,.0f}",
        "sign-ins a second": f"{asked[SIGN_IN]:,.0f}",
        "keys a day": f"{MILLION * given.keys:,.0f}",
        "other requests a second": f"{sum(asked.values()) - beats - asked[SIGN_IN]:,.0f}",
        "off-line checks a second, which ask no server": f"{_checks(given):,.0f}",
        "portal cores at work": f"{cores:,.0f}, {hashing:,.0f} of them hash",
        "portal CPU a heartbeat": f"{1000 * costs(measured, given, MILLION)[BEAT].portal:.2f} ms",
        f"portals of {PORTAL_CORES} cores": f"{ceil(cores / given.full / PORTAL_CORES):,}",
        "cores of the database": f"{ceil(database / given.full):,}",
        "writing transactions a second": f"{writes:,.0f}",
        "network, without the lists": _megabits(bytes_a_second(measured, given, others, MILLION)),
        "lists of revoked licenses": f"{_megabits(lists)}, "
        f"{entries(given, MILLION) * given.entry_bytes / 1e3:,.0f} KB each",
        "the database grows by": f"{bytes_a_year(given, MILLION) / 1e9:,.0f} GB a year",
    }


def _checks(given: Assumptions) -> float:
    return MILLION * given.checkers * given.checks / DAY


def _megabits(bytes_each_second: float) -> str:
    return f"{8 * bytes_each_second / 1e6:,.0f} Mbit/s"


def table(rows: Rows) -> str:
    """As Markdown, with numbers to the right."""
    head, *rest = rows
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_figures(page: str, figures: dict[str, str]) -> str:
    """The document with each figure between its two marks. Raises ValueError."""
    for name, text in figures.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not mark or not end:
            raise ValueError(f"The document has no place for the figures {name!r}.")
        page = f"{before}{mark}\n{text}\n\n{end}{after}"
    return page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--benchmarks", type=Path, default=DOCS, help="the folder of the JSON files"
    )
    parser.add_argument("--document", type=Path, default=DOCS / "scaling.md")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    given = Assumptions()
    try:
        found = load(chosen.benchmarks)
        page = with_figures(chosen.document.read_text(), tables(found, given))
        page = with_figures(page, {"simulated": ladder(found, given, chosen.seed)})
    except (ValueError, OSError) as error:
        sys.exit(f"{error}\nNothing was changed.")
    chosen.document.write_text(page)


if __name__ == "__main__":
    main()
