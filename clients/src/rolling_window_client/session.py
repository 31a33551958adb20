"""A signed-in session: kept alive by heartbeats, ended on time whether or not the portal answers.

The session ends when the portal says so, when its deadline has passed (`clock.Deadline`), or when
it is signed out. Nothing that the network does can delay that: every request is made elsewhere
(`background`), and the loop here never waits for one longer than until the deadline.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from .api import (
    END_SECONDS,
    SIGN_IN_SECONDS,
    Grant,
    License,
    Organisation,
    Portal,
    SessionState,
    SignIn,
    User,
)
from .background import Inbox, ThreadInbox
from .clock import Clock, Deadline, Reading, SystemClock
from .errors import ClientError, PortalUnreachable, Refused, SessionEnded
from .machine import Machine, this_machine
from .schedule import Schedule

LONGEST_WAIT = 1.0
"""Seconds between two looks at the clocks, so that a machine that wakes up notices at once."""

_SENTENCES = {
    "key_expired": "The license key has expired.",
    "key_revoked": "The license key was revoked.",
    "license_revoked": "The license of this machine was revoked.",
    "agent_blocked": "Agent is Blocked.",
    "subscription_expired": "The subscription of the organisation has ended.",
    "session_ended": "The session was ended in the portal.",
    "signed_out": "Signed out.",
}


@dataclass(frozen=True)
class Ended:
    """How a session ended: the portal's code (or `signed_out`), and a sentence for a person."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Status:
    """How a session stands. `seconds_left` is None without an expiry.

    `trouble` says in a sentence why the portal cannot be reached, None if it can.
    """

    seconds_left: float | None
    trouble: str | None


class Calls(Protocol):
    """What an Agent needs of a Portal."""

    def session(self, token: str) -> SessionState: ...

    def end_session(self, token: str) -> None: ...

    def configuration(self, token: str) -> dict[str, object]: ...

    def save_configuration(self, token: str, configuration: Mapping[str, object]) -> None: ...


@dataclass(frozen=True)
class _Stop:
    """Somebody wants to sign out."""


@dataclass(frozen=True)
class _Heartbeat:
    """A heartbeat's outcome: the answer, or what came in its place."""

    sent: Reading
    received: Reading
    outcome: SessionState | ClientError


@dataclass(frozen=True)
class _Confirmed:
    """Whether the portal answered the end of the session."""

    done: bool


_Message = _Stop | _Heartbeat | _Confirmed


