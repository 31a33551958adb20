"""Visits: sessions under temporary keys, which stay on record."""

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.text import EMAIL_LENGTH, NAME_LENGTH
from app.models.base import Base


class Visit(Base):
    """Of a session under a temporary key, what else would change with the people that it names.

    When it was, where and under which key, the session and the key say, which both stay.
    """

    __tablename__ = "visits"

    session_id: Mapped[int] = mapped_column(ForeignKey("agent_sessions.id"), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(43))
    """Names it in signed records: random, since a restored database may give its id once more."""
    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    role: Mapped[str] = mapped_column(String(16))
    issued_by: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    """The e-mail of who issued the key."""
    search_text: Mapped[str] = mapped_column(Text)
    """People, reason, ticket, Key ID, machine and address, folded, for searching."""
