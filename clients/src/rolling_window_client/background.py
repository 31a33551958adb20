"""Work done elsewhere, its outcome delivered here, and a wait that a delivery cuts short."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Inbox(Protocol[T]):
    """Where messages of type T arrive."""

    def put(self, message: T) -> None: ...

    def start(self, work: Callable[[], T]) -> None: ...

    def wait(self, seconds: float) -> T | None: ...


class ThreadInbox(Generic[T]):
    """An inbox whose work is done in threads that never keep the program from ending."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[T] = queue.SimpleQueue()

    def put(self, message: T) -> None:
        """Delivers `message`; may be called in a signal handler (SimpleQueue.put is reentrant)."""
        self._messages.put(message)

    def start(self, work: Callable[[], T]) -> None:
        """Has `work` done elsewhere. What it returns is delivered; it must not raise."""
        threading.Thread(target=lambda: self.put(work()), daemon=True).start()

    def wait(self, seconds: float) -> T | None:
        """The next message; None if there is none within `seconds`."""
        try:
            return self._messages.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return None