class Agent:
    """A session. `sign_in` makes one.

    Either run it here (`run`), or in the background: `with agent:` starts it, and signs out at the
    end. `check` and `wait` raise SessionEnded from the instant of the end on; `ended` says how.
    """

    def __init__(
        self,
        portal: Calls,
        grant: Grant,
        *,
        sent: Reading,
        received: Reading,
        clock: Clock,
        inbox: Inbox[_Message],
    ) -> None:
        self._portal = portal
        self._token = grant.token
        self._clock = clock
        self._inbox = inbox
        self._state = grant.state
        self._deadline: Deadline | None = None
        if grant.state.expires_in is not None:
            self._deadline = Deadline.after(grant.state.expires_in, sent=sent, received=received)
        self._schedule = Schedule(sent.boot, grant.state.heartbeat_seconds)
        self._ended: Ended | None = None
        self._ending = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.license_key = grant.license_key
        self.portal_clock_ahead = _portal_clock_ahead(grant.state, sent)

    def __repr__(self) -> str:
        return f"<Agent of {self.user.login_id!r}, license {self.license.key_id!r}>"

    @property
    def organisation(self) -> Organisation:
        return self._state.organisation

    @property
    def user(self) -> User:
        return self._state.user

    @property
    def license(self) -> License:
        return self._state.license

    @property
    def can_save_configuration(self) -> bool:
        return self._state.can_save_configuration

    @property
    def ended(self) -> Ended | None:
        """How the session ended; None while it goes on. Exact at any time, from any thread."""
        deadline = self._deadline
        if self._ended is None and deadline is not None:
            now = self._clock.read()
            if deadline.seconds_left(now) <= 0:
                self._end("key_expired", _expiry_sentence(deadline, now))
        return self._ended

    @property
    def status(self) -> Status:
        """Time left and trouble, now; no time is left once the session has ended."""
        return Status(self._seconds_left(), self._schedule.trouble)

    def check(self) -> None:
        """Raises SessionEnded if the session has ended; else does nothing."""
        if (ended := self.ended) is not None:
            raise SessionEnded(ended.code, ended.sentence)

    def wait(self, seconds: float) -> None:
        """Waits for `seconds`. Raises SessionEnded as soon as the session ends."""
        until = self._clock.read().boot + seconds
        self.check()
        while (left := until - self._clock.read().boot) > 0:
            self._over.wait(min(left, self._until_next_look()))
            self.check()

    def configuration(self) -> dict[str, object]:
        """The organisation's saved configuration. Raises as `Portal.configuration`."""
        return self._portal.configuration(self._token)

    def save_configuration(self, configuration: Mapping[str, object]) -> None:
        """Saves it for the organisation. Raises as `Portal.save_configuration`."""
        self._portal.save_configuration(self._token, configuration)

    # Running

    def start(self, on_end: Callable[[Ended], None] | None = None) -> None:
        """Keeps the session alive in the background; calls `on_end` (there) when it has ended."""

        def work() -> None:
            ended = self.run()
            try:
                if on_end is not None:
                    on_end(ended)
            finally:
                self.confirm()

        if self._thread is not None:
            raise RuntimeError("this session is kept alive already")
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def run(self, show: Callable[[Status], None] | None = None) -> Ended:
        """Keeps the session alive until it ends. `show` is called at least once a second.

        The end has not been confirmed to the portal then: `confirm` does that.
        """
        while (ended := self.ended) is None:
            self._start_heartbeat_if_due()
            if show is not None:
                show(self.status)
            message = self._inbox.wait(self._until_next_event())
            if message is not None:
                self._handle(message)
        return ended

    def stop(self) -> None:
        """Asks for the end of the session. Returns at once; safe in a signal handler."""
        self._inbox.put(_Stop())

    def sign_out(self) -> Ended:
        """Ends the session and tells the portal, waiting some seconds for its answer at most."""
        ended = self.ended or self._end("signed_out")
        if self._thread is None:
            self.confirm()
        elif self._thread is not threading.current_thread():
            self.stop()  # wakes it, if it waits
            self._thread.join(END_SECONDS + LONGEST_WAIT)
        return ended

    def confirm(self) -> bool:
        """Tells the portal that this side has ended the session; whether it answered.

        Waits for END_SECONDS at most. Call it when `run` has returned.
        """

        def work() -> _Message:
            try:
                self._portal.end_session(self._token)
            except ClientError:
                return _Confirmed(done=False)
            return _Confirmed(done=True)

        self._inbox.start(work)
        give_up_at = self._clock.read().boot + END_SECONDS
        while (left := give_up_at - self._clock.read().boot) > 0:
            message = self._inbox.wait(left)
            if isinstance(message, _Confirmed):
                return message.done
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sign_out()

    # The parts of the loop

    def _seconds_left(self) -> float | None:
        deadline = self._deadline
        if self._ended is not None:
            return 0.0
        return None if deadline is None else max(deadline.seconds_left(self._clock.read()), 0.0)

    def _until_next_look(self) -> float:
        """At most a second, and to a whole second of the time left: a countdown skips none."""
        left = self._seconds_left()
        return LONGEST_WAIT if left is None else left % LONGEST_WAIT or min(left, LONGEST_WAIT)

    def _until_next_event(self) -> float:
        until_due = self._schedule.next_event - self._clock.read().boot
        return max(min(until_due, self._until_next_look()), 0.0)

    def _start_heartbeat_if_due(self) -> None:
        now = self._clock.read()
        if self._schedule.is_due(now.boot):
            self._schedule.sent(now.boot)
            self._inbox.start(lambda: self._heartbeat(now))

    def _heartbeat(self, sent: Reading) -> _Message:
        """Made elsewhere: it touches nothing but the portal and the clock."""
        outcome: SessionState | ClientError
        try:
            outcome = self._portal.session(self._token)
        except ClientError as error:
            outcome = error
        return _Heartbeat(sent, self._clock.read(), outcome)

    def _handle(self, message: _Message) -> None:
        match message:
            case _Stop():
                self._end("signed_out")
            case _Heartbeat():
                self._schedule.answered()
                self._handle_heartbeat(message)

    def _handle_heartbeat(self, heartbeat: _Heartbeat) -> None:
        now = self._clock.read().boot
        match heartbeat.outcome:
            case SessionState() as state:
                self._schedule.succeeded(now, state.heartbeat_seconds)
                self._take(state, heartbeat)
            case SessionEnded() as end:
                self._end(end.code, str(end))
            case Refused(code="throttled") as refusal:
                self._schedule.wait_for(now, refusal.retry_after or 0)
            case PortalUnreachable(retry_after=asked) as trouble:
                self._schedule.failed(now, str(trouble), at_least=asked or 0)
            case ClientError() as trouble:
                self._schedule.failed(now, str(trouble))

    def _take(self, state: SessionState, heartbeat: _Heartbeat) -> None:
        """The portal's newest word; a deadline is only narrowed, unless the key was extended."""
        extended = _ends_later(state.license, self._state.license)
        self._state = state
        if state.expires_in is None:
            return
        sent, received = heartbeat.sent, heartbeat.received
        if self._deadline is None or extended:
            self._deadline = Deadline.after(state.expires_in, sent=sent, received=received)
        else:
            self._deadline = self._deadline.narrowed(state.expires_in, sent=sent, received=received)

    def _end(self, code: str, sentence: str = "") -> Ended:
        """The session has ended; if it had before, as it ended then."""
        with self._ending:
            if self._ended is None:
                self._ended = Ended(code, sentence or _SENTENCES[code])
                self._over.set()
            return self._ended


