"""Users, their sessions on the portal, and recent wrong passwords."""

from datetime import datetime

from sqlalchemy import Enum, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.permissions import Role
from app.core.text import EMAIL_LENGTH
from app.models.base import Base


def _values(roles: type[Role]) -> list[str]:
    return [role.value for role in roles]


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH), unique=True)
    """Lower case; the login ID on the portal and on OP Agents."""
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=20, values_callable=_values)
    )
    organisation_id: Mapped[str | None] = mapped_column(ForeignKey("organisations.id"))
    """The organisation of a client user; None for every other role."""
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class WebSession(Base):
    """One browser signed in to the portal. The cookie's token is stored hashed."""

    __tablename__ = "web_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(index=True)
    last_active_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="joined")


class SignInFailure(Base):
    """One wrong password, or one that is being looked at; kept for as long as it counts."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (
        Index(None, "account_hash", "address", "failed_at"),
        Index(None, "address", "failed_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_hash: Mapped[str] = mapped_column(String(64))
    """Keyed: what is typed as an account may be a password."""
    address: Mapped[str] = mapped_column(String(45))
    failed_at: Mapped[datetime]
