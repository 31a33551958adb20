"""The configuration data that an organisation's agents save on the portal."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.mac import machine_name
from app.agents.sessions import actor_of
from app.agents.sign_in_rules import CONFIGURATION_READ_ONLY, Refusal
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.models import AgentSession, Configuration, Organisation


def save_configuration(
    session: Session, *, agent_session: AgentSession, data: dict[str, Any], now: datetime
) -> Refusal | None:
    """Save the organisation's configuration data; refused under a temporary license.

    Both are logged. Returns None if it was saved.
    """
    refused = agent_session.temporary_license is not None
    log_event(
        session,
        AuditTag.CONFIGURATION_REFUSED if refused else AuditTag.CONFIGURATION_SAVED,
        actor=actor_of(agent_session),
        now=now,
        organisation_id=agent_session.organisation_id,
        subject=machine_name(agent_session),
        mac_id=agent_session.mac_id,
        key_id=agent_session.license_key_id,
    )
    if refused:
        return CONFIGURATION_READ_ONLY
    # Lock the organisation: two first saves at once would both insert a row.
    own = Organisation.id == agent_session.organisation_id
    session.execute(select(Organisation.id).where(own).with_for_update(key_share=True))
    session.merge(
        Configuration(
            organisation_id=agent_session.organisation_id,
            data=data,
            saved_at=now,
            saved_by_id=agent_session.user_id,
        )
    )
    return None


def configuration_of(session: Session, organisation_id: str) -> dict[str, Any]:
    """The configuration data that an organisation's agents saved; {} if none."""
    saved = session.get(Configuration, organisation_id)
    return saved.data if saved else {}
