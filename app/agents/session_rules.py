"""When a session on an OP Agent has ended, and how far its agent is known to be. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.agents.codes import EndCause, EndCode, with_instant
from app.core.durations import SessionLimits

NOTE_EVERY = timedelta(seconds=30)
ANSWER_TIME = timedelta(seconds=3)
"""How late a heartbeat may arrive before its agent is taken to be off-line."""


@dataclass(frozen=True)
class SessionFacts:
    """What a session's end depends on. Instants are aware, in UTC; None: it did not happen.

    Those of the key are None under a permanent license, those of the license and the subscription
    under a key.
    """

    last_heard_at: datetime
    ended_at: datetime | None = None
    ended_by: EndCause | None = None
    user_disabled_at: datetime | None = None
    key_issued_at: datetime | None = None
    key_expires_at: datetime | None = None
    key_revoked_at: datetime | None = None
    agent_detached_at: datetime | None = None
    agent_dissociated_at: datetime | None = None
    license_revoked_at: datetime | None = None
    subscription_ends_at: datetime | None = None


@dataclass(frozen=True)
class SessionEnd:
    """That, why and when a session ended. `sentence` has `{at}` where it names the instant."""

    cause: EndCause
    at: datetime

    @property
    def code(self) -> EndCode:
        return self.cause.code

    @property
    def sentence(self) -> str:
        return self.cause.sentence

    @property
    def detail(self) -> str:
        """The sentence, with its instant in UTC."""
        return with_instant(self.sentence, self.at)


def note_interval(limits: SessionLimits) -> timedelta:
    """How often "last heard" is written at most, however often an agent asks."""
    return min(NOTE_EVERY, limits.idle / 3)


def session_end(facts: SessionFacts, *, now: datetime, limits: SessionLimits) -> SessionEnd | None:
    """Why and when a session ended, or None while it lives: what happened first counts.

    It ends at the instant itself: at `expires_at`, and at `last_heard_at` plus the idle limit.
    What was recorded (revoked, disabled, ended) counts at once, whatever the clock of the machine
    that asks. A key that was not issued yet, because the clock was set back, is not active, so
    nobody works under it.
    """
    recorded = (
        (facts.key_revoked_at, EndCause.KEY_REVOKED),
        (facts.agent_detached_at, EndCause.AGENT_BLOCKED),
        (facts.agent_dissociated_at, EndCause.DISSOCIATED),
        (facts.license_revoked_at, EndCause.LICENSE_REVOKED),
        (facts.user_disabled_at, EndCause.USER_DISABLED),
        (facts.ended_at, facts.ended_by or EndCause.OTHER),
    )
    by_clock = (
        (facts.key_expires_at, EndCause.KEY_EXPIRED),
        (facts.subscription_ends_at, EndCause.SUBSCRIPTION_EXPIRED),
        (facts.last_heard_at + limits.idle, EndCause.NOT_HEARD_FROM),
    )
    ends = [SessionEnd(cause, at) for at, cause in by_clock if at is not None and at <= now]
    ends += [SessionEnd(cause, at) for at, cause in recorded if at is not None]
    if not ends and facts.key_issued_at is not None and now < facts.key_issued_at:
        return SessionEnd(EndCause.CLOCK_SET_BACK, now)
    return min(ends, key=lambda end: end.at, default=None)


# How far an agent is known to be after the end


class LogoutState(StrEnum):
    """How far the agent of a session that has ended is known to be."""

    WAITING = "waiting"
    """Its next heartbeat is not due yet."""
    TOLD = "told"
    """Its heartbeat got the refusal."""
    CONFIRMED = "confirmed"
    """It called the end of the session: it has logged out."""
    OFF_LINE = "off_line"
    """It has not been heard from since."""


@dataclass(frozen=True)
class LogoutStatus:
    """How far an agent is known to be, and since when.

    Off-line, `at` is the expiry of its key, at which it ends by itself at the latest; None under a
    permanent license, which has none. None too while waiting.
    """

    state: LogoutState
    at: datetime | None = None


def logout_status(
    end: SessionEnd,
    *,
    facts: SessionFacts,
    told_at: datetime | None,
    confirmed_at: datetime | None,
    now: datetime,
    limits: SessionLimits,
) -> LogoutStatus:
    """How far the agent of a session that ended is known to be at `now`.

    It is waited for if it was heard from lately and its next heartbeat is not overdue.
    """
    if confirmed_at is not None:
        return LogoutStatus(LogoutState.CONFIRMED, confirmed_at)
    if end.cause is EndCause.SIGNED_OUT:
        return LogoutStatus(LogoutState.CONFIRMED, end.at)
    if told_at is not None:
        return LogoutStatus(LogoutState.TOLD, told_at)
    patience = timedelta(seconds=limits.heartbeat_seconds) + ANSWER_TIME
    heard_lately = end.at - facts.last_heard_at <= note_interval(limits) + patience
    if heard_lately and now < end.at + patience:
        return LogoutStatus(LogoutState.WAITING)
    return LogoutStatus(LogoutState.OFF_LINE, facts.key_expires_at)
