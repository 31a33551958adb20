"""How much the portal is asked by so many agents, and what answering takes.

What an answer takes is read from docs/benchmarks-*.json, which `make bench` writes; what agents and
people do is assumed, in one table.
"""

import json
from dataclasses import dataclass, field, fields
from math import log
from pathlib import Path
from typing import Any

MEASURED_CORES = 2
"""The benchmark's portal has two processes, and shares two cores with whoever asks it."""
NOTE_EVERY = 30
"""A heartbeat is noted in the database at most once in so many seconds (session_rules.py)."""
MORNING = 1800
"""Seconds of a busy morning."""
DAY = 86400

READS = ("projects", "search, rare", "Home", "audit log", "License tab", "License tab, fragment")
LISTS = ("projects", "search, rare", "audit log")
"""What a read replica could answer: nothing in it decides who may do what."""
WRITES = ("generate", "revoke", "inspect a key")
SIGN_IN, BEAT, NOTED, REVOKED = "agent sign-in", "heartbeat", "heartbeat, noted", "revoked list"
MEASURED = (*READS, *WRITES, SIGN_IN, BEAT, "JWK Set")

SESSION_BYTES, EVENT_BYTES, FEED_BYTES, KEY_BYTES = 669, 233, 150, 318
"""Rows with their indexes, as measured with a million of each on SQLite."""


def assumed(value: float, what: str) -> Any:
    return field(default=value, metadata={"what": what})


@dataclass(frozen=True)
class Assumptions:
    """What is not measured by `make bench`."""

    sign_ins: float = assumed(1, "sign-ins a day and agent")
    sign_ins_in_morning: float = assumed(
        0.5, "part of them within the same half hour of the morning"
    )
    keys: float = assumed(0.05, "temporary keys a day and agent")
    keys_in_morning: float = assumed(0.1, "part of them within that half hour")
    revoked: float = assumed(0.1, "part of the keys that are revoked before their expiry")
    key_days: float = assumed(1, "days that a key is valid")
    admins: float = assumed(0.001, "super admins at work for each agent")
    refresh: float = assumed(5, "seconds between two refreshes of a super admin's page")
    page: float = assumed(60, "seconds between two pages that a super admin opens")
    checkers: float = assumed(0.1, "off-line checkers for each agent")
    list_fetch: float = assumed(
        3600, "seconds for which a checker keeps the list of revoked licenses"
    )
    checks: float = assumed(1000, "checks a day that each of them makes")
    jitter: float = assumed(0.1, "part of its interval by which a heartbeat comes earlier or later")
    note: float = assumed(
        1.1, "CPU time of noting a heartbeat, in times that of answering it (tried: 0.7 to 1.4)"
    )
    database: float = assumed(
        0.4,
        "part of a heartbeat's CPU time on PostgreSQL that is the database's (tried: 0.38, 0.41)",
    )
    database_else: float = assumed(
        0.25, "part of any other request's CPU time that is the database's (tried: 0.12 to 0.30)"
    )
    entry_us: float = assumed(
        5, "µs for each entry of the list of revoked licenses, to read and sign"
    )
    entry_bytes: float = assumed(91, "bytes for each entry of that list")
    header_bytes: float = assumed(1100, "bytes of headers of a request and its answer, with TLS")
    full: float = assumed(
        0.7, "part of a queue's time that may be used, so that waiting stays short"
    )

    def rows(self) -> list[tuple[str, str]]:
        return [(one.metadata["what"], f"{getattr(self, one.name):g}") for one in fields(self)]


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU time that a request takes."""

    portal: float
    locked: float = 0
    """Of the portal's too, but while it holds SQLite's write lock."""
    database: float = 0
    """Of PostgreSQL's."""
    spread: float = 0
    """The standard deviation of its logarithm."""


@dataclass(frozen=True)
class Measured:
    """What a benchmark found, on one kind of database."""

    kind: str
    lines: dict[str, dict[str, Any]]
    hash_seconds: float

    def cpu(self, operation: str) -> float:
        """Seconds of CPU time of a request, with the database's and that of whoever asks."""
        line = self.lines[operation]
        a_second: float = line["requests_a_second"]
        return MEASURED_CORES / a_second if a_second else float(line["p50"]) / 1000

    def spread(self, operation: str) -> float:
        """As if times were log-normal: 1.645 standard deviations from p50 to p95."""
        line = self.lines[operation]
        return min(1.0, log(max(1.0, line["p95"] / line["p50"])) / 1.645)


