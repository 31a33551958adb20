"""Retiring a signing key: nothing under it is good any more."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.machines import dissociate, revoke_permanent_license
from app.audit.journal import Withdrawal, note_withdrawal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import SessionLimits
from app.core.permissions import Permission
from app.licenses.keyring import lock_key_to_retire
from app.licenses.withdrawing import revoke_where
from app.models import Agent, PermanentLicense, SigningKey, TemporaryLicense


class Retired(NamedTuple):
    """How many temporary keys were revoked, and how many machines lost their license."""

    keys: int
    machines: int


def retire_signing_key(
    session: Session, *, actor: Actor, kid: str, now: datetime, limits: SessionLimits
) -> Retired:
    """Withdraw the signing key `kid`, and revoke every license of either kind under it.

    Its machines are dissociated, so that they register anew under the key that signs; one that is
    detached stays registered, or it would be let in again. Raises NotAllowed, NotFound, and
    Conflict if the key signs or is retired already.
    """
    actor.must(Permission.REVOKE_LICENSES)
    key = lock_key_to_retire(session, kid)
    return withdraw_signing_key(session, key, actor=actor, now=now, limits=limits)


def withdraw_signing_key(
    session: Session, key: SigningKey, *, actor: Actor, now: datetime, limits: SessionLimits
) -> Retired:
    """Retire a locked signing key, also the one that signs: the next start makes another."""
    kid = key.kid
    key.retired_at = now
    note_withdrawal(session, Withdrawal.SIGNING_KEY_RETIRED, kid, now)
    keys = revoke_where(session, TemporaryLicense.kid == kid, actor=actor, now=now)
    agents = _registered_under(session, kid)
    for agent_id, detached_at in agents:
        withdraw = dissociate if detached_at is None else revoke_permanent_license
        withdraw(session, actor=actor, agent_id=agent_id, now=now, limits=limits)
    log_event(
        session,
        AuditTag.SIGNING_KEY_RETIRED,
        actor=actor,
        now=now,
        subject=kid,
        keys=len(keys),
        machines=len(agents),
    )
    return Retired(len(keys), len(agents))


def _registered_under(session: Session, kid: str) -> list[tuple[int, datetime | None]]:
    """The registered agents with a license under the key that is good, each with its block."""
    query = (
        select(Agent.id, Agent.detached_at)
        .join(Agent.license)
        .where(
            PermanentLicense.kid == kid,
            PermanentLicense.revoked_at.is_(None),
            Agent.dissociated_at.is_(None),
        )
        .order_by(Agent.id)
        .with_for_update(of=Agent)
    )
    return [(row.id, row.detached_at) for row in session.execute(query)]
