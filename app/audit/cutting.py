"""Cutting off what the audit log need keep no longer: whole tiles, whose hashes stay."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.audit.log import log_event
from app.audit.merkle import TILE
from app.audit.tags import AuditTag
from app.audit.tree import newest_checkpoint
from app.core.actor import SYSTEM
from app.models import AuditEvent, AuditLeaf


def first_kept(session: Session) -> int:
    """The index of the first event that the log still has."""
    return session.scalar(select(func.min(AuditLeaf.place))) or 0


def cut_oldest_tile(session: Session, *, before: datetime, now: datetime) -> int:
    """Delete the 256 oldest events if all of them happened `before`; returns how many were.

    Only what was signed is cut off, and never the last tile. The hash over the tile stays, so that
    later events are proven as before, and the log says up to where it was cut off.
    """
    start = first_kept(session)
    checkpoint = newest_checkpoint(session)
    if checkpoint is None or checkpoint.size <= start + TILE:
        return 0
    ids = select(AuditLeaf.event_id).where(AuditLeaf.place >= start, AuditLeaf.place < start + TILE)
    latest = session.scalar(select(func.max(AuditEvent.happened_at)).where(AuditEvent.id.in_(ids)))
    if latest is None or latest >= before:
        return 0
    session.execute(delete(AuditEvent).where(AuditEvent.id.in_(session.scalars(ids).all())))
    session.execute(
        delete(AuditLeaf).where(AuditLeaf.place >= start, AuditLeaf.place < start + TILE)
    )
    log_event(session, AuditTag.AUDIT_CUT_OFF, actor=SYSTEM, now=now, until=start + TILE)
    return TILE


def was_cut_to(session: Session) -> int:
    """Up to which index the log says that it was cut off; 0 if it never was."""
    said = session.scalars(
        select(AuditEvent.data).where(AuditEvent.tag == AuditTag.AUDIT_CUT_OFF.value)
    )
    return max((int(data["until"]) for data in said), default=0)
