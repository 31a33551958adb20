"""The simulation of many agents: its queues against what is known of queues, and its verdicts."""

import json
from collections.abc import Iterator
from math import exp, lgamma, log
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.portals import Outcome, Setup, _growing, demands, simulate
from bench.queues import Job, Queue, Steps, World
from bench.simulation import DOCS, NOT_YET, holds, ladder_row, load, main, tables, with_figures
from bench.sizing import SIGN_IN, Assumptions, Measured, costs, rates, read_measured

GIVEN = Assumptions()
A_SECOND = {
    "projects": 200,
    "search, rare": 300,
    "Home": 220,
    "audit log": 200,
    "License tab": 330,
    "License tab, fragment": 420,
    "generate": 260,
    "inspect a key": 500,
    "JWK Set": 1100,
    "heartbeat": 1000,
    "agent sign-in": 15,
    "revoke": 0,
}
SQLITE = Setup("SQLite", "sqlite")
THREE = Setup("three portals", "postgresql", 3, database_cores=2)


def found(**changed: float) -> dict[str, Any]:
    """What `make bench` writes, with made-up times."""
    lines = [
        {
            "operation": name,
            "requests_a_second": a_second,
            "p50": 5.0,
            "p95": 8.0,
            "p99": 12.0,
            "bytes": 400,
        }
        for name, a_second in (A_SECOND | changed).items()
    ]
    return {"lines": lines, "ms a password hash": 100.0}


def measured(kind: str, tmp_path: Path, **changed: float) -> Measured:
    file = tmp_path / f"{kind}.json"
    file.write_text(json.dumps(found(**changed)))
    read = read_measured(file, kind)
    assert read
    return read


# The queues


def mean_wait(places: int, rho: float, service: Iterator[float], number: int) -> float:
    """Simulated: arrivals at random, one second of service on average."""
    chance, world = Random(1), World()
    queue = Queue(world, "queue", places)

    def steps() -> Steps:
        yield queue.place()
        yield next(service)
        queue.give()

    moments, moment = [], 0.0
    for _ in range(number):
        moment += chance.expovariate(rho * places)
        moments.append((moment, Job("one", steps())))
    world.run(moments, moment)
    assert queue.busy_seconds / moment / places == pytest.approx(rho, rel=0.02)
    return sum(job.waited for job in world.ended) / len(world.ended)


def at_random(chance: Random) -> Iterator[float]:
    while True:
        yield chance.expovariate(1)


def always_one() -> Iterator[float]:
    while True:
        yield 1.0


def crommelin(places: int, rho: float) -> float:
    """The mean wait of M/D/c, whose service takes one second (Crommelin, 1932)."""
    load, total = rho * places, 0.0

    def poisson(mean: float, count: int) -> float:
        return exp(count * log(mean) - mean - lgamma(count + 1))

    for turn in range(1, 400):
        mean, first = turn * load, turn * places
        tail = sum(poisson(mean, count) for count in range(first + 1, first + 600))
        total += poisson(mean, first) + tail - tail * places / load
    return total


@pytest.mark.parametrize("rho", [0.5, 0.7])
def test_one_place_and_random_service_wait_as_m_m_1_does(rho: float) -> None:
    assert mean_wait(1, rho, at_random(Random(2)), 200_000) == pytest.approx(
        rho / (1 - rho), rel=0.04
    )


def test_two_places_and_random_service_wait_as_m_m_2_does() -> None:
    expected = 0.7**2 / (1 - 0.7**2)
    assert mean_wait(2, 0.7, at_random(Random(2)), 200_000) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("places", [1, 2, 4])
def test_even_service_waits_as_m_d_c_does(places: int) -> None:
    expected = crommelin(places, 0.7)
    if places == 1:
        assert expected == pytest.approx(0.7 / 2 / 0.3)
    assert mean_wait(places, 0.7, always_one(), 200_000) == pytest.approx(expected, rel=0.04)


