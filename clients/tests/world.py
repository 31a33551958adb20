"""A world without waiting: two clocks that go when something waits, and work that takes as long as
it is told to."""

import heapq
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rolling_window_client.api import Grant, License, Organisation, SessionState, User
from rolling_window_client.clock import Reading
from rolling_window_client.errors import ClientError, PortalUnreachable
from rolling_window_client.session import Agent, Ended

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class World:
    """A clock and an inbox in one. `boot` is the true time; `wall` is off by whatever it was set.

    `latency` is how long work takes, in seconds; None if it never comes back. `at` has something
    happen at an instant of the boot clock. `longest_wait` is what was waited for at once.
    """

    def __init__(self) -> None:
        self.boot = 1000.0
        self._wall_ahead = NOON.timestamp() - self.boot
        self.latency: Callable[[], float | None] = lambda: 0.0
        self.longest_wait = 0.0
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()

    def read(self) -> Reading:
        return Reading(self.boot + self._wall_ahead, self.boot)

    def put(self, message: Any) -> None:
        self._add(self.boot, lambda: message)

    def start(self, work: Callable[[], Any]) -> None:
        latency = self.latency()
        if latency is not None:
            self._add(self.boot + latency, work)

    def at(self, boot: float, happening: Callable[[], None]) -> None:
        self._add(boot, happening)

    def wait(self, seconds: float) -> Any:
        self.longest_wait = max(self.longest_wait, seconds)
        until = self.boot + seconds
        while self._events and self._events[0][0] <= max(until, self.boot):
            at, _, work = heapq.heappop(self._events)
            self._pass(at - self.boot)
            message = work()
            if message is not None:
                return message
        self._pass(until - self.boot)
        return None

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: both clocks run on, nobody looks."""
        self._pass(seconds)

    def set_wall_clock(self, seconds: float) -> None:
        """By so many seconds forward, or back."""
        self._wall_ahead += seconds

    def _pass(self, seconds: float) -> None:
        self.boot += max(seconds, 0.0)

    def _add(self, at: float, work: Callable[[], Any]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), work))


class FakePortal:
    """Knows the true time. `trouble`, if set, is raised by every call."""

    def __init__(
        self, world: World, ttl: float | None = 60.0, heartbeat_seconds: float = 5.0
    ) -> None:
        self.world = world
        self.heartbeat_seconds = heartbeat_seconds
        self.started_at = world.boot
        self.ends_at = None if ttl is None else world.boot + ttl
        self.clock_is_set_back_by = 0.0
        self.trouble: ClientError | None = None
        self.heartbeats: list[float] = []
        self.ends: list[float] = []

    def session(self, token: str) -> SessionState:
        self.heartbeats.append(self.world.boot - self.started_at)
        if self.trouble is not None:
            raise self.trouble
        return self.state()

    def end_session(self, token: str) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.ends.append(self.world.boot - self.started_at)

    def configuration(self, token: str) -> dict[str, object]:
        return {}

    def save_configuration(self, token: str, configuration: Mapping[str, object]) -> None:
        raise AssertionError("not asked for here")

    def state(self) -> SessionState:
        left, until = None, None
        if self.ends_at is not None:
            left = max(self.ends_at - self.world.boot, 0.0) + self.clock_is_set_back_by
            until = NOON + timedelta(seconds=self.ends_at - self.started_at)
        return SessionState(
            Organisation("ORG-000123", "Acme Ltd"),
            User("partner@example.com", "partner"),
            License("permanent" if left is None else "temporary", "K7QF-3MXP", until),
            expires_in=left,
            heartbeat_seconds=self.heartbeat_seconds,
            can_save_configuration=left is None,
        )


def signed_in(world: World, portal: FakePortal, took: float = 0.0) -> Agent:
    """An agent whose sign-in took so many seconds; the portal answered at the end of them."""
    sent = world.read()
    world.sleep(took)
    grant = Grant(portal.state(), "a-token")
    return Agent(portal, grant, sent=sent, received=world.read(), clock=world, inbox=world)


def lived(world: World, agent: Agent, portal: FakePortal) -> tuple[Ended, float]:
    """How it ended, and after how many seconds."""
    ended = agent.run()
    return ended, world.boot - portal.started_at


UNREACHABLE = PortalUnreachable("Nothing is listening at portal.example.")
