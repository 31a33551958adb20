"""After a restore: what was withdrawn since the copy is so again, before anybody is served."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.orm import Session

from app.accounts.links import end_all_links
from app.agents.codes import EndCause
from app.agents.machines import detach, dissociate, revoke_permanent_license
from app.agents.retiring import withdraw_signing_key
from app.audit.journal import (
    JournalDamaged,
    Line,
    Withdrawal,
    digest_of,
    note_withdrawal,
    read_journal,
)
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import SessionLimits
from app.core.errors import Conflict, NotFound
from app.licenses.withdrawing import revoke_where
from app.models import Agent, AgentSession, SigningKey, TemporaryLicense, User, WebSession

MARGIN = timedelta(minutes=10)
"""A line is written before its commit: one that is so much older than the copy may be missing."""
AT_ONCE = 500
EVER = datetime.min.replace(tzinfo=UTC)


class JournalState(StrEnum):
    """Whether the journal says all that was withdrawn since the copy."""

    COMPLETE = "complete"
    MISSING = "missing"
    STOPS_EARLY = "stops_early"
    DAMAGED = "damaged"


@dataclass
class Settled:
    """What was done to a restored copy: how many of each were withdrawn."""

    journal: JournalState
    trusted: bool
    keys: int = 0
    sessions: int = 0
    users: int = 0
    machines: int = 0
    signing_keys: int = 0
    lines: list[Line] = field(default_factory=list, repr=False)

    @property
    def rest(self) -> str:
        """What was done with everything that could still be used."""
        if self.journal is JournalState.COMPLETE:
            return "left"
        return "trusted" if self.trusted else "ended"


def settle_restored_copy(
    session: Session,
    *,
    journal: Path,
    newest_note: str | None,
    made_at: datetime | None,
    trust: bool,
    actor: Actor,
    now: datetime,
    limits: SessionLimits,
) -> Settled:
    """Withdraw again what the journal says was withdrawn since the copy, which is of `made_at`.

    `newest_note` is the newest checkpoint that is known outside the database. Where the journal is
    missing, damaged or stops before it, every session is ended and every key revoked, unless
    `trust`. One-time links always end, since nobody knows which were used. `made_at` is None if
    nobody knows: then all of the journal counts.
    """
    done = _judge(journal, newest_note, made_at or EVER)
    done.trusted = trust
    given = {"actor": actor, "now": now, "limits": limits}
    for kind, lines in _by_kind(done.lines).items():
        _WITHDRAW[kind](session, lines, done, **given)
    if done.rest == "ended":
        _end_everything(session, done, actor=actor, now=now)
    end_all_links(session, now=now)
    log_event(
        session,
        AuditTag.RESTORED,
        actor=actor,
        now=now,
        made_at=made_at.isoformat() if made_at else None,
        journal=done.journal.value,
        rest=done.rest,
        keys=done.keys,
        sessions=done.sessions,
        users=done.users,
        machines=done.machines,
        signing_keys=done.signing_keys,
    )
    return done


def _judge(journal: Path, newest_note: str | None, made_at: datetime) -> Settled:
    """What the journal says since shortly before the copy, and whether that is all."""
    lines: list[Line] = []
    newest = digest_of(newest_note) if newest_note else None
    is_newer, knows_newest = False, newest is None
    try:
        for line in read_journal(journal):
            is_newer = is_newer or line.at > made_at
            if line.kind is Withdrawal.CHECKPOINT:
                knows_newest = knows_newest or line.id == newest
            elif made_at == EVER or line.at >= made_at - MARGIN:
                lines.append(line)
    except JournalDamaged:
        return Settled(JournalState.DAMAGED, trusted=False, lines=lines)
    except OSError:
        return Settled(JournalState.MISSING, trusted=False)
    complete = is_newer and knows_newest
    state = JournalState.COMPLETE if complete else JournalState.STOPS_EARLY
    return Settled(state, trusted=False, lines=lines)


def _by_kind(lines: Iterable[Line]) -> dict[Withdrawal, list[Line]]:
    """The lines of each kind, in the order in which the kinds are dealt with."""
    found: dict[Withdrawal, list[Line]] = defaultdict(list)
    for line in lines:
        found[line.kind].append(line)
    return {kind: found[kind] for kind in _WITHDRAW if kind in found}


def _revoke_keys(
    session: Session, lines: list[Line], done: Settled, *, actor: Actor, now: datetime, **_: Any
) -> None:
    for key_ids in _ids(lines):
        which = TemporaryLicense.key_id.in_(key_ids)
        done.keys += len(revoke_where(session, which, actor=actor, now=now))


def _use_up_keys(session: Session, lines: list[Line], _done: Settled, **_: Any) -> None:
    """A key for one sign-in must not be good for a second one."""
    for key_ids in _ids(lines):
        session.execute(
            update(TemporaryLicense)
            .where(TemporaryLicense.key_id.in_(key_ids))
            .values(sign_ins_used=TemporaryLicense.sign_ins_allowed)
        )


def _withdraw_machines(withdraw: Callable[..., object]) -> Callable[..., None]:
    """Does the same again as a super admin did, but for what is so already."""

    def again(session: Session, lines: list[Line], done: Settled, **given: Any) -> None:
        for line in lines:
            if not isinstance(line.id, int) or session.get(Agent, line.id) is None:
                continue
            try:
                withdraw(session, agent_id=line.id, **given)
            except (Conflict, NotFound):
                continue
            done.machines += 1

    return again


def _disable_users(
    session: Session, lines: list[Line], done: Settled, *, actor: Actor, now: datetime, **_: Any
) -> None:
    """Also the last super admin: whoever was disabled was for a reason."""
    for ids in _ids(lines):
        query = select(User).where(User.id.in_(ids), User.disabled_at.is_(None))
        for user in session.scalars(query.with_for_update()):
            user.disabled_at = now
            note_withdrawal(session, Withdrawal.USER_DISABLED, user.id, now)
            log_event(session, AuditTag.USER_DISABLED, actor=actor, now=now, subject=user.email)
            done.users += 1


def _end_agent_sessions(
    session: Session, lines: list[Line], done: Settled, *, now: datetime, **_: Any
) -> None:
    for ids in _ids(lines):
        done.sessions += _end(session, AgentSession, AgentSession.id.in_(ids), now)


def _end_sign_ins(
    session: Session, lines: list[Line], done: Settled, *, now: datetime, **_: Any
) -> None:
    for ids in _ids(lines):
        done.sessions += _end(session, WebSession, WebSession.id.in_(ids), now)


def _end_sessions_of_users(
    session: Session, lines: list[Line], done: Settled, *, now: datetime, **_: Any
) -> None:
    latest = {line.id: line.at for line in sorted(lines, key=lambda line: line.at)}
    for user_id, at in latest.items():
        for table in (AgentSession, WebSession):
            which = (table.user_id == user_id) & (table.started_at <= at)
            done.sessions += _end(session, table, which, now)


def _retire_keys(session: Session, lines: list[Line], done: Settled, **given: Any) -> None:
    for kid in {str(line.id) for line in lines}:
        query = select(SigningKey).where(SigningKey.kid == kid, SigningKey.retired_at.is_(None))
        key = session.scalar(query.with_for_update())
        if key is not None:
            retired = withdraw_signing_key(session, key, **given)
            done.signing_keys += 1
            done.keys += retired.keys
            done.machines += retired.machines


def _end_as_before(
    session: Session, lines: list[Line], done: Settled, *, actor: Actor, now: datetime, **_: Any
) -> None:
    """What an earlier restore ended, whose journal was not there."""
    at = max(line.at for line in lines)
    issued = TemporaryLicense.issued_at <= at
    done.keys += len(revoke_where(session, issued, actor=actor, now=now))
    for table in (AgentSession, WebSession):
        done.sessions += _end(session, table, table.started_at <= at, now)


def _end_everything(session: Session, done: Settled, *, actor: Actor, now: datetime) -> None:
    note_withdrawal(session, Withdrawal.EVERYTHING_ENDED, "", now)
    done.keys += len(revoke_where(session, true(), actor=actor, now=now))
    for table in (AgentSession, WebSession):
        done.sessions += _end(session, table, true(), now)


_WITHDRAW: dict[Withdrawal, Callable[..., None]] = {
    Withdrawal.USER_DISABLED: _disable_users,
    Withdrawal.KEY_REVOKED: _revoke_keys,
    Withdrawal.KEY_USED_UP: _use_up_keys,
    Withdrawal.SIGNING_KEY_RETIRED: _retire_keys,
    Withdrawal.LICENSE_REVOKED: _withdraw_machines(revoke_permanent_license),
    Withdrawal.MACHINE_DETACHED: _withdraw_machines(detach),
    Withdrawal.MACHINE_DISSOCIATED: _withdraw_machines(dissociate),
    Withdrawal.SESSION_ENDED: _end_agent_sessions,
    Withdrawal.SIGN_IN_ENDED: _end_sign_ins,
    Withdrawal.SESSIONS_OF_USER_ENDED: _end_sessions_of_users,
    Withdrawal.EVERYTHING_ENDED: _end_as_before,
}
"""A machine that was blocked, and then dissociated, is free; so the block comes first."""


def _ids(lines: list[Line]) -> Iterator[list[int | str]]:
    """What the lines name, each once, so many at a time as one statement takes."""
    ids = list(dict.fromkeys(line.id for line in lines))
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _end(
    session: Session,
    table: type[AgentSession | WebSession],
    which: ColumnElement[bool],
    now: datetime,
) -> int:
    """End sessions that have not ended; returns how many."""
    values: dict[str, Any] = {"ended_at": now}
    if table is AgentSession:
        values["end_code"] = EndCause.RESTORED.value
    query = update(table).where(which, table.ended_at.is_(None)).values(values)
    return len(session.scalars(query.returning(table.id)).all())
