"""Who is signed in on an OP Agent."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.accounts import User
from app.models.base import Base
from app.models.licenses import TemporaryLicense
from app.models.projects import Organisation


class AgentSession(Base):
    """One signed-in user on one agent. The token is stored hashed."""

    __tablename__ = "agent_sessions"
    __table_args__ = (
        Index(None, "last_heard_at"),
        Index(None, "organisation_id", "ended_at"),
        Index(None, "temporary_license_id", "ended_at"),
        Index(None, "user_id", "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    temporary_license_id: Mapped[int | None] = mapped_column(ForeignKey("temporary_licenses.id"))
    mac_id: Mapped[str] = mapped_column(String(17))
    hostname: Mapped[str] = mapped_column(String(255), default="")
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    address: Mapped[str] = mapped_column(String(45))
    started_at: Mapped[datetime]
    last_heard_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """Written when somebody ends it, or when the agent is first told that it has ended."""
    end_code: Mapped[str | None] = mapped_column(String(32))
    """Why: an `EndCause` of `agents.rules`, finer than the code that the agent is told."""

    user: Mapped[User] = relationship(lazy="joined")
    organisation: Mapped[Organisation] = relationship(lazy="joined")
    temporary_license: Mapped[TemporaryLicense | None] = relationship(lazy="joined")
