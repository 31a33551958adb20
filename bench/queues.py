"""Queues, event by event: jobs that take places, work for a while and give the places back.

A job is a generator. It yields seconds to work or to wait for so long, or `queue.place()` to wait
for a place; it is sent whether it got the place. It gives a place back by `queue.give()`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from statistics import fmean
from typing import NamedTuple

LOOKS = 80
"""How often, evenly over a run, the length of each queue is looked at."""


class Place(NamedTuple):
    """A wish for a place at a queue, given up after `patience` seconds if there is one."""

    queue: "Queue"
    patience: float | None


Steps = Generator[float | Place, bool, None]


@dataclass
class Job:
    kind: str
    steps: Steps
    began: float = 0
    ended: float | None = None
    waited: float = 0
    """Seconds that it has spent in queues."""


@dataclass(eq=False)
class Waiter:
    job: Job
    since: float
    is_waiting: bool = True


@dataclass(eq=False)
class Queue:
    """So many places, and whoever waits for one, in the order in which they came."""

    world: "World"
    name: str
    places: int
    taken: int = 0
    waiting: deque[Waiter] = field(default_factory=deque)
    length: int = 0
    """How many wait."""
    lengths: list[int] = field(default_factory=list)
    given_up: int = 0
    _busy_seconds: float = 0
    _noted_at: float = 0

    def __post_init__(self) -> None:
        self.world.queues.append(self)

    def place(self, patience: float | None = None) -> Place:
        return Place(self, patience)

    @property
    def busy_seconds(self) -> float:
        """Over all places, up to now."""
        return self._busy_seconds + self.taken * (self.world.now - self._noted_at)

    def take(self) -> bool:
        """Take a free place at once, if there is one."""
        if self.taken == self.places:
            return False
        self._change(1)
        return True

    def give(self) -> None:
        """Give a place back: the next one who still waits gets it."""
        self._change(-1)
        while self.waiting:
            waiter = self.waiting.popleft()
            if waiter.is_waiting:
                waiter.is_waiting = False
                self.length -= 1
                self._change(1)
                self.world.go_on_after_waiting(waiter, got_place=True)
                return

    def wait(self, job: Job, patience: float | None) -> None:
        waiter = Waiter(job, self.world.now)
        self.waiting.append(waiter)
        self.length += 1
        if patience is not None:
            self.world.at(self.world.now + patience, lambda: self._lose_patience(waiter))

    def growth(self) -> float:
        """By how many it was longer in the last quarter of the run than in the second one."""
        quarter = len(self.lengths) // 4
        if not quarter:
            return 0
        return fmean(self.lengths[-quarter:]) - fmean(self.lengths[quarter : 2 * quarter])

    def _lose_patience(self, waiter: Waiter) -> None:
        if waiter.is_waiting:
            waiter.is_waiting = False
            self.length -= 1
            self.given_up += 1
            self.world.go_on_after_waiting(waiter, got_place=False)

    def _change(self, taken: int) -> None:
        self._busy_seconds = self.busy_seconds
        self._noted_at = self.world.now
        self.taken += taken


class World:
    """A clock, its queues, and what happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queues: list[Queue] = []
        self.ended: list[Job] = []
        self._next: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        heappush(self._next, (moment, next(self._number), act))

    def run(self, arrivals: Iterable[tuple[float, Job]], until: float) -> None:
        """Let jobs arrive, each at its moment and in the order of these, and stop at `until`."""
        for look in range(1, LOOKS + 1):
            self.at(until * look / LOOKS, self._look)
        for moment, job in arrivals:
            self._run_to(moment)
            job.began = self.now = moment
            self._go_on(job)
        self._run_to(until)
        self.now = until

    def go_on_after_waiting(self, waiter: Waiter, *, got_place: bool) -> None:
        waiter.job.waited += self.now - waiter.since
        self.at(self.now, lambda: self._go_on(waiter.job, got_place))

    def _run_to(self, moment: float) -> None:
        while self._next and self._next[0][0] <= moment:
            self.now, _, act = heappop(self._next)
            act()

    def _go_on(self, job: Job, answer: bool | None = None) -> None:
        """One job, until it works or waits."""
        try:
            step = job.steps.send(answer)  # type: ignore[arg-type]
            while isinstance(step, Place):
                if not step.queue.take():
                    step.queue.wait(job, step.patience)
                    return
                step = job.steps.send(True)
            self.at(self.now + step, lambda: self._go_on(job, True))
        except StopIteration:
            job.ended = self.now
            self.ended.append(job)

    def _look(self) -> None:
        for queue in self.queues:
            queue.lengths.append(queue.length)
