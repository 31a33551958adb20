"""What is asked before something is done to a machine or to sessions: what will happen, to whom."""

from dataclasses import dataclass, field

from app.agents.registration import machine_name
from app.models import Agent, AgentSession, Organisation


@dataclass(frozen=True)
class Question:
    """`sentences` say what will happen; `logged_out` is to whom, at the next heartbeat.

    If `moot`, it has happened already: there is nothing left to ask.
    """

    title: str
    button: str
    sentences: list[str]
    logged_out: list[AgentSession] = field(default_factory=list)
    harmless: bool = False
    moot: str = ""
    key_id: str = ""
    """A temporary key that stays active, so that they could sign in again."""


def about_detaching(agent: Agent, sessions: list[AgentSession]) -> Question:
    return Question(
        title=f"Detach {machine_name(agent)}?",
        button="Detach",
        sentences=[
            f"Nobody can sign in on this machine any more, neither users of "
            f"{agent.organisation.name} nor partners with a key: they are told “Agent is "
            "Blocked.” You can attach it again at any time."
        ],
        logged_out=sessions,
        moot="This machine is detached already." if agent.detached_at else "",
    )


def about_attaching(agent: Agent) -> Question:
    return Question(
        title=f"Attach {machine_name(agent)}?",
        button="Attach",
        sentences=[
            f"Users of {agent.organisation.name}, and partners with one of its keys, can sign in "
            "on this machine again. Whoever was logged out when it was detached has to sign in "
            "anew."
        ],
        harmless=True,
        moot="" if agent.detached_at else "This machine is attached already.",
    )


def about_dissociating(agent: Agent, sessions: list[AgentSession]) -> Question:
    return Question(
        title=f"Dissociate {machine_name(agent)}?",
        button="Dissociate",
        sentences=[
            f"The machine no longer belongs to {agent.organisation.name}: its license "
            f"{agent.license.key_id} is revoked, and it is free. The first client user who signs "
            "in on it, of whatever organisation, registers it anew. This cannot be undone."
        ],
        logged_out=sessions,
    )


def about_revoking(agent: Agent, sessions: list[AgentSession]) -> Question:
    stay = sorted({found.user.email for found in sessions if found.temporary_license})
    return Question(
        title=f"Revoke license {agent.license.key_id}?",
        button="Revoke license",
        sentences=[
            f"Users of {agent.organisation.name} can no longer sign in on {machine_name(agent)}. "
            "This cannot be undone; to let them in again, dissociate the machine: the next sign-in "
            "registers it with a new license.",
            "Partners and developers are not affected: they work under their temporary keys."
            + (f" Signed in now, and staying: {', '.join(stay)}." if stay else ""),
        ],
        logged_out=[found for found in sessions if found.temporary_license is None],
        moot="This license was revoked before." if agent.license.revoked_at else "",
    )


def about_ending(found: AgentSession, *, ended: bool) -> Question:
    key = found.temporary_license
    return Question(
        title=f"End the session of {found.user.email}?",
        button="End session",
        sentences=[],
        logged_out=[found],
        moot=f"The session of {found.user.email} has ended already." if ended else "",
        key_id=key.key_id if key else "",
    )


def about_ending_all(organisation: Organisation, sessions: list[AgentSession]) -> Question:
    return Question(
        title="End all temporary sessions?",
        button="End all sessions",
        sentences=[
            f"Everybody who works for {organisation.name} under a temporary key is logged out. "
            "Its own users stay signed in. The keys stay active: to keep people out, revoke them "
            "on the License tab."
        ],
        logged_out=sessions,
        moot="" if sessions else "Nobody is signed in under a temporary key.",
    )
