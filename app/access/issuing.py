"""Generating and extending temporary keys under the policy: the one way for every face."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.access.policies import policy_in_force
from app.access.policy_rules import apply_policy, check_reason
from app.config import Config
from app.core.actor import Actor
from app.core.permissions import Permission
from app.licenses.extending import extend_license
from app.licenses.key_records import KeyRecord
from app.licenses.option_rules import KeyOptions, checked_options, checked_reason
from app.licenses.queries import lock_by_key_id
from app.licenses.services import issue_license
from app.models import TemporaryLicense


def issue_under_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    organisation_id: str,
    options: KeyOptions,
    cut_ttl: bool,
    now: datetime,
    form_token: str | None = None,
) -> tuple[KeyRecord, str]:
    """As `issue_license`, under the policy in force for the organisation: (record, key).

    A TTL of the settings that is above the ceiling is cut if `cut_ttl`; others are refused. Raises
    InvalidInput too for what the policy asks for and the options have not.
    """
    actor.must(Permission.ISSUE_LICENSES)
    holds = policy_in_force(session, config, organisation_id)
    allowed = apply_policy(
        checked_options(options), holds, cut=config.license_ttls if cut_ttl else ()
    )
    return issue_license(
        session,
        actor=actor,
        organisation_id=organisation_id,
        options=allowed.options,
        limits=holds.limits(config.license_ttls),
        signing_keys=config.signing_keys,
        now=now,
        form_token=form_token,
    )


def extend_under_policy(
    session: Session,
    *,
    actor: Actor,
    config: Config,
    key_id: str,
    ends_at: datetime,
    reason: str,
    clock: Callable[[], datetime],
) -> TemporaryLicense:
    """As `extend_license`, under the policy in force for the key's organisation.

    Raises InvalidInput too for a reason that the policy asks for.
    """
    actor.must(Permission.ISSUE_LICENSES)
    organisation_id = lock_by_key_id(session, key_id).organisation_id
    holds = policy_in_force(session, config, organisation_id)
    check_reason(checked_reason(reason), holds)
    return extend_license(
        session,
        actor=actor,
        key_id=key_id,
        ends_at=ends_at,
        reason=reason,
        limits=holds.limits(config.license_ttls),
        clock=clock,
    )