def read_measured(file: Path, kind: str) -> Measured | None:
    """What `make bench` wrote; None if there is no such file. Raises ValueError with a sentence."""
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text())
        lines = {line["operation"]: line for line in found["lines"]}
        hash_seconds = found["ms a password hash"] / 1000
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{file}: this is no benchmark; renew it with `make bench`.") from None
    missing = [name for name in MEASURED if name not in lines]
    if missing:
        raise ValueError(
            f"{file}: nothing was measured of {', '.join(missing)}; renew it with `make bench`, "
            "without --operations."
        )
    return Measured(kind, lines, hash_seconds)


def costs(measured: Measured, given: Assumptions, agents: int) -> dict[str, Cost]:
    """What each kind of request takes; a sign-in without its hashing."""
    found = {name: _cost(measured, given, name, measured.cpu(name)) for name in MEASURED}
    beat = found[BEAT]
    found[NOTED] = Cost(0, measured.cpu(BEAT) * given.note, spread=beat.spread)
    if measured.kind == "postgresql":
        noting = given.note * (beat.portal + beat.database)
        share = given.database_else
        found[NOTED] = Cost(noting * (1 - share), 0, noting * share, beat.spread)
    without_hash = max(measured.cpu(SIGN_IN) - measured.hash_seconds, measured.cpu("generate"))
    found[SIGN_IN] = _cost(measured, given, "generate", without_hash)
    signing = given.entry_us / 1e6 * entries(given, agents)
    found[REVOKED] = _cost(measured, given, "JWK Set", measured.cpu("JWK Set") + signing)
    return found


def _cost(measured: Measured, given: Assumptions, name: str, cpu: float) -> Cost:
    spread = measured.spread(name)
    if measured.kind == "postgresql":
        share = given.database if name == BEAT else given.database_else
        return Cost(cpu * (1 - share), 0, cpu * share, spread)
    # With two cores busy, no writer can hold the lock for more than half of that time.
    locked = cpu / MEASURED_CORES if name in WRITES else 0
    return Cost(cpu - locked, locked, 0, spread)


def entries(given: Assumptions, agents: int) -> float:
    """How many keys are in the list of revoked ones."""
    return agents * given.keys * given.revoked * given.key_days


def rates(given: Assumptions, agents: int, heartbeat: float) -> dict[str, float]:
    """Requests a second in a busy morning, of each kind."""
    admins = agents * given.admins
    keys = agents * given.keys * given.keys_in_morning / MORNING
    noted = min(1, heartbeat / NOTE_EVERY)
    return {
        BEAT: agents / heartbeat * (1 - noted),
        NOTED: agents / heartbeat * noted,
        SIGN_IN: agents * given.sign_ins * given.sign_ins_in_morning / MORNING,
        "generate": keys,
        "revoke": keys * given.revoked,
        "inspect a key": keys,
        "License tab": keys,
        "search, rare": keys,
        "License tab, fragment": admins / given.refresh,
        "Home": admins / given.page / 3,
        "projects": admins / given.page / 3,
        "audit log": admins / given.page / 3,
        REVOKED: agents * given.checkers / given.list_fetch,
    }


def bytes_a_second(
    measured: Measured, given: Assumptions, asked: dict[str, float], agents: int
) -> float:
    """What goes over the network for these requests."""
    total = 0.0
    for kind, a_second in asked.items():
        name = {NOTED: BEAT}.get(kind, kind)
        body = entries(given, agents) * given.entry_bytes
        if kind != REVOKED:
            body = measured.lines[name]["bytes"]
        total += a_second * (body + given.header_bytes)
    return total


def bytes_a_year(given: Assumptions, agents: int) -> float:
    """What the database grows by: of a sign-in a session, its two events and an entry of the Feed,
    of a key its record and the events that it was issued, viewed and copied."""
    sign_in = SESSION_BYTES + 2 * EVENT_BYTES + FEED_BYTES
    key = KEY_BYTES + 3 * EVENT_BYTES
    return 365 * agents * (given.sign_ins * sign_in + given.keys * key)