def test_places_are_given_in_the_order_of_arrival_and_patience_ends() -> None:
    world = World()
    queue = Queue(world, "lock", 1)
    told: list[tuple[str, float, bool]] = []

    def steps(name: str, patience: float | None) -> Steps:
        got = yield queue.place(patience)
        told.append((name, world.now, got))
        if got:
            yield 2.0
            queue.give()

    wishes = [("first", None), ("hurried", 1.0), ("second", None), ("third", 9.0)]
    jobs = [
        (number / 10, Job(name, steps(name, wish))) for number, (name, wish) in enumerate(wishes)
    ]
    world.run(jobs, 10)
    assert told == [
        ("first", 0.0, True),
        ("hurried", 1.1, False),
        ("second", 2.0, True),
        ("third", 4.0, True),
    ]
    assert (queue.given_up, queue.length, queue.taken, queue.busy_seconds) == (1, 0, 0, 6.0)
    assert [round(job.waited, 9) for job in world.ended] == [1.0, 0, 1.8, 3.7]


# Verdicts


def outcome(setup: Setup, tmp_path: Path, agents: int, seed: int = 1, **changed: float) -> Outcome:
    read = measured(setup.database, tmp_path, **changed)
    return simulate(setup, read, GIVEN, agents=agents, heartbeat=5, seed=seed)


def test_nothing_grows_where_little_is_asked(tmp_path: Path) -> None:
    quiet = outcome(SQLITE, tmp_path, 1_000)
    assert quiet.growing == ""
    assert quiet.seconds == 60
    assert quiet.waits["heartbeat"][0] < 0.001
    assert ladder_row(quiet)[-1] == "none"


@pytest.mark.parametrize(
    ("setup", "changed", "expected"),
    [
        (SQLITE, {}, "portal CPU"),
        (Setup("eight cores", "sqlite", cores=8), {"heartbeat": 400}, "write lock"),
        (Setup("one core", "postgresql", 9, database_cores=1), {}, "database CPU"),
    ],
)
def test_the_queue_that_is_asked_for_most_grows_first(
    tmp_path: Path, setup: Setup, changed: dict[str, float], expected: str
) -> None:
    busy = outcome(setup, tmp_path, 20_000, **changed)
    assert busy.growing == expected
    assert busy.used[expected] > 1
    assert ladder_row(busy)[6:8] == ("grows", "grows")


def test_a_queue_that_grows_though_all_is_enough_is_named_with_what_it_waits_for() -> None:
    world = World()
    threads, cpu = Queue(world, "reading threads", 4), Queue(world, "portal CPU", 2)
    threads.lengths, cpu.lengths = [0] * 40 + [500] * 40, [3] * 80
    used = {"portal CPU": 0.98, "reading threads": 0.4}
    assert _growing(used, world, 10_000) == "reading threads, behind portal CPU"
    assert _growing(used, world, 100_000) == ""
    assert _growing(used | {"portal CPU": 1.0}, world, 10_000) == "portal CPU"


def test_what_a_sign_in_asks_of_each_queue(tmp_path: Path) -> None:
    """By hand: two cores are busy for 2/15 s, 0.1 s of it hashing; the attempt is a short write."""
    read = measured("sqlite", tmp_path)
    attempt, rest = 1.1 * 2 / 1000, 2 / 15 - 0.1
    used = demands(SQLITE, costs(read, GIVEN, 1), read.hash_seconds, {SIGN_IN: 3.0})
    assert used == {
        "portal CPU": pytest.approx(3 * (attempt + 0.1 + rest) / 2),
        "write lock": pytest.approx(3 * (attempt + rest / 2)),
        "hashing places": pytest.approx(3 * (attempt + 0.1) / 4),
        "writing threads": pytest.approx(3 * (attempt + 0.1 + rest) / 16),
        "reading threads": 0,
    }


