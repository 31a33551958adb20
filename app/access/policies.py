"""The policies of the installation and of organisations: read, changed, and what holds."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.access.policy_rules import (
    RULES,
    UNSET,
    Policy,
    PolicyInForce,
    check_policy,
    in_force,
    written,
)
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import Config
from app.core.actor import Actor
from app.core.errors import Conflict, NotFound
from app.core.permissions import Permission
from app.licenses.option_rules import USE_WITHIN
from app.models import Organisation, StoredPolicy
from app.models.policies import OF_INSTALLATION


def policy_of(session: Session, organisation_id: str | None = None) -> Policy:
    """What an organisation's policy sets, or the installation's own."""
    stored = session.scalar(_stored(organisation_id))
    return _read(stored) if stored else UNSET


def policy_in_force(
    session: Session, config: Config, organisation_id: str | None = None
) -> PolicyInForce:
    """The rules that hold for an organisation, or for the installation as a whole."""
    return in_force(
        ceiling=config.license_ttl_max,
        default_ttl=config.license_ttl_default,
        installation=policy_of(session),
        organisation=policy_of(session, organisation_id) if organisation_id else UNSET,
    )


def save_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    policy: Policy,
    now: datetime,
    organisation_id: str | None = None,
) -> bool:
    """Set the policy of an organisation, or the installation's own; whether it has changed.

    Keys that were generated before keep what they were given. Raises NotAllowed, NotFound,
    InvalidInput with a rule's name, and Conflict if somebody else is at it at the same time.
    """
    actor.must(Permission.MANAGE_POLICY)
    check_policy(policy, config.license_ttls, USE_WITHIN)
    if organisation_id is not None and session.get(Organisation, organisation_id) is None:
        raise NotFound("There is no such organisation.")
    stored = session.scalar(_stored(organisation_id).with_for_update())
    before = _read(stored) if stored else UNSET
    if policy == before:
        return False
    rules = {name: value for name, value in asdict(policy).items() if value is not None}
    if stored is None:
        of_installation = {} if organisation_id else {"id": OF_INSTALLATION}
        stored = StoredPolicy(organisation_id=organisation_id, **of_installation)
        session.add(stored)
    stored.rules, stored.changed_at = rules, now
    try:
        session.flush()
    except IntegrityError:
        raise Conflict("Somebody else is changing this policy just now. Try again.") from None
    log_event(
        session,
        AuditTag.POLICY_CHANGED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        before=_in_words(before, policy),
        after=_in_words(policy, before),
    )
    return True


def _stored(organisation_id: str | None) -> Select[tuple[StoredPolicy]]:
    if organisation_id is None:
        return select(StoredPolicy).where(StoredPolicy.id == OF_INSTALLATION)
    return select(StoredPolicy).where(StoredPolicy.organisation_id == organisation_id)


def _read(stored: StoredPolicy) -> Policy:
    """Rules of another version of the portal, which this one does not know, are left alone."""
    return Policy(**{name: value for name, value in stored.rules.items() if name in RULES})


def _in_words(policy: Policy, other: Policy) -> str:
    """The rules in which `policy` differs from another, as commands write them."""
    differing = [name for name in RULES if getattr(policy, name) != getattr(other, name)]
    return ", ".join(f"{name}={written(name, getattr(policy, name))}" for name in differing)
