"""What is said of people who are logged out by what somebody does."""

from collections.abc import Sequence

from app.config import current_config
from app.core.text import counted
from app.models import AgentSession
from app.portal.confirmations import LogOuts


def at_next_heartbeat(sessions: Sequence[AgentSession]) -> LogOuts:
    """Who would be logged out, for a question."""
    within = f"within {counted(current_config().heartbeat_seconds, 'second')}"
    return LogOuts(
        sessions=sessions,
        heading=f"Logged out at the next heartbeat, {within}:",
        nobody="Nobody is signed in who would be logged out.",
    )


def being_logged_out(ended: Sequence[AgentSession]) -> str:
    """A sentence about the people whose sessions have been ended."""
    people = len({session.user_id for session in ended})
    if people == 0:
        return "Nobody was signed in."
    return f"{people} {'person is' if people == 1 else 'people are'} being logged out: see below."
