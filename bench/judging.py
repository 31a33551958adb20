"""What a load run shows: what was late, lost, refused too early or answered slowly."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.results import percentile


@dataclass(frozen=True)
class Asked:
    """One request. Times in seconds since 1970; `session` is the agent's, blank for people's.

    `code` says why it was refused, where the answer does.
    """

    what: str
    sent: float
    answered: float
    status: int
    session: str = ""
    code: str = ""

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 400

    @property
    def milliseconds(self) -> float:
        return (self.answered - self.sent) * 1000


@dataclass(frozen=True)
class Phase:
    """A part of the run, by when requests were sent."""

    name: str
    begins: float
    ends: float


def by_kind(asked: Iterable[Asked], phases: list[Phase]) -> list[tuple[str, str, int, list[float]]]:
    """(what, phase, how many, [p50, p95, p99] in milliseconds) of what was done."""
    taken: dict[tuple[str, str], list[float]] = {}
    for one in asked:
        for phase in phases:
            if one.is_done and phase.begins <= one.sent < phase.ends:
                taken.setdefault((one.what, phase.name), []).append(one.milliseconds)
    order = [phase.name for phase in phases]
    return [
        (what, phase, len(found), [percentile(sorted(found), part) for part in (0.5, 0.95, 0.99)])
        for (what, phase), found in sorted(
            taken.items(), key=lambda item: (item[0][0], order.index(item[0][1]))
        )
    ]


def failures(asked: Iterable[Asked]) -> list[Asked]:
    """Answers that nobody should get: 5xx, other than a 503 that says when to ask again.

    Status 0 stands for a connection that broke.
    """
    return [
        one
        for one in asked
        if one.status == 0 or (one.status >= 500 and (one.status, one.code) != (503, "later"))
    ]


def put_off(asked: Iterable[Asked]) -> list[Asked]:
    """Answers 503 with a Retry-After: not done, and said so."""
    return [one for one in asked if (one.status, one.code) == (503, "later")]


def latest_after_expiry(asked: Iterable[Asked], expiries: dict[str, float]) -> float | None:
    """Seconds by which the latest 2xx of a session arrived after its key's expiry.

    Negative if all arrived before it; None if no session expired.
    """
    ends = max((one.answered for one in asked), default=0)
    over = [
        one.answered - expiries[one.session]
        for one in asked
        if one.is_done and one.session in expiries and expiries[one.session] <= ends
    ]
    return max(over, default=None)


def after_revocation(asked: Iterable[Asked], revocations: dict[str, float]) -> list[Asked]:
    """What was asked after the revocation of its key had been answered, and was done."""
    return [
        one
        for one in asked
        if one.is_done and one.session and one.sent > revocations.get(one.session, float("inf"))
    ]


def refused_too_early(
    asked: Iterable[Asked], expiries: dict[str, float], revocations: dict[str, float]
) -> list[Asked]:
    """Refusals that came before the key's expiry, and before anybody asked to revoke it."""
    return [
        one
        for one in asked
        if one.session
        and one.status == 401
        and one.answered < expiries.get(one.session, float("inf"))
        and one.session not in revocations
    ]
