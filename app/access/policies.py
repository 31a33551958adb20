"""The policies of the installation and of organisations: read, changed, and what holds."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Select, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.access.policy_rules import (
    RULES,
    UNSET,
    Policy,
    PolicyInForce,
    check_policy,
    in_force,
)
from app.access.policy_texts import written
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.config import Config
from app.core.actor import Actor
from app.core.errors import Conflict, NotFound
from app.core.permissions import Permission
from app.licenses.option_rules import USE_WITHIN
from app.models import Organisation, StoredPolicy
from app.models.policies import OF_INSTALLATION
from app.throttle import one_at_a_time, while_nobody


def policy_of(session: Session, organisation_id: str | None = None) -> Policy:
    """What an organisation's policy sets, or the installation's own."""
    stored = session.scalar(_stored(organisation_id))
    return _read(stored) if stored else UNSET


def policy_in_force(
    session: Session, config: Config, organisation_id: str | None = None
) -> PolicyInForce:
    """The rules that hold for an organisation, or for the installation as a whole."""
    query = select(StoredPolicy).where(
        or_(
            StoredPolicy.id == OF_INSTALLATION,
            StoredPolicy.organisation_id == organisation_id,
        )
    )
    policies = {stored.organisation_id: _read(stored) for stored in session.scalars(query)}
    return in_force(
        ceiling=config.license_ttl_max,
        default_ttl=config.license_ttl_default,
        installation=policies.get(None, UNSET),
        organisation=policies.get(organisation_id, UNSET) if organisation_id else UNSET,
    )


def hold_policies(session: Session) -> None:
    """Let no policy be changed until the commit: what is decided on stays so."""
    while_nobody(session, POLICIES)


def version_of(policy: Policy) -> str:
    """A text that changes when the policy does; forms send it to detect conflicts."""
    return in_words(policy, UNSET)


def save_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    policy: Policy,
    now: datetime,
    organisation_id: str | None = None,
    version: str | None = None,
) -> bool:
    """Set the policy of an organisation, or the installation's own; whether it has changed.

    Keys that were generated before keep what they were given. Raises NotAllowed, NotFound,
    InvalidInput with a rule's name, and Conflict, with nothing changed, if the policy was saved
    since `version` (from `version_of`) was made.
    """
    actor.must(Permission.MANAGE_POLICY)
    check_policy(policy, config.license_ttls, USE_WITHIN)
    one_at_a_time(session, POLICIES)
    if organisation_id is not None:
        _lock_organisation(session, organisation_id)
    stored = session.scalar(
        _stored(organisation_id).with_for_update().execution_options(populate_existing=True)
    )
    before = _read(stored) if stored else UNSET
    if version is not None and version_of(before) != version:
        raise Conflict(SAVED_MEANWHILE)
    if policy == before:
        return False
    if stored is None:
        of_installation = {} if organisation_id else {"id": OF_INSTALLATION}
        stored = StoredPolicy(organisation_id=organisation_id, rules={}, **of_installation)
    stored.rules = {name: value for name, value in asdict(policy).items() if value is not None}
    stored.changed_at = now
    try:
        with session.begin_nested():
            session.add(stored)
    except IntegrityError:
        raise Conflict(SAVED_MEANWHILE) from None
    log_event(
        session,
        AuditTag.POLICY_CHANGED,
        actor=actor,
        now=now,
        organisation_id=organisation_id,
        subject=POLICY_OF if organisation_id else POLICY_OF_ALL,
        before=in_words(before, policy),
        after=in_words(policy, before),
    )
    return True


SAVED_MEANWHILE = (
    "Somebody else has changed this policy since you opened the form. It shows now what you "
    "entered; look at it again, and save."
)
POLICIES = "policies"
POLICY_OF, POLICY_OF_ALL = "an organisation's policy", "the policy of the installation"


def _lock_organisation(session: Session, organisation_id: str) -> None:
    """Until the commit, so that nobody deletes it meanwhile. Raises NotFound."""
    lock = {"read": True, "key_share": True}
    if session.get(Organisation, organisation_id, with_for_update=lock) is None:
        raise NotFound(f"There is no organisation {organisation_id!r}.")


def _stored(organisation_id: str | None) -> Select[StoredPolicy]:
    if organisation_id is None:
        return select(StoredPolicy).where(StoredPolicy.id == OF_INSTALLATION)
    return select(StoredPolicy).where(StoredPolicy.organisation_id == organisation_id)


def _read(stored: StoredPolicy) -> Policy:
    """Rules of another version of the portal, which this one does not know, are left alone."""
    return Policy(**{name: value for name, value in stored.rules.items() if name in RULES})


def in_words(policy: Policy, other: Policy) -> str:
    """The rules in which `policy` differs from another, as commands write them."""
    differing = [name for name in RULES if getattr(policy, name) != getattr(other, name)]
    return ", ".join(f"{name}={written(name, getattr(policy, name))}" for name in differing)
