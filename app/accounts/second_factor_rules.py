"""When a second factor is asked for, which codes count, and how long a proof lasts."""

from datetime import datetime, timedelta

from app.core.durations import Rate

STEP_SECONDS = 30
"""RFC 6238: a code is valid for one step of this length."""
PROOF_LASTS = timedelta(minutes=10)
HALF_WAY_LASTS = timedelta(minutes=10)
"""How long after the password a sign-in waits for the second factor."""
RECOVERY_CODES = 10
CODES_A_DAY = Rate(100, 86_400)
"""Wrong codes of an app, for one user: three of a million count at a time, so whoever knows the
password guesses one with a chance of one in 3,000 a day."""


def accepted_steps(now: datetime) -> tuple[int, int, int]:
    """The steps whose codes count: the present one, the one before and the one after."""
    present = int(now.timestamp()) // STEP_SECONDS
    return present, present - 1, present + 1


def forgotten_before(now: datetime) -> int:
    """The step before which nobody need know any more which codes were used.

    A day ago, far longer than a code counts: a clock that is set back must not bring one back.
    """
    return (int(now.timestamp()) - 86_400) // STEP_SECONDS


def is_fresh(proven_at: datetime, now: datetime) -> bool:
    """Whether what somebody proved at `proven_at` still counts; one from the future does not."""
    return timedelta(0) <= now - proven_at < PROOF_LASTS


def is_half_way(password_at: datetime, now: datetime) -> bool:
    """Whether a password that was right at `password_at` may still be followed by a code."""
    return timedelta(0) <= now - password_at < HALF_WAY_LASTS
