"""Portals under many agents: what a request does there, and a slice of a busy morning."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from random import Random

from bench.queues import Job, Queue, Steps, World
from bench.sizing import (
    BEAT,
    LISTS,
    NOTED,
    SIGN_IN,
    WRITES,
    Assumptions,
    Cost,
    Measured,
    costs,
    rates,
)

SLICE, MOST_REQUESTS = 60, 100_000
"""Seconds that are simulated; fewer where more requests would arrive."""
WARM_UP = 0.2
"""Of a slice, in which the queues fill before waiting is measured."""
TURN = 0.005
"""After so many seconds a thread lets another one have the processor."""
NOTE_PATIENCE, HASH_PATIENCE = 0.1, 5
"""Seconds that a heartbeat waits for the write lock, and a sign-in for a place to hash at."""
GROWS, LEAST_GROWTH = 0.02, 10
"""A queue grows if it keeps more than this part of those who come, and at least so many."""


@dataclass(frozen=True)
class Setup:
    """Portals of one kind. A worker runs on one core: as many workers as cores."""

    name: str
    database: str
    portals: int = 1
    cores: int = 2
    threads: int = 8
    hashes_at_once: int = 2
    database_cores: int = 0
    replica_cores: int = 0
    """Of read replicas together."""


SETUPS = (
    Setup("one portal, SQLite", "sqlite"),
    Setup("one portal, PostgreSQL", "postgresql", database_cores=2),
    Setup("4 portals, PostgreSQL", "postgresql", 4, database_cores=8),
    Setup("16 portals, PostgreSQL, replicas", "postgresql", 16, database_cores=16, replica_cores=8),
)


class Site:
    """One portal's queues, and what a request does there."""

    def __init__(
        self,
        world: World,
        setup: Setup,
        times: dict[str, Cost],
        hash_seconds: float,
        *,
        chance: Random | None,
        shared: dict[str, Queue],
    ) -> None:
        self.times, self.hash_seconds = times, hash_seconds
        self.chance, self.shared = chance, shared
        workers, readers = setup.cores, max(2, setup.threads // 2)
        self.cpu = Queue(world, "portal CPU", setup.cores)
        self.reading = Queue(world, "reading threads", workers * readers)
        self.writing = Queue(world, "writing threads", workers * setup.threads)
        self.hashing = Queue(world, "hashing places", workers * setup.hashes_at_once)

    def job(self, kind: str) -> Job:
        if kind == SIGN_IN:
            return Job(kind, self._in_thread(self.writing, self._sign_in()))
        if kind in WRITES:
            return Job(kind, self._in_thread(self.writing, self._write(self.times[kind])))
        if kind == NOTED:
            return Job(kind, self._in_thread(self.reading, self._noted_heartbeat()))
        return Job(kind, self._in_thread(self.reading, self._read(self.times[kind], kind in LISTS)))

    def _in_thread(self, threads: Queue, steps: Steps) -> Steps:
        yield threads.place()
        yield from steps
        threads.give()

    def _noted_heartbeat(self) -> Steps:
        yield from self._read(self.times[BEAT])
        yield from self._write(self.times[NOTED], NOTE_PATIENCE)

    def _sign_in(self) -> Steps:
        if not (yield self.hashing.place(HASH_PATIENCE)):
            return
        yield from self._write(self.times[NOTED])  # the attempt is counted, as short a write
        yield from self._work(self.cpu, self.hash_seconds)
        self.hashing.give()
        yield from self._write(self.times[SIGN_IN])

    def _read(self, cost: Cost, may_be_old: bool = False) -> Steps:
        factor = self._factor(cost)
        yield from self._work(self.cpu, cost.portal * factor)
        yield from self._ask_database(cost.database * factor, may_be_old)

    def _write(self, cost: Cost, patience: float | None = None) -> Steps:
        factor = self._factor(cost)
        yield from self._work(self.cpu, cost.portal * factor)
        if cost.locked:
            lock = self.shared["write lock"]
            if not (yield lock.place(patience)):
                return
            yield from self._work(self.cpu, cost.locked * factor)
            lock.give()
        yield from self._ask_database(cost.database * factor)

    def _ask_database(self, seconds: float, may_be_old: bool = False) -> Steps:
        replicas = self.shared.get("read replicas") if may_be_old else None
        if queue := replicas or self.shared.get("database"):
            yield from self._work(queue, seconds)

    def _work(self, queue: Queue, seconds: float) -> Steps:
        """In turns, as an operating system shares processors out."""
        while seconds > 0:
            yield queue.place()
            yield min(seconds, TURN)
            queue.give()
            seconds -= TURN

    def _factor(self, cost: Cost) -> float:
        if not self.chance:
            return 1
        return exp(cost.spread * (self.chance.gauss(0, 1) - cost.spread / 2))


def shared_queues(world: World, setup: Setup) -> dict[str, Queue]:
    """What all portals of a set-up wait for."""
    if setup.database == "sqlite":
        # It runs in the portal's processes: there is nothing else to wait for.
        return {"write lock": Queue(world, "write lock", 1)}
    found = {"database": Queue(world, "database CPU", setup.database_cores)}
    if setup.replica_cores:
        found["read replicas"] = Queue(world, "read replicas", setup.replica_cores)
    return found


def demands(
    setup: Setup, times: dict[str, Cost], hash_seconds: float, asked: dict[str, float]
) -> dict[str, float]:
    """The part of each queue's time that the requests take when nobody waits; over 1: too much."""
    found: dict[str, float] = {}
    for kind, a_second in asked.items():
        world = World()
        site = Site(
            world, setup, times, hash_seconds, chance=None, shared=shared_queues(world, setup)
        )
        world.run([(0.0, site.job(kind))], 3600)
        for queue in world.queues:
            portals = 1 if queue in site.shared.values() else setup.portals
            part = a_second * queue.busy_seconds / queue.places / portals
            found[queue.name] = found.get(queue.name, 0) + part
    return found


@dataclass(frozen=True)
class Outcome:
    """What a simulated slice shows."""

    agents: int
    seconds: float
    used: dict[str, float]
    """Of each queue's time; over 1 where it is asked for more than it has."""
    waits: dict[str, tuple[float, float]]
    """Seconds that a heartbeat and a sign-in wait in queues: p50 and p99."""
    given_up: dict[str, float]
    """How many a second lost patience at a queue."""
    growing: str
    """The first queue that grows; "" if none does."""


def simulate(
    setup: Setup,
    measured: Measured,
    given: Assumptions,
    *,
    agents: int,
    heartbeat: float,
    seed: int,
) -> Outcome:
    """One slice of a busy morning."""
    chance = Random(f"{seed} {setup.name} {agents} {heartbeat}")
    times, asked = costs(measured, given, agents), rates(given, agents, heartbeat)
    seconds = min(SLICE, MOST_REQUESTS / sum(asked.values()))
    world = World()
    shared = shared_queues(world, setup)
    sites = [
        Site(world, setup, times, measured.hash_seconds, chance=chance, shared=shared)
        for _ in range(setup.portals)
    ]
    every = arrivals(chance, given, asked, agents=agents, heartbeat=heartbeat, seconds=seconds)
    moments = sorted(every)
    world.run(((at, chance.choice(sites).job(kind)) for at, kind in moments), seconds)
    used = demands(setup, times, measured.hash_seconds, asked)
    first = _growing(used, world, len(moments))
    for name in used:
        same = [queue for queue in world.queues if queue.name == name]
        busy = sum(one.busy_seconds / one.places for one in same) / seconds / len(same)
        used[name] = max(used[name], busy)
    lost = {
        name: sum(queue.given_up for queue in world.queues if queue.name == name) / seconds
        for name in used
    }
    waits = {
        "heartbeat": _waits(world, (BEAT, NOTED), seconds),
        "sign-in": _waits(world, (SIGN_IN,), seconds),
    }
    return Outcome(agents, seconds, used, waits, lost, first)


def arrivals(
    chance: Random,
    given: Assumptions,
    asked: dict[str, float],
    *,
    agents: int,
    heartbeat: float,
    seconds: float,
) -> Iterator[tuple[float, str]]:
    """When what arrives: agents at their interval, everything else at random."""
    noted = asked[NOTED] / (asked[BEAT] + asked[NOTED])
    for _ in range(agents):
        moment = chance.random() * heartbeat
        while moment < seconds:
            yield moment, NOTED if chance.random() < noted else BEAT
            moment += heartbeat * (1 + given.jitter * chance.uniform(-1, 1))
    for kind, a_second in asked.items():
        moment = chance.expovariate(a_second) if a_second and kind not in (BEAT, NOTED) else seconds
        while moment < seconds:
            yield moment, kind
            moment += chance.expovariate(a_second)


def _growing(demand: dict[str, float], world: World, arrived: int) -> str:
    """The first queue that grows; "" if none does.

    The one that is asked for most, if that is more than it has. Else one that grew in the slice:
    often threads, which wait for something that is nearly full.
    """
    fullest = max(demand, key=lambda name: demand[name])
    if demand[fullest] >= 1:
        return fullest
    growth: dict[str, float] = {}
    for queue in world.queues:
        growth[queue.name] = growth.get(queue.name, 0) + queue.growth()
    longest = max(growth, key=lambda name: growth[name])
    # Half of all arrive between the middles of the two quarters that are compared.
    if growth[longest] <= max(GROWS * arrived / 2, LEAST_GROWTH):
        return ""
    return longest if longest == fullest else f"{longest}, behind {fullest}"


def _waits(world: World, kinds: tuple[str, ...], seconds: float) -> tuple[float, float]:
    waited = sorted(
        job.waited for job in world.ended if job.kind in kinds and job.began > WARM_UP * seconds
    )
    if not waited:
        return 0, 0
    return waited[len(waited) // 2], waited[int(len(waited) * 0.99)]