def sign_in(
    address: str,
    *,
    login_id: str,
    password: str,
    registration_key: str | None = None,
    save_configuration: bool = False,
    machine: Machine | None = None,
    ca_file: Path | None = None,
    proxy: str | None = None,
    plain_http: bool = False,
) -> Agent:
    """Signs in on the portal at `address`, from this machine.

    `registration_key` is the temporary license key of a partner or developer. `ca_file` is a PEM
    file of authorities to trust instead of the system's; `proxy` an HTTP proxy's address.
    `plain_http` allows http:// to other machines.

    Raises Refused with the portal's reason, PortalUnreachable, or WrongUse.
    """
    portal = Portal(address, ca_file=ca_file, proxy=proxy, plain_http=plain_http)
    wanted = SignIn(login_id, password, registration_key, save_configuration)
    return open_session(portal, wanted, machine or this_machine())


def open_session(portal: Portal, wanted: SignIn, machine: Machine) -> Agent:
    """As `sign_in`, on a Portal that exists.

    If the answer does not come in time, or the wait is broken off, a session that it still brings
    is ended at once: nobody would know of it.
    """
    clock = SystemClock()
    answers: ThreadInbox[tuple[Grant, Reading] | ClientError] = ThreadInbox()

    def work() -> tuple[Grant, Reading] | ClientError:
        try:
            return portal.sign_in(wanted, machine), clock.read()
        except ClientError as error:
            return error

    sent = clock.read()
    answers.start(work)
    try:
        answer = answers.wait(SIGN_IN_SECONDS)
    except BaseException:
        _discard(portal, answers).join(END_SECONDS)
        raise
    if answer is None:
        _discard(portal, answers)
        raise PortalUnreachable("The portal does not answer in time.")
    if isinstance(answer, ClientError):
        raise answer
    grant, received = answer
    return Agent(
        portal, grant, sent=sent, received=received, clock=clock, inbox=ThreadInbox[_Message]()
    )


def _discard(
    portal: Portal, answers: ThreadInbox[tuple[Grant, Reading] | ClientError]
) -> threading.Thread:
    def work() -> None:
        answer = answers.wait(10 * SIGN_IN_SECONDS)
        if isinstance(answer, tuple):
            with contextlib.suppress(ClientError):
                portal.end_session(answer[0].token)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _portal_clock_ahead(state: SessionState, sent: Reading) -> float | None:
    """By how many seconds the portal's clock is ahead of this machine's; None if it did not say."""
    if state.license.expires_at is None or state.expires_in is None:
        return None
    return state.license.expires_at.timestamp() - state.expires_in - sent.wall


def _ends_later(new: License, known: License) -> bool:
    """Whether the same key has a later end than was known: more time left alone proves nothing."""
    if new.key_id != known.key_id or new.expires_at is None or known.expires_at is None:
        return False
    return new.expires_at > known.expires_at


def _expiry_sentence(deadline: Deadline, now: Reading) -> str:
    if deadline.only_by_the_wall_clock(now):
        return "By the clock of this machine, which was set forward, the license key has expired."
    return _SENTENCES["key_expired"]
