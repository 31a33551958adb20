"""When a session on an OP Agent ends, and whether its agent has logged out. Pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.agents.codes import EndCause, EndCode, with_instant
from app.core.durations import SessionLimits

NOTE_EVERY = timedelta(seconds=30)
"""How often at most "last heard" is stored, unless the idle limit is short."""
ANSWER_TIME = timedelta(seconds=3)
"""How late a heartbeat may be before its agent counts as off-line."""


@dataclass(frozen=True)
class SessionFacts:
    """What a session's end depends on. Instants are aware, in UTC; None: it has not happened.

    The key's instants are None under a permanent license; the license's and the subscription's
    are None under a temporary key.
    """

    last_heard_at: datetime
    ended_at: datetime | None = None
    ended_by: EndCause | None = None
    user_disabled_at: datetime | None = None
    key_starts_at: datetime | None = None
    key_expires_at: datetime | None = None
    key_revoked_at: datetime | None = None
    agent_detached_at: datetime | None = None
    agent_dissociated_at: datetime | None = None
    license_revoked_at: datetime | None = None
    subscription_ends_at: datetime | None = None


@dataclass(frozen=True)
class SessionEnd:
    """Why and when a session ended. `sentence` has `{at}` in place of the instant."""

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
        """The sentence with the instant, in UTC."""
        return with_instant(self.sentence, self.at)


def note_interval(limits: SessionLimits) -> timedelta:
    """The least time between two writes of "last heard", however often an agent asks."""
    return min(NOTE_EVERY, limits.idle / 3)


def session_end(facts: SessionFacts, *, now: datetime, limits: SessionLimits) -> SessionEnd | None:
    """Why and when a session ended, or None while it is live. The earliest cause counts.

    A session has ended at the very instant of its expiry, or of `last_heard_at` plus the idle
    limit. A stored end (revoked, disabled, ended) counts even if its instant is later than `now`:
    the clocks of several portal machines may differ. If the clock was set back to before the key
    started, the key is not active and the session has ended.
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
    if not ends and facts.key_starts_at is not None and now < facts.key_starts_at:
        return SessionEnd(EndCause.CLOCK_SET_BACK, now)
    return min(ends, key=lambda end: end.at, default=None)


# Whether the agent has logged out


class LogoutState(StrEnum):
    """What is known of the log-out of an ended session's agent."""

    WAITING = "waiting"
    """Its next heartbeat is not due yet."""
    TOLD = "told"
    """A heartbeat was answered with the session's end."""
    CONFIRMED = "confirmed"
    """It has confirmed that it has logged out."""
    OFF_LINE = "off_line"
    """It has not been heard from since, and should have been."""


@dataclass(frozen=True)
class LogoutStatus:
    """What is known of an agent's log-out, and since when.

    If the agent is off-line, `at` is instead the expiry of its key, when it logs out by itself at
    the latest; None under a permanent license, which does not expire. None also while waiting.
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
    """What is known at `now` of the log-out of the agent whose session ended with `end`.

    The agent counts as waiting, not off-line, if it was heard from shortly before the end and its
    next heartbeat is not overdue.
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