def test_the_simulation_uses_what_the_arithmetic_says(tmp_path: Path) -> None:
    """Utilisation is arrivals times service, whatever the order of events."""
    for setup in (SQLITE, THREE):
        read = measured(setup.database, tmp_path)
        asked = rates(GIVEN, 2_000, 5)
        said = demands(setup, costs(read, GIVEN, 2_000), read.hash_seconds, asked)
        shown = simulate(setup, read, GIVEN, agents=2_000, heartbeat=5, seed=1)
        assert shown.growing == ""
        for name in said.keys() & {"portal CPU", "database CPU"}:
            assert shown.used[name] == pytest.approx(said[name], rel=0.1), name
        # Whoever holds the lock waits for the processor meanwhile.
        if "write lock" in said:
            assert said["write lock"] < shown.used["write lock"] < 1.5 * said["write lock"]


def test_what_a_set_up_holds_is_what_fills_its_first_queue(tmp_path: Path) -> None:
    read = measured("sqlite", tmp_path)
    agents, queue = holds(SQLITE, read, GIVEN, 5)
    used = demands(SQLITE, costs(read, GIVEN, agents), read.hash_seconds, rates(GIVEN, agents, 5))
    assert max(used.values()) == used[queue] == pytest.approx(0.7, rel=0.1)
    assert holds(SQLITE, read, GIVEN, 60)[0] > 2 * agents


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    first = outcome(SQLITE, tmp_path, 3_000, seed=7)
    assert outcome(SQLITE, tmp_path, 3_000, seed=7) == first
    assert outcome(SQLITE, tmp_path, 3_000, seed=8) != first


# The document

PAGE = "".join(
    f"<!-- {name} -->\nfigures of last year\n<!-- end -->\n"
    for name in ("small machine", "holds", "assumptions", "million", "simulated")
)


def test_without_measurements_nothing_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(SystemExit, match=r"Nothing was measured yet.*\nNothing was changed\."):
        main(["--benchmarks", str(tmp_path), "--document", str(page)])
    assert "benchmarks-sqlite.json is not there (`make bench` writes it)" in capsys.readouterr().err
    assert page.read_text() == PAGE


def test_a_benchmark_of_some_operations_is_not_enough(tmp_path: Path) -> None:
    part = found()
    part["lines"] = part["lines"][:-1]
    file = tmp_path / "benchmarks-sqlite.json"
    file.write_text(json.dumps(part))
    with pytest.raises(ValueError, match="nothing was measured of revoke; renew it"):
        load(tmp_path)
    file.write_text("[]")
    with pytest.raises(ValueError, match="this is no benchmark"):
        load(tmp_path)


def test_the_figures_stand_between_their_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.simulation.SIZES", (1_000,))
    (tmp_path / "benchmarks-sqlite.json").write_text(json.dumps(found()))
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    main(["--benchmarks", str(tmp_path), "--document", str(page)])
    text = page.read_text()
    assert "last year" not in text
    assert "| heartbeat | 1000 |" in text
    assert "**one portal, SQLite; a heartbeat every 60 s**" in text
    assert NOT_YET in text
    assert "one portal, PostgreSQL" not in text
    (tmp_path / "benchmarks-postgresql.json").write_text(json.dumps(found()))
    assert (
        "| heartbeats a second | 200,000 | 66,667 | 16,667 | 3,333 |"
        in tables(load(tmp_path), GIVEN)["million"]
    )
    with pytest.raises(ValueError, match=r"no place for the figures 'holds'"):
        with_figures("<!-- hold -->", {"holds": ""})


def test_the_document_has_the_figures_of_the_latest_benchmark() -> None:
    """If this fails: `make simulate`."""
    page = (DOCS / "scaling.md").read_text()
    benchmarks = {kind: DOCS / f"benchmarks-{kind}.json" for kind in ("sqlite", "postgresql")}
    read = {kind: read_measured(file, kind) for kind, file in benchmarks.items()}
    there = {kind: one for kind, one in read.items() if one}
    assert with_figures(page, tables(there, GIVEN)) == page
    with_figures(page, {"simulated": ""})
