"""When to send the next heartbeat. All in seconds of the boot clock; nothing here reads it."""

import random
from collections.abc import Callable

GIVE_UP_AFTER = 10.0
"""A heartbeat without an answer for so long has failed; if the answer still comes, it counts."""

MAX_BACKOFF = 30.0
"""Between two attempts when the portal cannot be reached, or the interval if that is longer."""

_INTERVALS = (0.5, 300.0)
_MAX_UNANSWERED = 4
_NO_ANSWER = "The portal does not answer in time."


class Schedule:
    """Heartbeats at an interval, each answered or given up, further apart while they fail.

    `trouble` says in a sentence why the portal cannot be reached; None while it can.
    """

    def __init__(
        self, now: float, interval: float, jitter: Callable[[], float] = random.random
    ) -> None:
        self.trouble: str | None = None
        self._jitter = jitter
        self._failures = 0
        self._unanswered = 0
        self._give_up_at: float | None = None
        self._next_at = 0.0
        self.succeeded(now, interval)

    @property
    def next_event(self) -> float:
        """When there is something to do next."""
        return self._next_at if self._give_up_at is None else self._give_up_at

    def is_due(self, now: float) -> bool:
        """Whether to send one now; gives one up that has waited for too long."""
        if now < self.next_event:
            return False
        if self._give_up_at is not None or self._unanswered >= _MAX_UNANSWERED:
            self.failed(now, _NO_ANSWER)
            return False
        return True

    def sent(self, now: float) -> None:
        """One was sent."""
        self._give_up_at = now + GIVE_UP_AFTER
        self._unanswered += 1

    def answered(self) -> None:
        """The outcome of one has come, good or bad, perhaps late."""
        self._unanswered -= 1

    def succeeded(self, now: float, interval: float) -> None:
        """The portal was reached; the next one is due after `interval`."""
        shortest, longest = _INTERVALS
        self._interval = min(max(interval, shortest), longest)
        self._give_up_at = None
        self._failures = 0
        self.trouble = None
        self._next_at = now + self._interval

    def wait_for(self, now: float, seconds: float) -> None:
        """The portal was reached, and asks to be left alone for `seconds`."""
        self.succeeded(now, self._interval)
        self._next_at = now + max(seconds, self._interval)

    def failed(self, now: float, trouble: str, *, at_least: float = 0.0) -> None:
        """The portal was not reached: try again after 1, 2, 4 ... seconds, or `at_least` so many.

        A fifth more or less, so that many agents do not come back at the same instant.
        """
        backoff = min(2.0 ** min(self._failures, 10), max(MAX_BACKOFF, self._interval))
        self._give_up_at = None
        self._failures += 1
        self.trouble = trouble
        self._next_at = now + max(backoff * (0.8 + 0.4 * self._jitter()), at_least)
