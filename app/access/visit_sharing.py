"""Whether an organisation sees the visits under temporary keys in its Feed."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import NotFound
from app.core.permissions import Permission
from app.models import Organisation


def let_clients_see_visits(
    session: Session, *, actor: Actor, organisation_id: str, seen: bool, now: datetime
) -> bool:
    """Whether an organisation's Feed has the visits from now on; False if it was so already.

    Off hides every line; on again shows those of earlier. Raises NotAllowed, NotFound.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    organisation = session.get(
        Organisation, organisation_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if organisation is None:
        raise NotFound("There is no such organisation.")
    if organisation.clients_see_visits == seen:
        return False
    organisation.clients_see_visits = seen
    tag = AuditTag.VISITS_SHOWN if seen else AuditTag.VISITS_HIDDEN
    name = organisation.name
    log_event(session, tag, actor=actor, now=now, organisation_id=organisation_id, subject=name)
    return True
