"""Registered agents, and the sessions on them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.accounts import User
from app.models.base import Base, partial_index
from app.models.licenses import PermanentLicense, TemporaryLicense
from app.models.projects import Organisation


class Agent(Base):
    """The registration of an OP Agent on one machine to one organisation.

    Once dissociated, it is history: the machine may be registered again, as another agent.
    """

    __tablename__ = "agents"
    __table_args__ = (
        Index(None, "organisation_id", "dissociated_at"),
        partial_index(
            "uq_agents_live_machine",
            "mac_id",
            "machine_id_hash",
            unique=True,
            where="dissociated_at IS NULL",
        ),
        Index(None, "machine_id_hash"),
        Index(None, "registered_by_id", "registered_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    mac_id: Mapped[str] = mapped_column(String(17))
    machine_id_hash: Mapped[str] = mapped_column(String(64), default="")
    """Empty until one of the organisation's users signs in with a machine ID."""
    hostname: Mapped[str] = mapped_column(String(255), default="")
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    registered_at: Mapped[datetime]
    registered_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    last_seen_at: Mapped[datetime]
    detached_at: Mapped[datetime | None]
    dissociated_at: Mapped[datetime | None]

    organisation: Mapped[Organisation] = relationship(lazy="joined")
    registered_by: Mapped[User] = relationship(lazy="joined")
    license: Mapped[PermanentLicense] = relationship(lazy="joined")
    further_mac_ids: Mapped[list["FurtherMacId"]] = relationship(order_by="FurtherMacId.mac_id")

    @property
    def mac_ids(self) -> list[str]:
        """The machine's MAC IDs, the one that it was registered with first."""
        return [self.mac_id, *(further.mac_id for further in self.further_mac_ids)]


class FurtherMacId(Base):
    """Another network card of a registered machine, which was known by its machine ID."""

    __tablename__ = "agent_mac_ids"
    __table_args__ = (Index(None, "mac_id"),)

    agent_id: Mapped[int] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    mac_id: Mapped[str] = mapped_column(String(17), primary_key=True)


class Installation(Base):
    """Data of this portal as a whole: one row."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    machine_salt: Mapped[str] = mapped_column(String(64))
    """The salt of hashed machine IDs: on another portal the same machine has another hash."""
    audit_log_key: Mapped[str] = mapped_column(String(200), default="", server_default="")
    """The verifier key of the audit log, from its first checkpoint on."""


class Configuration(Base):
    """The configuration data that an organisation's agents saved on the portal."""

    __tablename__ = "configurations"

    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    saved_at: Mapped[datetime]
    saved_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


class AgentSession(Base):
    """One user signed in on an OP Agent. The token is stored hashed."""

    __tablename__ = "agent_sessions"
    __table_args__ = (
        Index(None, "last_heard_at"),
        Index(None, "organisation_id", "ended_at"),
        Index(None, "organisation_id", "last_heard_at"),
        Index(None, "temporary_license_id", "ended_at"),
        Index(None, "user_id", "ended_at"),
        Index(None, "agent_id", "ended_at"),
        partial_index(
            "ix_agent_sessions_purged", "last_heard_at", where="temporary_license_id IS NULL"
        ),
        partial_index(
            "ix_agent_sessions_visits",
            "organisation_id",
            "started_at",
            "id",
            where="temporary_license_id IS NOT NULL",
        ),
        partial_index(
            "ix_agent_sessions_open_visits",
            "id",
            where="temporary_license_id IS NOT NULL AND ended_at IS NULL",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    temporary_license_id: Mapped[int | None] = mapped_column(ForeignKey("temporary_licenses.id"))
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agents.id"))
    """None under a temporary key on a machine that is not registered."""
    mac_id: Mapped[str] = mapped_column(String(17))
    machine_id_hash: Mapped[str] = mapped_column(String(64), default="", server_default="")
    hostname: Mapped[str] = mapped_column(String(255), default="")
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    address: Mapped[str] = mapped_column(String(45))
    started_at: Mapped[datetime]
    last_heard_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """Set when somebody ends the session, or when the agent is first told that it has ended."""
    end_code: Mapped[str | None] = mapped_column(String(32))
    """Why it ended: an `EndCause` of `agents.codes`, finer than the `EndCode` an agent gets."""
    told_at: Mapped[datetime | None]
    """When a heartbeat was first answered with the session's end."""
    confirmed_at: Mapped[datetime | None]
    """When the agent confirmed that it had logged out after the session's end."""

    user: Mapped[User] = relationship(lazy="joined")
    organisation: Mapped[Organisation] = relationship(lazy="joined")
    agent: Mapped[Agent | None] = relationship(lazy="joined")
    temporary_license: Mapped[TemporaryLicense | None] = relationship(lazy="joined")

    @property
    def license_key_id(self) -> str:
        """The Key ID of the session's license, temporary or permanent; "" if it has none."""
        if self.temporary_license is not None:
            return self.temporary_license.key_id
        return self.agent.license.key_id if self.agent else ""
